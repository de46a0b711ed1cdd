"""Extend the context window of RoPE models, fine-tune them at the new length, and measure what was gained and lost.

A first session extends the tiny checkpoint that comes with the package from 256 tokens to 512 by Position
Interpolation, and measures its perplexity on books:

    import pi_model
    from pi_theory.scaling import LinearPI

    pi_model.extend_checkpoint("tiny-llama", LinearPI(2.0), "tiny-512")
    checkpoint = pi_model.load_checkpoint("tiny-512")
    books = pi_model.load_documents(pi_model.Source("books"), checkpoint.tokenizer, pi_model.Selection(samples=2))
    pi_model.sliding_perplexity(checkpoint.model, books.tokens, windows=[256, 512], bos_id=checkpoint.bos_id)

The names below are what a notebook needs. Each is imported when it is first used, so that ``import pi_model`` is fast
and loads neither torch nor transformers. Everything else is in the subpackages:

- `pi_model.models`: read, extend and write checkpoints.
- `pi_model.data`: documents, embedded corpora, training windows and prompts.
- `pi_model.evaluation`: perplexity, passkey retrieval, benchmarks and summaries.
- `pi_model.examine`: what to know of a checkpoint before it is extended.
- `pi_model.training`: recipes, configs and the training loop.
- `pi_model.distributed`: the processes of a torchrun.
- `pi_model.planning`: memory, time and GPUs that a training run takes.
- `pi_model.cli`: the ``pi-model`` command.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pi_model.data.documents import Documents, Selection, Source, load_documents
    from pi_model.errors import RunError, UsageError
    from pi_model.evaluation.passkey import PasskeyResult, passkey
    from pi_model.evaluation.perplexity import WindowResult, sliding_perplexity, truncated_perplexity
    from pi_model.examine.examination import examine_checkpoint
    from pi_model.examine.findings import Examination
    from pi_model.models.extension import extend_checkpoint
    from pi_model.models.gguf_export import export_gguf
    from pi_model.models.loading import Checkpoint, load_checkpoint
    from pi_model.training.config import Config
    from pi_model.training.loop import train
    from pi_model.training.overrides import override
    from pi_model.training.recipes import recipe

# Where each name comes from.
_HOMES = {
    "Checkpoint": "pi_model.models.loading",
    "Config": "pi_model.training.config",
    "Documents": "pi_model.data.documents",
    "Examination": "pi_model.examine.findings",
    "PasskeyResult": "pi_model.evaluation.passkey",
    "RunError": "pi_model.errors",
    "Selection": "pi_model.data.documents",
    "Source": "pi_model.data.documents",
    "UsageError": "pi_model.errors",
    "WindowResult": "pi_model.evaluation.perplexity",
    "examine_checkpoint": "pi_model.examine.examination",
    "export_gguf": "pi_model.models.gguf_export",
    "extend_checkpoint": "pi_model.models.extension",
    "load_checkpoint": "pi_model.models.loading",
    "load_documents": "pi_model.data.documents",
    "override": "pi_model.training.overrides",
    "passkey": "pi_model.evaluation.passkey",
    "recipe": "pi_model.training.recipes",
    "sliding_perplexity": "pi_model.evaluation.perplexity",
    "train": "pi_model.training.loop",
    "truncated_perplexity": "pi_model.evaluation.perplexity",
}

__all__ = [
    "Checkpoint",
    "Config",
    "Documents",
    "Examination",
    "PasskeyResult",
    "RunError",
    "Selection",
    "Source",
    "UsageError",
    "WindowResult",
    "examine_checkpoint",
    "export_gguf",
    "extend_checkpoint",
    "load_checkpoint",
    "load_documents",
    "override",
    "passkey",
    "recipe",
    "sliding_perplexity",
    "train",
    "truncated_perplexity",
]
# The modules are named too, because pdoc writes pages only for those that `__all__` names.
_MODULES = [
    "cli",
    "data",
    "distributed",
    "errors",
    "evaluation",
    "examine",
    "files",
    "gpus",
    "models",
    "packages",
    "planning",
    "training",
]
__all__ += _MODULES


def __getattr__(name: str) -> Any:
    """Import a public name or a module when it is first used."""
    if name in _HOMES:
        value = getattr(import_module(_HOMES[name]), name)
    elif name in _MODULES:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
