"""How sharply real heads point, before and after a scaling method, and what it costs when they cannot.

Bends are those of `pi_theory.resolution`, in logits: multiplied by the method's temperature and divided by sqrt(d).

Shape suffixes: N layers, T tokens, H query heads, J frequencies, M queries, U units (heads, or groups that share keys).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Complex, Float, Integer

from experiments.measurement.heads.ablation import Head, treated
from experiments.measurement.predictions.rank_correlation import spearman
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.examine.heads import queries_and_keys
from pi_model.models.families import CausalLM
from pi_theory.displacement import Change
from pi_theory.rope import exp_i


def attended_bends(
    model: CausalLM,
    documents: Sequence[Integer[np.ndarray, " T"]],
    changes: Mapping[str, Change],
    *,
    queries: int,
    seed: int,
) -> dict[str, dict[str, Float[np.ndarray, "N H"]]]:
    """For each head the mean size of a bend and of its cap over the keys that it attends to, itself left out.

    Args:
        model: not extended.
        documents: token ids, each at most a window long.
        changes: by name, what methods do; "none" is the trained model.
        queries: how many are drawn from each document.
        seed: of the draw.

    Returns:
        By name of the change, ``bend`` and ``cap``.
    """
    rng = np.random.default_rng(seed)
    found: dict[str, dict[str, list[np.ndarray]]] = {name: {"bend": [], "cap": []} for name in changes}
    for ids_T in documents:
        q_NHTJ, k_NHTJ = queries_and_keys(model, ids_T)
        m_M = rng.integers(1, len(ids_T), queries)
        rows = {
            name: [_rows(q_HTJ, k_HTJ, m_M, changes["none"], how) for q_HTJ, k_HTJ in zip(q_NHTJ, k_NHTJ, strict=True)]
            for name, how in changes.items()
        }
        for name, layers in rows.items():
            for number, quantity in enumerate(("bend", "cap")):
                found[name][quantity].append(np.stack([layer[number] for layer in layers]))
    return {name: {quantity: np.mean(x, axis=0) for quantity, x in by.items()} for name, by in found.items()}


def _rows(
    q_HTJ: Complex[np.ndarray, "H T J"],
    k_HTJ: Complex[np.ndarray, "H T J"],
    m_M: Integer[np.ndarray, " M"],
    trained: Change,
    how: Change,
) -> tuple[Float[np.ndarray, " H"], Float[np.ndarray, " H"]]:
    """The mean bend and cap of each head of a layer, weighed by the attention that the trained model pays."""
    n_T = np.arange(q_HTJ.shape[1], dtype=float)
    q_HMJ, root = q_HTJ[:, m_M], np.sqrt(2 * trained.theta.size)

    def scores(theta: np.ndarray, weight: np.ndarray) -> np.ndarray:
        turned_TJ = exp_i(np.multiply.outer(n_T, theta))
        return np.asarray(((q_HMJ * turned_TJ[m_M] * weight) @ (k_HTJ * turned_TJ).conj().swapaxes(1, 2)).real / root)

    logits_HMT = np.where(n_T < m_M[:, None], scores(trained.theta, np.ones_like(trained.theta)), -np.inf)
    p_HMT = np.exp(logits_HMT - logits_HMT.max(axis=-1, keepdims=True))
    p_HMT /= p_HMT.sum(axis=-1, keepdims=True)
    versine_J = how.score_factor * 2 * np.sin(how.scaled / 2) ** 2
    bend_HMT = np.abs(scores(how.scaled, versine_J))
    cap_HMT = (np.abs(q_HMJ) * versine_J) @ np.abs(k_HTJ).swapaxes(1, 2) / root
    return (p_HMT * bend_HMT).sum(-1).mean(-1), (p_HMT * cap_HMT).sum(-1).mean(-1)


class Inside:
    """The loss inside the window when some heads' positions are divided by a factor and others' are not.

    Args:
        model: not extended.
        documents: token ids, each at most a window long.
        theta_J: the model's frequencies in radians a position.
        window: L in tokens.
        units: heads that are treated together.
    """

    def __init__(
        self,
        model: CausalLM,
        documents: Sequence[Integer[np.ndarray, " T"]],
        *,
        theta_J: np.ndarray,
        window: int,
        units: Sequence[Sequence[Head]],
    ) -> None:
        self.model, self.documents, self.units = model, documents, units
        self.theta_J, self.window = theta_J, window

    def losses(self, unscaled: Sequence[int], factor: float) -> Float[np.ndarray, " documents"]:
        """The mean loss of each document in nats with all units interpolated but these."""
        treatments = {head: "linear" for n, heads in enumerate(self.units) if n not in set(unscaled) for head in heads}
        with treated(self.model, treatments, theta_J=self.theta_J, window=self.window, factor=factor):
            return np.array([losses_by_token(self.model, ids).mean() for ids in self.documents])


def loss_by_sharpest(
    inside: Inside,
    bend_U: Float[np.ndarray, " U"],
    *,
    factor: float,
    counts: Sequence[int],
    draws: int,
    alone: bool,
    seed: int,
) -> dict[str, Any]:
    """How much of what interpolation costs inside the window is gone when the sharpest units are left as they were.

    Args:
        inside: the model, the documents and the units.
        bend_U: the mean bend of each unit.
        factor: L'/L.
        counts: how many of the sharpest units to leave unscaled.
        draws: how many random orders of units to compare with.
        alone: whether to leave each unit unscaled by itself as well.
        seed: of the random orders.

    Returns:
        ``loss_nats``: untouched and with all units interpolated. ``share``: of the difference, how much is gone with
        each of ``counts`` units unscaled: ``sharpest``, with its standard error over documents, and each of ``random``.
        If `alone`, ``saved_nats`` by each unit and its rank correlation with the bend.
    """
    everything = list(range(len(inside.units)))
    untouched, scaled = inside.losses(everything, factor), inside.losses([], factor)
    cost = (scaled - untouched).mean()

    def share(order: Sequence[int]) -> list[dict[str, float | None]]:
        saved = [(scaled - inside.losses(order[:count], factor)) / cost for count in counts]
        error = [float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else None for x in saved]
        return [{"share": float(x.mean()), "stderr": e} for x, e in zip(saved, error, strict=True)]

    rng = np.random.default_rng(seed)
    random = [share(rng.permutation(everything).tolist()) for _ in range(draws)]
    out: dict[str, Any] = {
        "factor": factor,
        "loss_nats": {"untouched": float(untouched.mean()), "interpolated": float(scaled.mean())},
        "counts": list(counts),
        "sharpest": share(np.argsort(-bend_U, kind="stable").tolist()),
        "random": [[one["share"] for one in order] for order in random],
    }
    if alone:
        saved = [float((scaled - inside.losses([n], factor)).mean()) for n in everything]
        out["alone"] = {"saved_nats": saved, "rank_correlation": spearman(bend_U.tolist(), saved)}
    return out


def units_of(model: CausalLM, by: str) -> list[list[Head]]:
    """The heads of a model one by one ("head"), or those that share a key-value head together ("group")."""
    heads, size = model.config.num_attention_heads, 1
    if by == "group":
        size = heads // (model.config.num_key_value_heads or heads)
    return [
        [(layer, head) for head in range(first, first + size)]
        for layer in range(model.config.num_hidden_layers)
        for first in range(0, heads, size)
    ]
