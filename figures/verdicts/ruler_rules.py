"""Rules on tasks of RULER that fit into the old window: what an extension costs there, item by item."""

from dataclasses import dataclass
from statistics import fmean

from experiments.records.record import Record, read
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.context_rules import training
from figures.verdicts.intervals import Interval, paired_scores
from figures.verdicts.verdict import Check, Decided, NotTested, experiment

# the paper's text says of Table 5 that models extended to 8192 tokens lose up to 2% inside the old window; the table
# itself has a model that loses 2.9 points on one of five tasks
LITTLE = 0.02
# the untouched model's score from which on a task can show a loss: one that it cannot do has nothing to lose
SOLVED = 0.2


@dataclass(frozen=True)
class Cost:
    """What an extension changes on one task at one length.

    Attributes:
        model: the extended one's name.
        method: how it was extended.
        task: its name in the harness.
        length: tokens of an item.
        before: the untouched model's mean score.
        after: the extended one's.
        change: the difference over items.
    """

    model: str
    method: str
    task: str
    length: int
    before: float
    after: float
    change: Interval

    @property
    def solved(self) -> bool:
        """Whether the untouched model does the task often enough for a loss to show."""
        return self.before >= SOLVED


@experiment(
    id="ruler_smollm2", study="smollm2_ruler", group="other data", source="Table 5, on tasks of RULER",
    says="Models extended by PI lose little accuracy on tasks inside the old window.",
)  # fmt: skip
def little_is_lost(study: str) -> Decided:
    """Scores on the same items, untouched and extended by PI, on the tasks that the untouched model can do."""
    record = read(study)
    found = [cost for cost in costs(record) if cost.method == "linear"]
    solved = [cost for cost in found if cost.solved]
    if not solved:
        raise NotTested(
            f"The untouched model scores below {SOLVED:.0%} on every task, so that no extension can show a loss."
        )
    checks = [
        Check(
            f"Extended by PI, the model loses at most {100 * LITTLE:g} points on tasks inside the old window",
            cost.change.above(-LITTLE),
            f"{cost.before:.0%} untouched, {cost.after:.0%} extended: {points(cost.change)}",
            f"{cost.model}, {cost.task}, {cost.length} tokens",
        )
        for cost in solved
    ]
    left_out = sorted({f"{cost.task} at {cost.length} tokens" for cost in found if not cost.solved})
    more = f"; left out, since the untouched model scores below {SOLVED:.0%}: {', '.join(left_out)}" if left_out else ""
    return Decided(f"{scale(record)}{more}; {runs.measured_on(record)}", tuple(checks))


def costs(record: Record) -> list[Cost]:
    """What each extension changes, by model, task and length; the first model of a record is the untouched one."""
    untouched, *extended = record["metrics"]["models"]
    found = []
    for model in extended:
        for task, by_length in model["scores"].items():
            for length, after in by_length.items():
                before = untouched["scores"][task][length]
                differences = [one - other for one, other in zip(after, before, strict=True)]
                change = paired_scores(differences)
                found.append(
                    Cost(model["name"], model["method"], task, int(length), fmean(before), fmean(after), change)
                )
    return found


def points(change: Interval) -> str:
    """As in "-5.0 points (-14.1 to +4.1)"."""
    return change.shown("+.1f", " points", of=lambda score: 100 * score)


def scale(record: Record) -> str:
    """At what scale it was measured: model, window and items."""
    config, metrics = record["config"], record["metrics"]
    (items,) = {
        len(scores) for one in metrics["models"] for found in one["scores"].values() for scores in found.values()
    }
    lengths = " and ".join(map(str, config["item_tokens"]))
    return (
        f"{config['model']}, trained window {metrics['window_tokens']} tokens, {training(record)}; {items} items of "
        f"{len(config['tasks'])} tasks at {lengths} tokens each, {metrics['harness']}"
    )
