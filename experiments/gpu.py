"""``python -m experiments.gpu`` runs what needs a CUDA GPU, see `experiments.runner.gpu_queue`."""

import sys

from experiments.runner.gpu_queue import main
from pi_model.errors import RunError, UsageError
from pi_theory.console import exit_code

if __name__ == "__main__":
    sys.exit(
        exit_code(
            "python -m experiments.gpu",
            main,
            wrong_usage=UsageError,
            failures=(RunError,),
            interrupted="interrupted; what was measured is kept, run it again to go on",
        )
    )
