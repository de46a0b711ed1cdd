import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.cli.amplification import METHODS as CLI_METHODS
from pi_theory.rope import frequencies
from pi_theory.scaling import (
    METHODS,
    DynamicNTK,
    Llama3,
    NoScaling,
    NTKAware,
    Yarn,
    attention_factor,
    scaled_frequencies,
    scaling_by_name,
)
from tests.theory import strategies as some


@given(st.sampled_from(sorted(METHODS)), some.head_dims, some.bases, some.windows)
def test_every_method_at_factor_one_changes_nothing(method, head_dim, base, window):
    scaled = scaled_frequencies(scaling_by_name(method, 1.0), head_dim=head_dim, base=base, window=window)
    np.testing.assert_allclose(scaled, frequencies(head_dim, base), rtol=1e-12)


@given(st.sampled_from(sorted(METHODS)), some.head_dims, some.bases, some.factors, some.windows)
def test_every_method_keeps_each_frequency_between_kept_and_divided(method, head_dim, base, factor, window):
    theta = frequencies(head_dim, base)
    scaled = scaled_frequencies(scaling_by_name(method, factor), head_dim=head_dim, base=base, window=window)
    longest = factor * factor if method == "dynamic" else factor  # dynamic NTK's factor grows with the context
    assert np.all(scaled <= theta * (1 + 1e-12))
    assert np.all(scaled >= theta / longest * (1 - 1e-12))


@given(st.integers(2, 48).map(lambda half: 2 * half), some.bases, some.factors)
def test_ntk_aware_keeps_the_fastest_and_divides_the_slowest(head_dim, base, factor):
    theta = frequencies(head_dim, base)
    scaled = scaled_frequencies(NTKAware(factor), head_dim=head_dim, base=base, window=2048)
    assert scaled[0] == theta[0]
    assert scaled[-1] == pytest.approx(theta[-1] / factor)


@given(some.head_dims, some.bases, some.factors, some.windows)
def test_dynamic_ntk_changes_nothing_within_the_window(head_dim, base, factor, window):
    scaled = scaled_frequencies(DynamicNTK(factor), head_dim=head_dim, base=base, window=window, context=window)
    np.testing.assert_allclose(scaled, frequencies(head_dim, base), rtol=1e-12)


def test_yarn_keeps_fast_turns_divides_slow_ones_and_sharpens_attention():
    scaled = scaled_frequencies(Yarn(4.0), head_dim=128, base=10_000, window=4096)
    theta = frequencies(128, 10_000)
    turns = 4096 * theta / (2 * np.pi)
    np.testing.assert_allclose(scaled[turns > 40], theta[turns > 40])
    np.testing.assert_allclose(scaled[turns < 0.8], theta[turns < 0.8] / 4)
    assert attention_factor(Yarn(4.0)) == pytest.approx(1.1386, abs=1e-4)
    assert attention_factor(NoScaling()) == 1


def test_llama3_keeps_short_wavelengths_and_divides_long_ones():
    theta = frequencies(128, 500_000)
    wavelength = 2 * np.pi / theta
    scaled = scaled_frequencies(Llama3(8.0), head_dim=128, base=500_000, window=8192)
    np.testing.assert_allclose(scaled[wavelength < 8192 / 4], theta[wavelength < 8192 / 4])
    np.testing.assert_allclose(scaled[wavelength > 8192], theta[wavelength > 8192] / 8)


@pytest.mark.parametrize("factor", [0.5, 0, -1, float("nan"), float("inf")])
def test_factors_below_one_are_refused(factor):
    with pytest.raises(ValueError, match="factor"):
        scaling_by_name("linear", factor)


def test_unknown_methods_and_upside_down_ramps_are_refused():
    with pytest.raises(ValueError, match="method"):
        scaling_by_name("quadratic", 2.0)
    with pytest.raises(ValueError, match="beta"):
        Yarn(2.0, beta_fast=1.0, beta_slow=32.0)
    with pytest.raises(ValueError, match="freq_factor"):
        Llama3(2.0, low_freq_factor=4.0, high_freq_factor=1.0)


def test_the_command_line_offers_every_method():
    assert list(CLI_METHODS) == list(METHODS)
