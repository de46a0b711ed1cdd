r"""How many tokens a scaling method can read before it meets phases that training never showed: from the config alone.

A window of L tokens has the distances 0 .. L-1. Pair j of a head then sees the phases s theta_j of the arc from 0 to
(L-1) theta_j. If L theta_j >= 2 pi these go around the circle with no gap wider than one step, and no phase is new.
Otherwise the pair is *slow*: the rest of the circle was never seen. A method that changes theta_j to theta'_j keeps the
phase s theta'_j of every slow pair within its trained arc up to the distance

    s = (L-1) min { theta_j / theta'_j : L theta_j < 2 pi },

beyond which some phase has left its arc and meets nothing seen until it has gone around. The reach is the number of
tokens whose distances lie within: one more than the integer part. The minimum is the method's stretch:

* none: 1, so that the reach is L.
* linear interpolation by kappa, and YaRN (beta_slow >= 1) and Llama 3 (low_freq_factor >= 1), which divide every slow
  frequency by kappa: the stretch is kappa and the reach 1 + floor(kappa (L-1)), which is a little less than kappa L.
* NTK-aware: kappa^(2 j/(d-2)), where j is the first slow pair: kappa itself only where the slowest pair alone is slow.
* dynamic NTK, whose frequencies depend on the number W of tokens in use: the largest W for which
  W - 1 <= (L-1) m^(2 j/(d-2)) with m = kappa W/L - (kappa - 1), a fixed point.

`reach` computes it in float64 for any method, `pi_theory.certified.reach` proves it for ours. The reach is a statement
on phases, computed without a model; that the loss of a model rises beyond it is a prediction to be measured.

Sources: the unseen arc of slow pairs is the "critical dimension" of Liu et al. 2023, arXiv:2310.05209, used by
LongRoPE2 (arXiv:2502.20082); turns in the window are YaRN's rule (arXiv:2309.00071). The reach of each method and
dynamic NTK's fixed point are ours.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pi_theory.arguments import Number, check_count
from pi_theory.rope import frequencies
from pi_theory.scaling import Scaling, scaled_frequencies

LONGEST = 2**50
"""Tokens beyond which a reach counts as unlimited: more than any text has, and float64 still counts them one by one."""


@dataclass(frozen=True)
class Reach:
    """How far a method reads.

    Attributes:
        tokens: the longest window within whose distances no slow pair leaves its trained arc; None for no limit below
            `LONGEST`.
        leaves: the index j of the pair that leaves its arc first, one token later; None where there is no limit.
    """

    tokens: int | None
    leaves: int | None


def first_slow_pair(head_dim: int, base: Number, window: int) -> int | None:
    """Returns the smallest j with L theta_j < 2 pi, or None if every pair turns at least once in the window.

    Raises:
        ValueError: an argument is outside its domain.

    >>> first_slow_pair(128, 10000, 2048)
    41
    """
    slow = np.flatnonzero(check_count(window) * frequencies(head_dim, base) < 2 * math.pi)
    return int(slow[0]) if slow.size else None


def stretches(
    scaling: Scaling, *, head_dim: int, base: Number, window: int, context: int | None = None
) -> Float[np.ndarray, " half"]:
    """Returns theta_j / theta'_j, shape (d/2,): by how much the method slows each pair.

    Arguments and errors are those of `pi_theory.scaling.scaled_frequencies`.
    """
    scaled = scaled_frequencies(scaling, head_dim=head_dim, base=float(base), window=window, context=context)
    return frequencies(head_dim, base) / scaled


def reach(scaling: Scaling, *, head_dim: int, base: Number, window: int, context: int | None = None) -> Reach:
    """Returns the longest window in which every slow pair's phase stays within its trained arc.

    It is found in float64, where a distance counts as within the arc up to one part in 10^12.

    Args:
        scaling: the method.
        head_dim: d, even, at least 2.
        base: c > 1.
        window: L, the trained window in tokens.
        context: the tokens for which dynamic NTK chooses its frequencies; if it is not given, each length its own.

    Raises:
        ValueError: an argument is outside its domain.

    >>> from pi_theory.scaling import LinearPI, NTKAware
    >>> [reach(method, head_dim=128, base=10000, window=2048).tokens for method in (LinearPI(2.0), NTKAware(2.0))]
    [4095, 3214]
    """
    if (first := first_slow_pair(head_dim, base, window)) is None:
        return Reach(None, None)

    def outside(tokens: int) -> np.ndarray:
        stretch = stretches(scaling, head_dim=head_dim, base=base, window=window, context=context or tokens)[first:]
        return np.asarray(tokens - 1 > (window - 1) * stretch * (1 + 1e-12))

    tokens = longest_window(lambda tokens: not outside(tokens).any(), window)
    return Reach(None, None) if tokens is None else Reach(tokens, first + int(np.argmax(outside(tokens + 1))))


def longest_window(within: Callable[[int], bool], window: int) -> int | None:
    """Returns the largest number of tokens from ``window`` on for which ``within`` holds, by doubling and bisection.

    It must hold for the window itself and from some number on never again. This is so for every method: where the
    frequencies do not depend on the tokens W, it is clear, and for dynamic NTK, (L-1) m(W)^p - (W - 1) with p <= 1 is
    concave in W and 0 at W = L.

    Returns:
        None if it holds for so many tokens that `LONGEST` is passed.

    Raises:
        ValueError: the window is not below `LONGEST`.
    """
    if window >= LONGEST:
        raise ValueError(f"window: must be below {LONGEST} tokens, got {window}")
    inside, outside = window, 2 * window
    while within(outside):
        if outside >= LONGEST:
            return None
        inside, outside = outside, 2 * outside
    while outside - inside > 1:
        middle = (inside + outside) // 2
        inside, outside = (middle, outside) if within(middle) else (inside, middle)
    return inside
