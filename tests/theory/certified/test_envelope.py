from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from pi_theory.certified.balls import B_ball, exact
from pi_theory.certified.envelope import envelope, first_below, integer_scan, minimum
from pi_theory.extrapolation import B
from tests.theory import strategies as some

LLAMA = {"head_dim": 128, "base": 10_000}


@st.composite
def searches(draw):
    lower = draw(st.floats(0, 2000))
    return lower, lower + draw(st.floats(0.5, 60)), draw(some.head_dims), draw(some.bases)


@settings(max_examples=25)
@given(searches(), st.lists(st.fractions(0, 1), min_size=5, max_size=5))
def test_B_lies_within_its_certified_envelope(search, places):
    lower, upper, head_dim, base = search
    bands = envelope(lower, upper, 16, head_dim=head_dim, base=base)
    assert np.all(bands.lower <= bands.upper)
    for place in places:
        s = Fraction(lower) + place * (Fraction(upper) - Fraction(lower))
        piece = min(int(place * 16), 15)
        value = B_ball(s, head_dim=head_dim, base=base) / head_dim
        assert exact(bands.lower[piece].item()) <= value <= exact(bands.upper[piece].item())


@settings(max_examples=25)
@given(st.integers(0, 10**12), st.fractions(0, 1), st.integers(1, 400), some.head_dims, some.bases, st.data())
def test_an_envelope_holds_at_its_own_edges_however_far_out(whole, part, pieces, head_dim, base, data):
    """Edges are rounded to float64, which at 10^12 moves them by more than a part is wide."""
    lower = whole + part
    bands = envelope(lower, lower + 1, pieces, head_dim=head_dim, base=base)
    for i in data.draw(st.lists(st.integers(0, pieces - 1), min_size=1, max_size=8)):
        left, right = bands.edges[i : i + 2].tolist()
        for s in (left, right, Fraction(left) + (Fraction(right) - Fraction(left)) / 3):
            value = B_ball(s, head_dim=head_dim, base=base, bits=200) / head_dim
            assert exact(bands.lower[i].item()) <= value <= exact(bands.upper[i].item())


@settings(max_examples=25)
@given(searches())
def test_no_sample_of_B_is_below_its_certified_minimum(search):
    lower, upper, head_dim, base = search
    found = minimum(lower, upper, head_dim=head_dim, base=base, rel_width=1e-5)
    samples = B(np.linspace(lower, upper, 4000), head_dim=head_dim, base=base) / head_dim
    assert samples.min() >= found.value.lower * (1 - 1e-9)
    assert found.value.width <= 1.1e-5 * found.value.upper
    assert lower <= found.argmin <= upper
    assert found.argmin_lower <= found.argmin <= found.argmin_upper
    at_argmin = B_ball(found.argmin, head_dim=head_dim, base=base) / head_dim
    assert abs(at_argmin - found.value.upper) <= 1e-9 * found.value.upper


@settings(max_examples=25)
@given(searches(), st.floats(0.2, 3))
def test_the_first_crossing_separates_above_from_below(search, level):
    lower, upper, head_dim, base = search
    try:
        crossing = first_below(lower, upper, head_dim=head_dim, base=base, level=level)
    except ArithmeticError:
        reject()  # a level that B touches; a test of its own below
    last = upper if crossing is None else crossing.lower
    samples = B(np.linspace(lower, last, 2000, endpoint=False), head_dim=head_dim, base=base) / head_dim
    assert last == lower or samples.min() >= level * (1 - 1e-9)
    if crossing is not None:
        assert crossing.width <= 1e-6
        assert B_ball(crossing.upper, head_dim=head_dim, base=base) <= exact(level) * head_dim * (1 + exact(1e-9))


@settings(max_examples=25)
@given(st.integers(1, 400), some.head_dims, some.bases, st.floats(0.2, 3))
def test_the_integer_scan_agrees_with_the_values_at_integers(upto, head_dim, base, level):
    scan = integer_scan(upto, head_dim=head_dim, base=base, level=level)
    values = B(np.arange(upto + 1), head_dim=head_dim, base=base) / head_dim
    assert scan.minimum.lower * (1 - 1e-9) <= values.min() <= scan.minimum.upper * (1 + 1e-9)
    clear = np.flatnonzero(values < level * (1 - 1e-9))
    assert (scan.first_below is None) if values.min() > level * (1 + 1e-9) else True
    if clear.size:
        assert scan.first_below is not None
        assert scan.first_below <= clear[0]


def test_the_papers_range_has_minimum_1_1148_and_no_crossing():
    found = minimum(0, 4096, **LLAMA)
    assert 1.11482 < found.value.lower <= found.value.upper < 1.11483
    assert found.argmin == pytest.approx(3642.894, abs=1e-2)
    assert first_below(0, 4096, **LLAMA) is None


def test_B_falls_below_d_soon_after_the_papers_range():
    crossing = first_below(0, 32768, **LLAMA)
    assert crossing is not None
    assert 4505.68050 < crossing.lower <= crossing.upper < 4505.68051
    scan = integer_scan(32768, **LLAMA)
    assert scan.first_below == 4861
    assert scan.argmin == 22297
    assert scan.minimum.upper == pytest.approx(0.6292, abs=1e-4)


def test_a_slow_crossing_is_enclosed_as_narrowly_as_float64_allows():
    kw = {"head_dim": 8, "base": 1.001}
    crossing = first_below(0, 10_000, **kw)
    assert crossing is not None
    assert crossing.width < 1e-6
    assert B_ball(crossing.lower - 1e-3, **kw) > 8 > B_ball(crossing.upper, **kw)


def test_a_tangent_level_is_decided_or_refused_but_never_guessed():
    # at d = 6, B(0) = d exactly, and B is below d right after
    crossing = first_below(0, 10, head_dim=6, base=10_000)
    assert crossing is not None
    assert crossing.lower == 0
    # the level is the minimum itself: float64 cannot tell a touch from a crossing
    flat = minimum(0, 10, head_dim=2, base=10_000).value
    assert flat.lower <= 0.5 <= flat.upper
    with pytest.raises(ArithmeticError, match="undecided"):
        first_below(0, 10, head_dim=2, base=10_000, level=Fraction(1, 2))


@pytest.mark.parametrize("interval", [(5, 5), (6, 5), (0, float("nan")), (0, float("inf"))])
def test_intervals_upside_down_are_refused(interval):
    with pytest.raises(ValueError, match="interval"):
        minimum(*interval, **LLAMA)


def test_endless_intervals_are_refused_before_work_starts():
    with pytest.raises(ValueError, match="boxes"):
        minimum(0, 10**12, **LLAMA)


def test_a_width_beyond_float64_is_refused():
    with pytest.raises(ArithmeticError, match="rel_width"):
        minimum(0, 10, rel_width=1e-30, **LLAMA)
