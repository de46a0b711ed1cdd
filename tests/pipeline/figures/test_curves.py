"""The curves that notebooks draw are those of the theory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measurement import bound_curves
from experiments.measurement.heads.curves import head_curves
from pi_theory.rope import frequencies, score

parts = st.floats(-100, 100)


@pytest.mark.parametrize(("head_dim", "refuted"), [(128, True), (1748, False)])
def test_the_counterexample_passes_the_published_bound_exactly_where_the_theorem_fails(head_dim, refuted):
    curves = bound_curves.interpolation(head_dim=head_dim, base=10_000)
    middle = curves["positions"].index(0.5)
    assert (curves["counterexample"][middle] > curves["published"][middle]) is refuted
    assert (curves["margin"] > 1) is refuted
    assert curves["counterexample"][middle] == pytest.approx(curves["sharp"][middle])
    assert np.all(np.array(curves["sharp"]) >= np.array(curves["counterexample"]) - 1e-12)
    assert curves["smallest_valid_head_dim"] == 1748


def test_the_worst_head_behaved_where_it_was_trained_and_reaches_the_program_s_value():
    curves = bound_curves.scores(head_dim=16, base=10_000, window=32, factor=2.0, hmax=10.0, points=3)
    s, head = np.array(curves["curve_positions"]), np.array(curves["head_extrapolated"])
    trained = (s <= 31) & np.isclose(s, np.round(s))
    assert trained.sum() == 32
    assert np.abs(head[trained]).max() < 1 + 1e-6
    assert head[-1] == pytest.approx(curves["extrapolated"][-1], rel=1e-4)
    assert head[-1] > 2 > np.abs(curves["head_scaled"]).max()
    assert np.all(np.array(curves["window"])[:: (s.size - 1) // 2] >= np.array(curves["scaled"]) - 1e-9)


@given(st.lists(st.builds(complex, parts, parts), min_size=1, max_size=8).filter(any), st.sampled_from([2, 3]))
def test_every_bound_drawn_of_a_head_holds_but_the_published_one(h, factor):
    h = np.array(h)
    curves = head_curves(h, base=100.0, window=16, factor=factor, distance=3)
    slack = 1 + 1e-9
    size = np.abs(curves["extrapolated"])
    assert np.all(size <= slack * np.array(curves["eq8_first"]))
    assert np.all(size <= slack * np.array(curves["eq8_last"]))
    assert size.max() <= slack * curves["sum"] <= slack**2 * curves["trivial"]
    assert max(curves["errors"]) <= slack * curves["sharp"] <= slack**2 * curves["taylor"]
    assert np.allclose(
        curves["interpolated"], score(h, np.arange(16 * factor) / factor, frequencies(2 * h.size, 100.0))
    )
    assert np.allclose(curves["interpolated"][::factor], curves["extrapolated"][:16])
