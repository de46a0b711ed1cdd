"""The studies of training, at toy size: a model made by hand that breaks beyond its window."""

import json
import signal

import pytest

from experiments.measurement import extended_model, kept
from experiments.measurement.budget import Budget
from experiments.measurement.training import fine_tuning as tuning
from experiments.studies import smollm2_finetune, tiny_methods, tiny_pretrain, tiny_sweep, tiny_tables
from pi_model.errors import RunError
from pi_model.models.loading import load_checkpoint
from tests.pipeline import synthetic
from tests.pipeline.toy import WINDOW, shape, toy_config


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """The config that makes a study of tiny models a toy."""
    return toy_config(tmp_path_factory.mktemp("toy"))


def losses(entry, window, part="perplexity"):
    (rows,) = entry[part].values()
    return rows[str(window)]["loss_nats"]


def by_method(metrics):
    return {run["method"]: run["curve"] for run in metrics["runs"]}


def test_beyond_the_window_pi_holds_what_extrapolation_loses_and_training_lowers_both(toy):
    config = tiny_tables.STUDY.config | toy | {"factors": [2], "seeds": [0], "steps": [1, 3], "peak_lrs": [1e-3]}
    made = tiny_tables.run(config | {"other_methods": ["yarn"]}, processes=1, progress=False)
    curves = by_method(made)
    assert list(curves) == ["linear", "none", "yarn"]
    beyond, inside = {}, {}
    for method, curve in curves.items():
        assert [entry["step"] for entry in curve] == [0, 1, 3]
        beyond[method] = [losses(entry, 2 * WINDOW) for entry in curve]
        inside[method] = losses(curve[0], WINDOW)
    assert losses(made["base"], WINDOW) < losses(made["base"], 2 * WINDOW)
    assert beyond["linear"][0] < beyond["none"][0]
    # The price of interpolation: nearer tokens look alike.
    assert inside["linear"] > inside["none"] == losses(made["base"], WINDOW)
    assert beyond["linear"][2] < beyond["linear"][0]
    assert beyond["none"][2] < beyond["none"][0]


def test_a_study_that_was_killed_goes_on_and_gives_what_it_would_have_given(toy, monkeypatch):
    config = tiny_sweep.STUDY.config | toy
    config |= {"seeds_by_factor": {"2": 1}, "peak_lrs": [1e-3], "methods": ["linear"], "steps": [1, 2]}

    def go():
        return tiny_sweep.run(config, processes=1, progress=False)

    whole = go()
    trained, train = [], tuning.train

    def dies_at_step_2(recipe, out):
        if recipe.steps == 2 and "died" not in trained:
            trained.append("died")
            raise KeyboardInterrupt
        trained.append(recipe.steps)
        return train(recipe, out)

    monkeypatch.setattr(tuning, "train", dies_at_step_2)
    with pytest.raises(KeyboardInterrupt):
        go()
    resumed = go()
    assert trained == [1, "died", 2]
    assert (whole["resumed"], resumed["resumed"]) == (False, True)
    assert resumed["runs"] == whole["runs"]
    assert list((kept.cache_dir() / "runs").iterdir()) == []


def test_two_processes_give_what_one_gives(toy):
    config = tiny_methods.STUDY.config | toy | {"factor": 2, "methods": ["none", "yarn"], "steps": [1]}
    alone, together = (tiny_methods.run(config, processes=count, progress=False)["methods"] for count in (1, 2))
    assert alone.keys() == together.keys()
    for method in alone:
        for when in ("zero_shot", "fine_tuned"):
            one, two = alone[method][when], together[method][when]
            assert losses(one, 2 * WINDOW) == pytest.approx(losses(two, 2 * WINDOW), rel=1e-5)
    assert losses(alone["yarn"]["zero_shot"], 2 * WINDOW) < losses(alone["none"]["zero_shot"], 2 * WINDOW)


@pytest.fixture(scope="module")
def smollm2_toy(toy):
    names = ("model", "mixture", "corpora", "windows", "warmup_steps")
    config = smollm2_finetune.CPU | {name: toy[name] for name in names} | {"window_tokens": WINDOW, "last_tokens": 32}
    config |= {"methods": ["linear", "none"], "beside": ["ntk", "yarn"], "positions": 4}
    return config | {"steps": [1, 2], "steps_tokens": 512, "sequence_tokens": None}


@pytest.fixture(scope="module")
def smollm2_whole(smollm2_toy, tmp_path_factory):
    """What the study gives that nothing interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_MODEL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return smollm2_finetune.run(smollm2_toy)


def test_the_smollm2_study_runs_whole_at_toy_size(smollm2_toy):
    made = smollm2_finetune.run(smollm2_toy | {"peak_lr": 1e-3})
    assert (made["stopped_early"], made["not_measured"]) == (False, [])
    curves = by_method(made)
    assert [entry["step"] for entry in curves["linear"]] == [entry["step"] for entry in curves["none"]] == [0, 1, 2]
    assert losses(made["base"], 2 * WINDOW) == losses(curves["none"][0], 2 * WINDOW)
    assert losses(curves["linear"][0], 2 * WINDOW) < losses(curves["none"][0], 2 * WINDOW)
    assert losses(curves["linear"][-1], 2 * WINDOW) < losses(curves["linear"][0], 2 * WINDOW)
    assert {row["method"] for row in made["zero_shot"]} == {"linear", "none", "ntk", "yarn"}
    (last,) = curves["none"][0]["last"].values()
    assert last["512"]["tokens"] == 6 * 32
    assert list(made["base"]["accuracy"]) == ["64", "128", "192", "256"]
    assert list(curves["linear"][-1]["accuracy"]) == ["128", "256", "384", "512"]
    json.dumps(made, allow_nan=False)
    assert shape(made) == shape(synthetic.finetuned())


def test_what_the_smollm2_study_leaves_out_its_record_says(smollm2_toy):
    made = smollm2_finetune.run(smollm2_toy | {"methods": ["linear"], "beside": ["none"], "steps": [1]})
    assert made["not_measured"] == [{"method": "none", "factor": 2, "steps": [1]}]
    assert [run["method"] for run in made["runs"]] == ["linear"]


@pytest.mark.parametrize("moment", ["load_checkpoint", "truncated_perplexity", "passkey", "extend_checkpoint", "train"])
def test_the_smollm2_study_stops_when_its_time_is_over_and_goes_on_from_there(
    smollm2_toy, smollm2_whole, monkeypatch, moment
):
    """The alarm, at the second call of each function the study spends its time in."""
    where = extended_model if moment == "extend_checkpoint" else smollm2_finetune
    called, function = [], getattr(where, moment)

    def interrupted(*arguments, **options):
        called.append(moment)
        if len(called) == 2:
            signal.raise_signal(signal.SIGALRM)
        return function(*arguments, **options)

    monkeypatch.setattr(where, moment, interrupted)
    record = []
    for _ in range(9):
        try:
            record.append(smollm2_finetune.run(smollm2_toy, budget=Budget.of_minutes(60)))
        except RunError:  # not even the model as it is
            continue
        if not record[-1]["stopped_early"]:
            break
    assert record[-1]["resumed"]
    assert record[-1]["not_measured"] == []
    if moment == "train":
        assert record[0]["stopped_early"]
        assert record[0]["not_measured"] == [{"method": "none", "factor": 2, "steps": [1, 2]}]
    assert without_seconds(record[-1]["runs"]) == without_seconds(smollm2_whole["runs"])


def without_seconds(runs):
    return [run | {"curve": [{**entry, "seconds": 0} for entry in run["curve"]]} for run in runs]


@pytest.fixture(autouse=True)
def candidate(tmp_path, monkeypatch):
    monkeypatch.setattr(tiny_pretrain, "CANDIDATE", tmp_path / "build" / "candidate")


@pytest.fixture(scope="module")
def pretrain_toy(toy):
    names = ("model", "mixture", "corpora", "windows", "document_tokens", "positions", "trials")
    config = tiny_pretrain.CPU | {name: toy[name] for name in names}
    config |= {"global_batch": 1, "micro_batch": 1, "checkpoint_every": 1, "warmup_steps": 1}
    return config | {"tokens": [WINDOW, 3 * WINDOW]}


@pytest.fixture(scope="module")
def pretrain_whole(pretrain_toy, tmp_path_factory):
    """What the study gives that nothing interrupts."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("whole")
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        patch.setattr(tiny_pretrain, "CANDIDATE", folder / "candidate")
        return tiny_pretrain.run(pretrain_toy)


def test_the_pretraining_study_leaves_a_candidate_that_loads_and_says_whether_it_is_better(pretrain_toy):
    made = tiny_pretrain.run(pretrain_toy)
    assert [(one["tokens"], one["steps"]) for one in made["candidates"]] == [(256, 1), (768, 3)]
    assert made["not_measured"] == []
    # The toy copies by design; three steps from nothing do not get there.
    assert not made["better"]
    assert "the shipped model stays" in tiny_pretrain.conclusion(made)
    left = load_checkpoint(tiny_pretrain.CANDIDATE)
    assert left.model.num_parameters() == made["model"]["parameters"]
    assert left.tokenizer.get_vocab() == load_checkpoint(pretrain_toy["model"]).tokenizer.get_vocab()
    assert json.loads((left.folder / "training.json").read_text())["tokens"] == made["chosen"]
    again = tiny_pretrain.run(pretrain_toy | {"model": str(left.folder), "tokens": [WINDOW]})
    assert losses(again["shipped"], WINDOW, "test") == losses(
        next(one for one in made["candidates"] if one["tokens"] == made["chosen"]), WINDOW, "test"
    )
    json.dumps(made, allow_nan=False)
    assert shape(made) == shape(synthetic.pretrained())


def test_a_model_is_better_only_where_it_is_on_every_corpus_and_finds_the_passkey_as_far():
    def model(books, code, k_max):
        rows = {name: {"256": {"loss_nats": loss}} for name, loss in {"books": books, "code": code}.items()}
        return {"test": rows, "k_max": k_max}

    shipped = model(3.0, 2.0, 256)
    assert tiny_pretrain.better(model(2.9, 1.9, 256), shipped, 256)
    assert not tiny_pretrain.better(model(2.9, 2.1, 256), shipped, 256)
    assert not tiny_pretrain.better(model(2.9, 1.9, 224), shipped, 256)
    assert not tiny_pretrain.better(shipped, shipped, 256)


@pytest.mark.parametrize(("moment", "call"), [("perplexities", 1), ("train", 1), ("train", 2), ("retrieval", 3)])
def test_the_pretraining_study_stops_when_its_time_is_over_and_goes_on_from_there(
    pretrain_toy, pretrain_whole, monkeypatch, moment, call
):
    called, function = [], getattr(tiny_pretrain, moment)

    def interrupted(*arguments, **options):
        called.append(moment)
        if len(called) == call:
            signal.raise_signal(signal.SIGALRM)
        return function(*arguments, **options)

    monkeypatch.setattr(tiny_pretrain, moment, interrupted)
    if (moment, call) in (("perplexities", 1), ("train", 1)):
        with pytest.raises(RunError, match="the same again to go on"):
            tiny_pretrain.run(pretrain_toy, budget=Budget.of_minutes(60))
    else:
        stopped = tiny_pretrain.run(pretrain_toy, budget=Budget.of_minutes(60))
        assert (stopped["stopped_early"], stopped["not_measured"]) == (True, [768])
    made = tiny_pretrain.run(pretrain_toy, budget=Budget.of_minutes(60))
    assert (made["resumed"], made["stopped_early"]) == (True, False)
    for one, other in zip(made["candidates"], pretrain_whole["candidates"], strict=True):
        assert one | {"training_seconds": 0} == other | {"training_seconds": 0}
