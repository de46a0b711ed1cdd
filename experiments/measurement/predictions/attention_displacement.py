"""How far scaling methods move the attention of real heads: displacement, from texts no longer than the window.

Longer texts are put together from parts of at most a window, each read by itself, so that no query or key is used that
the unextended model did not make inside its window.

Shape suffixes: N layers, T tokens, H query heads, J frequencies, M queries.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Complex, Float, Integer

from pi_model.examine.heads import queries_and_keys
from pi_model.models.families import CausalLM
from pi_theory.displacement import Change, Moved, displacement, moved
from pi_theory.rope import exp_i


def from_parts(
    model: CausalLM, ids_T: Integer[np.ndarray, " T"], window: int, bos: bool
) -> tuple[Complex[np.ndarray, "N H T J"], Complex[np.ndarray, "N H T J"]]:
    """The unrotated queries and keys of every token, of which the model read only the part of at most L that it is in.

    Args:
        model: not extended.
        ids_T: a text, which begins with BOS if ``bos``; BOS then begins every part, and counts in the first alone.
        window: L in tokens.
        bos: whether the text begins with BOS.
    """
    first = queries_and_keys(model, ids_T[:window])
    parts = [first]
    for start in range(window, len(ids_T), window - bos):
        part = np.concatenate([ids_T[:bos], ids_T[start : start + window - bos]])
        q_NHTJ, k_NHTJ = queries_and_keys(model, part)
        parts.append((q_NHTJ[:, :, bos:], k_NHTJ[:, :, bos:]))
    q, k = zip(*parts, strict=True)
    return np.concatenate(q, axis=2), np.concatenate(k, axis=2)


def displaced(
    q_NHTJ: Complex[np.ndarray, "N H T J"],
    k_NHTJ: Complex[np.ndarray, "N H T J"],
    m_M: Integer[np.ndarray, " M"],
    changes: Sequence[Change],
) -> list[tuple[float, float]]:
    """The displacement of a model in KL and TV under each change: its heads' means over queries, added up.

    Args:
        q_NHTJ: the queries of every head.
        k_NHTJ: the keys that it reads.
        m_M: the positions of the queries that are taken; each reads the keys up to its own.
        changes: what methods do. All have the same trained frequencies and window.
    """
    found: list[list[Moved]] = [[] for _ in changes]
    n_T = np.arange(int(m_M.max()) + 1)
    distance_MT = m_M[:, None] - n_T
    trained = changes[0]
    root = np.sqrt(2 * trained.theta.size)

    def turned(positions: np.ndarray, theta: np.ndarray) -> np.ndarray:
        return exp_i(np.multiply.outer(positions.astype(float), theta))

    # As if the query stood L - 1 after whatever it reads.
    still_J = turned(np.array([trained.window - 1]), trained.theta)
    for q_HTJ, k_HTJ in zip(q_NHTJ, k_NHTJ, strict=True):
        q_HMJ, k_HJT = q_HTJ[:, m_M], k_HTJ[:, : len(n_T)].conj().swapaxes(1, 2)

        def scores(theta: np.ndarray, q_HMJ: np.ndarray = q_HMJ, k_HJT: np.ndarray = k_HJT) -> np.ndarray:
            q, k = q_HMJ * turned(m_M, theta), k_HJT * turned(-n_T, theta).T
            return np.asarray((q @ k).real / root)

        far_HMT = ((q_HMJ * still_J) @ k_HJT).real / root
        before_HMT = np.where(distance_MT >= trained.window, far_HMT, scores(trained.theta))
        read_HMT = np.broadcast_to(distance_MT >= 0, before_HMT.shape)
        for rows, how in zip(found, changes, strict=True):
            layer = moved(before_HMT, how.score_factor * scores(how.scaled), read_HMT)
            rows += [Moved(*each) for each in zip(layer.kl, layer.tv, layer.oscillation, strict=True)]
    return [displacement(rows) for rows in found]


def loss_above(losses_t: Float[np.ndarray, " t"], untouched_t: Float[np.ndarray, " t"], tokens: int) -> float:
    """The mean loss of a text's first tokens over that of the untouched model inside its window, in nats."""
    return float((losses_t[: tokens - 1] - untouched_t[: tokens - 1]).mean())
