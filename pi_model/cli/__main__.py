"""`python -m pi_model.cli` is `pi-model`."""

import sys

from pi_model.cli.main import main

sys.exit(main())
