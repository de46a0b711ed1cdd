import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.rope import coefficients, exp_i, frequencies, partial_sums, score
from pi_theory.scaling import LinearPI, scaled_frequencies
from tests.theory import strategies as some


def rotate(x: np.ndarray, position: float, theta: np.ndarray, pairing: str) -> np.ndarray:
    """RoPE as rotation matrices on pairs of real components, the definition that the complex form abbreviates."""
    half = x.size // 2
    pairs = [(2 * j, 2 * j + 1) if pairing == "interleaved" else (j, j + half) for j in range(half)]
    out = np.empty_like(x)
    for (a, b), angle in zip(pairs, position * theta, strict=True):
        out[a] = x[a] * np.cos(angle) - x[b] * np.sin(angle)
        out[b] = x[a] * np.sin(angle) + x[b] * np.cos(angle)
    return out


@given(some.head_dims, some.bases, st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 2**32 - 1))
@pytest.mark.parametrize("pairing", ["interleaved", "half"])
def test_score_is_the_dot_product_of_rotated_query_and_key(pairing, head_dim, base, m, n, seed):
    query, key = np.random.default_rng(seed).standard_normal((2, head_dim))
    theta = frequencies(head_dim, base)
    dot = rotate(query, m, theta, pairing) @ rotate(key, n, theta, pairing)
    h = coefficients(query, key, pairing)
    scale = np.linalg.norm(query) * np.linalg.norm(key)
    assert score(h, float(m - n), theta).item() == pytest.approx(dot, abs=1e-9 * scale)


@given(some.coefficients(), some.bases, some.positions)
def test_score_is_the_real_part_of_the_complex_sum(h, base, s):
    theta = frequencies(2 * h.size, base)
    total = (h * np.exp(1j * s * theta)).sum()
    value = score(h, s, theta)
    assert value.dtype == float
    assert value.item() == pytest.approx(total.real, abs=1e-9)


@given(some.head_dims, some.bases)
def test_frequencies_fall_from_one_as_powers_of_the_base(head_dim, base):
    theta = frequencies(head_dim, base)
    assert theta[0] == 1
    assert np.all(np.diff(theta) < 0)
    assert theta[-1] == pytest.approx(float(base) ** (-(head_dim - 2) / head_dim))


@given(some.coefficients(), some.bases, some.factors, st.integers(0, 8192))
def test_linear_interpolation_of_frequencies_is_interpolation_of_positions(h, base, factor, s):
    head_dim = 2 * h.size
    scaled = scaled_frequencies(LinearPI(factor), head_dim=head_dim, base=base, window=2048)
    assert score(h, float(s), scaled).item() == pytest.approx(
        score(h, s / factor, frequencies(head_dim, base)).item(), abs=1e-8
    )


@given(some.head_dims, some.bases, some.positions)
def test_partial_sums_add_one_unit_vector_at_a_time(head_dim, base, s):
    theta = frequencies(head_dim, base)
    sums = partial_sums(s, theta)
    steps = np.diff(sums, prepend=0)
    np.testing.assert_allclose(steps, exp_i(s * theta), atol=1e-12)


@pytest.mark.parametrize("head_dim", [0, -2, 3, 127])
def test_odd_or_empty_heads_are_refused(head_dim):
    with pytest.raises(ValueError, match="head_dim"):
        frequencies(head_dim, 10_000)


@pytest.mark.parametrize("base", [1, 0.5, -10, float("nan"), float("inf"), 10**400])
def test_bases_that_are_not_finite_numbers_above_one_are_refused(base):
    with pytest.raises(ValueError, match="base"):
        frequencies(4, base)


def test_queries_and_keys_of_unequal_shapes_are_refused():
    with pytest.raises((ValueError, TypeError), match="key"):
        coefficients(np.ones(4), np.ones(2), "half")
