"""Read a folder's config.json, and refuse what no command can work with. Neither torch nor transformers is imported."""

import json
from pathlib import Path
from typing import Any

from pi_model.errors import RunError
from pi_model.models.families import family_of, refuse_other_heads
from pi_model.models.rope_fields import rope_fields
from pi_model.models.weights import refuse_adapter, refuse_other_weights


def read_config(folder: Path) -> dict[str, Any]:
    """The content of a folder's config.json.

    Raises:
        RunError: the file is missing or unreadable, or describes a model of a family that is not supported, quantised
            weights or adapters, or has a malformed RoPE field.
    """
    refuse_adapter(folder)
    path = folder / "config.json"
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder}: holds no config.json; give the folder that save_pretrained wrote") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: not a JSON object; fetch it again")
    check_content(folder, content)
    return content


def check_content(folder: Path, content: dict[str, Any]) -> None:
    """Raise RunError where the content of a folder's config.json is as `read_config` refuses it."""
    try:
        family_of(content)
    except RunError as error:
        raise RunError(f"{folder / 'config.json'}: {error}") from None
    refuse_other_heads(content)
    refuse_other_weights(folder, content)
    rope_fields(content)
