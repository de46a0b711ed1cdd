import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_theory.certified.linear_program import LinearProgramCertifier
from pi_theory.rope import frequencies, score
from tests.theory import strategies as some

small_heads = st.integers(1, 8).map(lambda half: 2 * half)


@settings(max_examples=30)
@given(small_heads, some.bases, st.integers(1, 40), st.floats(0.05, 50), some.positions, st.integers(0, 2**32 - 1))
def test_both_sides_hold_whatever_the_solver_returned(head_dim, base, window, hmax, position, seed):
    """Random vectors stand for a solver that is completely wrong."""
    certifier = LinearProgramCertifier(head_dim=head_dim, base=base, window=window)
    target = certifier.row(position)
    rng = np.random.default_rng(seed)
    box, weights = rng.uniform(-hmax, hmax, head_dim), rng.standard_normal(window)
    attained, bound = certifier.attained(target, box), certifier.upper_bound(target, weights, hmax)
    assert attained.lower <= bound.upper
    h = box[: head_dim // 2] - 1j * box[head_dim // 2 :]
    theta = frequencies(head_dim, base)
    shrunk = h / max(1, np.abs(score(h, np.arange(window), theta)).max())
    assert abs(score(shrunk, position, theta).item() - attained.lower) <= 1e-9 * hmax * head_dim


@given(small_heads, some.bases, st.integers(1, 40))
def test_the_trained_rows_are_the_rows_of_the_trained_positions(head_dim, base, window):
    certifier = LinearProgramCertifier(head_dim=head_dim, base=base, window=window)
    rows = [[float(x) for x in certifier.row(n)] for n in range(window)]
    np.testing.assert_allclose(certifier.trained(), rows, rtol=0, atol=1e-15)
