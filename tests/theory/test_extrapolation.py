import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.certified.balls import B_ball, enclosure
from pi_theory.extrapolation import (
    B,
    B_on_grid,
    eq8_bound,
    eq8_difference_bound,
    eq8_difference_witness,
    trivial_bound,
)
from pi_theory.rope import frequencies, partial_sums, score
from pi_theory.summed_norms import _compiled
from tests.theory import strategies as some


@given(some.coefficients(), some.bases, some.positions)
def test_abel_summation_rewrites_the_score(h, base, s):
    theta = frequencies(2 * h.size, base)
    rewritten = (partial_sums(s, theta) * -np.diff(h, append=0)).sum().real
    assert score(h, s, theta).item() == pytest.approx(rewritten, abs=1e-8)


@given(some.coefficients(), some.bases, some.positions)
def test_every_score_is_within_each_bound(h, base, s):
    kw = {"head_dim": 2 * h.size, "base": base}
    value = abs(score(h, s, frequencies(2 * h.size, base)).item())
    hmax = float(np.abs(h).max())
    assert value <= eq8_difference_bound(h, s, base=base) + 1e-8
    assert eq8_difference_bound(h, s, base=base) <= eq8_bound(s, hmax=hmax, **kw) * (1 + 1e-12)
    assert value <= trivial_bound(head_dim=2 * h.size, hmax=hmax) + 1e-8


@given(some.head_dims, some.bases, some.positions)
def test_the_first_form_of_equation_8_is_attained_by_its_witness(head_dim, base, s):
    h = eq8_difference_witness(s, head_dim=head_dim, base=base)
    np.testing.assert_allclose(np.abs(np.diff(h, append=0)), 1)
    value = score(h, s, frequencies(head_dim, base)).item()
    assert value == pytest.approx(float(B(s, head_dim=head_dim, base=base)), rel=1e-9, abs=1e-8)


@given(some.head_dims, some.bases, some.positions)
def test_equation_8_is_never_better_than_the_trivial_bound(head_dim, base, s):
    kw = {"head_dim": head_dim}
    assert eq8_bound(s, base=base, **kw) >= trivial_bound(**kw) * (1 - 1e-12)


@given(some.head_dims, some.bases, st.integers(1, 700), some.positions, st.floats(0.01, 40))
def test_the_fast_grid_equals_the_direct_sum(head_dim, base, count, start, step):
    fast = B_on_grid(count, start=start, step=step, head_dim=head_dim, base=base)
    direct = B(start + step * np.arange(count), head_dim=head_dim, base=base)
    np.testing.assert_allclose(fast, direct, rtol=1e-9, atol=1e-8)


@pytest.mark.parametrize(
    ("count", "start", "step"), [(1_000_000, 0, 1), (4096, 0, 8), (70_000, 10**7, 1), (9, 0, 2**20)]
)
def test_the_fast_grid_is_within_1e_12_of_its_balls(count, start, step):
    fast = B_on_grid(count, start=start, step=step, head_dim=128, base=10_000)
    for number in np.linspace(0, count - 1, 9).astype(int).tolist():
        ball = enclosure(B_ball(start + step * number, head_dim=128, base=10_000, bits=128))
        assert ball.lower * (1 - 1e-12) <= fast[number] <= ball.upper * (1 + 1e-12)


def test_a_loop_is_compiled_where_no_folder_can_keep_it():
    without_file: dict = {}
    exec("def double(x): x[0] = 2 * x[0]", without_file)
    x = np.ones(1)
    _compiled(without_file["double"], "void(float64[::1])")(x)
    assert x[0] == 2


@pytest.mark.parametrize("count", [64, 65, 2047, 2049, 40_000])
def test_the_fast_grid_has_no_seams_between_blocks(count):
    fast = B_on_grid(count, head_dim=16, base=10_000)
    np.testing.assert_allclose(fast, B(np.arange(count), head_dim=16, base=10_000), rtol=1e-9)


def test_B_keeps_the_shape_of_its_positions_and_peaks_at_zero():
    positions = np.linspace(-3, 3, 12).reshape(3, 4)
    values = B(positions, head_dim=8, base=100)
    assert values.shape == (3, 4)
    assert float(B(0.0, head_dim=8, base=100)) == 10
    assert values.max() <= 10
    assert B(np.empty(0), head_dim=8, base=100).shape == (0,)


@pytest.mark.parametrize(("count", "step"), [(0, 1.0), (-3, 1.0), (5, 0.0), (5, -1.0), (5, float("nan"))])
def test_empty_and_backward_grids_are_refused(count, step):
    with pytest.raises(ValueError, match=r"count|step"):
        B_on_grid(count, step=step, head_dim=8, base=100)
