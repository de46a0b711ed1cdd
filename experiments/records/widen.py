"""Lets a study of fine-tuning runs grow by a seed, factor, rate or method, and measures only what its record lacks.

    python -m experiments.records.widen tiny_tables && python -m experiments tiny_tables

A thousand steps take half an hour, and all runs of a study many hours. So its config may ask for a few runs first and
for more in a later sitting, with a whole record after each. This puts the runs of the committed record where the study
looks for what it has already. They are taken only if the record was made by today's code and inputs and all other
settings are the same.
"""

import sys
from functools import partial
from typing import Any

from experiments import STUDIES
from experiments.measurement.kept import kept, study_folder
from experiments.measurement.training.fine_tuning import Run
from experiments.records import record
from experiments.records.study import load
from pi_model.errors import UsageError
from pi_theory.console import exit_code, script_parser

# a run is the same whatever else of these is asked for
VARIED = ("methods", "other_methods", "factors", "peak_lrs", "seeds")


def widen(name: str) -> str:
    """Puts the runs of a study's committed record into the folder of what it has measured so far.

    Args:
        name: of the study.

    Returns:
        What was taken, in a sentence.

    Raises:
        UsageError: there is no such study, it does not consist of runs, its record is of another config,
            code or inputs, or it has begun.
        RecordError: the record is missing, or was changed after it was written.
    """
    if name not in STUDIES:
        raise UsageError(f"no study of that name; choose from {', '.join(STUDIES)}")
    study = load(name)
    if not study.committed or "seeds" not in study.config:
        raise UsageError("only a recorded study whose config names the seeds of its runs can be widened")
    found = record.read_file(study.path)
    now = study.fingerprint()
    if _fixed(found["config"]) != _fixed(study.config) or any(found[key] != now[key] for key in ("code", "inputs")):
        raise UsageError("its settings, code or inputs changed since its record was made; measure it again")
    folder = study_folder(name, study.config)
    if folder.exists():
        raise UsageError(f"it has begun already; go on with: {study.command}")
    kept(folder / "base.json", partial(dict, found["metrics"]["base"]))
    for run in found["metrics"]["runs"]:
        of = Run(run["method"], run["factor"], run["peak_lr"], run["seed"])
        untuned, *later = run["curve"]
        kept(folder / f"{of.method}-{of.factor}.json", partial(dict, untuned))
        for entry in later:
            kept(folder / of.name / f"step-{entry['step']}.json", partial(dict, entry))
    return f"{len(found['metrics']['runs'])} runs are taken from its record; go on with: {study.command}"


def _fixed(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in VARIED}


def main() -> int:
    parser = script_parser("experiments.records.widen", __doc__, "tiny_tables")
    parser.add_argument("name", metavar="NAME", help="The study, whose config asks for more runs than its record has.")
    name = parser.parse_args().name
    try:
        print(f"{name}: {widen(name)}")
    except (UsageError, record.RecordError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(exit_code("python -m experiments.records.widen", main))
