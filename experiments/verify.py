"""``python -m experiments.verify`` holds records against their hashes, see `experiments.runner.verify`."""

import sys

from experiments.runner.verify import main

if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; nothing was changed", file=sys.stderr)
        sys.exit(130)
