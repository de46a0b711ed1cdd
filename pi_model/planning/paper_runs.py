"""The paper's runs: their settings for any model, the GPUs they used, and plans on these for comparison."""

from dataclasses import replace

from pi_model.errors import UsageError
from pi_model.gpus import GPUS
from pi_model.planning.advice import advise
from pi_model.planning.architectures import Shape, named_extension
from pi_model.planning.known_models import known_model
from pi_model.planning.sheet import Plan
from pi_model.training.config import Config
from pi_model.training.recipes import LLAMA

_CONTEXTS = (8192, 16384, 32768)  # L' of the paper's recipes

# The longest of these contexts in Tables 1, 2 and 4 of Chen et al. 2023, by model size and method.
_LONGEST = {
    ("7b", "linear"): 32768,
    ("13b", "linear"): 32768,
    ("33b", "linear"): 16384,
    ("65b", "linear"): 8192,
    ("7b", "none"): 8192,
    ("13b", "none"): 8192,
    ("33b", "none"): 8192,
}


def settings(model: str, context_tokens: int | None = None, window_tokens: int | None = None) -> tuple[str, list[str]]:
    """The recipe and the overrides that extend a model with the paper's settings.

    Args:
        model: A name, folder or GGUF file, as `pi_model.planning.architectures.named_architecture` takes it.
        context_tokens: The extended window L'; None is 8192, or the model's own window where that is longer.
        window_tokens: The window that the model was trained on, where its config does not say so.

    Raises:
        UsageError: There is no such model, or the context is shorter than its window.
        RunError: The config.json or GGUF file is broken, or does not say which window the model was trained on.
    """
    published = known_model(model)
    size = next((size for size, name in LLAMA.items() if published and published.model == name), None)
    window = named_extension(model, window_tokens=window_tokens).context_tokens
    context = context_tokens or max(_CONTEXTS[0], window)
    if context < window:
        raise UsageError(f"context: {context} is shorter than the window of {model}, which has {window} tokens")
    nearest = next((length for length in _CONTEXTS if length >= context), _CONTEXTS[-1])
    changes = [] if size else [f"model={published.model if published else model}"]
    if size is None or window_tokens is not None:
        changes.append(f"window_tokens={window}")
    if window_tokens is not None:
        changes.append(f"trained_window={window_tokens}")
    if changes or nearest != context:
        changes.append(f"factor={context / window!r}")
    if context == window:
        changes.append("method=none")
    return f"llama_{size or '7b'}_{nearest}_pi", changes


def paper_gpus(config: Config) -> int | None:
    """How many A100s Chen et al. 2023 used for an extension (Section 3.1); None where their tables have no such run."""
    size = next((size for size, model in LLAMA.items() if model == config.model), "")
    longest = _LONGEST.get((size, config.method), 0)
    if config.lora is not None or config.context_tokens not in _CONTEXTS or config.context_tokens > longest:
        return None
    return 32 if config.context_tokens == 8192 and size != "65b" else 128


def beside_paper(config: Config, shape: Shape, *, utilisation: float | None, usable: float) -> list[Plan]:
    """Plans of the run on as many A100s as the paper used, one for each memory size that A100s have.

    The paper does not say which of the two sizes it had. Both plans are set as `advise` sets them.

    Args:
        config: The run.
        shape: The architecture of its model.
        utilisation: Share of the peak arithmetic that the run reaches, above 0 and at most 1; None assumes one.
        usable: Share of a GPU's memory that tensors may take, above 0 and at most 1.

    Returns:
        The plans; none where the paper has no such run or its GPUs cannot share the global batch.
    """
    gpus = paper_gpus(config)
    if gpus is None or config.global_batch % gpus:
        return []
    config = replace(config, micro_batch=1)
    a100s = [gpu for gpu in GPUS.values() if gpu.chip == "A100"]
    return [advise(config, shape, gpu, gpus, utilisation=utilisation, usable=usable) for gpu in a100s]
