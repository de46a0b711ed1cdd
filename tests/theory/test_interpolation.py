import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pi_theory.interpolation import (
    interpolation_error,
    linear_interpolant,
    published_bound,
    published_margin,
    sharp_bound,
    sharp_witness,
    smallest_valid_head_dim,
    taylor_bound,
    taylor_margin,
)
from pi_theory.rope import frequencies, score
from tests.theory import strategies as some


@st.composite
def intervals(draw):
    """s1 < s2 and a point s between."""
    s1 = draw(st.floats(-2000, 2000))
    length = draw(st.floats(1e-3, 50))
    return s1 + draw(st.floats(0, 1)) * length, s1, s1 + length


@given(some.coefficients(), some.bases, intervals())
def test_every_score_stays_within_the_sharp_bound_of_its_chord(h, base, interval):
    kw = {"head_dim": 2 * h.size, "base": base}
    s, s1, s2 = interval
    assume(s1 <= s <= s2)
    assert abs(interpolation_error(h, s, s1, s2, **kw)) <= sharp_bound(s, s1, s2, **kw) * (1 + 1e-12) + 1e-12


@given(some.coefficients(), some.bases, intervals())
def test_interpolation_error_is_score_minus_chord(h, base, interval):
    s, s1, s2 = interval
    assume(s1 <= s <= s2)
    theta = frequencies(2 * h.size, base)
    lam = (s - s1) / (s2 - s1)
    chord = (1 - lam) * score(h, s1, theta) + lam * score(h, s2, theta)
    assert interpolation_error(h, s, s1, s2, head_dim=2 * h.size, base=base) == pytest.approx(
        float(score(h, s, theta) - chord), abs=1e-8
    )


@given(some.head_dims, some.bases, intervals())
def test_the_sharp_bound_is_attained_by_its_witness(head_dim, base, interval):
    kw = {"head_dim": head_dim, "base": base}
    s, s1, s2 = interval
    assume(s1 <= s <= s2)
    h = sharp_witness(s, s1, s2, **kw)
    np.testing.assert_allclose(np.abs(h), 1)
    assert interpolation_error(h, s, s1, s2, **kw) == pytest.approx(sharp_bound(s, s1, s2, **kw), rel=1e-9, abs=1e-12)


@given(some.head_dims, some.bases, intervals())
def test_sharp_is_at_most_taylor(head_dim, base, interval):
    kw = {"head_dim": head_dim, "base": base}
    s, s1, s2 = interval
    assume(s1 <= s <= s2)
    assert sharp_bound(s, s1, s2, **kw) <= taylor_bound(s, s1, s2, **kw) * (1 + 1e-9) + 1e-12


@given(some.head_dims, some.bases)
def test_taylor_becomes_sharp_on_short_intervals(head_dim, base):
    kw = {"head_dim": head_dim, "base": base}
    sharp, taylor = sharp_bound(5e-3, 0, 1e-2, **kw), taylor_bound(5e-3, 0, 1e-2, **kw)
    assert sharp == pytest.approx(taylor, rel=1e-4)


@given(some.head_dims, some.bases, st.floats(0.01, 0.99))
def test_the_sharp_bound_over_its_parabola_peaks_at_the_midpoint(head_dim, base, lam):
    kw = {"head_dim": head_dim, "base": base}
    here = sharp_bound(lam, 0, 1, **kw) / (lam * (1 - lam))
    assert here <= sharp_bound(0.5, 0, 1, **kw) / 0.25 * (1 + 1e-9)


@given(some.head_dims, some.bases)
def test_the_published_bound_is_violated_exactly_where_the_margin_exceeds_one(head_dim, base):
    kw = {"head_dim": head_dim, "base": base}
    h = -np.exp(-0.5j * frequencies(head_dim, base))
    error, bound = abs(interpolation_error(h, 0.5, 0, 1, **kw)), published_bound(0.5, 0, 1, **kw)
    assert error / bound == pytest.approx(published_margin(head_dim, base), rel=1e-9)


@given(some.head_dims, some.bases)
def test_the_margin_falls_with_the_head_dimension_and_rises_with_the_base(head_dim, base):
    here = published_margin(head_dim, base)
    assert published_margin(head_dim + 2, base) < here * (1 + 1e-12)
    assert published_margin(head_dim, base * 1.01) > here * (1 - 1e-12)


def test_the_smallest_valid_head_dimension_grows_as_190_times_ln_c():
    for base in (1e4, 1e6, 1e8):
        assert smallest_valid_head_dim(base) / math.log(base) == pytest.approx(189.8, abs=0.3)


@given(some.head_dims, some.bases)
def test_on_every_interval_the_theorem_needs_more_than_on_unit_intervals(head_dim, base):
    assert taylor_margin(head_dim, base) >= published_margin(head_dim, base)


@given(some.head_dims, some.bases)
def test_adding_a_quarter_and_a_bit_repairs_the_theorem(head_dim, base):
    log_c = math.log(base)
    repaired = head_dim / (8 * log_c) + 0.25 + log_c / (6 * head_dim)
    assert taylor_bound(0.5, 0, 1, head_dim=head_dim, base=base) <= repaired / 4 * (1 + 1e-12)


def test_the_linear_interpolant_meets_the_score_at_integers():
    h = np.random.default_rng(0).standard_normal(8) + 0j
    integers = np.arange(20.0)
    np.testing.assert_allclose(
        linear_interpolant(h, integers, head_dim=16, base=10_000), score(h, integers, frequencies(16, 10_000))
    )


@pytest.mark.parametrize("arguments", [(0.5, 1.0, 0.0), (0.5, 0.5, 0.5), (2.0, 0.0, 1.0), (float("nan"), 0.0, 1.0)])
def test_intervals_upside_down_and_points_outside_are_refused(arguments):
    for bound in (published_bound, taylor_bound, sharp_bound):
        with pytest.raises(ValueError, match=r"interval|s: "):
            bound(*arguments, head_dim=4, base=10)
