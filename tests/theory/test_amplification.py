import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_theory.amplification import FiniteWindow, stability_constant, study_positions, whole_factor, window_bound
from pi_theory.rope import frequencies, score
from pi_theory.scaling import METHODS, LinearPI, NoScaling, scaled_frequencies, scaling_by_name
from tests.theory import strategies as some

small_heads = st.integers(1, 8).map(lambda half: 2 * half)
small_windows = st.integers(1, 40)
boxes = st.floats(0.05, 50)


@given(some.coefficients(), some.bases, st.floats(0, 4000))
def test_scores_between_integers_stay_within_the_stability_constant(h, base, s):
    """The theorem bounds by all integers; a long stretch around s stands for them, with the finite-window allowance."""
    theta = frequencies(2 * h.size, base)
    start = math.floor(s) - 2000
    trained = np.abs(score(h, np.arange(start, start + 4001), theta)).max()
    size = np.abs(h).sum()
    value = abs(score(h, s, theta).item())
    assert value <= trained * window_bound(s - start, 4001, max(size / trained, math.e)) * (1 + 1e-9) + 1e-9


@given(st.floats(0, 3.1), st.floats(0, 2 * math.pi), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_bernstein_szego_holds_for_sums_of_exponentials(theta_max, phase, terms, seed):
    """Step 1 of the proof, on periodic sums where the supremum can be taken over one period."""
    rng = np.random.default_rng(seed)
    multiples = rng.integers(0, 6, terms)
    weights, shifts = rng.uniform(0, 1, terms), rng.uniform(0, 2 * math.pi, terms) + phase
    unit = theta_max / 5
    x = np.linspace(0, 2 * math.pi, 4001)
    angles = np.multiply.outer(x, multiples) + shifts
    f, slope = np.cos(angles) @ weights, -np.sin(angles) @ (weights * multiples * unit)
    assert np.all(slope**2 + (5 * unit) ** 2 * f**2 <= (5 * unit * np.abs(f).max()) ** 2 * (1 + 1e-4) + 1e-12)


@pytest.mark.parametrize("theta_max", [-0.1, math.pi, 4.0, float("nan")])
def test_no_stability_constant_exists_where_integers_do_not_determine_a_function(theta_max):
    with pytest.raises(ValueError, match="theta_max"):
        stability_constant(theta_max)


@settings(max_examples=30)
@given(
    st.sampled_from(sorted(METHODS)), small_heads, some.bases, small_windows, st.floats(1, 4), boxes, st.floats(0, 1)
)
def test_the_linear_program_is_attained_and_certified(method, head_dim, base, window, factor, hmax, place):
    scaling = scaling_by_name(method, factor)
    program = FiniteWindow(head_dim=head_dim, base=base, window=window, scaling=scaling)
    position = place * factor * window
    worst = program.worst_case(position, hmax)
    assert worst.value <= worst.upper_bound
    assert worst.upper_bound <= worst.value + 1e-4 * max(1.0, worst.upper_bound)
    # the head that attains it: inside the box, and after shrinking within 1 at trained positions
    theta = frequencies(head_dim, base)
    trained = np.abs(score(worst.h, np.arange(window), theta)).max()
    assert np.abs([worst.h.real, worst.h.imag]).max() <= hmax
    scaled = scaled_frequencies(scaling, head_dim=head_dim, base=base, window=window)
    value = score(worst.h, position, scaled).item() / max(1, trained)
    assert value == pytest.approx(worst.value, rel=1e-6, abs=1e-7)


@settings(max_examples=30)
@given(small_heads, some.bases, small_windows, boxes, st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_no_random_head_beats_the_certified_bound(head_dim, base, window, hmax, place, seed):
    program = FiniteWindow(head_dim=head_dim, base=base, window=window, scaling=NoScaling())
    position = place * window
    rng = np.random.default_rng(seed)
    h = rng.uniform(-hmax, hmax, (2, head_dim // 2))
    h = h[0] + 1j * h[1]
    theta = frequencies(head_dim, base)
    h = h / max(1, np.abs(score(h, np.arange(window), theta)).max())
    assert score(h, position, theta).item() <= program.worst_case(position, hmax).upper_bound + 1e-9


@settings(max_examples=20)
@given(small_heads, some.bases, small_windows, boxes, st.floats(1, 10), st.floats(0, 2))
def test_the_worst_case_grows_with_the_coefficients_allowed(head_dim, base, window, hmax, more, place):
    program = FiniteWindow(head_dim=head_dim, base=base, window=window, scaling=NoScaling())
    smaller, larger = (program.worst_case(place * window, size) for size in (hmax, hmax * more))
    assert smaller.value <= larger.upper_bound


@settings(max_examples=20)
@given(small_heads, some.bases, small_windows, boxes, st.integers(0, 40))
def test_at_a_trained_position_the_worst_case_is_one(head_dim, base, window, hmax, n):
    program = FiniteWindow(head_dim=head_dim, base=base, window=window, scaling=NoScaling())
    assert program.worst_case(min(n, window - 1), hmax).upper_bound <= 1 + 1e-6


@settings(max_examples=15)
@given(small_heads, some.bases, st.integers(10, 60), boxes, st.floats(0, 1))
def test_the_window_theorem_bounds_the_linear_program(head_dim, base, window, hmax, place):
    program = FiniteWindow(head_dim=head_dim, base=base, window=window, scaling=NoScaling())
    position = place * (window - 1)
    size = max(math.e, math.sqrt(2) * hmax * head_dim / 2)
    assert program.worst_case(position, hmax).value <= window_bound(position, window, size) + 1e-9


@given(st.floats(0, 1), st.integers(1, 10_000), st.floats(2.8, 1e12))
def test_the_window_theorem_never_promises_less_than_the_stability_constant(place, window, size):
    bound = window_bound(place * (window - 1), window, size)
    assert stability_constant() < bound <= size


def test_the_window_theorem_nears_the_stability_constant_in_long_windows():
    assert window_bound(16_384, 32_768, 1e6) == pytest.approx(stability_constant(), rel=2e-3)


def test_linear_scaling_asks_only_for_positions_inside_the_window():
    plain = FiniteWindow(head_dim=16, base=10_000, window=64, scaling=NoScaling())
    linear = FiniteWindow(head_dim=16, base=10_000, window=64, scaling=LinearPI(2.0))
    for position in (1, 77, 127):
        assert linear.worst_case(position, 10.0).value == pytest.approx(
            plain.worst_case(position / 2, 10.0).value, rel=1e-4
        )


def test_only_linear_scaling_keeps_the_guarantee_in_the_worst_case():
    """At d = 64, L = 512, factor 2, H = 1: none 22.1, linear 1.123 between trained distances, NTK-aware above 14."""
    worst = {}
    for method in ("none", "linear", "ntk"):
        program = FiniteWindow(head_dim=64, base=10_000, window=512, scaling=scaling_by_name(method, 2.0))
        worst[method] = max(program.worst_case(position, 1.0).value for position in (935, 979, 1021))
    assert worst["none"] == pytest.approx(22.09, abs=0.05)
    assert worst["linear"] == pytest.approx(1.1228, abs=1e-3)
    assert worst["ntk"] > 14


@given(st.integers(1, 4096), st.floats(1, 16))
def test_study_positions_lie_in_the_extended_window_and_hold_its_ends(window, factor):
    positions = study_positions(window, factor)
    assert positions.min() == (0.5 if factor * window >= 2 else 0)
    assert positions.max() == math.floor(factor * window) - 1
    assert np.all(np.diff(positions) > 0)


@pytest.mark.parametrize(("factor", "published"), [(2, 1.5699), (4, 1.8474), (8, 1.9814)])
def test_published_interpolation_leaves_the_window_and_the_whole_factor_does_not(factor, published):
    """d = 64, L = 512, H = 1; between the last two trained distances no head exceeds 1.12287."""
    last = 512 * factor - 1
    asked = {"published": LinearPI(float(factor)), "whole": LinearPI(float(whole_factor(512, 512 * factor)))}
    worst = {
        name: FiniteWindow(head_dim=64, base=10_000, window=512, scaling=scaling) for name, scaling in asked.items()
    }
    assert worst["published"].worst_case(last, 1.0).value == pytest.approx(published, abs=1e-4)
    assert worst["whole"].worst_case(last, 1.0).upper_bound <= 1 + 1e-9
    assert worst["whole"].worst_case(last - factor / 2, 1.0).upper_bound < 1.12287


@given(st.integers(2, 4096), st.integers(0, 10**6))
def test_the_whole_factor_ends_at_the_last_trained_distance(window, more):
    factor = whole_factor(window, window + more)
    assert (window + more - 1) / factor == window - 1


def test_bad_boxes_windows_and_positions_are_refused():
    program = FiniteWindow(head_dim=4, base=10, window=4, scaling=NoScaling())
    for hmax in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="hmax"):
            program.worst_case(1.0, hmax)
    with pytest.raises(ValueError, match="position"):
        program.worst_case(float("inf"), 1.0)
    with pytest.raises(ValueError, match="window"):
        FiniteWindow(head_dim=4, base=10, window=0, scaling=NoScaling())
    with pytest.raises(ValueError, match="position"):
        window_bound(5.0, 4, 10.0)
