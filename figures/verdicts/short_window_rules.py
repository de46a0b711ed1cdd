"""The rule for PI trained on windows of the old length, beside PI trained on windows of the new one."""

import math
from dataclasses import dataclass

import numpy as np

from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Evaluation, Group, Runs, read_runs
from figures.verdicts.intervals import share_difference
from figures.verdicts.tiny_rules import at, changed
from figures.verdicts.verdict import Check, Decided, NotTested, experiment

LONG = "tiny_tables"  # the study whose training windows are as long as L'
# how far above the other's a perplexity may be to count as low; the paper's Tables 1 and 2 show up to 2% where it says
# that quality is kept
AS_LOW = 1.02


@dataclass(frozen=True)
class Pair:
    """The runs of one factor, trained on windows of the old length and of the new one, after as many steps."""

    short: Group
    long: Group
    step: int


def pairs(short: Runs, long: Runs) -> list[Pair]:
    """By rising factor, after the last step that both were measured at."""
    found = []
    for one in short.groups:
        for other in long.groups:
            same = (one.method, one.factor, one.peak_lr) == (other.method, other.factor, other.peak_lr)
            if same and (step := max({*one.steps} & {*other.steps}, default=0)):
                found.append(Pair(one, other, step))
    return found


@experiment(
    id="short_windows", study="tiny_short_windows", source="beyond Section 3: on short windows", group="tiny",
    says="PI need not be trained on long windows: short ones give as low a perplexity in the new window, and more "
    "passkeys.",
)  # fmt: skip
def short_windows_do(study: str) -> Decided:
    """Perplexity and passkeys in the new window, the two ways compared on the same texts and distances."""
    short, long = read_runs(study), read_runs(LONG)
    found, checks, trials = pairs(short, long), [], short.record["config"]["trials"]
    if not found:
        raise NotTested("The two records have no run of the same factor and learning rate.")
    for pair in found:
        factor, context = pair.short.factor, pair.short.context_tokens
        ours, theirs = runs.paired(pair.short.at(pair.step), pair.long.at(pair.step))
        for corpus in short.corpora:
            change = changed((ours, context), (theirs, context), corpus)
            values = [at(side, corpus, context) for side in (ours, theirs)]
            states = "Training PI on short windows gives as low a perplexity in the new window, within "
            states += f"{AS_LOW - 1:.0%}"
            measured = f"perplexity {values[0]} on short windows, {values[1]} on long ones: {change}"
            checks.append(Check(states, change.below(math.log(AS_LOW)), measured, corpus, factor, str(change)))
        distances = sorted(ours[0].accuracy)
        for where, asked in (
            ("in the new window", distances),
            ("beyond the old window", [k for k in distances if k > short.window]),
        ):
            one, other = (runs.hits_at(side, asked, trials) for side in (ours, theirs))
            more = share_difference(one, other, trials * len(asked))
            states = f"Training PI on short windows finds more passkeys {where}"
            number = trials * len(asked) * len(ours)
            brief = more.shown("+.0%")
            measured = f"{sum(one)} of {number} on short windows, {sum(other)} on long ones: {brief}"
            checks.append(Check(states, more.above(), measured, "passkeys", factor, brief))
    return Decided(f"{short.scale}; beside windows as long as L', {runs.measured_on(long.record)}", tuple(checks))


def mean_accuracy(found: list[Evaluation]) -> float:
    """The share of passkeys that is found, over all distances and seeds."""
    return float(np.mean([share for one in found for share in one.accuracy.values()]))
