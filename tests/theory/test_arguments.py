import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.arguments import (
    check_base,
    check_count,
    check_factor,
    check_finite,
    check_head_dim,
    check_interval,
    check_positive,
)

numbers = st.one_of(st.integers(), st.floats(), st.fractions())


def accepts(check, value):
    """Whether a check lets a value pass; a refusal must name the argument."""
    try:
        check(value, "x")
    except ValueError as error:
        if str(error).startswith("x: must be"):
            return False
        raise
    return True


@given(numbers)
def test_each_check_of_a_number_accepts_exactly_its_domain(value):
    finite = not isinstance(value, float) or math.isfinite(value)
    assert accepts(check_finite, value) == finite
    assert accepts(check_positive, value) == (finite and value > 0)
    assert accepts(check_base, value) == (finite and value > 1)
    assert accepts(check_factor, value) == (finite and value >= 1)


@given(st.integers())
def test_each_check_of_an_integer_accepts_exactly_its_domain(value):
    assert accepts(check_count, value) == (value >= 1)
    assert accepts(check_head_dim, value) == (value >= 2 and value % 2 == 0)


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(allow_nan=False, allow_infinity=False))
def test_an_interval_needs_its_start_below_its_end(lower, upper):
    if lower < upper:
        assert check_interval(lower, upper) == (lower, upper)
    else:
        with pytest.raises(ValueError, match="interval: start must be below end"):
            check_interval(lower, upper)


def test_numbers_beyond_float64_are_refused_and_shown_in_one_line():
    for value in (10**400, Fraction(10**400, 3)):
        with pytest.raises(ValueError, match="must be a finite number") as error:
            check_finite(value, "x")
        assert len(str(error.value)) < 120
