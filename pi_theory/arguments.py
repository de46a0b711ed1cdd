"""Checks of arguments: one function for each kind of number that the package takes.

Each returns its argument, or raises a ValueError whose message names the argument, what it must be and what it was.
"""

import math
from fractions import Fraction
from numbers import Real

Number = int | float | Fraction
"""A real number, taken exactly: a float stands for its binary value."""


def check_head_dim(head_dim: int, name: str = "head_dim") -> int:
    """Returns d, the dimension of an attention head, if it is an even integer of at least 2."""
    if isinstance(head_dim, bool) or not isinstance(head_dim, int) or head_dim < 2 or head_dim % 2:
        raise ValueError(f"{name}: must be an even integer >= 2, got {_show(head_dim)}")
    return head_dim


def check_base(base: Number, name: str = "base") -> Number:
    """Returns c, the base of the RoPE frequencies, if it is a finite number above 1."""
    if not _finite(base) or base <= 1:
        raise ValueError(f"{name}: must be a finite number > 1, got {_show(base)}")
    return base


def check_count(count: int, name: str = "window") -> int:
    """Returns a number of things, of tokens in a window unless ``name`` says otherwise, if it is at least 1."""
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{name}: must be an integer >= 1, got {_show(count)}")
    return count


def check_factor(factor: Number, name: str = "factor") -> Number:
    """Returns L'/L, the extended window over the trained one, if it is a finite number of at least 1."""
    if not _finite(factor) or factor < 1:
        raise ValueError(
            f"{name}: must be a finite number >= 1 (extended window / trained window), got {_show(factor)}"
        )
    return factor


def check_positive(value: Number, name: str) -> Number:
    """Returns a finite number above 0."""
    if not _finite(value) or value <= 0:
        raise ValueError(f"{name}: must be a finite number > 0, got {_show(value)}")
    return value


def check_finite(value: Number, name: str) -> Number:
    """Returns a finite number."""
    if not _finite(value):
        raise ValueError(f"{name}: must be a finite number, got {_show(value)}")
    return value


def check_interval(lower: Number, upper: Number, name: str = "interval") -> tuple[Number, Number]:
    """Returns the two ends of an interval if both are finite and the first lies below the second."""
    check_finite(lower, f"{name} start")
    check_finite(upper, f"{name} end")
    if not lower < upper:
        raise ValueError(f"{name}: start must be below end, got [{_show(lower)}, {_show(upper)}]")
    return lower, upper


def _finite(value: object) -> bool:
    if not isinstance(value, Real) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer or fraction too large for float64
        return False


def _show(value: object) -> str:
    text = str(value) if isinstance(value, Fraction) else repr(value)
    return text if len(text) < 60 else text[:57] + "..."
