"""A model as it was trained: what predictions about scaling methods start from."""

from pi_model.errors import UsageError
from pi_model.models.families import sliding_window
from pi_model.models.loading import Checkpoint, load_checkpoint
from pi_theory.scaling import NoScaling


def unscaled_checkpoint(model: str) -> Checkpoint:
    """The checkpoint in float32.

    Raises:
        UsageError: the checkpoint is extended, or layers of it do not see the whole window.
    """
    checkpoint = load_checkpoint(model, dtype="float32")
    extension = checkpoint.extension
    if not isinstance(extension.scaling, NoScaling):
        raise UsageError(f"model: {model} is extended; give the checkpoint that it was extended from")
    if hidden := sliding_window(checkpoint.model.config, extension.window_tokens):
        raise UsageError(f"model: {model}: {hidden}; its heads do not see all distances of the window")
    return checkpoint
