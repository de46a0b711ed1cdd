import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pi_theory.certified.displacement import certified_row_bounds
from pi_theory.displacement import (
    Moved,
    change,
    displacement,
    kl_bound,
    moved,
    oscillation_bound,
    tv_bound,
)
from pi_theory.rope import frequencies, score
from pi_theory.scaling import METHODS, LinearPI, NoScaling, Yarn, attention_factor, scaled_frequencies, scaling_by_name
from tests.theory import strategies as some

methods = st.sampled_from(sorted(METHODS))
oscillations = st.floats(0, 30)


@st.composite
def rows(draw):
    """The coefficients of a query with each of some keys, as large as those of sharp heads, and the keys' distances."""
    half, keys = draw(st.integers(1, 16)), draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    size = draw(st.sampled_from([0.0, 0.1, 1.0, 10.0, 100.0]))
    h = size * (rng.normal(size=(keys, half)) + 1j * rng.normal(size=(keys, half)))
    return h, rng.integers(0, 200, keys)


changes = st.tuples(methods, st.sampled_from([1.0, 2.0, 3.7, 8.0]), some.bases, st.integers(1, 150))


def change_of(drawn, head_dim):
    method, factor, base, window = drawn
    return change(scaling_by_name(method, factor), head_dim=head_dim, base=base, window=window)


def softmax(logits):
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


@given(rows(), changes)
def test_logits_before_have_clamped_distances_and_after_the_methods(row, drawn):
    h, distances = row
    method, factor, base, window = drawn
    scaling, head_dim = scaling_by_name(method, factor), 2 * h.shape[1]
    before, after = change_of(drawn, head_dim).logits(h, distances)
    theta = frequencies(head_dim, base)
    scaled = scaled_frequencies(scaling, head_dim=head_dim, base=base, window=window)
    at = range(len(h))
    clamped = [float(score(h[n], float(min(distances[n], window - 1)), theta)) for n in at]
    extended = [attention_factor(scaling) ** 2 * float(score(h[n], float(distances[n]), scaled)) for n in at]
    np.testing.assert_allclose(before * np.sqrt(head_dim), clamped, atol=1e-8)
    np.testing.assert_allclose(after * np.sqrt(head_dim), extended, atol=1e-8)


@given(rows(), changes)
def test_kl_and_tv_are_those_of_the_two_softmaxes(row, drawn):
    h, distances = row
    before, after = change_of(drawn, 2 * h.shape[1]).logits(h, distances)
    found = moved(before, after)
    p, q = softmax(before), softmax(after)
    assert found.tv == pytest.approx(np.abs(p - q).sum() / 2, abs=1e-9)
    delta = after - before - (after - before).max()  # KL = ln E exp(delta) - E delta, whatever is taken from delta
    assert found.kl == pytest.approx(float(np.log(p @ np.exp(delta)) - p @ delta), abs=1e-9, rel=1e-9)


@given(rows(), changes)
def test_no_row_moves_further_than_its_certified_bounds(row, drawn):
    h, distances = row
    how = change_of(drawn, 2 * h.shape[1])
    before, after = how.logits(h, distances)
    found = moved(before, after)
    shift = how.largest_shift(np.abs(h), distances)
    slack = 1e-9 * (1 + np.abs(h).sum())
    assert np.all(np.abs(after - before) <= shift + slack)
    bound = oscillation_bound(shift)
    assert found.oscillation <= bound + slack
    assert found.kl <= kl_bound(found.oscillation) + slack
    assert found.tv <= tv_bound(found.oscillation) + slack
    certified = certified_row_bounds(np.abs(h), distances.tolist(), how)
    assert certified.oscillation == pytest.approx(float(bound), abs=slack)
    assert certified.kl >= found.kl - slack
    assert certified.tv >= found.tv - slack


@given(rows(), changes, st.integers(0, 2**32 - 1))
def test_a_certified_bound_holds_for_all_phases_of_the_coefficients(row, drawn, seed):
    h, distances = row
    how = change_of(drawn, 2 * h.shape[1])
    turned = h * np.exp(2j * np.pi * np.random.default_rng(seed).random(h.shape))
    certified = certified_row_bounds(np.abs(h), distances.tolist(), how)
    assert moved(*how.logits(turned, distances)).oscillation <= certified.oscillation + 1e-9 * (1 + np.abs(h).sum())


@given(oscillations)
def test_two_keys_attain_the_largest_kl_and_tv(o):
    """What a row of any length can do at an oscillation, two keys do at the probabilities that the bounds name."""
    x = 1 / o - 1 / np.expm1(o) if o > 1e-3 else 0.5
    found = moved(np.log([1 - x, x]), np.log([1 - x, x]) + np.array([0, o]))
    assert found.kl == pytest.approx(float(kl_bound(o)), rel=1e-6, abs=1e-13)
    y = 1 / (1 + np.exp(o / 2))
    found = moved(np.log([1 - y, y]), np.log([1 - y, y]) + np.array([0, o]))
    assert found.tv == pytest.approx(float(tv_bound(o)), rel=1e-9, abs=1e-15)


@given(oscillations, st.integers(2, 30), st.integers(0, 2**32 - 1))
def test_no_row_of_that_oscillation_exceeds_them_nor_they_hoeffding(o, keys, seed):
    rng = np.random.default_rng(seed)
    before, delta = 3 * rng.normal(size=keys), rng.random(keys)
    delta = o * (delta - delta.min()) / np.ptp(delta)
    found = moved(before, before + delta)
    assert found.oscillation == pytest.approx(o)
    assert found.kl <= kl_bound(o) + 1e-12
    assert found.tv <= tv_bound(o) + 1e-12
    assert kl_bound(o) <= o**2 / 8 + 1e-15


@given(rows())
def test_inside_the_window_no_scaling_moves_nothing(row):
    h, distances = row
    how = change(NoScaling(), head_dim=2 * h.shape[1], base=10_000, window=200)
    found = moved(*how.logits(h, distances))
    assert (found.kl, found.oscillation) == (0, 0)
    assert found.tv == pytest.approx(0, abs=1e-15)


def test_keys_that_are_not_read_do_not_count():
    rng = np.random.default_rng(0)
    before, after = rng.normal(size=(2, 6, 6))
    after[0, 1:] = 1e300  # whatever stands there
    read = np.tril(np.ones((6, 6), dtype=bool))
    found = moved(before, after, read)
    for n in range(6):
        one = moved(before[n, : n + 1], after[n, : n + 1])
        assert found.kl[n] == pytest.approx(float(one.kl), abs=1e-12)
        assert found.tv[n] == pytest.approx(float(one.tv), abs=1e-12)
        assert found.oscillation[n] == pytest.approx(float(one.oscillation), abs=1e-12)
    assert (found.kl[0], found.tv[0]) == (0, 0)  # the first token reads itself alone
    shift = np.abs(rng.normal(size=(6, 6)))
    bounds = oscillation_bound(shift, read)
    assert bounds[0] == 0
    assert bounds[3] == pytest.approx(np.sort(shift[3, :4])[-2:].sum())


def test_a_temperature_alone_moves_attention():
    h = np.array([[3.0 + 0j], [0.0 + 0j]])
    found = moved(*change(Yarn(4.0), head_dim=2, base=10_000, window=10**6).logits(h, np.array([0, 0])))
    assert found.tv > 0.01
    assert moved(*change(LinearPI(4.0), head_dim=2, base=10_000, window=10**6).logits(h, np.array([0, 0]))).tv == 0


def test_the_displacement_of_a_model_is_a_sum_over_heads_of_means_over_rows():
    heads = [Moved(np.array([1.0, 3.0]), np.array([0.1, 0.3]), np.zeros(2)), Moved(np.ones(1), np.ones(1), np.ones(1))]
    assert displacement(heads) == pytest.approx((3.0, 1.2))


@pytest.mark.parametrize("distances", [[0], [0, 1, 2], [-1, 0]])
def test_a_row_has_a_distance_for_each_of_at_least_two_keys(distances):
    with pytest.raises(ValueError, match="distances"):
        certified_row_bounds(np.ones((2, 4)), distances, change(LinearPI(2.0), head_dim=8, base=10_000, window=16))
