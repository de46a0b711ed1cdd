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
