"""``python -m experiments.verify`` holds records against their hashes, see `experiments.runner.verify`."""

import sys

from experiments.runner.verify import main
from pi_model.errors import RunError, UsageError
from pi_theory.console import exit_code

if __name__ == "__main__":
    sys.exit(
        exit_code(
            "python -m experiments.verify",
            main,
            wrong_usage=UsageError,
            failures=(RunError,),
            interrupted="interrupted; nothing was changed",
        )
    )
