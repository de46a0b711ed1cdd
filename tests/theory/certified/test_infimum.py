import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.certified.infimum import infimum
from pi_theory.extrapolation import B_on_grid


@given(half=st.integers(1, 20), base=st.sampled_from([3, 7, 10, 12, 500_000]))
def test_free_phases_give_a_quarter_of_the_head_dimension_rounded_up(half, base):
    assert float(infimum(2 * half, base)) == (half + 1) // 2


@given(half=st.integers(1, 20), base=st.sampled_from([3, 7, 10, 12]), step=st.floats(0.1, 10))
def test_no_position_has_a_smaller_B_than_the_infimum(half, base, step):
    assert np.min(B_on_grid(500, step=step, head_dim=2 * half, base=base)) >= float(infimum(2 * half, base)) - 1e-9


def test_the_infimum_for_llama_is_between_a_quarter_and_less_than_a_third_of_d():
    found = infimum(128, 10_000)
    assert found.upper() < 128 / 3
    assert found.contains(33)


def test_a_base_that_binds_phases_is_not_settled():
    with pytest.raises(ArithmeticError, match="base"):
        infimum(128, 1_000_000)


def test_a_base_of_one_or_less_is_refused():
    with pytest.raises(ValueError, match="base"):
        infimum(128, 1)
