"""PI and direct fine-tuning of the candidate that tiny_pretrain left, with three seeds at every factor, on all cores.

    python -m experiments.studies.tiny_candidate --minutes 9    # stopped or killed, the same again goes on

It is the study tiny_sweep on another model, with a record of its own.
"""

import argparse
import os
import signal
import sys
from dataclasses import replace
from functools import partial
from typing import Any

from experiments.records.study import Study
from experiments.studies import tiny_pretrain, tiny_sweep
from pi_model.errors import RunError

# of tiny_sweep's rates those at which two hundred steps do something
SETTINGS: dict[str, Any] = {"seeds_by_factor": {"8": 3, "4": 3, "2": 3}, "peak_lrs": [3e-4, 1e-3]}


def study() -> Study:
    """tiny_sweep on the candidate, by a path that is the same on every machine.

    Raises:
        RunError: there is no candidate.
    """
    if not (tiny_pretrain.CANDIDATE / "model.safetensors").exists():
        raise RunError("there is no candidate; make it with: python -m experiments tiny_pretrain")
    return tiny_sweep.STUDY.variant(model=os.path.relpath(tiny_pretrain.CANDIDATE), changes=SETTINGS)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m experiments.studies.tiny_candidate",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m experiments.studies.tiny_candidate --minutes 9",
    )
    parser.add_argument("--minutes", type=float, help="stop before this long (default: no limit)")
    asked = parser.parse_args()
    if asked.minutes is not None:
        # What is measured is on the disk, and so are the checkpoints; the runs in hand end with this process.
        signal.signal(signal.SIGALRM, _over)
        signal.setitimer(signal.ITIMER_REAL, max(60 * asked.minutes - 5, 1e-3))
    try:
        replace(study(), run=partial(tiny_sweep.run, processes=os.cpu_count())).measure()
    except RunError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


def _over(*_: Any) -> None:
    print("the time is over; what was measured is kept, the same again goes on", file=sys.stderr, flush=True)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
