import os

# One thread a worker: models this small gain nothing from more, and threads that wait for a busy core lose much.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import settings
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook below looks it up by name

install_import_hook(["pi_theory", "pi_model"], "tests.typecheck.typecheck")

# Derandomised everywhere: a red run must be red again when somebody looks at it.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))

# Each takes more than a few seconds, and together they take nine tenths of the suite's time.
SLOW_MODULES = {
    *("test_lm_eval", "test_benchmarks", "test_commands", "test_plan_memory", "test_recipes", "test_smollm2"),
    *("test_summarization", "test_tiny_llama", "test_training", "test_bench", "test_figures", "test_gpu"),
    *("test_gpu_records", "test_graph", "test_notebooks", "test_page", "test_paper", "test_readme", "test_tuning"),
    *("test_claims", "test_proofs", "test_envelope", "test_gguf", "test_gguf_import", "test_transformers", "test_lora"),
    *("test_families", "test_heads", "test_passkey", "test_perplexity", "test_source_hashes", "test_study"),
    *("test_transformers_4", "test_written_folders", "test_finetune_command"),
}


def pytest_collection_modifyitems(items):
    """Marks slow modules, so that `make test-fast` leaves them out."""
    for item in items:
        if item.path.stem in SLOW_MODULES:
            item.add_marker("slow")
