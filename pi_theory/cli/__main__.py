"""`python -m pi_theory.cli` is `pi-theory`."""

import sys

from pi_theory.cli import main

sys.exit(main())
