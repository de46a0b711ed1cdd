import os

from hypothesis import settings
from jaxtyping import install_import_hook

import tests.typecheck  # noqa: F401  the hook below looks it up by name

install_import_hook(["pi_theory", "pi_model"], "tests.typecheck.typecheck")

# Derandomised everywhere: a red run must be red again when somebody looks at it.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
