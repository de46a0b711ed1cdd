"""Holds every record against its own hashes, names those that today's code would not make, and reruns the cheap ones.

A study that states tolerances is run again and compared with its committed record. The exit code is 1 when a record was
changed after it was written or a new run differs by more than the tolerances; a record whose code, config or inputs
changed since is a warning.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tqdm import tqdm

from experiments import FORMER_NAMES, STUDIES
from experiments.bench import harness
from experiments.records import record, source_hashes
from experiments.records.record import Record, RecordError
from experiments.records.study import Study, load
from pi_model.errors import RunError
from pi_theory.console import script_parser


def main() -> int:
    parser = script_parser("experiments.verify", __doc__, "--hashes-only")
    parser.add_argument("--hashes-only", action="store_true", help="Compare hashes only, and run no study again.")
    parser.add_argument("--json", action="store_true", help="Print the findings as JSON.")
    arguments = parser.parse_args()
    paths = sorted(record.RESULTS.glob("*/*.json"))
    studies = {name: load(name) for name in STUDIES}
    rows = []
    for path in tqdm(paths, desc="records", disable=None):
        rows.append(verify(path, studies, rerun=not arguments.hashes_only))
        if not arguments.json:
            tqdm.write(show(rows[-1]))
    failed = sum(bool(row["errors"]) for row in rows)
    if arguments.json:
        print(json.dumps(rows, indent=1))
    else:
        warned, rerun = sum(bool(row["warnings"]) for row in rows), sum(row["rerun"] for row in rows)
        print(f"{len(rows)} records: {failed} failed, {warned} with warnings, {rerun} run again")
    return int(failed > 0)


def verify(path: Path, studies: dict[str, Study], *, rerun: bool) -> dict[str, Any]:
    """What is wrong with one record: {record, rerun, errors, warnings}, the last two lists of lines."""
    where = f"{path.parent.name}/{path.name}"
    try:
        found = record.read_file(path)
    except RecordError as error:
        return {"record": where, "rerun": False, "errors": [str(error)], "warnings": []}
    errors = [] if record.digest(found["config"]) == found["config_sha256"] else ["its config is not what it hashed"]
    name = str(found["study"])
    study = studies.get(FORMER_NAMES.get(name, name))
    committed = path.parent.name == record.path_of("", live=False).parent.name
    label = found.get("label", "")
    if study is not None and label in study.profiles:
        study = study.variant(profile=label)
    elif study is None or label:  # no study, or one's own model
        benchmark = name in (harness.NAME, harness.GPU_NAME)
        gone = ["no study makes it any more"] if study is None and committed and not benchmark else []
        return {"record": where, "rerun": False, "errors": errors, "warnings": gone}
    if rerun and committed and study.tolerances and not errors and not label:
        return {"record": where, "rerun": True, "errors": differences(study, found), "warnings": []}
    return {"record": where, "rerun": False, "errors": errors, "warnings": outdated(study, found)}


def outdated(study: Study, found: Record) -> list[str]:
    """In which respects today's project would not make this record, a line each."""
    lines = [f"its code changed since: {', '.join(changed)}"] if (changed := source_hashes.changed(found)) else []
    if record.digest(study.config) != found["config_sha256"]:
        keys = sorted(k for k in {*study.config, *found["config"]} if study.config.get(k) != found["config"].get(k))
        lines.append(f"its config changed since: {', '.join(keys)}")
    try:
        if study.inputs() != found["inputs"]:
            lines.append("its inputs changed since")
    except RunError as error:
        lines.append(f"its inputs cannot be had here: {error}")
    if found["metrics"].get("stopped_early"):
        lines.append(f"its study stopped before its end; it goes on with: {found['command']}")
    return lines


def differences(study: Study, found: Record) -> list[str]:
    """Runs a study again: where it differs from a record by more than the study's tolerances, at most five places."""
    again = json.loads(json.dumps(study.run(study.config)))
    lines = list(_differences("", again, found["metrics"], study.tolerances))
    return lines if len(lines) <= 5 else [*lines[:5], f"and {len(lines) - 5} more"]


def _differences(path: str, new: Any, old: Any, tolerances: dict[str, float | None]) -> Iterator[str]:
    tolerance = tolerances[max((p for p in tolerances if f"{path}.".startswith(f"{p}.") or not p), key=len)]
    if tolerance is None:
        return
    if isinstance(new, dict) and isinstance(old, dict) and new.keys() == old.keys():
        for key in new:
            yield from _differences(f"{path}.{key}".lstrip("."), new[key], old[key], tolerances)
    elif isinstance(new, list) and isinstance(old, list) and len(new) == len(old):
        for left, right in zip(new, old, strict=True):
            yield from _differences(path, left, right, tolerances)
    elif _number(new) and _number(old):
        if not (new == old or abs(new - old) <= tolerance * max(1, abs(new), abs(old))):
            yield f"{path}: {new} now, {old} recorded"
    elif new != old:
        yield f"{path}: {new!r} now, {old!r} recorded"[:200]


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def show(row: dict[str, Any]) -> str:
    """One line about a record, and a line for each error and warning."""
    state = "FAILED" if row["errors"] else "same" if row["rerun"] else "whole"
    notes = [*row["errors"], *(f"warning: {line}" for line in row["warnings"])]
    return "\n  ".join([f"{row['record']}: {state}", *notes])
