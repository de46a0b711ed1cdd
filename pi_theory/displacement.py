r"""How far a scaling method moves attention: the divergence of a head's attention from the one that training made.

A query reads the keys at distances s_n with the probabilities p = softmax(l), where l_n = a_n(s_n)/sqrt(d) and a_n is
the score with key n. The reference is the attention that training made: its frequencies theta_j, with every distance of
L or more read as L-1, the largest trained one. A method gives the logits l' of the frequencies theta'_j at the true
distances, multiplied by t (`pi_theory.scaling.attention_factor` squared). With Delta = l' - l,

    KL(p || p') = ln E_p exp(Delta) - E_p Delta,      TV(p, p') = sum_n |p_n - p'_n| / 2.

Both depend on Delta only up to a constant, and so they are bounded by its oscillation o = max Delta - min Delta:

    KL <= o/(e^o - 1) - 1 + ln((e^o - 1)/o) <= o^2/8,      TV <= tanh(o/4).

The first and the last are attained by rows of two keys; the second is Hoeffding's lemma. The oscillation itself is
bounded by the sizes |h_nj| of the coefficients, without their phases: |Delta_n| is at most

    r_n = sum_j |h_nj| sqrt((t - 1)^2 + 4 t sin^2((s_n theta'_j - min(s_n, L-1) theta_j)/2)) / sqrt(d),

and o at most the sum of the two largest r_n. The proofs stand in `pi_theory.proofs.prediction`, and
`pi_theory.certified.displacement` computes these bounds of a row in balls.

`displacement` adds up over the heads of a model what it takes from untouched queries and keys. That this number ranks
scaling methods by the loss they cost is a prediction to be measured; nothing in it is fitted.

Sources: clamped distances are the attention of ReRoPE (Su 2023) and LM-Infinite (Han et al. 2023, arXiv:2308.16137);
Hoeffding 1963; the attention of extended models is compared by Zhong et al. 2024, arXiv:2406.13282.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Complex, Float

from pi_theory.arguments import Number, check_count
from pi_theory.rope import Reals, exp_i, frequencies
from pi_theory.scaling import Scaling, attention_factor, scaled_frequencies

Rows = Float[np.ndarray, "*rows"]  # a number for each row of attention


@dataclass(frozen=True)
class Change:
    """What a method does to the frequencies and the temperature of heads that were trained on L tokens.

    Attributes:
        theta: the trained frequencies, shape (d/2,), in radians per position.
        scaled: those of the method, shape (d/2,).
        score_factor: the number t by which the method multiplies scores.
        window: L, the trained window in tokens.
    """

    theta: Float[np.ndarray, " half"]
    scaled: Float[np.ndarray, " half"]
    score_factor: float
    window: int

    def logits(
        self, h: Complex[np.ndarray, "*keys half"], distances: Reals
    ) -> tuple[Float[np.ndarray, "*keys"], Float[np.ndarray, "*keys"]]:
        """Returns the logits of keys before and after: l, with distances clamped to L-1, and l'.

        Args:
            h: the coefficients of a query with each key, shape (..., d/2).
            distances: the distance of each key, which broadcasts to shape (...).
        """
        s = np.asarray(distances, dtype=float)
        root = np.sqrt(2 * self.theta.size)
        before = _scores(h, np.minimum(s, self.window - 1), self.theta) / root
        return before, self.score_factor * _scores(h, s, self.scaled) / root

    def largest_shift(self, size: Float[np.ndarray, "*keys half"], distances: Reals) -> Float[np.ndarray, "*keys"]:
        """Returns r_n, the largest |l'_n - l_n| of any key whose coefficients have these sizes |h_nj|.

        Args:
            size: |h_nj|, shape (..., d/2).
            distances: the distance of each key, which broadcasts to shape (...).
        """
        s = np.asarray(distances, dtype=float)
        clamped = np.minimum(s, self.window - 1)
        angle = np.multiply.outer(s, self.scaled) - np.multiply.outer(clamped, self.theta)
        t = self.score_factor
        chord = np.sqrt((t - 1) ** 2 + 4 * t * np.sin(angle / 2) ** 2)
        return np.asarray((size * chord).sum(axis=-1) / np.sqrt(2 * self.theta.size))


def change(scaling: Scaling, *, head_dim: int, base: Number, window: int, context: int | None = None) -> Change:
    """Returns what a method does to heads of this size, base and trained window.

    Args:
        scaling: the method.
        head_dim: d, even, at least 2.
        base: c > 1.
        window: L, the trained window in tokens.
        context: the tokens in use, for dynamic NTK; ``factor * window`` if it is not given.

    Raises:
        ValueError: an argument is outside its domain.
    """
    check_count(window)
    return Change(
        theta=frequencies(head_dim, base),
        scaled=scaled_frequencies(scaling, head_dim=head_dim, base=float(base), window=window, context=context),
        score_factor=attention_factor(scaling) ** 2,
        window=window,
    )


@dataclass(frozen=True)
class Moved:
    """How far rows of attention are moved; an array over rows each.

    Attributes:
        kl: KL(p || p') in nats, from the attention before to that after.
        tv: the total variation, from 0 to 1.
        oscillation: the largest less the smallest change of a logit in the row.
    """

    kl: Rows
    tv: Rows
    oscillation: Rows


def moved(
    before: Float[np.ndarray, "*rows keys"],
    after: Float[np.ndarray, "*rows keys"],
    read: Bool[np.ndarray, "*rows keys"] | None = None,
) -> Moved:
    """Returns how far the softmax of the logits after is from that of the logits before, for each row.

    Args:
        before: the logits l, shape (..., keys).
        after: the logits l', of the same shape.
        read: which keys the query of each row may read, at least one; all of them if it is not given.

    >>> found = moved(np.array([0.0, 0.0]), np.array([0.0, 0.0]))
    >>> float(found.kl), float(found.tv)
    (0.0, 0.0)
    """
    if read is None:
        read = np.ones(before.shape, dtype=bool)
    log_p, log_q = _log_softmax(before, read), _log_softmax(after, read)
    p, q = np.exp(log_p), np.exp(log_q)
    delta = np.subtract(after, before, where=read, out=np.zeros(before.shape))
    largest, smallest = (
        delta.max(axis=-1, where=read, initial=-np.inf),
        delta.min(axis=-1, where=read, initial=np.inf),
    )
    kl = (p * np.subtract(log_p, log_q, where=read, out=np.zeros(before.shape))).sum(axis=-1)
    tv = np.abs(p - q).sum(axis=-1) / 2
    return Moved(*map(np.asarray, (np.maximum(kl, 0.0), tv, largest - smallest)))


def oscillation_bound(
    shift: Float[np.ndarray, "*rows keys"], read: Bool[np.ndarray, "*rows keys"] | None = None
) -> Rows:
    """Returns the sum of the two largest r_n of each row, which bounds the oscillation; 0 for a row of one key.

    Args:
        shift: r_n, shape (..., keys), see `Change.largest_shift`.
        read: which keys each row may read; all of them if it is not given.
    """
    if read is not None:
        shift = np.where(read, shift, 0.0)
    if shift.shape[-1] < 2:
        return np.zeros(shift.shape[:-1])
    two = np.asarray(np.partition(shift, -2, axis=-1)[..., -2:].sum(axis=-1))
    return two if read is None else np.where(read.sum(axis=-1) < 2, 0.0, two)


def kl_bound(oscillation: Reals) -> Rows:
    """Returns o/(e^o - 1) - 1 + ln((e^o - 1)/o), the largest KL(p || p') of rows with oscillation o >= 0.

    It is attained by two keys, of which the one that gains has the probability 1/o - 1/(e^o - 1); it is at most o^2/8.
    """
    o = np.asarray(oscillation, dtype=float)
    small = o < 1e-2
    safe = np.where(small, 1.0, o)
    shrunk = -np.expm1(-safe)  # 1 - e^-o
    exact = safe * np.exp(-safe) / shrunk - 1 + safe + np.log(shrunk / safe)
    return np.where(small, o**2 / 8 - o**4 / 576, exact)


def tv_bound(oscillation: Reals) -> Rows:
    """Returns tanh(o/4), the largest TV(p, p') of rows with oscillation o.

    It is attained by two keys, of which the one that gains has the probability 1/(1 + e^(o/2)).
    """
    return np.asarray(np.tanh(np.asarray(oscillation, dtype=float) / 4))


def displacement(heads: Iterable[Moved]) -> tuple[float, float]:
    """Returns the displacement of a model: the mean KL and the mean TV of a head's rows, summed over its heads.

    Args:
        heads: what `moved` gives for the rows of each head.
    """
    kl = tv = 0.0
    for rows in heads:
        kl += float(np.mean(rows.kl))
        tv += float(np.mean(rows.tv))
    return kl, tv


def _scores(h: np.ndarray, distances: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Returns the score of each key at a distance of its own, before division by sqrt(d)."""
    return np.asarray((h * exp_i(np.multiply.outer(distances, theta))).real.sum(axis=-1))


def _log_softmax(logits: np.ndarray, read: np.ndarray) -> np.ndarray:
    """Returns the logarithms of the probabilities, minus infinity for keys that are not read."""
    logits = np.where(read, logits, -np.inf)
    logits = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True)))
