"""When a way of fine-tuning has adapted, from made-up curves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.records import record
from figures.verdicts import EXPERIMENTS
from figures.verdicts.adaptation import Reached, caught_up, reached
from figures.verdicts.fine_tuning_runs import runs_in
from tests.pipeline import synthetic

STEPS = (0, 10, 50, 100)
nats = st.lists(st.floats(1, 9), min_size=4, max_size=4)


def made(pi, direct):
    """Metrics of two runs at factor 4 with these losses in the new window."""

    def curve(losses):
        return [
            synthetic.entry(step, dict.fromkeys((256, 1024), loss), 256)
            for step, loss in zip(STEPS, losses, strict=True)
        ]

    runs = [
        {"method": method, "factor": 4, "peak_lr": 1e-4, "seed": 0, "curve": curve(losses)}
        for method, losses in (("linear", pi), ("none", direct))
    ]
    return synthetic.tables() | {"runs": runs}


def adapted(pi, direct):
    (found,) = reached(runs_in({"metrics": made(pi, direct), "config": {}})).values()
    return found["linear"], found["none"]


def test_the_papers_picture_is_recognised(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    pi, direct = adapted([4.1, 3.44, 3.41, 3.4], [5.3, 4.5, 4.1, 3.7])
    assert (str(pi), str(direct)) == ("at step 10", "never in 100 steps")
    synthetic.write("tiny_tables", made([4.1, 3.44, 3.41, 3.4], [5.3, 4.5, 4.1, 3.7]))
    assert EXPERIMENTS["adaptation"].outcome().verdict == "reproduced"
    synthetic.write("tiny_tables", made([4.5, 4.4, 3.9, 3.4], [5.3, 3.4, 3.4, 3.4]))
    assert EXPERIMENTS["adaptation"].outcome().verdict == "refuted"


@given(nats, nats)
def test_whoever_ends_lowest_gets_there_and_swapping_the_ways_swaps_the_steps(ours, theirs):
    pi, direct = adapted(ours, theirs)
    assert (pi if ours[-1] <= theirs[-1] else direct).surely is not None
    assert adapted(theirs, ours) == (direct, pi)


@pytest.mark.parametrize(
    ("found", "by_20"),
    [
        (Reached(10, 20, 100), "holds"),
        (Reached(20, 50, 100), "open"),
        (Reached(50, 50, 100), "fails"),
        (Reached(None, None, 100), "fails"),
    ],
)
def test_a_step_between_the_possible_and_the_sure_one_leaves_it_open(found, by_20):
    assert found.by(20) == by_20


def test_direct_fine_tuning_has_caught_up_when_it_stays_near_and_not_when_it_passes_by():
    (direct, pi) = runs_in({"metrics": made([4.0, 3.0, 3.0, 3.0], [4.0, 3.5, 3.2, 3.0]), "config": {}}).groups
    assert str(caught_up(pi, direct, "books")) == "at step 100"
    assert str(caught_up(pi, pi, "books")) == "at step 0"
    (direct, pi) = runs_in({"metrics": made([3.0, 3.0, 3.0, 3.0], [3.5, 3.0, 3.0, 3.5]), "config": {}}).groups
    assert str(caught_up(pi, direct, "books")) == "never in 100 steps"
