"""``python -m pi_theory`` is the command ``pi-theory``."""

import sys

from pi_theory.cli import main

if __name__ == "__main__":
    sys.exit(main())
