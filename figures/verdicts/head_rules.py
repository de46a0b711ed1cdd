"""Rules for what the paper says about attention scores, on trained heads.

What is said of all heads is settled by the largest of what was measured, and by the study itself: each claim stands
beside its rule in the record. What is said of a loss is decided by the interval over documents.
"""

import math
from typing import Any

import numpy as np

from experiments.records.record import read
from figures.verdicts.fine_tuning_runs import documents, measured_on
from figures.verdicts.intervals import Decision, Interval, mean_over_both, nats
from figures.verdicts.verdict import Check, Decided, experiment

MOST = 0.9  # of the rise in loss: the paper names a cause and no share, so this is ours

# what the records measure, as phrases
_MEASURED = {
    "largest_over_bound": "the largest error is {:.3g} times the bound",
    "heads_above": "{:g} heads exceed it",
    "largest_over_trained": "the largest score of a head is {:.3g} times its largest trained one",
    "largest_of_a_single_pair": "of a single query and key it is {:.3g} times",
}


@experiment(
    id="heads_smollm2", study="smollm2_heads", source="Sections 2.3 and 2.4, on a released model", group="heads",
    says="The interpolation bound of Theorem 2.1 and the exploding scores of Fig. 2 describe what the trained heads of "
    "SmolLM2-135M do.",
)  # fmt: skip
@experiment(
    id="heads_tiny", study="tiny_heads", source="Sections 2.3 and 2.4, on the heads of a tiny LLaMA", group="heads",
    says="The interpolation bound of Theorem 2.1 and the exploding scores of Fig. 2 describe what the trained heads of "
    "a tiny LLaMA do.",
)  # fmt: skip
def settled_by_the_study(study: str) -> Decided:
    """The claims that the record itself has a verdict on: each is about the largest of all that was measured."""
    record = read(study)
    settled = [one for one in record["metrics"]["verdicts"] if one["verdict"] != "not tested"]
    checks = [Check(one["claim"], _decision(one["verdict"]), _measured(one["measured"])) for one in settled]
    return Decided(_scale(record), tuple(checks))


def _decision(verdict: str) -> Decision:
    """What the study's own verdict says of the claim as it stands; a claim that is partly true fails as it stands."""
    return "holds" if verdict == "reproduced" else "fails"


@experiment(
    id="jump_smollm2", study="smollm2_jump", source="Section 2.2, on a released model", group="heads",
    says="Extrapolation fails in SmolLM2-135M because of relative positions that training has not seen.",
)  # fmt: skip
@experiment(
    id="jump_tiny", study="tiny_jump", source="Section 2.2", group="heads",
    says="Extrapolation fails in a tiny LLaMA because of relative positions that training has not seen.",
)  # fmt: skip
def unseen_distances_make_the_loss(study: str) -> Decided:
    """The loss beyond the window over that inside, on the same tokens, and what is left when no head reads so far."""
    record = read(study)
    losses = record["metrics"]["losses"]
    jump, left = (_by_document(losses[treatment]) for treatment in ("none", "clamp"))
    rises, goes = _interval(jump), _interval(left - (1 - MOST) * jump)
    states = "Beyond its window the model has a higher loss than with a context inside it"
    checks = [Check(states, rises.above(), nats(rises))]
    if rises.mean > 0:
        states = f"At least {MOST:.0%} of that goes when no head sees a distance that training has not shown"
        measured = f"{1 - left.mean() / jump.mean():.1%} goes; what is left, less {1 - MOST:.0%}: {nats(goes)}"
        checks.append(Check(states, goes.below(), measured))
    return Decided(_scale(record), tuple(checks))


def _by_document(losses: dict[str, Any]) -> np.ndarray:
    """The loss of each document over that inside the window, in nats; their mean where the record has no more."""
    return np.array(losses.get("document_over_within") or [losses["over_within"]])


def _interval(values: np.ndarray) -> Interval:
    return mean_over_both(values[None]) if len(values) > 1 else Interval(float(values[0]), -math.inf, math.inf)


def _scale(record: dict[str, Any]) -> str:
    config = record["config"]
    scored = f"{config['tokens']} tokens of each of {documents(config['corpora'])}"
    return f"{config['model']}, every head; {scored}; {measured_on(record)}"


def _measured(values: dict[str, float]) -> str:
    return ", ".join(_MEASURED.get(name, name.replace("_", " ") + " {:.3g}").format(v) for name, v in values.items())
