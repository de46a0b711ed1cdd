r"""How much of what heads pass on a scaling method changes, from queries and keys of texts no longer than the window.

A head passes on sum_n p_n v_n, its values weighted by attention. Where the values of different keys are uncorrelated,
with the same mean and the same variance s^2 (summed over components), attention p' in place of p changes this by

    E |sum_n (p'_n - p_n) v_n|^2 = s^2 sum_n (p'_n - p_n)^2,

since the p_n and the p'_n both add up to 1, so that the mean drops out. The change of a head that reads hundreds of
keys alike is small however far its attention moves; that of a head that points at one key is not. The divergence of
`pi_theory.displacement` counts both alike, which is the term that it lacks.

The reference p here is the trained attention to the last L keys: what the model does inside its window, with which the
loss is compared. A text of W > L tokens has more keys than training showed, among which p' is diluted; the reference
of clamped distances is diluted as well, and so takes a temperature that sharpens attention again for a fault.

Shape suffixes: N layers, T tokens, H query heads, J frequencies, M queries.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Complex, Float, Integer

from pi_theory.displacement import Change

MEASURES = ("divergence", "squared", "weighted")


@torch.inference_mode()
def signal_displaced(
    q_NHTJ: Complex[np.ndarray, "N H T J"],
    k_NHTJ: Complex[np.ndarray, "N H T J"],
    m_M: Integer[np.ndarray, " M"],
    changes: Sequence[Change],
) -> Float[np.ndarray, "changes measures"]:
    """The displacement of a model under each change, by each of `MEASURES`: heads' means over queries, added up.

    * divergence: KL(p || p') where p is trained attention with distances clamped to L - 1 (`pi_theory.displacement`).
    * squared: sum_n (p'_n - p_n)^2 where p is trained attention to the last L keys.
    * weighted: exp(-H(p)) JS(p, p') with the same p, its entropy H and the Jensen-Shannon divergence JS: the share of
      attention that moves, divided by the effective number of keys.

    Args:
        q_NHTJ: the queries of every head, not rotated.
        k_NHTJ: the keys that it reads.
        m_M: the positions of the queries that are taken; each reads the keys up to its own.
        changes: what settings do. All have the same trained frequencies and window.
    """
    n_T = np.arange(int(m_M.max()) + 1)
    distance_MT = torch.from_numpy(m_M[:, None] - n_T)
    trained = changes[0]
    unread_MT, far_MT = distance_MT < 0, distance_MT >= trained.window
    root = float(np.sqrt(2 * trained.theta.size))
    out = np.zeros((len(changes), len(MEASURES)))
    for q_HTJ, k_HTJ in zip(q_NHTJ, k_NHTJ, strict=True):
        q_HMJ = torch.from_numpy(q_HTJ[:, m_M].astype(np.complex64))
        k_HJT = torch.from_numpy(k_HTJ[:, : len(n_T)].astype(np.complex64)).conj().mT.contiguous()

        def logits(theta: np.ndarray, q: torch.Tensor = q_HMJ, k: torch.Tensor = k_HJT) -> torch.Tensor:
            return ((q * _turned(m_M, theta)) @ (k * _turned(-n_T, theta).T)).real / root

        near_HMT = logits(trained.theta)
        # As if the query stood L - 1 after whatever it reads.
        still_HMT = ((q_HMJ * _turned(np.array([trained.window - 1]), trained.theta)) @ k_HJT).real / root
        clamped_HMT = _log_softmax(torch.where(far_MT, still_HMT, near_HMT), unread_MT)
        recent_HMT = _log_softmax(near_HMT, unread_MT | far_MT)
        clamped_p_HMT, p_HMT = clamped_HMT.exp(), recent_HMT.exp()
        entropy_HM = torch.special.entr(p_HMT).sum(-1)
        for row, how in zip(out, changes, strict=True):
            after_HMT = _log_softmax(how.score_factor * logits(how.scaled), unread_MT)
            after_p_HMT = after_HMT.exp()
            middle_HM = torch.special.entr((p_HMT + after_p_HMT) / 2).sum(-1)
            js_HM = middle_HM - (entropy_HM + torch.special.entr(after_p_HMT).sum(-1)) / 2
            kl_HMT = clamped_p_HMT * (clamped_HMT - after_HMT).masked_fill(unread_MT, 0)
            found = kl_HMT.sum(-1), (after_p_HMT - p_HMT).square().sum(-1), (-entropy_HM).exp() * js_HM
            row += [float(one_HM.mean(-1).sum()) for one_HM in found]
    return out


def _turned(positions: np.ndarray, theta: np.ndarray) -> torch.Tensor:
    """exp(i m theta_j) by position and frequency, computed in float64."""
    phase = torch.from_numpy(np.multiply.outer(positions.astype(float), theta))
    return torch.polar(torch.ones_like(phase), phase).to(torch.complex64)


def _log_softmax(logits: torch.Tensor, unread: torch.Tensor) -> torch.Tensor:
    """The logarithms of the attention, minus infinity for keys that are not read."""
    return logits.masked_fill(unread, -torch.inf).log_softmax(-1)
