r"""Certified extrema and crossings of B(s)/d over intervals, by branch and bound with a written error bound.

**One box.** On |delta| <= r around a centre s, each |A_k| is bounded by a model of second order. |A_k| does not see a
common rotation, so with w_k the mean of theta_0 .. theta_{k-1}

    |A_k(s + delta)| = |A_k + delta D_k + R|,   D_k = i (T_k - w_k A_k),   T_k = sum_{j<k} theta_j exp(i s theta_j),
    |R| <= delta^2/2 M_k,                       M_k = sum_{j<k} (theta_j - w_k)^2,

and |A_k + delta D_k| is convex in delta. Its tangent bounds it from below, its ends from above. Summed over k,

    B(s) - r |G| - r^2 M/2  <=  B(s + delta)  <=  max over +-r of sum_k |A_k +- r D_k| + r^2 M/2,

with G = sum_k Re(conj(A_k) D_k)/|A_k| = -sum_k Im(conj(A_k) T_k)/|A_k| (a term with A_k = 0 is bounded by 0).
The width of the lower bound falls as r^2 where B has a minimum, so few boxes survive near it.

**Floating point.** Every phase exp(i s theta_j) is a product of entries of tables that `intervals.phase_table` rounds
from balls, so nothing rests on a library's sine. With u = 2^-53, n = d/2:
an entry is wrong by at most 2u; a product of two complex numbers of modulus 1 adds at most sqrt(5) u (Brent, Percival
and Zimmermann 2007), so a phase made of p products is wrong by e <= (2 (p + 1) + 3 p) u; sums of k terms, in any order,
add k^2 u; squares, roots, the product with theta_j <= 1 and the quotient of G add at most 9 k u to a term of size k.
Hence B, G and sum_k |A_k +- r D_k| (r <= 1/2) are wrong by at most

    E = n^2 (4 e + (6 n + 18) u),

twice what the terms above add up to, which covers products of errors. E/d is 3e-12 at d = 128 after 16 bisections.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Complex, Float, Int
from tqdm import tqdm

from pi_theory.arguments import Number, check_base, check_count, check_head_dim, check_interval, check_positive
from pi_theory.certified.balls import (
    TABLE_ERROR,
    UNIT_ROUNDOFF,
    B_ball,
    Enclosure,
    certified_frequencies,
    enclosure,
    exact,
    phase_table,
)

_SEGMENT = 1 << 14  # boxes evaluated at once
_MAX_LEVEL = 44  # bisections of a first box
_MAX_PENDING = 1 << 20  # undecided boxes held at once
_MAX_BOXES = 1 << 27  # some minutes of work, reached near upto = 5e7 at d = 128


@dataclass(frozen=True)
class Extremum:
    """The minimum of B(s)/d over an interval."""

    value: Enclosure
    argmin: float  # where `value.upper` is attained, to float64
    argmin_lower: float  # every minimiser lies in [argmin_lower, argmin_upper]
    argmin_upper: float


@dataclass(frozen=True)
class Envelope:
    """Piecewise constant bounds: lower[i] <= B(s)/d <= upper[i] for s in [edges[i], edges[i + 1]]."""

    edges: Float[np.ndarray, " n_plus_1"]
    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class IntegerScan:
    """B(s)/d at the integers 0 .. upto."""

    minimum: Enclosure
    argmin: int
    first_below: int | None  # the first integer with B(s) < level d, proved; None when there is none, proved


def minimum(lower: Number, upper: Number, *, head_dim: int, base: Number, rel_width: float = 1e-6) -> Extremum:
    """The certified minimum of B(s)/d over real s in [lower, upper].

    Args:
        lower, upper: the interval, taken exactly.
        head_dim, base: d and c.
        rel_width: the enclosure's width over its value. A narrower one than float64 allows ends in ArithmeticError.

    Raises:
        ValueError: an argument outside its domain, or an interval that would take too many boxes.
        ArithmeticError: the width was not reached.
    """
    check_positive(rel_width, "rel_width")
    search = _Search(lower, upper, head_dim, base)
    best, argmin = math.inf, Fraction(0)

    def survivors(boxes: _Boxes) -> tuple[_Boxes, np.ndarray]:
        """The boxes that may hold the minimum, with their lower bounds, after `best` has seen their centres."""
        nonlocal best, argmin
        bounds = search.bounds(boxes)
        where = int(np.argmin(bounds.value))
        if bounds.value[where] + bounds.error < best:
            best, argmin = float(bounds.value[where]) + bounds.error, search.centre(boxes, where)
        keep = bounds.lower <= best
        return boxes.take(keep), bounds.lower[keep]

    boxes, floors = _concatenate([survivors(boxes) for boxes in search.first_boxes()])
    boxes, floors = boxes.take(floors <= best), floors[floors <= best]  # `best` has fallen since the first of them
    while floors.min() < best * (1 - rel_width):
        if boxes.level >= _MAX_LEVEL or boxes.index.size > _MAX_PENDING:
            raise ArithmeticError(f"rel_width: {rel_width} was not reached; float64 allows no narrower enclosure")
        boxes, floors = survivors(search.halves(boxes))
    first, last = (
        search.edges(boxes, int(np.argmin(boxes.index)))[0],
        search.edges(boxes, int(np.argmax(boxes.index)))[1],
    )
    return Extremum(
        value=Enclosure(_down(floors.min() / head_dim), _up(best / head_dim)),
        argmin=float(argmin),
        argmin_lower=_float_below(first),
        argmin_upper=_float_above(last),
    )


def first_below(
    lower: Number, upper: Number, *, head_dim: int, base: Number, level: Number = 1, width: float = 1e-9
) -> Enclosure | None:
    """Where B(s)/d first falls below ``level`` on [lower, upper]: an enclosure of that s, or None: proved never to.

    The enclosure is at most ``width`` wide, or as narrow as float64 allows where B crosses the level slowly.

    Raises:
        ValueError: an argument outside its domain, or an interval that would take too many boxes.
        ArithmeticError: undecided, as where B touches the level without falling below what float64 can tell.
    """
    check_positive(width, "width")
    search = _Search(lower, upper, head_dim, base)
    threshold = float(level) * head_dim
    for boxes in search.first_boxes():
        hit: Fraction | None = None
        while boxes.index.size:
            bounds = search.bounds(boxes)
            below = np.flatnonzero(bounds.value + bounds.error < threshold)
            if below.size:
                candidate = search.centre(boxes, int(below[0]))
                hit = candidate if hit is None else min(hit, candidate)
            boxes = boxes.take(bounds.lower < threshold)
            if hit is not None:
                boxes = boxes.take(search.starts_before(boxes, hit))
                start = search.edges(boxes, 0)[0] if boxes.index.size else hit
                # Balls settle what float64 cannot, as where B leaves the level flat.
                near = min(start + Fraction(width), hit)
                if near == hit or _is_below(near, level, head_dim, base):
                    return Enclosure(_float_below(start), _float_above(near))
            if boxes.level >= _MAX_LEVEL or boxes.index.size > _MAX_PENDING:
                if hit is not None:  # float64 allows no narrower enclosure
                    return Enclosure(_float_below(search.edges(boxes, 0)[0]), _float_above(hit))
                where = float(search.centre(boxes, 0))
                raise ArithmeticError(f"undecided: whether B(s)/d falls below {level} near s = {where}")
            boxes = search.halves(boxes)
    return None


def envelope(lower: Number, upper: Number, pieces: int, *, head_dim: int, base: Number) -> Envelope:
    """Certified lower and upper envelope of B(s)/d, constant on ``pieces`` equal parts of [lower, upper]."""
    check_count(pieces, "pieces")
    search = _Search(lower, upper, head_dim, base, multiple_of=pieces)
    low, high = np.full(pieces, np.inf), np.full(pieces, -np.inf)
    for boxes in search.first_boxes():
        bounds = search.bounds(boxes)
        piece = boxes.index * pieces // search.count
        np.minimum.at(low, piece, bounds.lower)
        np.maximum.at(high, piece, search.upper_bounds(boxes))
    edges = np.array([float(search.start + search.span * i / pieces) for i in range(pieces + 1)])
    return Envelope(edges, np.nextafter(low / head_dim, -np.inf), np.nextafter(high / head_dim, np.inf))


def integer_scan(upto: int, *, head_dim: int, base: Number, level: Number = 1) -> IntegerScan:
    """The certified minimum of B(s)/d over the integers 0 .. upto, and the first with B(s)/d < level.

    Raises:
        ValueError: an argument outside its domain.
        ArithmeticError: an integer whose side of the level 1024 bits cannot tell.
    """
    check_count(upto, "upto")
    # Boxes of width 1 around the integers: only their centres are used.
    search = _Search(Fraction(-1, 2), upto + Fraction(1, 2), head_dim, base, count=upto + 1)
    smallest, argmin, first = math.inf, 0, None
    for boxes in search.first_boxes():
        bounds = search.bounds(boxes)
        where = int(np.argmin(bounds.value))
        if bounds.value[where] < smallest:
            smallest, argmin = float(bounds.value[where]), int(boxes.index[where])
        if first is None:
            for i in np.flatnonzero(bounds.value - bounds.error < float(level) * head_dim * (1 + 1e-15)):
                if _is_below(int(boxes.index[i]), level, head_dim, base):
                    first = int(boxes.index[i])
                    break
    # Another integer could beat argmin by rounding only; the enclosure allows for it.
    at_argmin = enclosure(B_ball(argmin, head_dim=head_dim, base=base))
    lower = min(at_argmin.lower, smallest - bounds.error)
    return IntegerScan(Enclosure(_down(lower / head_dim), _up(at_argmin.upper / head_dim)), argmin, first)


def _is_below(position: Number, level: Number, head_dim: int, base: Number) -> bool:
    for bits in (128, 256, 512, 1024):
        value = B_ball(position, head_dim=head_dim, base=base, bits=bits)
        threshold = exact(level) * head_dim
        if value < threshold:
            return True
        if value >= threshold:
            return False
    raise ArithmeticError(f"undecided: whether B({float(position)})/d is below {level}, at 1024 bits")


@dataclass(frozen=True)
class _Boxes:
    """Box ``index`` of level l is [start + index w, start + (index + 1) w] with w = first width / 2^l."""

    level: int
    index: Int[np.ndarray, " n"]
    phase: Complex[np.ndarray, "n half"]  # at the centres

    def take(self, keep: Bool[np.ndarray, " n"]) -> "_Boxes":
        return _Boxes(self.level, self.index[keep], self.phase[keep])


@dataclass(frozen=True)
class _Bounds:
    value: Float[np.ndarray, " n"]  # B at the centres, within `error`
    lower: Float[np.ndarray, " n"]  # of B over each box
    error: float


class _Search:
    """The boxes of one interval and the bounds of B over them."""

    def __init__(
        self,
        lower: Number,
        upper: Number,
        head_dim: int,
        base: Number,
        *,
        multiple_of: int = 1,
        count: int | None = None,
    ) -> None:
        check_head_dim(head_dim)
        check_base(base)
        check_interval(lower, upper)
        self.head_dim, self.base = head_dim, base
        self.start, self.span = Fraction(lower), Fraction(upper) - Fraction(lower)
        self.theta = certified_frequencies(head_dim, base)
        k = np.arange(1, self.theta.size + 1)
        self.mean = np.cumsum(self.theta) / k
        # M = sum_k M_k, rounded up generously: the relative error of these sums is far below 1e-9.
        spread = np.cumsum(self.theta**2) - k * self.mean**2
        self.curvature = float(np.maximum(spread, 0).sum()) * (1 + 1e-9) + 1e-9
        if count is None:
            # r^2 M/2 is a fiftieth of d at first: coarse enough to be quick, fine enough to rule most boxes out
            width = min(1.0, 2 * math.sqrt(0.04 * head_dim / self.curvature))
            count = math.ceil(self.span / Fraction(width))
            count = -(-count // multiple_of) * multiple_of
        if count > _MAX_BOXES:
            raise ValueError(f"interval: [{lower}, {upper}] would take {count:,} boxes; the limit is {_MAX_BOXES:,}")
        self.count = count

    def first_boxes(self) -> Iterator[_Boxes]:
        """All boxes of level 0, left to right, a segment at a time."""
        width = self.span / self.count
        fine_count = min(256, self.count)
        fine = self._table([(b + Fraction(1, 2)) * width for b in range(fine_count)])
        progress = tqdm(total=self.count, desc="B(s)/d", unit=" boxes", delay=1, leave=False, disable=None)
        with progress:
            for first in range(0, self.count, _SEGMENT):
                last = min(first + _SEGMENT, self.count)
                coarse = self._table([self.start + i * width for i in range(first, last, fine_count)])
                phase = (coarse[:, None, :] * fine[None, :, :]).reshape(-1, self.theta.size)[: last - first]
                yield _Boxes(0, np.arange(first, last), phase)
                progress.update(last - first)

    def halves(self, boxes: _Boxes) -> _Boxes:
        """Each box cut in two, in order."""
        step = self.span / self.count / 2 ** (boxes.level + 2)
        shifts = self._table([-step, step])
        phase = (boxes.phase[:, None, :] * shifts[None, :, :]).reshape(-1, self.theta.size)
        index = (2 * boxes.index[:, None] + np.arange(2)).reshape(-1)
        return _Boxes(boxes.level + 1, index, phase)

    def bounds(self, boxes: _Boxes) -> _Bounds:
        sums, moments = self._sums(boxes)
        norms = np.sqrt(sums.real**2 + sums.imag**2)
        slopes = (sums.real * moments.imag - sums.imag * moments.real) / np.where(norms > 0, norms, 1)
        value, slope = norms.sum(axis=1), slopes.sum(axis=1)
        error, radius = self._error(boxes.level), self._radius(boxes.level)
        lower = value - radius * np.abs(slope) - radius**2 / 2 * self.curvature - (1 + radius) * error
        return _Bounds(value, lower, error)

    def upper_bounds(self, boxes: _Boxes) -> Float[np.ndarray, " n"]:
        """Of B over each box."""
        sums, moments = self._sums(boxes)
        radius = self._radius(boxes.level)
        step = 1j * radius * (moments - self.mean * sums)
        ends = [np.sqrt(z.real**2 + z.imag**2).sum(axis=1) for z in (sums + step, sums - step)]
        return np.maximum(*ends) + radius**2 / 2 * self.curvature + self._error(boxes.level)

    def centre(self, boxes: _Boxes, i: int) -> Fraction:
        left, right = self.edges(boxes, i)
        return (left + right) / 2

    def edges(self, boxes: _Boxes, i: int) -> tuple[Fraction, Fraction]:
        width = self.span / self.count / 2**boxes.level
        left = self.start + int(boxes.index[i]) * width
        return left, left + width

    def starts_before(self, boxes: _Boxes, position: Fraction) -> Bool[np.ndarray, " n"]:
        """Whether each box's left edge lies below a position, exactly."""
        return boxes.index < math.ceil((position - self.start) / (self.span / self.count / 2**boxes.level))

    def _sums(self, boxes: _Boxes) -> tuple[np.ndarray, np.ndarray]:
        return np.cumsum(boxes.phase, axis=1), np.cumsum(boxes.phase * self.theta, axis=1)

    def _radius(self, level: int) -> float:
        return _up(float(self.span / self.count / 2 ** (level + 1)))

    def _error(self, level: int) -> float:
        n, products = self.theta.size, level + 1
        phase_error = (products + 1) * TABLE_ERROR + 3 * products * UNIT_ROUNDOFF
        return n**2 * (4 * phase_error + (6 * n + 18) * UNIT_ROUNDOFF)

    def _table(self, positions: list[Fraction]) -> np.ndarray:
        return phase_table(positions, head_dim=self.head_dim, base=self.base)


def _concatenate(parts: list[tuple[_Boxes, np.ndarray]]) -> tuple[_Boxes, np.ndarray]:
    boxes = _Boxes(
        parts[0][0].level,
        np.concatenate([part.index for part, _ in parts]),
        np.concatenate([part.phase for part, _ in parts]),
    )
    return boxes, np.concatenate([floors for _, floors in parts])


def _down(x: float) -> float:
    return math.nextafter(float(x), -math.inf)


def _up(x: float) -> float:
    return math.nextafter(float(x), math.inf)


def _float_below(x: Fraction) -> float:
    return float(x) if Fraction(float(x)) <= x else _down(float(x))


def _float_above(x: Fraction) -> float:
    return float(x) if Fraction(float(x)) >= x else _up(float(x))
