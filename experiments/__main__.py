"""Runs studies: ``python -m experiments`` those that are live and not current, ``python -m experiments NAME ...`` these.

Each runs in a process of its own, so that peak memory is its own and an interruption costs at most the one in hand.
"""

import argparse
import importlib
import subprocess
import sys
import time

from tqdm import tqdm

from experiments import STUDIES, record
from experiments.study import Study


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
    with tqdm(total=sum(_seconds(s) for s in pending), unit="s", bar_format="{desc} {bar} {elapsed} < {remaining}") as bar:
        for number, study in enumerate(pending, 1):
            bar.set_description(f"study {number}/{len(pending)} {study.name}")
            start = time.perf_counter()
            done = subprocess.run([sys.executable, "-m", f"experiments.{study.name}", "--force"])
            if done.returncode:
                return done.returncode
            del start
            bar.update(_seconds(study))
    return 0


def load(name: str) -> Study:
    study: Study = importlib.import_module(f"experiments.{name}").STUDY
    return study


def _seconds(study: Study) -> float:
    """How long it took last time, else a guess."""
    try:
        return float(record.read(study.name)["wall_seconds"])
    except record.RecordError:
        return 60 * study.minutes


if __name__ == "__main__":
    sys.exit(main())
