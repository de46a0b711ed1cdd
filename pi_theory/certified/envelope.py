r"""Certified minima, crossings and envelopes of B(s)/d over intervals, by branch and bound.

The interval is cut into boxes. Each box gets a lower bound of B from its value and slope at the centre; boxes whose
bound lies above what is already attained elsewhere are dropped, and the others are halved until the answer is as
narrow as asked for. Two written bounds make this rigorous: one of the model within a box, one of rounding.

**One box.** On |delta| <= r around a centre s, each |A_k| is bounded by a model of second order. A common rotation of
all terms does not change |A_k|, so with w_k the mean of theta_0 .. theta_{k-1}

    |A_k(s + delta)| = |A_k + delta D_k + R|,   D_k = i (T_k - w_k A_k),   T_k = sum_{j<k} theta_j exp(i s theta_j),
    |R| <= delta^2/2 M_k,                       M_k = sum_{j<k} (theta_j - w_k)^2,

and |A_k + delta D_k| is convex in delta, so that its values at the two ends bound it from above. From below it is
bounded by Re(conj(z_k) (A_k + delta D_k)), whatever the number z_k with |z_k| <= 1; for z_k = A_k/|A_k| this is its
tangent. Summed over k,

    B(s) - r |G| - r^2 M/2  <=  B(s + delta)  <=  max over +-r of sum_k |A_k +- r D_k| + r^2 M/2,

with M = sum_k M_k and G = sum_k Re(conj(z_k) D_k) = -sum_k Im(conj(A_k) T_k)/|A_k|, with z_k = 0 where A_k = 0. Where B
has a minimum, the lower bound is off by a multiple of r^2 only, so that few boxes survive near it.

**Floating point.** Every phase exp(i s theta_j) is a product of entries of tables that
`pi_theory.certified.balls.phase_table` rounds from balls, so that nothing rests on a library's sine. Let u = 2^-53 and
n = d/2. Then

* an entry is wrong by at most 2 u;
* a product of two complex numbers of modulus 1 adds at most sqrt(5) u (Brent, Percival and Zimmermann 2007), so that a
  phase made of p products is wrong by e <= (2 (p + 1) + 3 p) u;
* a sum of k terms, in any order, adds k^2 u;
* squares, roots, the product with theta_j <= 1 and the quotient of G add at most 9 k u to a term of size k.

In G, z_k is the direction of the A_k that was computed, which need not be near the true one where A_k is about 0. It
need not be: with the true A_k and D_k, Re(conj(z_k) A_k) is at least |A_k| as computed less the error of A_k, and the
error of Re(conj(z_k) D_k) is that of D_k, so that only errors of A_k and T_k count.

Hence B, G with these z_k, and sum_k |A_k +- r D_k| with r <= 1/2 are wrong by at most

    E = n^2 (4 e + (6 n + 18) u).

That is twice what the terms above add up to, which covers the products of errors. At d = 128, E/d is 3e-12 after 16
bisections.

**Edges.** The parts of an envelope are equal as fractions, and their edges are rounded to float64. Since
| |A_k|' | <= sum_{j<k} |theta_j - w_k|, B changes by at most Lambda = sum_k sum_{j<k} |theta_j - w_k| a position; so
the bounds of a part are widened by Lambda times how far its rounded edges lie outside of it.
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

_SEGMENT = 1 << 20  # how many phases are held at once, d/2 of them for each box
_MAX_LEVEL = 44  # how often a first box is halved at most
_MAX_PENDING = 1 << 20  # how many undecided boxes are held at most
_MAX_BOXES = 1 << 27  # how many first boxes are taken at most
_MAX_PHASES = 1 << 34  # how many phases they may have in all: less than an hour of work


@dataclass(frozen=True)
class Extremum:
    """The certified minimum of B(s)/d over an interval."""

    value: Enclosure
    argmin: float  # a position at which B(s)/d is at most `value.upper`, rounded to float64
    argmin_lower: float  # all positions of the minimum lie in [argmin_lower, argmin_upper]
    argmin_upper: float


@dataclass(frozen=True)
class Envelope:
    """Piecewise constant bounds of B(s)/d: it lies in [lower[i], upper[i]] for s in [edges[i], edges[i + 1]]."""

    edges: Float[np.ndarray, " n_plus_1"]
    lower: Float[np.ndarray, " n"]
    upper: Float[np.ndarray, " n"]


@dataclass(frozen=True)
class IntegerScan:
    """What is certain about B(s)/d at the integers 0 .. upto."""

    minimum: Enclosure
    argmin: int  # the integer at which `minimum.upper` is attained
    first_below: int | None  # the first integer with B(s)/d below the level; None if there certainly is none


def search_seconds(upto: Number, *, head_dim: int, base: Number) -> float:
    """Returns about how long a search of [0, upto] takes.

    Raises:
        ValueError: an argument is outside its domain.
    """
    theta = float(check_base(base)) ** (-np.arange(0, check_head_dim(head_dim), 2) / head_dim)
    boxes = _first_boxes(Fraction(upto), head_dim, _curvature(theta))
    return 2e-7 * boxes * (theta.size + 1) + 2e-6 * 256 * theta.size  # measured


def minimum(lower: Number, upper: Number, *, head_dim: int, base: Number, rel_width: float = 1e-6) -> Extremum:
    """Returns the certified minimum of B(s)/d over all real s in [lower, upper].

    Args:
        lower: the start of the interval, taken exactly.
        upper: its end, taken exactly.
        head_dim: d, even, at least 2.
        base: c > 1, taken exactly.
        rel_width: how wide the enclosure of the minimum may be, relative to the minimum.

    Raises:
        ValueError: an argument is outside its domain, or the interval is too long to search.
        ArithmeticError: float64 does not allow an enclosure as narrow as ``rel_width``.
    """
    check_positive(rel_width, "rel_width")
    search = _Search(lower, upper, head_dim, base)
    best, argmin = math.inf, Fraction(0)

    def survivors(boxes: _Boxes) -> tuple[_Boxes, np.ndarray]:
        """Lowers `best` to the values at the centres; returns the boxes that may hold the minimum, and bounds."""
        nonlocal best, argmin
        bounds = search.bounds(boxes)
        where = int(np.argmin(bounds.value))
        if bounds.value[where] + bounds.error < best:
            best, argmin = float(bounds.value[where]) + bounds.error, search.centre(boxes, where)
        keep = bounds.lower <= best
        return boxes.take(keep), bounds.lower[keep]

    parts, held = [], 0
    for first_boxes in search.first_boxes():
        parts.append(survivors(first_boxes))
        held += parts[-1][1].size
        if held > _MAX_PENDING:
            parts = [_dropped(*part, best) for part in parts]
            held = sum(floors.size for _, floors in parts)
        if held > _MAX_PENDING:
            raise ArithmeticError(f"B(s) is near its minimum at more than {_MAX_PENDING:,} places; search less")
    boxes, floors = _concatenate(parts)
    boxes, floors = _dropped(boxes, floors, best)  # `best` fell after the first boxes were kept
    while floors.min() < best * (1 - rel_width):
        if boxes.level >= _MAX_LEVEL or boxes.index.size > _MAX_PENDING:
            raise ArithmeticError(f"rel_width: {rel_width} is narrower than float64 allows here; ask for a larger one")
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
    """Returns where B(s)/d first falls below ``level`` on [lower, upper], or None if it certainly never does.

    Args:
        lower: the start of the interval, taken exactly.
        upper: its end, taken exactly.
        head_dim: d, even, at least 2.
        base: c > 1, taken exactly.
        level: the level, in units of d.
        width: how wide the enclosure may be; it is wider where B crosses the level too slowly for float64.

    Returns:
        An enclosure of the position, or None.

    Raises:
        ValueError: an argument is outside its domain, or the interval is too long to search.
        ArithmeticError: it cannot be decided, as where B touches the level without clearly falling below it.
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
                # Balls decide what float64 cannot, as where B leaves the level with a small slope.
                near = min(start + Fraction(width), hit)
                if near == hit or _is_below(near, level, head_dim, base):
                    return Enclosure(_float_below(start), _float_above(near))
            if boxes.level >= _MAX_LEVEL or boxes.index.size > _MAX_PENDING:
                if hit is not None:  # float64 allows no narrower enclosure
                    return Enclosure(_float_below(search.edges(boxes, 0)[0]), _float_above(hit))
                where = float(search.centre(boxes, 0))
                raise ArithmeticError(
                    f"undecided: float64 cannot tell whether B(s)/d falls below {level} near s = {where}"
                )
            boxes = search.halves(boxes)
    return None


def envelope(lower: Number, upper: Number, pieces: int, *, head_dim: int, base: Number) -> Envelope:
    """Returns certified lower and upper bounds of B(s)/d, constant on ``pieces`` equal parts of [lower, upper].

    Raises:
        ValueError: an argument is outside its domain, or the interval is too long to search.
    """
    check_count(pieces, "pieces")
    search = _Search(lower, upper, head_dim, base, multiple_of=pieces)
    low, high = np.full(pieces, np.inf), np.full(pieces, -np.inf)
    for boxes in search.first_boxes():
        bounds = search.bounds(boxes)
        piece = boxes.index * pieces // search.count
        np.minimum.at(low, piece, bounds.lower)
        np.maximum.at(high, piece, search.upper_bounds(boxes))
    exact_edges = [search.start + search.span * i / pieces for i in range(pieces + 1)]
    edges = np.array([float(edge) for edge in exact_edges])
    moved = [float(Fraction(rounded) - edge) for rounded, edge in zip(edges.tolist(), exact_edges, strict=True)]
    outside = np.maximum(0, np.maximum(-np.array(moved[:-1]), np.array(moved[1:])))
    room = search.slope() * outside * (1 + 1e-9)
    return Envelope(
        edges, np.nextafter((low - room) / head_dim, -np.inf), np.nextafter((high + room) / head_dim, np.inf)
    )


def integer_scan(upto: int, *, head_dim: int, base: Number, level: Number = 1) -> IntegerScan:
    """Returns the certified minimum of B(s)/d over the integers 0 .. upto, and the first with B(s)/d < level.

    Raises:
        ValueError: an argument is outside its domain, or ``upto`` is too large to search.
        ArithmeticError: at some integer, 1024 bits do not tell on which side of the level B(s)/d lies.
    """
    check_count(upto, "upto")
    # The boxes have width 1, with the integers at their centres; nothing else of them is used.
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
    # Another integer could have a smaller value only within rounding, and the enclosure allows for that.
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
    raise ArithmeticError(f"undecided: 1024 bits do not tell whether B(s)/d is below {level} at s = {float(position)}")


@dataclass(frozen=True)
class _Boxes:
    """Some boxes of one level: number i of level l is [start + i w, start + (i + 1) w], where w = first width / 2^l."""

    level: int
    index: Int[np.ndarray, " n"]  # the numbers i
    phase: Complex[np.ndarray, "n half"]  # exp(i s theta_j) at the centres s

    def take(self, keep: Bool[np.ndarray, " n"]) -> "_Boxes":
        return _Boxes(self.level, self.index[keep], self.phase[keep])


@dataclass(frozen=True)
class _Bounds:
    value: Float[np.ndarray, " n"]  # B at the centres, wrong by at most `error`
    lower: Float[np.ndarray, " n"]  # a lower bound of B over each box
    error: float


class _Search:
    """One interval, its boxes and the bounds of B over them."""

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
        self.mean = np.cumsum(self.theta) / np.arange(1, self.theta.size + 1)
        self.curvature = _curvature(self.theta)
        if count is None:
            count = -(-_first_boxes(self.span, head_dim, self.curvature) // multiple_of) * multiple_of
        most = min(_MAX_BOXES, _MAX_PHASES // self.theta.size)
        if count > most:
            raise ValueError(
                f"interval: [{lower}, {upper}] takes {count:,} boxes, more than {most:,}; choose a shorter one"
            )
        self.count = count

    def slope(self) -> float:
        """Returns Lambda, rounded up generously."""
        return sum(float(np.abs(self.theta[:k] - mean).sum()) for k, mean in enumerate(self.mean, 1)) * (1 + 1e-9)

    def first_boxes(self) -> Iterator[_Boxes]:
        """Yields all boxes of level 0 from left to right, a segment at a time."""
        width = self.span / self.count
        fine_count = min(256, self.count)
        fine = self._table([(b + Fraction(1, 2)) * width for b in range(fine_count)])
        progress = tqdm(total=self.count, desc="B(s)/d", unit=" boxes", delay=1, leave=False, disable=None)
        with progress:
            segment = max(fine_count, _SEGMENT // self.theta.size // fine_count * fine_count)
            for first in range(0, self.count, segment):
                last = min(first + segment, self.count)
                coarse = self._table([self.start + i * width for i in range(first, last, fine_count)])
                phase = (coarse[:, None, :] * fine[None, :, :]).reshape(-1, self.theta.size)[: last - first]
                yield _Boxes(0, np.arange(first, last), phase)
                progress.update(last - first)

    def halves(self, boxes: _Boxes) -> _Boxes:
        """Returns the two halves of each box, from left to right."""
        step = self.span / self.count / 2 ** (boxes.level + 2)
        shifts = self._table([-step, step])
        phase = (boxes.phase[:, None, :] * shifts[None, :, :]).reshape(-1, self.theta.size)
        index = (2 * boxes.index[:, None] + np.arange(2)).reshape(-1)
        return _Boxes(boxes.level + 1, index, phase)

    def bounds(self, boxes: _Boxes) -> _Bounds:
        """Returns the value of B at each centre and a lower bound of B over each box."""
        sums, moments = self._sums(boxes)
        norms = np.sqrt(sums.real**2 + sums.imag**2)
        slopes = (sums.real * moments.imag - sums.imag * moments.real) / np.where(norms > 0, norms, 1)
        value, slope = norms.sum(axis=1), slopes.sum(axis=1)
        error, radius = self._error(boxes.level), self._radius(boxes.level)
        lower = value - radius * np.abs(slope) - radius**2 / 2 * self.curvature - (1 + radius) * error
        return _Bounds(value, lower, error)

    def upper_bounds(self, boxes: _Boxes) -> Float[np.ndarray, " n"]:
        """Returns an upper bound of B over each box."""
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
        """Returns whether the left edge of each box lies below a position, decided exactly."""
        return boxes.index < math.ceil((position - self.start) / (self.span / self.count / 2**boxes.level))

    def _sums(self, boxes: _Boxes) -> tuple[np.ndarray, np.ndarray]:
        """Returns A_k and T_k at the centres."""
        return np.cumsum(boxes.phase, axis=1), np.cumsum(boxes.phase * self.theta, axis=1)

    def _radius(self, level: int) -> float:
        """Returns r, half the width of a box, rounded up."""
        return _up(float(self.span / self.count / 2 ** (level + 1)))

    def _error(self, level: int) -> float:
        """Returns E of the module's docstring: how wrong float64 values of B may be at this level."""
        n, products = self.theta.size, level + 1
        phase_error = (products + 1) * TABLE_ERROR + 3 * products * UNIT_ROUNDOFF
        return n**2 * (4 * phase_error + (6 * n + 18) * UNIT_ROUNDOFF)

    def _table(self, positions: list[Fraction]) -> np.ndarray:
        return phase_table(positions, head_dim=self.head_dim, base=self.base)


def _curvature(theta: Float[np.ndarray, " half"]) -> float:
    """Returns M = sum_k M_k, rounded up generously: the relative error of these sums is far below 1e-9."""
    k = np.arange(1, theta.size + 1)
    spread = np.cumsum(theta**2) - np.cumsum(theta) ** 2 / k
    return float(np.maximum(spread, 0).sum()) * (1 + 1e-9) + 1e-9


def _first_boxes(span: Fraction, head_dim: int, curvature: float) -> int:
    # At first r^2 M/2 is d/50, which is coarse enough to be quick and fine enough to drop most boxes.
    return math.ceil(span / Fraction(min(1.0, 2 * math.sqrt(0.04 * head_dim / curvature))))


def _dropped(boxes: _Boxes, floors: np.ndarray, best: float) -> tuple[_Boxes, np.ndarray]:
    """Returns the boxes that may hold a value as low as the best found so far."""
    keep = floors <= best
    return boxes.take(keep), floors[keep]


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
