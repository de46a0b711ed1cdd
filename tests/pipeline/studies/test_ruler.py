"""RULER inside the old window, at toy size, and what its made-up records decide."""

from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.measurement.compared_models import UNTRAINED
from experiments.studies import smollm2_ruler
from figures.drawing import tabulate
from figures.verdicts import EXPERIMENTS
from figures.verdicts.intervals import paired_scores
from pi_model.errors import UsageError
from pi_model.evaluation.benchmarks import Scores
from tests.pipeline import synthetic

pytest.importorskip("nltk")  # for good writes to what standard error is now, and a test's own is closed after it

CONFIG = smollm2_ruler.STUDY.config | {"model": "tiny-llama", "dtype": "float32", "limit": 2, "models": UNTRAINED[:2]}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
def test_every_item_of_a_task_is_scored_for_each_model(cache):
    pytest.importorskip("wonderwords")
    made = smollm2_ruler.run(CONFIG | {"tasks": ["niah_single_1"], "item_tokens": [256]}, progress=False)
    assert [one["name"] for one in made["models"]] == ["untouched", "PI ×2"]
    for one in made["models"]:
        (scores,) = one["scores"]["niah_single_1"].values()
        assert len(scores) == 2
        assert all(0 <= score <= 1 for score in scores)
    assert made["harness"].startswith("lm_eval ")


def test_every_model_reads_the_untouched_window_and_the_same_tokenizer_counts(cache, monkeypatch):
    asked = []

    def answers(model, tokenizer, tasks, **settings):
        asked.append((settings["context_tokens"], settings["counted_by"], settings["progress_folder"]))
        return {task: Scores({str(n): [1 / 3, 0.0] for n in settings["lengths"]}) for task in tasks}

    monkeypatch.setattr(smollm2_ruler, "check", lambda *_, **__: None)
    monkeypatch.setattr(smollm2_ruler, "benchmark", answers)
    made = smollm2_ruler.run(CONFIG | {"item_tokens": [128, 256]}, progress=False)
    assert {(context, folder) for context, folder, _ in asked} == {(256, asked[0][1])}
    assert len({folder for *_, folder in asked}) == 2
    assert made["models"][1]["scores"]["ruler_vt"] == {"128": [0.333333, 0.0], "256": [0.333333, 0.0]}


def test_items_longer_than_the_old_window_are_refused(cache, monkeypatch):
    monkeypatch.setattr(smollm2_ruler, "check", lambda *_, **__: None)
    with pytest.raises(UsageError, match="longer than the old window of 256"):
        smollm2_ruler.run(CONFIG | {"item_tokens": [512]})


def outcome(**changes):
    synthetic.write("smollm2_ruler", synthetic.ruler(**changes), config=synthetic.RULER)
    return EXPERIMENTS["ruler_smollm2"].outcome()


@pytest.mark.parametrize(
    ("easy", "items", "expected"),
    [
        ((180, 180), 200, "reproduced"),
        ((180, 120), 200, "refuted"),
        ((180, 175), 200, "open"),
        ((18, 18), 20, "open"),  # as many right, and too few to know
        ((20, 2), 20, "refuted"),
    ],
)
def test_a_loss_of_more_than_two_points_is_told_from_less_where_items_suffice(results, easy, items, expected):
    assert outcome(easy=easy, items=items).verdict == expected


def test_a_task_that_the_untouched_model_cannot_do_decides_nothing_and_is_named(results):
    found = outcome()
    assert {check.case for check in found.checks} == {f"PI ×2, easy, {n} tokens" for n in (128, 256)}
    assert "left out, since the untouched model scores below 20%: hard at 128 tokens" in found.scale
    assert outcome(easy=(10, 0)).verdict == "not tested"


def test_other_ways_to_extend_stand_in_the_table_and_not_in_the_verdict(results):
    made = synthetic.ruler(easy=(180, 180))
    broken = made["models"][1] | {"name": "YaRN ×2", "method": "yarn"}
    broken["scores"] = {task: {n: [0.0] * len(s) for n, s in found.items()} for task, found in broken["scores"].items()}
    made["models"].append(broken)
    synthetic.write("smollm2_ruler", made, config=synthetic.RULER)
    assert EXPERIMENTS["ruler_smollm2"].outcome().verdict == "reproduced"
    assert "YaRN ×2" in {row[0] for row in tabulate("ruler_smollm2", results).content.blocks[0].rows}


def test_the_table_of_ruler_shows_each_score_and_the_change_over_items(results):
    synthetic.write("smollm2_ruler", synthetic.ruler(), config=synthetic.RULER)
    shown = tabulate("ruler_smollm2", results)
    rows = shown.content.blocks[0].rows
    assert rows[0] == ("untouched", "90.0", "90.0")
    assert rows[1][1].startswith("89.0: -1.0 points (")
    assert "200 items of 2 tasks" in shown.content.caption


@given(st.lists(st.sampled_from([-1.0, -1 / 3, 0.0, 0.5, 1.0]), min_size=2, max_size=60))
def test_an_interval_of_paired_scores_has_its_mean_inside_and_is_never_a_point(differences):
    found = paired_scores(differences)
    assert found.mean == pytest.approx(fmean(differences))
    assert -1 <= found.low <= found.mean <= found.high <= 1
    assert found.high - found.low > 2 / (len(differences) + 2)


def test_an_interval_of_paired_scores_covers_the_truth_about_as_often_as_it_says():
    rng, covered, chances = np.random.default_rng(0), 0, (0.1, 0.85, 0.05)
    for _ in range(2000):
        found = paired_scores(rng.choice([-1.0, 0.0, 1.0], 20, p=chances))
        covered += found.low <= chances[2] - chances[0] <= found.high
    assert covered / 2000 >= 0.94
