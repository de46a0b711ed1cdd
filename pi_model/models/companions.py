"""What lies beside a folder's weights: the files that belong to the model, and the facts that they repeat."""

import json
import shutil
from copy import deepcopy
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pi_model.errors import RunError
from pi_model.models.rope_fields import states_length

# All else in a folder belongs to a download, a training run, or the same weights in another format.
_BELONGING = (
    *("generation_config.json", "special_tokens_map.json", "added_tokens.json", "training.json", "tekken.json"),
    *("tokenizer.json", "tokenizer_config.json", "*.model", "tokenizer.model.v*", "*.tiktoken", "*.jinja"),
    *("vocab.json", "vocab.txt", "merges.txt", "chat_template.json"),
    *("readme*", "license*", "licence*", "notice*", "use_policy*"),
)
_FOLDER_OF_TEMPLATES = "additional_chat_templates"

# Where files beside config.json repeat the longest context: loaders limit generation to it, warn beyond it or cut.
FILE_KEYS = {
    "generation_config.json": ("max_length",),
    "tokenizer_config.json": ("model_max_length",),
    "tokenizer.json": ("truncation", "max_length"),
}


def copy_companions(folder: Path, target: Path) -> None:
    """Copy the files that belong to a model byte for byte, all but its config and weights.

    Args:
        folder: the model's folder.
        target: where the copies go; it must exist.
    """
    for path in folder.iterdir():
        if path.is_file() and any(fnmatch(path.name.lower(), pattern) for pattern in _BELONGING):
            shutil.copy2(path, target / path.name)
    if (folder / _FOLDER_OF_TEMPLATES).is_dir():
        shutil.copytree(folder / _FOLDER_OF_TEMPLATES, target / _FOLDER_OF_TEMPLATES)


def fit_companions(folder: Path, context_tokens: int) -> None:
    """Put the longest context into a folder's companion files wherever they state one. The others stay as they are.

    A tokenizer that transformers 5 saved is also given the names by which version 4 knows it; both read those.

    Raises:
        RunError: a file that may state the context is not JSON.
    """
    for name, keys in FILE_KEYS.items():
        content = read_json(folder / name)
        before = deepcopy(content)
        place = content
        for key in keys[:-1]:
            place = place.get(key) or {}
        if states_length(place.get(keys[-1])):
            place[keys[-1]] = context_tokens
        if name == "tokenizer_config.json":
            _name_for_all_versions(content)
        if content != before:
            (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _name_for_all_versions(tokenizer: dict[str, Any]) -> None:
    """Replace what transformers 4 cannot read in the content of a tokenizer_config.json."""
    if tokenizer.get("tokenizer_class") == "TokenizersBackend":
        tokenizer["tokenizer_class"] = "PreTrainedTokenizerFast"
    if isinstance(tokenizer.get("extra_special_tokens"), list):
        tokenizer["additional_special_tokens"] = tokenizer.pop("extra_special_tokens")


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is no such file.

    Raises:
        RunError: the file holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: not readable as JSON: {error}; fetch it again") from error
    if not isinstance(content, dict):
        raise RunError(f"{path}: holds no JSON object; fetch it again")
    return content
