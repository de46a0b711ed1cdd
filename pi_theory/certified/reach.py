"""The reach of a scaling method, proved: whether a phase is within its trained arc is decided without rounding.

`pi_theory.reach` explains the reach. Only the first slow pair matters, because no method slows a pair less than a
faster one. What theta'_j / theta_j of that pair is decides how it is compared:

* rational, where a frequency is kept, divided by kappa, or kept in part by YaRN's ramp between whole indices: exactly;
* a root of a rational number, with NTK: in balls, and where they do not part, in whole powers;
* transcendental, because it contains pi, where Llama 3 or YaRN's ramp between real indices keeps a frequency in part:
  in balls, whose precision is raised until they part.
"""

from collections.abc import Callable
from fractions import Fraction

from flint import arb, ctx

from pi_theory.arguments import Number, check_base, check_count, check_head_dim
from pi_theory.certified.balls import exact
from pi_theory.reach import Reach, longest_window
from pi_theory.scaling import DynamicNTK, LinearPI, Llama3, NoScaling, NTKAware, Scaling, Yarn, scaled_frequencies

_PRECISIONS = (64, 256, 1024, 4096)


def certified_reach(scaling: Scaling, *, head_dim: int, base: Number, window: int) -> Reach:
    """Returns the longest window in which every slow pair's phase stays within its trained arc, proved.

    Args:
        scaling: the method.
        head_dim: d, even, at least 2.
        base: c > 1, taken exactly.
        window: L, the trained window in tokens.

    Raises:
        ValueError: an argument is outside its domain.
        ArithmeticError: a comparison is too close to be decided at 4096 bits.
    """
    first = certified_first_slow_pair(head_dim, base, window)
    if first is None:
        return Reach(None, None)
    tokens = longest_window(_within_arc(scaling, first, head_dim, base, window), window)
    return Reach(tokens, None if tokens is None else first)


def certified_first_slow_pair(head_dim: int, base: Number, window: int) -> int | None:
    """Returns the smallest j with L theta_j < 2 pi, or None if every pair turns at least once in the window, proved."""
    check_head_dim(head_dim)
    check_base(base)
    check_count(window)
    first = max(_floor(lambda: _index_with_turns(1.0, head_dim, base, window)) + 1, 0)
    return first if first < head_dim // 2 else None


def _within_arc(scaling: Scaling, pair: int, head_dim: int, base: Number, window: int) -> Callable[[int], bool]:
    """Returns whether (W - 1) theta'_j <= (L - 1) theta_j, as a function of the number W of tokens, for a slow pair."""
    last = window - 1
    match scaling:
        case NoScaling():
            return lambda tokens: tokens - 1 <= last
        case LinearPI(factor=factor):
            return lambda tokens: tokens - 1 <= last * Fraction(factor)
        case NTKAware(factor=factor):
            exponent = _ntk_exponent(pair, head_dim)
            return lambda tokens: _at_most_power(tokens - 1, last, Fraction(factor), exponent)
        case DynamicNTK(factor=factor):
            exponent, kappa = _ntk_exponent(pair, head_dim), Fraction(factor)
            return lambda tokens: _at_most_power(tokens - 1, last, kappa * tokens / window - (kappa - 1), exponent)
        case Yarn(factor=factor):
            kept = _yarn_kept(scaling, pair, head_dim, base, window)
        case Llama3(factor=factor):
            kept = _llama3_kept(scaling, pair, head_dim, base, window)
        case _:  # a method added later: its float64 frequencies, which are what a model computes with
            scaled = scaled_frequencies(scaling, head_dim=head_dim, base=float(base), window=window)[pair]
            slowed = lambda: exact(float(scaled)) / _theta(pair, head_dim, base)  # noqa: E731
            return lambda tokens: _at_most(slowed, Fraction(last, tokens - 1))
    kappa = Fraction(factor)

    def within(tokens: int) -> bool:
        if tokens <= window or kappa == 1:
            return tokens <= window
        # theta'_j / theta_j = (1 + (kappa - 1) kept) / kappa, where kept is the share that is not divided
        return _at_most(kept, (kappa * Fraction(last, tokens - 1) - 1) / (kappa - 1))

    return within


def _ntk_exponent(pair: int, head_dim: int) -> Fraction:
    return Fraction(2 * pair, max(head_dim - 2, 1))


def _at_most_power(distance: int, last: int, base: Fraction, exponent: Fraction) -> bool:
    """Returns whether distance <= last base^exponent, for whole numbers >= 0, base >= 1 and exponent >= 0."""
    if distance <= last or last == 0:
        return distance <= last
    ratio = Fraction(distance, last)
    with ctx.workprec(128):
        room = exact(exponent) * exact(base).log() - exact(ratio).log()
    if room > 0 or room < 0:
        return bool(room > 0)
    return ratio**exponent.denominator <= base**exponent.numerator


def _yarn_kept(scaling: Yarn, pair: int, head_dim: int, base: Number, window: int) -> Fraction | Callable[[], arb]:
    """Returns the share of a frequency that YaRN's ramp keeps, from 0 to 1."""

    def end(turns: float) -> arb:
        return _index_with_turns(turns, head_dim, base, window)

    if scaling.truncate:
        first = max(_floor(lambda: end(scaling.beta_fast)), 0)
        last = min(-_floor(lambda: -end(scaling.beta_slow)), head_dim - 1)
        width = last - first or Fraction("0.001")  # the published code's way to keep the ramp from being of zero width
        return min(max(1 - Fraction(pair - first) / width, Fraction(0)), Fraction(1))

    def kept() -> arb:
        first = end(scaling.beta_fast).max(arb(0))
        last = end(scaling.beta_slow).min(arb(head_dim - 1))
        return (1 - (pair - first) / (last - first)).max(arb(0)).min(arb(1))

    return kept


def _llama3_kept(scaling: Llama3, pair: int, head_dim: int, base: Number, window: int) -> Fraction | Callable[[], arb]:
    """Returns the share of a frequency that Llama-3 scaling keeps, from 0 to 1."""

    def kept() -> arb:
        low, high = exact(scaling.low_freq_factor), exact(scaling.high_freq_factor)
        turns = window * _theta(pair, head_dim, base) / (2 * arb.pi())
        return ((turns - low) / (high - low)).max(arb(0)).min(arb(1))

    return kept


def _theta(pair: int, head_dim: int, base: Number) -> arb:
    return (-2 * pair * exact(base).log() / head_dim).exp()


def _index_with_turns(turns: float, head_dim: int, base: Number, window: int) -> arb:
    """Returns the real index j at which a pair turns so many times in the window: L c^(-2j/d) = 2 pi turns."""
    return head_dim * (window / (2 * arb.pi() * exact(turns))).log() / (2 * exact(base).log())


def _at_most(value: Fraction | Callable[[], arb], bound: Fraction) -> bool:
    """Returns whether a number is at most a rational one; a ball is made anew at a higher precision until it tells."""
    if isinstance(value, Fraction):
        return value <= bound
    for bits in _PRECISIONS:
        with ctx.workprec(bits):
            ball = value()
            if ball <= exact(bound) or ball > exact(bound):
                return bool(ball <= exact(bound))
    raise ArithmeticError(f"window: whether a pair is within its arc is not decided at {_PRECISIONS[-1]} bits")


def _floor(make: Callable[[], arb]) -> int:
    """Returns the largest integer that is not above a number, of which a ball is made at the working precision."""
    for bits in _PRECISIONS:
        with ctx.workprec(bits):
            if (found := make().floor().unique_fmpz()) is not None:
                return int(found)
    raise ArithmeticError(f"window: an index of turns is too near an integer to be decided at {_PRECISIONS[-1]} bits")
