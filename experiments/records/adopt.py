"""Puts records that were made elsewhere among the committed ones: on a GPU, say, where there was no checkout.

    python -m experiments.records.adopt gpu-results/bench_gpu.json

A committed record names a commit whose code made it. A record made outside of git, or from code that was not committed
then, names none. It is adopted when every definition that its study reaches is today what it was then, by its hash, and
today's code is committed: the record then names today's commit, and says under ``adopted`` that it was found this way.
"""

import sys
from pathlib import Path

from experiments import FORMER_NAMES, STUDIES
from experiments.bench import harness
from experiments.records import record, source_hashes
from experiments.records.record import Record, RecordError
from experiments.records.study import load
from pi_model.errors import UsageError
from pi_theory.console import exit_code, script_parser

HOW = "every definition that it reaches is, by its hash, that of this commit"


def adopt(path: Path) -> Path:
    """Puts one record among the committed ones, a benchmark's parts beside those that are there already.

    Args:
        path: its file, with any name.

    Returns:
        Where it is now.

    Raises:
        UsageError: there is code that is not committed, or today's code, config or inputs would make another record.
        RecordError: the record is missing, or was changed after it was written.
    """
    found = {key: value for key, value in record.read_file(path).items() if key != "kept"}
    name = str(found["study"])
    if name in (harness.NAME, harness.GPU_NAME):
        target = name
        parts = {
            key: _of_this_commit(part, _part_differs(key, part)) for key, part in found["metrics"]["parts"].items()
        }
        found["metrics"] = {"parts": harness.kept(name) | parts}
        found = _of_this_commit(found, "")
    else:
        target = f"{name}@{found['label']}" if found.get("label") else name
        found = _of_this_commit(found, _study_differs(found))
    kept = record.path_of(target, live=False)
    record.write(found, kept)
    return kept


def _of_this_commit(found: Record, differs: str) -> Record:
    """The record, or part of one, with the commit that holds its code. Raises UsageError: it `differs` from today's."""
    if differs:
        raise UsageError(f"{differs}; measure it again")
    if found["commit"] and found["dirty"] is False:
        return found
    record.refuse_uncommitted()
    return found | record.commit() | {"adopted": HOW}


def _part_differs(name: str, part: Record) -> str:
    """What of a benchmark's part is not as today's code would make it, or nothing."""
    same = part["code_sha256"] == record.digest(source_hashes.sources(harness.script(name)))
    return "" if same else f"{name}: its code changed since it was measured"


def _study_differs(found: Record) -> str:
    """What of a study's record is not as today's project would make it, or nothing."""
    name, label = FORMER_NAMES.get(found["study"], found["study"]), found.get("label", "")
    if name not in STUDIES:
        return f"{name}: no study makes it"
    study = load(name)
    if label:
        if label not in study.profiles:
            return f"{name}@{label}: it has no profile of that name"
        study = study.variant(profile=label)
    now = study.fingerprint()
    if now["code"] != found["code"]:
        return f"{study.record_name}: its code changed since it was measured: {', '.join(source_hashes.changed(found))}"
    changed = [key for key in ("config_sha256", "inputs") if now[key] != found[key]]
    return f"{study.record_name}: changed since it was measured: {', '.join(changed)}" if changed else ""


def main() -> int:
    parser = script_parser("experiments.records.adopt", __doc__, "gpu-results/bench_gpu.json")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="The records.")
    failed = 0
    for path in parser.parse_args().files:
        try:
            print(adopt(path).relative_to(record.RESULTS))
        except (UsageError, RecordError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            failed = 2 if isinstance(error, UsageError) else 1
    return failed


if __name__ == "__main__":
    sys.exit(exit_code("python -m experiments.records.adopt", main))
