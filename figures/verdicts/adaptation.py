"""After how many steps fine-tuning has adapted: Section 3 of the paper says at once by PI, and late directly.

The paper's Table 3 has PI within 5% of its final perplexity at the first fifth of its steps. Here a method has adapted
at the first measured step at which its perplexity in the new window is within 5% of the lower end of both methods.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from operator import itemgetter

from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Evaluation, Group, Runs
from figures.verdicts.intervals import Decision, Interval

WITHIN = 1.05
SOON = 0.2  # the share of the steps that counts as at once


@dataclass(frozen=True)
class Reached:
    """When a method has adapted.

    Attributes:
        possibly: the first measured step at which the interval allows it; None if there is none.
        surely: the first measured step at which the whole interval does; None if there is none.
        last: the last step.
    """

    possibly: int | None
    surely: int | None
    last: int

    def by(self, step: int) -> Decision:
        """Whether it was not later than at a step."""
        if self.surely is not None and self.surely <= step:
            return "holds"
        return "fails" if self.possibly is None or self.possibly > step else "open"

    def later_than(self, other: "Reached") -> Decision:
        """Whether this one gets there later; open where the steps that are possible overlap."""
        if other.surely is not None and (self.possibly is None or self.possibly > other.surely):
            return "holds"
        if self.surely is not None and (other.possibly is None or self.surely <= other.possibly):
            return "fails"
        return "open"

    def __str__(self) -> str:
        """As in "at step 50 to 100": the first step that is possible and the first that is sure."""
        if self.possibly is None:
            return f"never in {self.last} steps"
        if self.possibly == self.surely:
            return f"at step {self.surely}"
        if self.surely is None:
            return f"at step {self.possibly} or later"
        return f"at step {self.possibly} to {self.surely}"


def reached(tuned: Runs) -> dict[tuple[float, float], dict[str, Reached]]:
    """By factor and rate, and then by method, when it has adapted on the first corpus."""
    return {where: _reached(*pair, tuned.corpora[0]) for where, pair in tuned.pairs.items()}


def caught_up(pi: Group, direct: Group, corpus: str) -> Reached:
    """From when on direct fine-tuning stays within 5% of what PI has after as many steps.

    What both learn besides, as a model does that was pretrained on little, is thereby left out.
    """
    limit, above = math.log(WITHIN), lead(pi, direct, corpus)
    possibly = _from_when([(step, change.low < limit) for step, change in above])
    surely = _from_when([(step, change.high < limit) for step, change in above])
    return Reached(possibly, surely, direct.steps[-1])


def lead(pi: Group, direct: Group, corpus: str) -> list[tuple[int, Interval]]:
    """By how many nats direct fine-tuning is above PI in the new window, after as many steps of both."""
    return _above(direct, pi.at, corpus)


def _above(group: Group, other: Callable[[int], list[Evaluation]], corpus: str) -> list[tuple[int, Interval]]:
    """By how many nats runs are in their new window, at each step, above what they are compared with then."""
    window = group.context_tokens
    return [
        (step, change)
        for step in group.steps
        if (change := runs.change(group.at(step), window, other(step), window, corpus)) is not None
    ]


def _from_when(found: Sequence[tuple[int, bool]]) -> int | None:
    """The first step from which on something is so at every step."""
    stays = list(takewhile(itemgetter(1), reversed(found)))
    return stays[-1][0] if stays else None


def _reached(pi: Group, direct: Group, corpus: str) -> dict[str, Reached]:
    window = pi.context_tokens
    ends = {group.method: runs.value(group.last(), corpus, window) for group in (pi, direct)}
    best = min((pi, direct), key=lambda group: value.perplexity if (value := ends[group.method]) else math.inf)
    limit = math.log(WITHIN)
    found = {}
    for group in (pi, direct):
        above = _above(group, lambda _: best.last(), corpus)
        found[group.method] = Reached(
            possibly=next((step for step, change in above if change.low < limit), None),
            surely=next((step for step, change in above if change.high < limit), None),
            last=group.steps[-1],
        )
    return found
