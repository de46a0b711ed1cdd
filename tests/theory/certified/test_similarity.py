import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_theory.certified.similarity import first_zero
from pi_theory.rope import frequencies

HEADS = {"head_dim": st.sampled_from([2, 8, 16, 64]), "base": st.floats(10, 1e5)}


def sums(theta, positions):
    return np.cos(np.multiply.outer(positions, theta)).sum(axis=-1)


@settings(max_examples=20)
@given(**HEADS)
def test_the_first_zero_is_where_a_fine_grid_first_finds_the_sum_negative(head_dim, base):
    theta = frequencies(head_dim, base)
    found = first_zero(theta, 1 << 16)
    grid = np.linspace(0, found.lower, 20_000)
    assert found.width < 1e-5
    assert sums(theta, grid).min() > -1e-9
    assert sums(theta, np.array(found.upper)) < 0


@settings(max_examples=10)
@given(**HEADS, factor=st.sampled_from([2.0, 4.0, 8.0]))
def test_linear_interpolation_multiplies_the_first_zero_by_its_factor(head_dim, base, factor):
    theta = frequencies(head_dim, base)
    before, after = first_zero(theta, 1 << 16), first_zero(theta / factor, 1 << 19)
    assert after.upper == pytest.approx(factor * before.upper, abs=1e-4)


def test_no_zero_is_found_where_the_sum_stays_positive():
    assert first_zero(frequencies(128, 10_000), 1706) is None


@pytest.mark.parametrize(("theta", "named"), [([0.0], "theta"), ([1.5], "theta")])
def test_frequencies_outside_the_domain_are_refused(theta, named):
    with pytest.raises(ValueError, match=named):
        first_zero(np.array(theta), 10)
