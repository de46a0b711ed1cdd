from fractions import Fraction

import numpy as np
import pytest
from flint import fmpq, fmpq_mat
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_theory.certified.balls import enclosure
from pi_theory.certified.least_squares import exact_least_squares
from pi_theory.leastsquares import evaluate, fit, random_points
from tests.theory import strategies as some

LLAMA = {"head_dim": 128, "base": 10_000}


@settings(max_examples=15)
@given(st.integers(1, 5).map(lambda half: 2 * half), st.sampled_from([2, 10, 100]), st.integers(0, 2**32 - 1))
def test_the_exact_fit_agrees_with_float64_where_float64_can(head_dim, base, seed):
    points = random_points(60, seed)
    exact = exact_least_squares(points, [0, 30, 59], head_dim=head_dim, base=base, digits=12)
    h = fit(points, head_dim=head_dim, base=base)
    for value, near in zip(exact.values, evaluate(h, np.array([0.0, 30.0, 59.0]), base=base), strict=True):
        assert enclosure(value).width < 1e-11 * max(1, abs(float(value)))
        assert float(value) == pytest.approx(near, abs=1e-6)


@settings(max_examples=15)
@given(some.bases, st.integers(0, 2**32 - 1))
def test_residuals_of_the_exact_fit_are_orthogonal_to_the_functions(base, seed):
    points = random_points(40, seed)
    exact = exact_least_squares(points, list(range(40)), head_dim=4, base=base, digits=15)
    residual = points - np.array([float(v) for v in exact.values])
    for theta in (1.0, float(base) ** -0.5):
        assert abs(residual @ np.cos(theta * np.arange(40))) < 1e-9
        assert abs(residual @ np.sin(theta * np.arange(40))) < 1e-9


def test_the_standard_deviation_is_that_of_the_fitted_value():
    """Var a(s) = sum over n of (value at s of the fit to the n-th unit vector)^2."""
    kw = {"head_dim": 6, "base": 10, "digits": 12}
    fits = [exact_least_squares(np.eye(20)[n], [33], **kw) for n in range(20)]
    total = sum(float(f.values[0]) ** 2 for f in fits) ** 0.5
    assert float(fits[0].standard_deviations[0]) == pytest.approx(total, rel=1e-10)


def test_the_exact_fit_of_figure_2_is_astronomical_outside_and_tame_inside():
    exact = exact_least_squares(random_points(2048, 0), [1000, 4095], digits=10, **LLAMA)
    inside, outside = exact.values
    assert abs(inside) < 3
    assert abs(outside) > 10**61
    assert outside.rel_accuracy_bits() > 33


def test_more_digits_refine_and_do_not_change_the_answer():
    few, many = (exact_least_squares(random_points(64, 0), [100], head_dim=16, base=100, digits=n) for n in (8, 40))
    assert few.values[0].overlaps(many.values[0])
    assert many.values[0].rel_accuracy_bits() > 40 * 3.3


def test_the_closed_form_gram_matrix_gives_the_solution_of_rational_algebra():
    """theta = 1 alone: the fit at s = 0 is a ratio of sums that a rational approximation of cos and sin pins down."""
    points = [1.0, 2.0, -1.0]
    exact = exact_least_squares(points, [0], head_dim=2, base=10, digits=20)
    rows = [
        [Fraction(np.cos(n).item()).limit_denominator(10**15), Fraction(np.sin(n).item()).limit_denominator(10**15)]
        for n in range(3)
    ]
    design = fmpq_mat([[fmpq(x.numerator, x.denominator) for x in row] for row in rows])
    y = fmpq_mat([[fmpq(int(p))] for p in points])
    solution = (design.transpose() * design).solve(design.transpose() * y)
    expected = float(solution[0, 0].p) / float(solution[0, 0].q)
    assert float(exact.values[0]) == pytest.approx(expected, rel=1e-9)


def test_too_few_points_and_impossible_digits_are_refused():
    with pytest.raises(ValueError, match="window"):
        exact_least_squares(random_points(10, 0), [0], digits=5, **LLAMA)
    with pytest.raises(ValueError, match="digits"):
        exact_least_squares(random_points(200, 0), [0], digits=10**12, **LLAMA)
