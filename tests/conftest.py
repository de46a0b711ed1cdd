import os

from hypothesis import settings
from jaxtyping import install_import_hook

install_import_hook(["pi_theory", "pi_model"], "beartype.beartype")

# Derandomised everywhere: a red run must be red again when somebody looks at it.
settings.register_profile("default", derandomize=True, deadline=None, max_examples=50, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))
