"""What an interval decides, and that it covers what it says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from figures.verdicts.intervals import Interval, Loss, difference, every, mean_over_both, share, share_difference

finite = st.floats(-5, 5)
OUTCOMES = st.sampled_from(["holds", "fails", "open"])


def losses(by_text, **more):
    return Loss(float(np.mean(by_text)), documents=len(by_text), by_text=tuple(by_text), **more)


@given(st.tuples(finite, finite, finite).map(sorted), finite)
def test_below_and_above_are_opposites_and_open_while_the_interval_holds_the_limit(ends, limit):
    low, mean, high = ends
    one = Interval(mean, low, high)
    opposite = {"holds": "fails", "fails": "holds", "open": "open"}
    assert one.above(limit) == opposite[one.below(limit)]
    assert (one.below(limit) == "open") == (low <= limit <= high)


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=9))
def test_swapping_two_models_mirrors_the_interval_of_their_difference(pairs):
    ours, theirs = zip(*pairs, strict=True)
    one, other = difference([losses(ours)], [losses(theirs)]), difference([losses(theirs)], [losses(ours)])
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))


@given(st.lists(finite, min_size=3, max_size=9), st.lists(finite, min_size=3, max_size=9))
def test_what_texts_have_in_common_does_not_widen_an_interval(levels, changes):
    count = min(len(levels), len(changes))
    levels, changes = np.array(levels[:count]), np.array(changes[:count])
    ours, flat = (
        difference([losses(levels + changes)], [losses(levels)]),
        difference([losses(changes)], [losses(0 * changes)]),
    )
    assert (ours.low, ours.high) == pytest.approx((flat.low, flat.high), abs=1e-6)


def test_an_interval_over_texts_and_seeds_covers_the_truth_about_as_often_as_it_says():
    rng, truth, covered = np.random.default_rng(0), -0.1, 0
    for _ in range(600):
        texts, seeds = rng.normal(0, 0.05, 13), rng.normal(0, 0.03, 3)
        found = mean_over_both(truth + seeds[:, None] + texts + rng.normal(0, 0.02, (3, 13)))
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 600 <= 0.995


def test_without_losses_by_text_samples_count_as_independent_and_one_document_decides_nothing():
    ours, theirs = Loss(2.0, 0.03, 8), Loss(2.1, 0.04, 8)
    wide = difference([ours], [theirs])
    assert wide.high - wide.mean == pytest.approx(0.05 * 2.3646, rel=1e-3)  # t of 7 degrees of freedom
    alone = difference([Loss(1.0)], [Loss(5.0)])
    assert alone.below() == "open"
    assert "no interval" in str(alone)


def test_a_share_of_trials_has_its_exact_interval():
    assert share([0], 15).high == pytest.approx(1 - 0.025 ** (1 / 15))
    assert share([15], 15).low == pytest.approx(0.025 ** (1 / 15))
    assert share([15, 15], 15) == share([30], 30)


counts = st.lists(st.integers(0, 20), min_size=1, max_size=4)


@given(counts)
def test_seeds_that_differ_can_only_widen_the_interval_of_a_share(hits):
    found, pooled = share(hits, 20), share([sum(hits)], 20 * len(hits))
    assert 0 <= found.low <= pooled.low <= found.mean <= pooled.high <= found.high <= 1


def test_a_share_that_one_seed_of_three_makes_alone_is_open():
    assert share([15, 0, 0], 15).above(0.2) == "open"


@given(counts, st.data())
def test_swapping_two_shares_mirrors_the_interval_of_their_difference(hits, data):
    others = data.draw(st.lists(st.integers(0, 20), min_size=len(hits), max_size=len(hits)))
    one, other = share_difference(hits, others, 20), share_difference(others, hits, 20)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))
    assert -1 <= one.low <= one.mean <= one.high <= 1


def test_an_interval_of_two_shares_covers_the_truth_about_as_often_as_it_says():
    rng, covered = np.random.default_rng(0), 0
    for _ in range(2000):
        found = share_difference([int(rng.binomial(40, 0.5))], [int(rng.binomial(40, 0.2))], 40)
        covered += found.low <= 0.3 <= found.high
    assert 0.94 <= covered / 2000 <= 0.98


@given(st.lists(OUTCOMES))
def test_every_case_has_to_hold_and_one_that_fails_is_enough(decisions):
    assert (every(decisions) == "holds") == (set(decisions) == {"holds"})
    assert (every(decisions) == "fails") == ("fails" in decisions)


def test_a_change_is_said_in_per_cent_and_beyond_a_factor_of_two_as_a_multiple():
    assert str(Interval(math.log(1.02), math.log(1.01), math.log(1.03))) == "+2.0% (+1.0 to +3.0)"
    assert str(Interval(math.log(3), math.log(1.5), math.log(6))) == "×3 (1.5 to 6)"
