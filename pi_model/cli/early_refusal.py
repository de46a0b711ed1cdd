"""What can be said of a command's arguments before torch and transformers are imported, which takes seconds."""

from collections.abc import Iterable
from pathlib import Path

from pi_model.errors import UsageError


def refuse_names(models: Iterable[str], data: Iterable[str] | None = None, *, window: int | None = None) -> None:
    """Refuses names that stand for no model or no documents, and folders whose config cannot be read.

    Nothing is fetched, so that a model or a dataset of the hub may still turn out not to be there.

    Args:
        models: The models that were asked for.
        data: The documents that were asked for.
        window: The window that the models were trained on, where it was said.

    Raises:
        UsageError: There is no such model, or there are no such documents.
        RunError: A folder's config.json is broken.
    """
    from pi_model.models.config_file import read_config
    from pi_model.models.rope_parameters import read_extension
    from pi_model.models.sources import folder_of

    for name in models:
        folder = folder_of(name)
        if folder is not None and folder.is_dir():
            read_extension(read_config(folder), window_tokens=window)
    if data:
        from pi_model.data.documents import refuse_unknown

        for name in data:
            refuse_unknown(name)


def refuse_twice(models: Iterable[str]) -> None:
    """Raises UsageError if two of several models to compare are the same; nothing is fetched."""
    from pi_model.models.sources import folder_of

    seen: dict[Path, str] = {}
    for name in models:
        place = (folder_of(name) or Path(name)).resolve()
        if place in seen:
            raise UsageError(f"--model: {name} and {seen[place]} are the same; give each model once")
        seen[place] = name
