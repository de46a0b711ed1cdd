"""Runs studies: those named, or all live ones, as far as their records are not current.

Each runs in a process of its own, so that peak memory is its own and an interruption costs at most the one in hand.
"""

import argparse
import subprocess
import sys
import time

from tqdm import tqdm

from experiments import STUDIES, record
from experiments.study import Study, load


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="studies to run (default: all live ones)")
    parser.add_argument("--force", action="store_true", help="run even those whose record is current")
    parser.add_argument("--list", action="store_true", help="list the studies and whether their records are current")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(STUDIES))
    if unknown:
        parser.exit(2, f"{parser.prog}: no study named {', '.join(unknown)}; choose from {', '.join(STUDIES)}\n")
    studies = [load(name) for name in arguments.names or STUDIES]
    if arguments.list:
        for study in studies:
            print(f"{study.name:16} {'current' if study.current() else 'to run':8} {study.says}")
        return 0
    if not arguments.names:
        studies = [study for study in studies if study.live]
    pending = [study for study in studies if arguments.force or study.current() is None]
    return _run_all(pending)


def _run_all(pending: list[Study]) -> int:
    guesses = [_seconds(study) for study in pending]
    layout = "{desc} {bar} {elapsed} done, about {remaining} left"
    with tqdm(total=sum(guesses) or 1, bar_format=layout, disable=None if pending else True) as bar:
        for number, (study, guess) in enumerate(zip(pending, guesses, strict=True), 1):
            said = f"study {number}/{len(pending)}: {study.name}"
            if bar.disable:
                print(said, file=sys.stderr, flush=True)
            bar.set_description(said)
            before, start = sum(guesses[: number - 1]), time.monotonic()
            process = subprocess.Popen([sys.executable, "-m", "experiments.study", study.name])
            while True:
                try:
                    process.wait(timeout=0.5)
                    break
                except subprocess.TimeoutExpired:
                    bar.n = before + min(guess, time.monotonic() - start)
                    bar.refresh()
            if process.returncode:
                print(f"study {study.name} failed (exit {process.returncode})", file=sys.stderr)
                return 1
            bar.n = sum(guesses[:number])
            bar.refresh()
    return 0


def _seconds(study: Study) -> float:
    """How long it took last time, else a guess."""
    try:
        return float(record.read(study.name)["wall_seconds"])
    except record.RecordError:
        return 60 * study.minutes


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; finished studies are kept, run it again to go on", file=sys.stderr)
        sys.exit(130)
