"""A study as somebody asks for it, and the process that makes its record.

    python -m experiments.runner.orders NAME VARIANT DEADLINE    # as the scheduler starts it

Each study runs in a process of its own, so that its peak memory is its own and an interruption costs it alone.
"""

import inspect
import json
import os
import signal
import sys
import threading
from dataclasses import asdict, dataclass, field
from typing import Any

from experiments.measurement.budget import UNLIMITED, Budget
from experiments.records.study import Study, load
from experiments.runner.scheduler import Step
from pi_model.errors import RunError, UsageError


@dataclass(frozen=True)
class Order:
    """A study, with a profile's settings, on another model, with other settings; see `Study.variant`."""

    name: str
    profile: str = ""
    model: str = ""
    changes: dict[str, Any] = field(default_factory=dict)

    def study(self) -> Study:
        """The study in this variant. Raises UsageError: it has no such variant."""
        return load(self.name).variant(profile=self.profile, model=self.model, changes=self.changes)

    def step(self, budget: Budget = UNLIMITED) -> Step:
        """The command that runs it and writes its record, ended when the time is over."""
        study = self.study()
        variant = asdict(self)
        command = [sys.executable, "-m", "experiments.runner.orders", variant.pop("name"), json.dumps(variant)]
        command.append(str(budget.deadline))
        return Step(study.record_name, command, 60 * study.minutes, study.cores, deadline=budget.deadline)


def stops_itself(study: Study) -> bool:
    """Whether a study takes a budget, and stops in time with a record; any other is ended when the time is over."""
    return "budget" in inspect.signature(study.run).parameters


def main() -> int:
    name, variant, deadline = sys.argv[1:]
    threading.Thread(target=_end_with_the_runner, daemon=True).start()
    study = Order(name, **json.loads(variant)).study()
    try:
        study.measure(**({"budget": Budget(float(deadline))} if stops_itself(study) else {}))
    except (UsageError, RunError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _end_with_the_runner() -> None:
    """Waits for the end of standard input, which comes when the process that started this one is gone."""
    os.read(0, 1)  # not sys.stdin: a lock held here would be held for ever in processes that the study forks
    os.killpg(os.getpgrp(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
