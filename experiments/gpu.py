"""``python -m experiments.gpu``: what needs a CUDA GPU, see `experiments.runner.gpu_queue`."""

import sys

from experiments.runner.gpu_queue import main

if __name__ == "__main__":
    sys.exit(main())
