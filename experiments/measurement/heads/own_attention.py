"""The attention that a model pays by its own queries, keys and frequencies: how it is made, and where it goes.

`experiments.measurement.predictions.attention_displacement` asks what a method by itself does to untouched heads. Here
the heads are those of a model that was trained further, so that whatever training did to them is in what they attend
to.

Shape suffixes: N layers, T tokens, H query heads, J frequencies, M queries, C classes of keys.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Complex, Float, Integer
from scipy.special import softmax

from pi_theory.rope import exp_i


def own_logits(
    q_NHTJ: Complex[np.ndarray, "N H T J"],
    k_NHTJ: Complex[np.ndarray, "N H T J"],
    m_M: Integer[np.ndarray, " M"],
    theta_J: Float[np.ndarray, " J"],
    *,
    farthest: int | None = None,
) -> tuple[Float[np.ndarray, "N H M t"], Bool[np.ndarray, "N H M t"]]:
    """The logits of every head at some queries, with the keys up to the last query, and whether each key is read.

    Args:
        q_NHTJ: the queries of every head, before rotation.
        k_NHTJ: the keys that it reads, before rotation.
        m_M: the positions of the queries that are taken.
        theta_J: the frequencies with which the model turns them, in radians a position.
        farthest: every larger distance counts as this one; without it each counts as it is.
    """
    n_t = np.arange(int(m_M.max()) + 1)
    distance_Mt = m_M[:, None] - n_t
    turned_tJ = exp_i(np.multiply.outer(n_t.astype(float), theta_J))
    q_NHMJ, k_NHtJ = q_NHTJ[:, :, m_M], k_NHTJ[:, :, : len(n_t)]
    logits_NHMt = ((q_NHMJ * turned_tJ[m_M]) @ (k_NHtJ * turned_tJ).conj().swapaxes(2, 3)).real
    if farthest is not None:
        far_NHMt = ((q_NHMJ * exp_i(farthest * theta_J)) @ k_NHtJ.conj().swapaxes(2, 3)).real
        logits_NHMt = np.where(distance_Mt > farthest, far_NHMt, logits_NHMt)
    return logits_NHMt / np.sqrt(2 * len(theta_J)), np.broadcast_to(distance_Mt >= 0, logits_NHMt.shape)


def attention_shares(
    logits_NHMt: Float[np.ndarray, "N H M t"], m_M: Integer[np.ndarray, " M"], edges: Sequence[int]
) -> Float[np.ndarray, "N H C"]:
    """How each head's attention is divided among classes of keys, mean over queries; the shares of a head add up to 1.

    Args:
        logits_NHMt: as `own_logits` gives them.
        m_M: the positions of the queries.
        edges: distances, increasing, at which classes begin.

    Returns:
        The share of the text's first token, whatever its distance, and then those of all others: at distances below the
        first edge, from each edge to the next, and from the last edge on.
    """
    n_t = np.arange(logits_NHMt.shape[-1])
    distance_Mt = m_M[:, None] - n_t
    p_NHMt = softmax(np.where(distance_Mt >= 0, logits_NHMt, -np.inf), axis=-1)
    class_Mt = np.where(n_t == 0, 0, 1 + np.searchsorted(edges, distance_Mt, side="right"))
    return np.stack([(p_NHMt * (class_Mt == c)).sum(-1).mean(-1) for c in range(len(edges) + 2)], axis=-1)


def attended_slopes(
    q_NHTJ: Complex[np.ndarray, "N H T J"],
    k_NHTJ: Complex[np.ndarray, "N H T J"],
    m_M: Integer[np.ndarray, " M"],
    theta_J: Float[np.ndarray, " J"],
) -> Float[np.ndarray, "N H"]:
    """The mean size of (a(s - 1) - a(s + 1))/2 in logits over the keys that each head attends to, itself left out.

    Beside the bend it is the other way to prefer one distance to its neighbours. A factor kappa of linear interpolation
    divides its cap by sin(1)/sin(1/kappa), about kappa, and the cap of a bend by about kappa^2.

    Args:
        q_NHTJ: the queries of every head, before rotation.
        k_NHTJ: the keys that it reads, before rotation.
        m_M: the positions of the queries that are taken, none 0.
        theta_J: the frequencies with which the model turns them, in radians a position.
    """
    logits_NHMt, _ = own_logits(q_NHTJ, k_NHTJ, m_M, theta_J)
    slope_NHMt, _ = own_logits(q_NHTJ * (-1j * np.sin(theta_J)), k_NHTJ, m_M, theta_J)
    others_Mt = np.arange(logits_NHMt.shape[-1]) < m_M[:, None]
    p_NHMt = softmax(np.where(others_Mt, logits_NHMt, -np.inf), axis=-1)
    return np.asarray((p_NHMt * np.abs(slope_NHMt)).sum(-1).mean(-1))
