"""What the config alone says of a checkpoint and of every way to a longer window: within a second, without torch."""

from pathlib import Path

from pi_model.examine.certainty import asked_context, certain, theorem, ways
from pi_model.examine.findings import Examination
from pi_model.examine.identity import identity
from pi_model.examine.recommendation import recommend
from pi_model.models.config_file import read_config
from pi_model.models.rope_parameters import read_extension
from pi_model.models.sources import local_folder


def glance(model: str | Path, *, context_tokens: int | None = None, window_tokens: int | None = None) -> Examination:
    """Examine a checkpoint by its config and the headers of its weight files; nothing is run, measured or planned.

    Args:
        model: a folder, a hub name, a GGUF file or an embedded name, see `pi_model.models.sources.local_folder`.
        context_tokens: L', the window that is wanted; None is twice the window that the checkpoint serves.
        window_tokens: the window that the model was trained on, where its config does not say so.

    Raises:
        UsageError: there is no such model, or the window that is wanted is below 2 tokens.
        RunError: the model is broken, or does not say which window it was trained on.
    """
    folder = local_folder(model)
    content = read_config(folder)
    current = read_extension(content, window_tokens=window_tokens)
    asked = asked_context(current, context_tokens)
    found = identity(str(model), folder, content, current)
    methods = tuple(certain(way, asked) for way in ways(current, asked))
    return Examination(
        identity=found,
        context_tokens=asked,
        theorem=theorem(current, asked),
        sharpness=None,
        methods=methods,
        data="",
        device="",
        minutes=0.0,
        complete=False,
        recommendation=recommend(found, asked, methods, str(model)),
        cost=None,
    )
