"""Hypothesis strategies for the domain of the theory."""

import numpy as np
from hypothesis import strategies as st

half_dims = st.integers(1, 48)
head_dims = half_dims.map(lambda half: 2 * half)
bases = st.one_of(st.sampled_from([1.5, 10, 10_000, 100_000, 500_000]), st.floats(1.001, 1e7))
positions = st.floats(-5000, 5000)
factors = st.floats(1, 64)
windows = st.integers(1, 8192)


@st.composite
def coefficients(draw: st.DrawFn, head_dim: int | None = None) -> np.ndarray:
    """h with |h_j| <= 1."""
    half = draw(half_dims) if head_dim is None else head_dim // 2
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.uniform(0, 1, half) * np.exp(1j * rng.uniform(0, 2 * np.pi, half))
