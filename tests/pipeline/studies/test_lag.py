"""The lag of direct fine-tuning by pretraining: its study at toy size, and its rule on made-up records."""

import json
import math

import numpy as np
import pytest

from experiments.measurement import kept
from experiments.studies import tiny_lag
from figures.plots import tiny_lag as tiny_lag_figure
from figures.verdicts import EXPERIMENTS
from figures.verdicts.adaptation import reached
from figures.verdicts.lag_rules import by_tokens
from tests.pipeline import synthetic
from tests.pipeline.toy import WINDOW, shape, toy_config

TOKENS = [WINDOW, 3 * WINDOW]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The study's config at toy size: pretraining steps of one window, from nothing."""
    config = tiny_lag.STUDY.config | toy_config(tmp_path_factory.mktemp("toy"))
    one_window = {"global_batch": 1, "micro_batch": 1, "warmup_steps": 1, "checkpoint_every": 1}
    pretraining = config["pretraining"] | one_window | {"tokens": TOKENS}
    return config | {"pretraining": pretraining, "factor": 2, "seeds": [0], "windows": [256, 512], "steps": [1, 2]}


@pytest.fixture(scope="module")
def whole(toy, tmp_path_factory):
    """What the study gives that nothing interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_MODEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return tiny_lag.run(toy, processes=1, progress=False)


def test_a_model_on_the_way_is_what_a_run_of_that_length_gives(toy, tmp_path):
    def weights(folder, *stops):
        models = [tiny_lag.pretrained(toy, tokens, folder, progress=False) for tokens in stops]
        return [(model / "model.safetensors").read_bytes() for model in models]

    on_the_way = weights(tmp_path / "stopped", WINDOW, 2 * WINDOW, 3 * WINDOW)
    assert len({*on_the_way}) == 3
    assert on_the_way[1:] == [*weights(tmp_path / "two", 2 * WINDOW), *weights(tmp_path / "three", 3 * WINDOW)]


def test_each_model_is_extended_both_ways_and_read_like_the_runs_of_any_study(toy, whole):
    models = by_tokens({"metrics": whole, "config": toy})
    assert list(models) == TOKENS
    for tuned in models.values():
        assert [(group.method, group.steps) for group in tuned.groups] == [("none", [0, 1, 2]), ("linear", [0, 1, 2])]
        assert list(reached(tuned)) == [(2, 3e-4)]
    less, more = (tuned.base.loss(tuned.corpora[0], WINDOW) for tuned in models.values())
    assert more < less
    json.dumps(whole, allow_nan=False)
    assert shape(whole) == shape(synthetic.lag({TOKENS[0]: 50}))


def test_a_killed_study_of_the_lag_goes_on_and_gives_what_it_would_have_given(toy, whole, monkeypatch):
    called, train = [], tiny_lag.train

    def dies_once(recipe, out, **options):
        called.append(recipe.steps)
        if len(called) == 2:
            raise KeyboardInterrupt
        return train(recipe, out, **options)

    monkeypatch.setattr(tiny_lag, "train", dies_once)
    with pytest.raises(KeyboardInterrupt):
        tiny_lag.run(toy, processes=1, progress=False)
    resumed = tiny_lag.run(toy, processes=1, progress=False)
    assert called == [1, 3, 3]
    assert (whole["resumed"], resumed["resumed"]) == (False, True)
    # A model is named after its tokens, wherever the cache is.
    assert resumed["models"] == whole["models"]
    assert list((kept.cache_dir() / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("caught_up", "verdict"),
    [
        ({1_000_000: 50, 2_000_000: 100, 4_000_000: 200}, "reproduced"),
        ({1_000_000: 50, 2_000_000: 100, 4_000_000: math.inf}, "reproduced"),
        ({1_000_000: 200, 2_000_000: 100, 4_000_000: 100}, "refuted"),
        ({1_000_000: 100, 2_000_000: 50, 4_000_000: 200}, "split"),
        ({1_000_000: math.inf, 2_000_000: math.inf}, "open"),
        ({1_000_000: 100}, "not tested"),
    ],
)
def test_a_lag_that_grows_with_pretraining_is_told_from_one_that_does_not(caught_up, verdict, results):
    synthetic.write("tiny_lag", synthetic.lag(caught_up))
    outcome = EXPERIMENTS["lag"].outcome()
    assert outcome.verdict == verdict
    if outcome.checks:
        assert "pretrained on 1M, 2M" in outcome.scale
        assert outcome.checks[0].case == "2M tokens against 1M"
        assert outcome.checks[0].measured.startswith("after 1M tokens ")


def test_what_both_ways_learn_after_little_pretraining_is_no_lag(results):
    made = synthetic.lag({1_000_000: 0, 2_000_000: 100})
    for run in made["models"][0]["runs"]:
        for entry in run["curve"]:
            for row in entry["perplexity"]["books"].values():
                row["loss_nats"] += 4.0 / (1 + entry["step"])
    synthetic.write("tiny_lag", made)
    (check,) = EXPERIMENTS["lag"].outcome().checks
    assert (check.outcome, check.measured) == ("holds", "after 1M tokens at step 0, after 2M at step 100")


def test_the_figure_of_the_lag_has_a_panel_for_each_model_and_one_for_what_lies_between(results):
    synthetic.write("tiny_lag", synthetic.lag({1_000_000: 50, 2_000_000: 100}), config={"corpora": {"books": 5}})
    figure = tiny_lag_figure.draw()
    *models, lead = figure.axes
    assert [axes.get_title(loc="left") for axes in models] == ["(a) 1M tokens", "(b) 2M tokens"]
    between = {line.get_label(): line.get_ydata() for line in lead.lines if not line.get_label().startswith("_")}
    assert list(between) == ["1M tokens", "2M tokens"]
    assert [list(np.round(values)) for values in between.values()] == [[172, 172, 0, 0, 0, 0], [172, 172, 172, 0, 0, 0]]
