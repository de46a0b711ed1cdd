import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.certified.balls import B_ball, exact, interval_ball, phase_table
from pi_theory.certified.envelope import envelope
from pi_theory.extrapolation import B
from tests.theory import strategies as some

LLAMA = {"head_dim": 128, "base": 10_000}


def test_one_ball_over_an_interval_agrees_with_the_envelope():
    bands = envelope(3642, 3644, 64, **LLAMA)
    for i in (0, 20, 63):
        wide = B_ball(interval_ball(bands.edges[i].item(), bands.edges[i + 1].item()), **LLAMA) / 128
        assert wide.overlaps(exact(bands.lower[i].item()).union(exact(bands.upper[i].item())))


@given(st.lists(st.fractions(-100, 5000), min_size=1, max_size=4), some.head_dims, some.bases)
def test_phase_tables_are_faithfully_rounded(places, head_dim, base):
    table = phase_table(places, head_dim=head_dim, base=base)
    assert table.shape == (len(places), head_dim // 2)
    np.testing.assert_allclose(np.abs(table), 1, rtol=1e-15, atol=5e-16)


@given(some.head_dims, some.bases, some.positions)
def test_float_values_of_B_lie_in_their_balls(head_dim, base, s):
    value, ball = float(B(s, head_dim=head_dim, base=base)), B_ball(s, head_dim=head_dim, base=base)
    # a phase s theta is off by a few units in its last place, and B by at most d^2/8 times that
    assert abs(value - ball) <= head_dim**2 * (abs(s) + 10) * 1e-15
