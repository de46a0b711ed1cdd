import pytest
from hypothesis import given

from pi_theory.certified.interpolation import (
    certify_smallest_valid_head_dim,
    published_interpolation_ball,
    published_margin_ball,
    sharp_interpolation_ball,
    taylor_interpolation_ball,
)
from pi_theory.interpolation import (
    published_bound,
    published_margin,
    sharp_bound,
    smallest_valid_head_dim,
    taylor_bound,
)
from tests.theory import strategies as some


@pytest.mark.parametrize(
    ("head_dim", "base"), [(128, 10_000), (64, 10_000), (64, 100_000), (128, 500_000), (256, 10_000)]
)
def test_the_published_bound_fails_at_head_sizes_in_use(head_dim, base):
    assert published_margin_ball(head_dim, base) > 1


def test_the_published_bound_holds_at_4096():
    assert published_margin_ball(4096, 10_000) <= 1


@pytest.mark.parametrize("base", [1.2, 2, 10, 10_000, 500_000, 1e9])
def test_the_smallest_valid_head_dimension_is_certified(base):
    head_dim = certify_smallest_valid_head_dim(base)
    assert head_dim == smallest_valid_head_dim(base)
    assert published_margin(head_dim, base) <= 1
    assert head_dim == 2 or published_margin(head_dim - 2, base) > 1


@given(some.head_dims, some.bases)
def test_float_bounds_lie_in_their_balls(head_dim, base):
    kw = {"head_dim": head_dim, "base": base}
    for value, ball in [
        (published_bound(0.5, 0, 1, **kw), published_interpolation_ball(**kw)),
        (taylor_bound(0.5, 0, 1, **kw), taylor_interpolation_ball(**kw)),
        (sharp_bound(0.5, 0, 1, **kw), sharp_interpolation_ball(**kw)),
    ]:
        assert abs(value - ball) <= 1e-11 * ball
