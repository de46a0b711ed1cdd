"""Trained heads held against the theory: h_j of real queries and keys, and their scores beside every bound.

Queries and keys are taken before rotation, where they depend on content alone, so that one short forward pass gives
a(s) at every distance s. Pairing is rotate-half (components j and j + d/2), as in Hugging Face transformers; with
grouped queries several query heads share a key head. Scores a(s) are before the division by sqrt(d), logits after it.
Distances 0 .. L - 1 are the trained ones: what a window of L tokens holds.

Shape suffixes: N layers, T tokens, H query heads, G key heads, D head dimension, J = D/2 frequencies, P pairs of a
query and a key, S positions.
"""

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

import numpy as np
from jaxtyping import Complex, Float

from pi_model.examine.heads import queries_and_keys
from pi_model.models.families import CausalLM
from pi_theory.amplification import FiniteWindow, stability_constant
from pi_theory.extrapolation import B
from pi_theory.interpolation import published_bound, sharp_bound, taylor_bound
from pi_theory.rope import exp_i, frequencies
from pi_theory.scaling import NoScaling

# How keys are drawn for a query: any earlier one, or as the head itself attends.
Draw = Literal["uniform", "attended"]
_BLOCK = 1 << 22  # scores held at once


def draw_coefficients(
    q_HTJ: Complex[np.ndarray, "H T J"],
    k_HTJ: Complex[np.ndarray, "H T J"],
    theta_J: Float[np.ndarray, " J"],
    *,
    pairs: int,
    draw: Draw,
    rng: np.random.Generator,
) -> Complex[np.ndarray, "H P J"]:
    """h_j = q_j conj(k_j) of pairs from one layer: queries uniform, keys at or before them, as `draw` says.

    "attended" draws a key with the probability that the head's softmax gives it at its true distance.
    """
    heads, tokens, _ = q_HTJ.shape
    m_P = rng.integers(0, tokens, pairs)
    if draw == "uniform":
        n_HP = np.floor(rng.random((heads, pairs)) * (m_P + 1)).astype(int)
    else:
        turn_TJ = exp_i(np.multiply.outer(np.arange(tokens, dtype=float), theta_J))
        n_HP = np.empty((heads, pairs), dtype=int)
        for head in range(heads):
            a_PT = _real_product(q_HTJ[head, m_P] * turn_TJ[m_P], (k_HTJ[head] * turn_TJ).conj())
            a_PT /= np.sqrt(2 * theta_J.size)
            a_PT[np.arange(tokens) > m_P[:, None]] = -np.inf
            # The largest of logits plus Gumbel noise is a draw from their softmax.
            n_HP[head] = (a_PT + rng.gumbel(size=a_PT.shape)).argmax(axis=1)
    k_HPJ = np.take_along_axis(k_HTJ, n_HP[..., None], axis=1)
    return q_HTJ[:, m_P].astype(complex) * k_HPJ.conj()


def draw_from(
    model: CausalLM,
    documents: Sequence[np.ndarray],
    theta_J: Float[np.ndarray, " J"],
    *,
    pairs: int,
    draw: Draw,
    seed: int,
) -> Complex[np.ndarray, "N H P J"]:
    """The coefficients of every layer, as `draw_coefficients` gives them, for so many pairs from each document."""
    rng = np.random.default_rng(seed)
    parts = []
    for ids_T in documents:
        q_NHTJ, k_NHTJ = queries_and_keys(model, ids_T)
        layers = [
            draw_coefficients(q_HTJ, k_HTJ, theta_J, pairs=pairs, draw=draw, rng=rng)
            for q_HTJ, k_HTJ in zip(q_NHTJ, k_NHTJ, strict=True)
        ]
        parts.append(np.stack(layers))
    return np.concatenate(parts, axis=2)


Pairs = Float[np.ndarray, "*P"]  # a number for each pair


@dataclass(frozen=True, kw_only=True)
class PairScores:
    """The scores of pairs, each number beside the bound that holds for it; an array over pairs each.

    Attributes:
        hmax, hsum, hstep: max|h_j|, sum|h_j|, max|h_j - h_(j+1)|.
        trained: the largest |a| at trained distances.
        highest: the largest a at trained distances.
        interpolated: the largest |a| at interpolated positions, those beyond the window included, over ``trained``.
        published, taylor, sharp: the largest |a - a_lin| between integers over each bound of it at max|h|.
        amplification: for each multiple b of the window, the largest |a| in [L, bL) over ``trained``.
        excess: for each multiple b of the window, the largest a in [L, bL) less ``highest``, in logits.
        eq8_first, eq8_last, trivial, sum: the largest |a| up to the last b over its bounds: the two of Eq. 8,
            d/2 max|h|, and sum|h|.
        condition: sum|h| over ``trained``, which no amplification exceeds at any distance.
        beyond, highest_beyond: the largest |a| and the largest a up to the last b.
    """

    hmax: Pairs
    hsum: Pairs
    hstep: Pairs
    trained: Pairs
    highest: Pairs
    interpolated: Pairs
    published: Pairs
    taylor: Pairs
    sharp: Pairs
    amplification: dict[int, Pairs]
    excess: dict[int, Pairs]
    eq8_first: Pairs
    eq8_last: Pairs
    trivial: Pairs
    sum: Pairs
    condition: Pairs
    beyond: Pairs
    highest_beyond: Pairs

    def named(self) -> dict[str, Pairs]:
        """By the names that records have, ``amplification_b`` and ``excess_b`` for each multiple b."""
        out: dict[str, Pairs] = {}
        for one in fields(self):
            if one.name == "amplification":
                for multiple, values in self.amplification.items():
                    out[f"amplification_{multiple}"] = values
                    out[f"excess_{multiple}"] = self.excess[multiple]
            elif one.name != "excess":
                out[one.name] = getattr(self, one.name)
        return out


class Bounds:
    """Holds score curves against the bounds, for one head size and window, with tables that are made once.

    Args:
        head_dim: d.
        base: c.
        window: L in tokens.
        factor: an integer; interpolated positions are the multiples of 1/factor up to L - 1/factor, which PI asks for
            in ``factor`` windows. The last of them lie beyond the largest trained distance.
        beyond: integers; extrapolation is followed up to each of these multiples of L.

    The interpolated positions include the integers, where scores are what training saw. Errors of interpolation are
    measured between trained distances only.
    """

    def __init__(self, *, head_dim: int, base: float, window: int, factor: int, beyond: Sequence[int]) -> None:
        self.head_dim, self.base, self.window, self.beyond = head_dim, base, window, sorted(beyond)
        self.theta = frequencies(head_dim, base)
        self._trained = self.rows(np.arange(window))
        s = np.arange(factor * window) / factor
        self._interpolated = self.rows(s)
        between = s[(s != np.floor(s)) & (s < window - 1)]
        lam = between - np.floor(between)
        left = np.floor(between)
        exact, first, second = (exp_i(np.multiply.outer(at, self.theta)) for at in (between, left, left + 1))
        self._defects = _as_table(exact - (1 - lam)[:, None] * first - lam[:, None] * second)
        per_fraction = {
            x: [
                bound(x, 0.0, 1.0, head_dim=head_dim, base=base)
                for bound in (published_bound, taylor_bound, sharp_bound)
            ]
            for x in np.unique(lam).tolist()
        }
        self._interpolation_bounds = np.array([per_fraction[x] for x in lam.tolist()]).T
        ends = [1, *self.beyond]
        segments = [np.arange(a * window, b * window) for a, b in itertools.pairwise(ends)]
        self._segments = [(self.rows(s), 1 / B(s, head_dim=head_dim, base=base)[None]) for s in segments]

    def rows(self, positions: np.ndarray) -> np.ndarray:
        """The cosine and minus the sine of every phase, whose product with (Re h, Im h) is a(s)."""
        return _as_table(exp_i(np.multiply.outer(np.asarray(positions, dtype=float), self.theta)))

    def curve(self, h_PJ: Complex[np.ndarray, "P J"], positions: np.ndarray) -> Float[np.ndarray, "S P"]:
        """The scores a(s) of every pair, before the division by sqrt(d)."""
        return self.rows(positions) @ _as_vectors(h_PJ)

    def measure(self, h_PJ: Complex[np.ndarray, "P J"]) -> PairScores:
        """Each pair's scores against each bound."""
        h = _as_vectors(h_PJ)
        size = np.abs(h_PJ)
        hmax, hsum = size.max(axis=1), size.sum(axis=1)
        hstep = np.abs(np.diff(h_PJ, append=0, axis=1)).max(axis=1)
        highest, lowest, _ = _scan(self._trained, h)
        trained = np.maximum(highest, -lowest)
        high, low, _ = _scan(self._interpolated, h)
        interpolated = np.maximum(high, -low) / trained
        _, _, errors = _scan(self._defects, h, 1 / self._interpolation_bounds)
        published, taylor, sharp = errors / hmax
        amplification, excess = {}, {}
        over_B, far, far_highest = np.zeros(len(h_PJ)), np.zeros(len(h_PJ)), np.full(len(h_PJ), -np.inf)
        for multiple, (table, weight) in zip(self.beyond, self._segments, strict=True):
            high, low, (weighted,) = _scan(table, h, weight)
            far, far_highest = np.maximum(far, np.maximum(high, -low)), np.maximum(far_highest, high)
            over_B = np.maximum(over_B, weighted)
            amplification[multiple] = far / trained
            excess[multiple] = (far_highest - highest) / np.sqrt(self.head_dim)
        return PairScores(
            hmax=hmax,
            hsum=hsum,
            hstep=hstep,
            trained=trained,
            highest=highest,
            interpolated=interpolated,
            published=published,
            taylor=taylor,
            sharp=sharp,
            amplification=amplification,
            excess=excess,
            eq8_first=over_B / hstep,
            eq8_last=over_B / (2 * hmax),
            trivial=far / (self.head_dim / 2 * hmax),
            sum=far / hsum,
            condition=hsum / trained,
            beyond=far,
            highest_beyond=far_highest,
        )

    def worst_possible(self, h_J: Complex[np.ndarray, " J"], multiple: int) -> dict[str, float]:
        """A pair's largest amplification in [L, multiple L), beside that of the linear program at the same distance.

        The program's heads have |a(n)| <= 1 at trained distances and coefficients no larger than this pair's, relative
        to its largest trained score.
        """
        trained = np.abs(self.curve(h_J[None], np.arange(self.window))).max()
        positions = np.arange(self.window, multiple * self.window)
        beyond = np.abs(self.curve(h_J[None], positions))[:, 0]
        at = int(beyond.argmax())
        relative = float(max(np.abs(h_J.real).max(), np.abs(h_J.imag).max()) / trained)
        program = FiniteWindow(
            head_dim=self.head_dim, base=self.base, window=self.window, scaling=NoScaling()
        ).worst_case(float(positions[at]), relative)
        return {
            "position": float(positions[at]),
            "relative_hmax": relative,
            "measured": float(beyond[at] / trained),
            "upper_bound": program.upper_bound,
        }


def measure_heads(
    model: CausalLM,
    documents: Sequence[np.ndarray],
    bounds: Bounds,
    *,
    pairs: int,
    programs: int,
    seed: int,
) -> dict[str, Any]:
    """Measures every head of a model, on pairs of a query and a key from the given documents.

    Args:
        model: not extended.
        documents: token ids, each at most a window long.
        bounds: of the model's head size and window.
        pairs: how many, of each draw, each head and each document.
        programs: for how many heads, those that amplify most, the linear program is solved.
        seed: of the draws.

    Returns:
        ``heads``: a list of {layer, head, uniform, attended}, a `summary` over pairs by draw; ``amplification`` and
        ``excess``, from the head's largest and highest scores of all pairs, inside and up to the last multiple of the
        window. ``programs``: a list of {layer, head} and `Bounds.worst_possible` of the head's most amplified pair.
        ``curves``: a(s) in logits, see `_curves`. ``verdicts``: see `_verdicts`.
    """
    h_NHPJ = {
        draw: draw_from(model, documents, bounds.theta, pairs=pairs, draw=draw, seed=seed)
        for draw in ("uniform", "attended")
    }
    nearest = bounds.beyond[0]
    heads: list[dict[str, Any]] = []
    most_amplified: list[np.ndarray] = []  # of each head, the pair's h
    for layer in range(model.config.num_hidden_layers):
        measured = {draw: _by_head(bounds, h[layer]) for draw, h in h_NHPJ.items()}
        for head in range(model.config.num_attention_heads):
            row: dict[str, Any] = {"layer": layer, "head": head}
            row |= {draw: summary({k: x[head] for k, x in by.items()}) for draw, by in measured.items()}
            row["amplification"] = _largest(row, "beyond") / _largest(row, "trained")
            row["excess"] = (_largest(row, "highest_beyond") - _largest(row, "highest")) / float(
                np.sqrt(bounds.head_dim)
            )
            heads.append(row)
            amplified = np.concatenate([by[f"amplification_{nearest}"][head] for by in measured.values()])
            both_draws = np.concatenate([h[layer, head] for h in h_NHPJ.values()])
            most_amplified.append(both_draws[amplified.argmax()])
    worst = np.argsort([-_largest(row, f"amplification_{nearest}") for row in heads], kind="stable")
    return {
        "heads": heads,
        "programs": [
            {"layer": heads[n]["layer"], "head": heads[n]["head"]} | bounds.worst_possible(most_amplified[n], nearest)
            for n in worst[:programs].tolist()
        ],
        "curves": _curves(bounds, heads, h_NHPJ["uniform"], most_amplified[worst[0]], heads[worst[0]]),
        "verdicts": _verdicts(heads, bounds.beyond[-1]),
    }


def summary(measured: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """The median and the maximum of each quantity over pairs, and for an excess the share of pairs above zero."""
    out = {}
    for name, values in measured.items():
        out[name] = {"median": _rounded(np.median(values)), "max": _rounded(values.max())}
        if name.startswith("excess"):
            out[name]["share"] = float((values > 0).mean())
    return out


def _rounded(value: float) -> float:
    """Rounds to six digits, which is more than float32 queries and keys determine."""
    return float(f"{value:.6g}")


def medians(
    model: CausalLM,
    documents: Sequence[np.ndarray],
    bounds: Bounds,
    *,
    pairs: int,
    quantities: Mapping[str, Callable[[PairScores], Pairs]],
    seed: int,
) -> dict[str, Float[np.ndarray, " heads"]]:
    """For every head, layer by layer, the median over uniform pairs of some quantities of their scores, by name."""
    h_NHPJ = draw_from(model, documents, bounds.theta, pairs=pairs, draw="uniform", seed=seed)
    measured = [bounds.measure(h_HPJ.reshape(-1, h_HPJ.shape[-1])) for h_HPJ in h_NHPJ]
    by_head = h_NHPJ.shape[1:3]
    return {
        name: np.concatenate([np.median(quantity(scores).reshape(by_head), axis=1) for scores in measured])
        for name, quantity in quantities.items()
    }


def _by_head(bounds: Bounds, h_HPJ: np.ndarray) -> dict[str, np.ndarray]:
    measured = bounds.measure(h_HPJ.reshape(-1, h_HPJ.shape[-1])).named()
    return {name: values.reshape(h_HPJ.shape[:2]) for name, values in measured.items()}


def _largest(row: dict[str, Any], name: str) -> float:
    return max(row["uniform"][name]["max"], row["attended"][name]["max"])


def _verdicts(heads: list[dict[str, Any]], farthest: int) -> list[dict[str, Any]]:
    """The paper's claims about scores: each with its rule, the verdict for these heads and the numbers."""
    published = [_largest(row, "published") for row in heads]
    interpolated = max(_largest(row, "interpolated") for row in heads)
    amplified = max(row["amplification"] for row in heads)
    return [
        {
            "claim": "Theorem 2.1, as published, bounds the interpolation error of trained heads",
            "rule": "reproduced if no pair of a query and a key exceeds it, else refuted",
            "verdict": "reproduced" if max(published) <= 1 else "refuted",
            "measured": {"largest_over_bound": max(published), "heads_above": sum(x > 1 for x in published)},
        },
        {
            "claim": "Interpolated scores of trained heads stay in the trained range",
            "rule": "reproduced if none is above sec(1/2) = 1.1395 times the largest trained one, else refuted",
            "verdict": "reproduced" if interpolated <= stability_constant() else "refuted",
            "measured": {"largest_over_trained": interpolated},
        },
        {
            "claim": "Extrapolated scores of trained heads are of catastrophic size, as those of the fit in Fig. 2",
            "rule": f"a head's largest score up to {farthest} windows over its largest trained one: reproduced if some "
            "head's is 100 or more, partly if 10 or more, else refuted",
            "verdict": "reproduced" if amplified >= 100 else "partly" if amplified >= 10 else "refuted",
            "measured": {
                "largest_over_trained": amplified,
                "largest_of_a_single_pair": max(_largest(row, f"amplification_{farthest}") for row in heads),
            },
        },
    ]


def _curves(
    bounds: Bounds, heads: list[dict[str, Any]], h_NHPJ: np.ndarray, amplified_J: np.ndarray, amplified: dict[str, Any]
) -> dict[str, Any]:
    """Score curves in logits up to the farthest multiple of the window.

    "typical" and "worst" are the heads with the median and with the largest median excess just beyond the window; each
    has the quantiles 0.1, 0.5 and 0.9 over uniform pairs. "most_amplified" is the curve of the most amplified pair.
    """
    positions = np.unique(np.linspace(0, bounds.beyond[-1] * bounds.window - 1, 600).round())
    order = np.argsort([row["uniform"][f"excess_{bounds.beyond[0]}"]["median"] for row in heads], kind="stable")
    out: dict[str, Any] = {"positions": positions.tolist()}
    scale = np.sqrt(bounds.head_dim)
    for kind, n in (("typical", order[len(order) // 2]), ("worst", order[-1])):
        layer, head = heads[n]["layer"], heads[n]["head"]
        quantiles = np.quantile(bounds.curve(h_NHPJ[layer, head], positions) / scale, [0.1, 0.5, 0.9], axis=1)
        out[kind] = {"layer": layer, "head": head, "quantiles": quantiles.tolist()}
    curve = bounds.curve(amplified_J[None], positions)[:, 0] / scale
    out["most_amplified"] = {"layer": amplified["layer"], "head": amplified["head"], "logits": curve.tolist()}
    return out


def _as_table(rows_SJ: np.ndarray) -> np.ndarray:
    return np.concatenate([rows_SJ.real, -rows_SJ.imag], axis=1)


def _as_vectors(h_PJ: np.ndarray) -> np.ndarray:
    return np.concatenate([h_PJ.real, h_PJ.imag], axis=1).T


def _real_product(x_PJ: np.ndarray, y_TJ: np.ndarray) -> np.ndarray:
    """The real part of sum_j x_j y_j for every pair of rows."""
    return _as_table(x_PJ) @ _as_vectors(y_TJ)


def _scan(
    table_SD: np.ndarray, h_DP: np.ndarray, weights_WS: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each pair's largest and smallest value over all positions, and its largest weighted |value|."""
    weights_WS = np.empty((0, len(table_SD))) if weights_WS is None else weights_WS
    pairs = h_DP.shape[1]
    high, low = np.full(pairs, -np.inf), np.full(pairs, np.inf)
    weighted = np.zeros((len(weights_WS), pairs))
    block = max(1, _BLOCK // pairs)
    for start in range(0, len(table_SD), block):
        values = table_SD[start : start + block] @ h_DP
        np.maximum(high, values.max(axis=0), out=high)
        np.minimum(low, values.min(axis=0), out=low)
        if len(weights_WS):
            np.abs(values, out=values)
            for into, weight in zip(weighted, weights_WS, strict=True):
                np.maximum(into, (values * weight[start : start + block, None]).max(axis=0), out=into)
    return high, low, weighted
