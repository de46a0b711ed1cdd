import importlib.util
import os
from pathlib import Path

# One thread a worker: models this small gain nothing from more, and threads that wait for a busy core lose much.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings
from jaxtyping import _import_hook, install_import_hook

import tests.typecheck  # noqa: F401  the hook below looks it up by name

CHECKED = ("pi_theory", "pi_model")
_marked = _import_hook._optimized_cache_from_source


def _cache_from_source(typechecker_hash, path, debug_override=None):
    """Where bytecode is kept: in a place of its own for what the hook changes.

    The hook would have it so for all that these modules import, too, and torch would be compiled from its source.
    """
    if any(Path(path).is_relative_to(Path(__file__).parents[1] / name) for name in CHECKED):
        return _marked(typechecker_hash, path, debug_override)
    return importlib.util.cache_from_source(path, debug_override)


_import_hook._optimized_cache_from_source = _cache_from_source
install_import_hook(CHECKED, "tests.typecheck.typecheck")

# Derandomised everywhere: a red run must be red again when somebody looks at it.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Each takes more than a few seconds, and together they take nine tenths of the suite's time. Those that take longest
# come first: a module stays on one worker, and a long one that began last would leave the others with nothing to do.
SLOW_MODULES = (
    *("test_plan_memory", "test_smollm2", "test_notebooks", "test_lm_eval", "test_readme", "test_commands"),
    *("test_gpu", "test_training", "test_tuning", "test_bench", "test_contributing", "test_gpu_smoke", "test_figures"),
    *("test_page", "test_tiny_llama", "test_recipes", "test_gpu_records", "test_benchmarks", "test_families"),
    *("test_claims", "test_docs", "test_heads", "test_proofs", "test_source_hashes", "test_scheduler", "test_paper"),
    *("test_lora", "test_perplexity", "test_gguf_import", "test_finetune_command", "test_passkey", "test_study"),
    *("test_summarization", "test_envelope", "test_gguf", "test_transformers", "test_transformers_4"),
    *("test_written_folders", "test_plain_folder", "test_lag", "test_short_windows"),
)


def pytest_collection_modifyitems(items):
    """Marks slow modules, so that `make test-fast` leaves them out, and puts them first."""
    for item in items:
        if item.path.stem in SLOW_MODULES:
            item.add_marker("slow")
    place = {name: number for number, name in enumerate(SLOW_MODULES)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))
