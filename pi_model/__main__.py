"""``python -m pi_model`` is the command ``pi-model``."""

import sys

from pi_model.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
