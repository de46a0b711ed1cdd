"""Rules for what the paper says about attention scores, on trained heads.

A study of trained heads settles its claims itself, each by the rule that stands beside it in the record.
"""

from typing import Any

from experiments.records.record import read
from figures.verdicts.fine_tuning_runs import documents, measured_on
from figures.verdicts.intervals import Decision
from figures.verdicts.verdict import Check, Decided, NotTested, experiment

# what the records measure, as phrases
_MEASURED = {
    "largest_over_bound": "the largest error is {:.3g} times the bound",
    "heads_above": "{:g} heads exceed it",
    "largest_over_trained": "the largest score of a head is {:.3g} times its largest trained one",
    "largest_of_a_single_pair": "of a single query and key it is {:.3g} times",
    "jump_nats": "the loss beyond the window is {:.3g} nats higher than inside",
    "share": "{:.1%} of that goes when no head sees an untrained distance",
}


@experiment(
    id="jump_smollm2", study="smollm2_jump", source="Section 2.2, on a released model", group="heads",
    says="Extrapolation fails in SmolLM2-135M because of relative positions that training has not seen.",
)  # fmt: skip
@experiment(
    id="jump_tiny", study="tiny_jump", source="Section 2.2", group="heads",
    says="Extrapolation fails in a tiny LLaMA because of relative positions that training has not seen.",
)  # fmt: skip
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
    """The claims that the record itself has a verdict on."""
    record = read(study)
    settled = [one for one in record["metrics"].get("verdicts", []) if one["verdict"] != "not tested"]
    if not settled:
        raise NotTested(_why_not(record))
    config = record["config"]
    scored = f"{config['tokens']} tokens of each of {documents(config['corpora'])}"
    scale = f"{config['model']}, every head; {scored}; {measured_on(record)}"
    checks = [Check(one["claim"], _decision(one["verdict"]), _measured(one["measured"])) for one in settled]
    return Decided(scale, tuple(checks))


def _decision(verdict: str) -> Decision:
    """What the study's own verdict says of the claim as it stands; a claim that is partly true fails as it stands."""
    return "holds" if verdict == "reproduced" else "fails"


def _why_not(record: dict[str, Any]) -> str:
    """Why the record has no verdict, with what it did measure."""
    losses = record["metrics"].get("losses", {})
    if not {"none", "clamp"} <= losses.keys():
        return "The record was made before there was a rule that decides this, and holds no verdict."
    jump, left = losses["none"]["over_within"], losses["clamp"]["over_within"]
    return (
        "The record was made before there was a rule that decides this, and holds no verdict. It has measured that on "
        f"{documents(record['config']['corpora'])} the loss beyond the window is {jump:.2f} nats higher than inside, "
        f"and only {left:.2f} nats higher when unseen distances are clamped in all heads."
    )


def _measured(values: dict[str, float]) -> str:
    return ", ".join(_MEASURED.get(name, name.replace("_", " ") + " {:.3g}").format(v) for name, v in values.items())
