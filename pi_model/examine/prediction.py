"""What a method will cost in loss, predicted from how far it moves attention.

The rule is not derived: it is what two models, a LLaMA of 4 layers and SmolLM2-135M with 30, have in common in 315
measured cases (the studies tiny_choice and smollm2_choice), where its range holds 95% of the cases of each. For a model
that is like neither it can be wrong, which the measurement shows.
"""

from pi_model.examine.findings import PredictedLoss

COEFFICIENT, POWER = 0.9, 1.5
RANGE = 2.5  # the loss is up to so many times more or less


def predicted_loss(displacement: float, layers: int) -> PredictedLoss:
    """The loss that a method adds, in nats per token, over that of the untouched model with recent context alone.

    Args:
        displacement: the squared change of attention, added up over all heads, see `pi_model.examine.heads.look`.
        layers: how many layers these heads are in.
    """
    nats = COEFFICIENT * displacement**POWER / layers
    return PredictedLoss(nats, nats / RANGE, nats * RANGE)
