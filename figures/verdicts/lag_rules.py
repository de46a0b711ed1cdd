"""The rule for the lag of direct fine-tuning behind PI, by how long a model was pretrained."""

import math
from dataclasses import dataclass
from itertools import combinations

from experiments.records.record import Record, read
from figures.verdicts.adaptation import Reached, reached
from figures.verdicts.fine_tuning_runs import Runs, runs_in
from figures.verdicts.intervals import Decision
from figures.verdicts.verdict import Check, Decided, NotTested, experiment


@dataclass(frozen=True)
class Lag:
    """By how many steps direct fine-tuning adapts later than PI, negative where it is sooner.

    A method adapts at a measured step, between the first that is possible and the first that is sure; one that is never
    sure may adapt at any time after, and one that never can by the last step not before it.

    Attributes:
        least: the fewest steps that these leave.
        most: the most; infinity has no limit.
    """

    least: float
    most: float

    @classmethod
    def of(cls, direct: Reached, pi: Reached) -> "Lag":
        return cls(_earliest(direct) - _latest(pi), _latest(direct) - _earliest(pi))

    def longer_than(self, other: "Lag") -> Decision:
        """Whether this lag is the longer one: open where both may be as long."""
        return "holds" if self.least > other.most else "fails" if self.most < other.least else "open"


def _earliest(one: Reached) -> float:
    return one.last if one.possibly is None else one.possibly


def _latest(one: Reached) -> float:
    return math.inf if one.surely is None else one.surely


@experiment(
    id="lag", study="tiny_lag", source="beyond Section 3: by pretraining", group="tiny",
    says="The more a model was pretrained, the later direct fine-tuning adapts than PI.",
)  # fmt: skip
def lags_the_more(study: str) -> Decided:
    """When each way has adapted, from models of one pretraining run; every model against each that had less of it."""
    models = by_tokens(read(study))
    adapted = {tokens: found for tokens, tuned in models.items() for found in reached(tuned).values()}
    if len(adapted) < 2:
        raise NotTested("The record has fewer than two models that were extended both ways.")
    lags = {tokens: Lag.of(found["none"], found["linear"]) for tokens, found in adapted.items()}
    seen = {
        tokens: f"after {millions(tokens)} tokens PI adapts {found['linear']} and direct fine-tuning {found['none']}"
        for tokens, found in adapted.items()
    }
    states = "The more a model was pretrained, the later direct fine-tuning adapts than PI"
    checks = [
        Check(
            states,
            lags[many].longer_than(lags[few]),
            f"{seen[few]}; {seen[many]}",
            f"{millions(many)} tokens against {millions(few)}",
        )
        for few, many in combinations(adapted, 2)
    ]
    scale = f"pretrained on {', '.join(map(millions, models))} tokens; {[*models.values()][-1].scale}"
    return Decided(scale, tuple(checks))


def by_tokens(record: Record) -> dict[int, Runs]:
    """The runs from each model, by how many tokens it was pretrained on, rising."""
    models = sorted(record["metrics"]["models"], key=lambda model: model["tokens"])
    return {model["tokens"]: runs_in(record | {"metrics": model}) for model in models}


def millions(tokens: int) -> str:
    """As in "19.7M"."""
    return f"{tokens / 1e6:.3g}M"
