"""PI trained on short windows: its study at toy size, and its rule and table on made-up records."""

import json

import pytest

from experiments.measurement.training import fine_tuning as tuning
from experiments.studies import tiny_short_windows, tiny_tables
from figures.drawing import tabulate
from figures.verdicts import EXPERIMENTS
from figures.verdicts.fine_tuning_runs import runs_in
from figures.verdicts.short_window_rules import pairs
from tests.pipeline import synthetic
from tests.pipeline.toy import WINDOW, shape, toy_config


def outcome(short, long):
    config = {"trials": 10, "sequence_tokens": WINDOW}
    synthetic.write("tiny_short_windows", synthetic.interpolated(**short), config=config)
    synthetic.write("tiny_tables", synthetic.interpolated(**long), device="another device")
    return EXPERIMENTS["short_windows"].outcome()


def test_training_windows_are_short_and_measured_windows_are_long(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    recipes, train = {}, tuning.train

    def watched(recipe, out):
        recipes[recipe.method, recipe.sequence_tokens] = recipe
        return train(recipe, out)

    monkeypatch.setattr(tuning, "train", watched)
    toy = toy_config(tmp_path) | {"factors": [2], "seeds": [0], "steps": [1, 2], "peak_lr": 1e-3, "peak_lrs": [1e-3]}
    short, long = (
        study.run(study.STUDY.config | toy, processes=1, progress=False) for study in (tiny_short_windows, tiny_tables)
    )
    ours, theirs = recipes["linear", WINDOW], recipes["linear", None]
    assert (ours.training_tokens, ours.global_batch) == (WINDOW, 2)
    assert (theirs.training_tokens, theirs.global_batch) == (2 * WINDOW, 1)
    assert ours.context_tokens == theirs.context_tokens == 2 * WINDOW
    (pair,) = pairs(*(runs_in({"metrics": made, "config": {}}) for made in (short, long)))
    assert pair.step == 2
    assert pair.short.at(0) == pair.long.at(0)
    assert pair.short.last() != pair.long.last()
    (corpus,) = toy["corpora"]
    before, after = (pair.short.at(step)[0].loss(corpus, 2 * WINDOW) for step in (0, 2))
    assert after < before
    json.dumps(short, allow_nan=False)
    assert shape(short) == shape(synthetic.interpolated())


@pytest.mark.parametrize(
    ("short", "long", "verdict", "outcomes"),
    [
        ({"loss": 3.01, "reach": 1.0}, {"loss": 3.0, "reach": 0.5}, "reproduced", ("holds", "holds")),
        ({"loss": 3.01, "reach": 0.5}, {"loss": 3.0, "reach": 1.0}, "split", ("holds", "fails")),
        ({"loss": 3.03, "reach": 0.5}, {"loss": 3.0, "reach": 1.0}, "refuted", ("fails", "fails")),
        ({"loss": 2.9, "reach": 1.0}, {"loss": 3.0, "reach": 1.0}, "open", ("holds", "open")),
    ],
)
def test_perplexity_within_two_per_cent_is_as_low_and_equal_shares_are_open(results, short, long, verdict, outcomes):
    found = outcome(short, long)
    assert found.verdict == verdict
    perplexity, everywhere, beyond = found.findings
    assert (perplexity.outcome, everywhere.outcome) == outcomes
    assert beyond.outcome == everywhere.outcome
    assert [len(one.checks) for one in found.findings] == [6, 3, 3]


def test_seeds_that_only_one_of_the_ways_has_are_left_out(results):
    long = synthetic.interpolated(loss=3.0)
    lucky = [
        run | {"seed": run["seed"] + 1, "curve": [*run["curve"]]} for run in synthetic.interpolated(loss=2.0)["runs"]
    ]
    long["runs"] += [run for run in lucky if run["seed"] == 2]
    synthetic.write("tiny_short_windows", synthetic.interpolated(), config={"trials": 10, "sequence_tokens": WINDOW})
    synthetic.write("tiny_tables", long)
    checks = EXPERIMENTS["short_windows"].outcome().findings[0].checks
    assert {(check.outcome, check.measured.rpartition(": ")[2]) for check in checks} == {
        ("holds", "+0.0% (+0.0 to +0.0)")
    }


def test_ways_are_compared_after_the_last_step_that_both_were_measured_at(results):
    steps = (0, 25, 100, 400)
    found = outcome({"loss": 3.0}, {"loss": 3.0, "steps": steps})
    # One is at half of its way down then, the other at its end.
    assert {check.outcome for check in found.findings[0].checks} == {"fails"}
    tabulate("short_windows", results)
    assert "After 100 steps" in (results / "short_windows.md").read_text()


def test_the_table_has_both_ways_by_factor_and_says_where_each_was_measured(results):
    outcome({"loss": 3.0, "reach": 0.5}, {"loss": 3.01})
    shown = tabulate("short_windows", results)
    assert list(shown.records) == ["tiny_short_windows", "tiny_tables"]
    (block,) = shown.content.blocks
    assert block.columns == ("PI", "k_max", "passkeys found", "books at L'", "code at L'")
    assert len(block.rows) == 6
    assert block.rows[2][:3] == ("×4 to 1024, trained on windows of 256", "512", "50%")
    assert block.rows[3][:3] == ("×4 to 1024, trained on windows of 1024", "1024", "100%")
    assert "1000 steps of 4096 tokens in windows of 256, 2 seeds" in shown.content.caption
    assert "measured on no device" in shown.content.caption
    assert "measured on another device" in shown.content.caption


def test_without_what_it_is_compared_with_it_is_not_tested_and_says_how(results):
    synthetic.write("tiny_short_windows", synthetic.interpolated())
    found = EXPERIMENTS["short_windows"].outcome()
    assert found.verdict == "not tested"
    assert "python -m experiments tiny_tables" in found.reason
