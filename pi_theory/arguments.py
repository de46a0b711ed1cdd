"""The domain of every argument, checked in one place: each message names the argument and what it must be."""

import math
from fractions import Fraction
from numbers import Real

Number = int | float | Fraction


def check_head_dim(head_dim: int, name: str = "head_dim") -> int:
    if isinstance(head_dim, bool) or not isinstance(head_dim, int) or head_dim < 2 or head_dim % 2:
        raise ValueError(f"{name}: must be an even integer >= 2, got {_show(head_dim)}")
    return head_dim


def check_base(base: Number, name: str = "base") -> Number:
    if not _finite(base) or base <= 1:
        raise ValueError(f"{name}: must be a finite number > 1, got {_show(base)}")
    return base


def check_count(count: int, name: str = "window") -> int:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"{name}: must be an integer >= 1, got {_show(count)}")
    return count


def check_factor(factor: Number, name: str = "factor") -> Number:
    if not _finite(factor) or factor < 1:
        raise ValueError(
            f"{name}: must be a finite number >= 1 (extended window / trained window), got {_show(factor)}"
        )
    return factor


def check_positive(value: Number, name: str) -> Number:
    if not _finite(value) or value <= 0:
        raise ValueError(f"{name}: must be a finite number > 0, got {_show(value)}")
    return value


def check_finite(value: Number, name: str) -> Number:
    if not _finite(value):
        raise ValueError(f"{name}: must be a finite number, got {_show(value)}")
    return value


def check_interval(lower: Number, upper: Number, name: str = "interval") -> tuple[Number, Number]:
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
    except OverflowError:  # an integer or fraction beyond float64
        return False


def _show(value: object) -> str:
    text = str(value) if isinstance(value, Fraction) else repr(value)
    return text if len(text) < 60 else text[:57] + "..."
