"""What a method will cost in loss, predicted from how far it moves attention at several places of the context.

The rule is not derived. It is what a LLaMA of 4 layers and SmolLM2-135M with 30 have in common in 315 measured cases
(the studies tiny_choice and smollm2_choice), of which a factor of 2.5 holds 95% of each. From the short look that an
examination takes it came within that factor of 12 of 16 losses at two and four times the window, and within 5 of 14, so
5 is what is told. For a model that is like neither it may be further off, which the measurement shows.
"""

from collections.abc import Sequence

from pi_model.examine.findings import PredictedLoss

COEFFICIENT, POWER = 0.9, 1.5
RANGE = 5.0  # the loss is up to so many times more or less


def predicted_loss(displacements: Sequence[float], layers: int) -> PredictedLoss:
    """The loss that a method adds, in nats per token, over that of the untouched model with recent context alone.

    Args:
        displacements: the squared change of attention, added up over all heads, at places spread evenly over the
            context, see `pi_model.examine.heads.look`.
        layers: how many layers these heads are in.
    """
    nats = COEFFICIENT * sum(one**POWER for one in displacements) / len(displacements) / layers
    return PredictedLoss(nats, nats / RANGE, nats * RANGE)
