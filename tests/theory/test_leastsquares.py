import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.leastsquares import Arithmetic, evaluate, fit, random_points, ridge_bound
from tests.theory import strategies as some

LLAMA = {"head_dim": 128, "base": 10_000}


@given(st.integers(1, 4).map(lambda half: 2 * half), st.sampled_from([2, 5, 10]), st.integers(0, 2**32 - 1))
def test_all_arithmetics_agree_on_well_conditioned_problems(head_dim, base, seed):
    points = random_points(100, seed)
    curves = [
        evaluate(fit(points, head_dim=head_dim, base=base, arithmetic=arithmetic), np.arange(100), base=base)
        for arithmetic in Arithmetic
    ]
    np.testing.assert_allclose(curves[0], curves[2], atol=2e-2)  # float32
    np.testing.assert_allclose(curves[1], curves[2], atol=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_rising_precision_raises_the_extrapolation_of_figure_2(seed):
    points = random_points(2048, seed)
    beyond = np.arange(2048, 4096)
    sizes = [
        np.abs(evaluate(fit(points, arithmetic=arithmetic, **LLAMA), beyond, base=10_000)).max()
        for arithmetic in Arithmetic
    ]
    assert sizes[0] * 10 < sizes[1] < sizes[2] / 10


@given(st.floats(1e-4, 100), st.integers(0, 2**32 - 1), st.lists(some.positions, min_size=1, max_size=8))
def test_the_ridge_fit_is_bounded_everywhere(ridge, seed, positions):
    points = random_points(256, seed)
    h = fit(points, head_dim=32, base=10_000, ridge=ridge)
    curve = evaluate(h, np.array(positions), base=10_000)
    assert np.abs(curve).max() <= ridge_bound(points, ridge, 32) * (1 + 1e-9)


def test_points_are_reproducible_and_standard_normal():
    points = random_points(100_000, 7)
    np.testing.assert_array_equal(points, random_points(100_000, 7))
    assert abs(points.mean()) < 0.02
    assert points.std() == pytest.approx(1, abs=0.02)


def test_too_few_points_and_negative_ridges_are_refused():
    with pytest.raises(ValueError, match="window"):
        fit(random_points(10, 0), **LLAMA)
    with pytest.raises(ValueError, match="ridge"):
        fit(random_points(200, 0), ridge=-1.0, **LLAMA)
