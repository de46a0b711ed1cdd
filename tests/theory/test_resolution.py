import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.resolution import bend, bend_cap, least_score, linear_cap_ratio, resolution, sharpest_head
from pi_theory.rope import frequencies, score
from pi_theory.scaling import METHODS, LinearPI, attention_factor, scaled_frequencies, scaling_by_name
from tests.theory import strategies as some

methods = st.sampled_from(sorted(METHODS))


@given(some.coefficients(), some.bases, some.positions)
def test_a_bend_is_the_score_less_the_mean_of_its_neighbours(h, base, s):
    theta = frequencies(2 * h.size, base)
    expected = score(h, s, theta) - (score(h, s - 1, theta) + score(h, s + 1, theta)) / 2
    assert bend(h, s, theta) == pytest.approx(float(expected), abs=1e-9)


@given(some.coefficients(), some.bases, some.positions)
def test_no_bend_exceeds_its_cap_and_the_sharpest_head_attains_it(h, base, s):
    theta = frequencies(2 * h.size, base)
    assert abs(bend(h, s, theta)) <= bend_cap(h, theta) * (1 + 1e-12)
    attained = np.abs(h) * sharpest_head(s, theta)
    assert bend(attained, s, theta) == pytest.approx(float(bend_cap(h, theta)), rel=1e-9)


@given(some.coefficients(), some.bases, some.positions)
def test_a_bend_needs_a_score_that_is_large_somewhere_near(h, base, s):
    """The inequality of Nikol'skii and Stechkin speaks of all reals; a grid around s finds enough of the supremum."""
    theta = frequencies(2 * h.size, base)
    everywhere = np.abs(score(h, s + np.linspace(-60, 60, 2401), theta)).max()
    # Between points of a grid of step 1/20 a score of type 1 is larger by 1/cos(1/40) at most; beyond 60 it may be too.
    assert least_score(float(bend(h, s, theta)), theta) <= max(everywhere / np.cos(1 / 40), np.abs(h).sum())


@given(some.head_dims, some.bases)
def test_a_head_on_the_fastest_frequency_needs_no_larger_score(head_dim, base):
    theta = frequencies(head_dim, base)
    h = np.zeros(head_dim // 2, dtype=complex)
    h[0] = 1
    assert least_score(float(bend(h, 0.0, theta)), theta) == pytest.approx(1)


@given(some.coefficients(), some.bases, some.factors)
def test_linear_interpolation_multiplies_every_cap_by_a_number_in_its_range(h, base, factor):
    theta = frequencies(2 * h.size, base)
    ratio = float(bend_cap(h, theta / factor) / bend_cap(h, theta))
    assert factor**-2 * (1 - 1e-9) <= ratio <= linear_cap_ratio(factor) * (1 + 1e-9)


@given(methods, some.coefficients(), some.bases, some.factors, some.windows)
def test_every_head_keeps_of_its_cap_what_its_method_says(method, h, base, factor, window):
    scaling, config = scaling_by_name(method, factor), {"head_dim": 2 * h.size, "base": base, "window": window}
    found = resolution(scaling, **config)
    scaled, theta = scaled_frequencies(scaling, **config), frequencies(2 * h.size, base)
    ratio = attention_factor(scaling) ** 2 * float(bend_cap(h, scaled) / bend_cap(h, theta))
    assert found.least * (1 - 1e-9) <= ratio <= found.most * (1 + 1e-9)
    assert found.least <= found.fastest <= found.most
    assert found.least * (1 - 1e-9) <= found.flat <= found.most * (1 + 1e-9)


@given(methods, some.head_dims, some.bases, some.windows, some.positions)
def test_with_the_growth_that_is_needed_a_head_has_its_bend_again(method, head_dim, base, window, s):
    scaling, config = scaling_by_name(method, 4.0), {"head_dim": head_dim, "base": base, "window": window}
    scaled, theta = scaled_frequencies(scaling, **config), frequencies(head_dim, base)
    h = np.zeros(head_dim // 2, dtype=complex)
    h[np.argmax(scaled)] = resolution(scaling, **config).score_growth
    after = attention_factor(scaling) ** 2 * bend(h * sharpest_head(s, scaled), s, scaled)
    assert after == pytest.approx(1 - np.cos(theta[0]))


def test_bends_of_many_pairs_are_taken_at_distances_of_their_own():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(2, 3, 8)) + 1j * rng.normal(size=(2, 3, 8))
    s, theta = np.array([1.0, 5.0, 9.0]), frequencies(16, 10000)
    found = bend(h, s, theta)
    assert found.shape == (2, 3)
    assert found[1, 2] == pytest.approx(float(bend(h[1, 2], 9.0, theta)))
    assert bend_cap(h, theta).shape == (2, 3)


@pytest.mark.parametrize("theta", [np.array([4.0]), np.array([0.0])])
def test_frequencies_beyond_half_a_turn_have_no_bend(theta):
    with pytest.raises(ValueError, match="theta"):
        least_score(1.0, theta)


def test_linear_interpolation_at_llamas_size():
    assert resolution(LinearPI(2.0), head_dim=128, base=10_000, window=2048).fastest == linear_cap_ratio(2)
    with pytest.raises(ValueError, match="factor"):
        linear_cap_ratio(0.5)
