import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pi_theory.certified.reach import certified_first_slow_pair, certified_reach
from pi_theory.reach import LONGEST, first_slow_pair, reach, stretches
from pi_theory.rope import frequencies
from pi_theory.scaling import METHODS, DynamicNTK, LinearPI, Llama3, NTKAware, Yarn, scaled_frequencies, scaling_by_name
from tests.theory import strategies as some

methods = st.sampled_from(sorted(METHODS))
windows = st.integers(2, 8192)
scalings = st.one_of(
    st.builds(scaling_by_name, methods, some.factors),
    st.builds(scaling_by_name, methods, st.sampled_from([1.0, 2.0, 4.0, 8.0])),
    st.builds(lambda factor: Yarn(factor, truncate=False), some.factors),
    st.builds(lambda factor, low: Llama3(factor, low_freq_factor=low), some.factors, st.floats(0.1, 3.5)),
)


def brute_force(scaling, head_dim, base, window, most):
    """The longest window up to a length, by looking at the phase of every slow pair at its largest distance."""
    theta = frequencies(head_dim, base)
    slow = window * theta < 2 * np.pi
    for tokens in range(window, most):
        if tokens == window or isinstance(scaling, DynamicNTK):
            scaled = scaled_frequencies(scaling, head_dim=head_dim, base=base, window=window, context=tokens + 1)
        if np.any(tokens * scaled[slow] > (window - 1) * theta[slow] * (1 + 1e-12)):
            return tokens
    return most


@given(scalings, some.head_dims, some.bases, st.integers(1, 50))
def test_reach_is_what_a_search_token_by_token_finds(scaling, head_dim, base, window):
    found = reach(scaling, head_dim=head_dim, base=base, window=window).tokens
    assert min(found or 150, 150) == brute_force(scaling, head_dim, base, window, 150)


@given(scalings, some.head_dims, some.bases, some.windows)
def test_the_certified_reach_is_the_one_in_float64(scaling, head_dim, base, window):
    config = {"head_dim": head_dim, "base": base, "window": window}
    found, certified = reach(scaling, **config), certified_reach(scaling, **config)
    assert certified_first_slow_pair(head_dim, base, window) == first_slow_pair(head_dim, base, window)
    if found.tokens is None or certified.tokens is None:
        assert found.tokens == certified.tokens
    else:  # rounding may cost as much as float64 resolves
        assert abs(found.tokens - certified.tokens) <= 1 + 1e-11 * found.tokens
    if found.tokens == certified.tokens and isinstance(scaling, NTKAware) and scaling.factor > 1.001:
        assert found.leaves == certified.leaves


@given(scalings, some.head_dims, some.bases, windows, st.data())
def test_up_to_the_reach_no_phase_is_outside_its_trained_arc(scaling, head_dim, base, window, data):
    found = certified_reach(scaling, head_dim=head_dim, base=base, window=window)
    assume(found.tokens is not None)
    theta = frequencies(head_dim, base)
    slow = window * theta < 2 * np.pi

    def phases(distance, tokens):
        return distance * scaled_frequencies(scaling, head_dim=head_dim, base=base, window=window, context=tokens)

    tokens = data.draw(st.integers(window, found.tokens))
    inside = phases(data.draw(st.floats(0, tokens - 1)), tokens)
    assert np.all(inside[slow] <= (window - 1) * theta[slow] * (1 + 1e-9))
    beyond = phases(found.tokens, found.tokens + 1)
    assert beyond[found.leaves] >= (window - 1) * theta[found.leaves] * (1 - 1e-9)


@given(scalings, some.head_dims, some.bases, some.windows)
def test_no_method_slows_a_pair_less_than_a_faster_one(scaling, head_dim, base, window):
    """So the first slow pair leaves its arc first, on which the certified reach rests."""
    found = stretches(scaling, head_dim=head_dim, base=base, window=window)
    assert np.all(np.diff(found) >= -1e-9 * found[1:])


@given(some.head_dims, some.bases, windows, st.integers(1, 64))
def test_linear_interpolation_reaches_one_position_less_than_it_promises_for_each_step(head_dim, base, window, factor):
    assume(first_slow_pair(head_dim, base, window) is not None)
    found = certified_reach(LinearPI(float(factor)), head_dim=head_dim, base=base, window=window)
    assert found.tokens == factor * window - (factor - 1)


@pytest.mark.parametrize("method", [Yarn, Llama3])
@given(st.integers(2, 48), some.bases, st.integers(64, 8192), st.floats(1, 64))
def test_methods_that_divide_every_slow_frequency_reach_as_far_as_linear(method, half, base, window, factor):
    config = {"head_dim": 2 * half, "base": base, "window": window}
    first = first_slow_pair(**config)
    assume(first is not None and first > 0)
    assert certified_reach(method(factor), **config) == certified_reach(LinearPI(factor), **config)


def test_ntk_falls_short_of_its_factor_by_the_place_of_the_first_slow_pair():
    found = certified_reach(NTKAware(2.0), head_dim=128, base=10_000, window=2048)
    assert found.leaves == 41
    assert found.tokens == 1 + math.floor(2047 * 2 ** (82 / 126))


def test_powers_that_are_whole_numbers_are_decided_exactly():
    # d = 6 and c = 10^4: theta = 1, 0.046, 0.0022; j = 1 is slow for L <= 135, and 4^(2j/(d-2)) = 2
    config = {"head_dim": 6, "base": 10_000, "window": 100}
    assert first_slow_pair(**config) == 1
    assert certified_reach(NTKAware(4.0), **config).tokens == 1 + 99 * 2
    assert reach(NTKAware(4.0), **config).tokens == 1 + 99 * 2


def test_dynamic_ntk_stops_at_its_fixed_point():
    found = reach(DynamicNTK(4.0), head_dim=32, base=10_000, window=256)
    exponent = 14 / 30
    room = [255 * (4 * tokens / 256 - 3) ** exponent - (tokens - 1) for tokens in (found.tokens, found.tokens + 1)]
    assert room[0] >= 0 > room[1]
    # where the growth of the factor does not keep up with the text from the first token on, nothing is gained
    assert reach(DynamicNTK(2.0), head_dim=32, base=10_000, window=256).tokens == 256


@given(scalings, some.bases)
def test_where_every_pair_turns_in_the_window_there_is_no_limit(scaling, base):
    assert certified_reach(scaling, head_dim=2, base=base, window=7).tokens is None
    assert reach(scaling, head_dim=2, base=base, window=7).tokens is None


def test_a_window_beyond_all_texts_is_refused():
    with pytest.raises(ValueError, match="window"):
        reach(LinearPI(2.0), head_dim=128, base=10.0**30, window=LONGEST)
