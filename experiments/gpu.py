"""``python -m experiments.gpu`` runs what needs a CUDA GPU, see `experiments.runner.gpu_queue`."""

import sys

from experiments.runner.gpu_queue import main

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept, run it again to go on", file=sys.stderr)
        sys.exit(130)
