"""An examination says what is so: its numbers are those of the parts it is made of, and it goes on where it stopped."""

import json
import math
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pi_model.cli.main import main
from pi_model.data.documents import Source
from pi_model.errors import RunError, UsageError
from pi_model.evaluation.perplexity import losses_by_token, truncated_perplexity
from pi_model.examine import measurement
from pi_model.examine.certainty import ways
from pi_model.examine.examination import examine_checkpoint
from pi_model.examine.findings import Examination, Identity, Measured, Method
from pi_model.examine.heads import _distances
from pi_model.examine.recommendation import TIE, predicted_order, recommend
from pi_model.examine.rescaled import rescaled
from pi_model.examine.summary import answer, headline, text
from pi_model.models.config_file import read_config
from pi_model.models.extension import extend_checkpoint
from pi_model.models.families import FAMILIES
from pi_model.models.loading import load_checkpoint, random_model
from pi_model.models.rope_parameters import Extension, compose, read_extension
from pi_theory.scaling import METHODS, LinearPI, NoScaling, scaling_by_name
from tests.model.conftest import byte_tokenizer


@pytest.fixture
def texts(tmp_path):
    """Two texts of more than 128 bytes, and one that is too short."""
    path = tmp_path / "texts.jsonl"
    rows = [{"text": "The tide turned at noon. " * 12}, {"text": "Night fell on the hills. " * 12}, {"text": "Short."}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Source(str(path))


@pytest.fixture
def examined(tiny_folder, texts) -> Examination:
    return examine_checkpoint(tiny_folder, context_tokens=128, minutes=5, data=[texts])


def test_every_way_is_measured_and_its_losses_are_those_of_a_folder_extended_so(examined, tiny_folder, texts, tmp_path):
    assert examined.complete
    assert [one.method for one in examined.methods] == list(METHODS)
    for one in examined.methods:
        assert one.measured is not None
        assert one.measured.documents == 2
        folder = tiny_folder
        if one.method != "none":
            folder = tmp_path / one.method
            extend_checkpoint(tiny_folder, scaling_by_name(one.method, 2.0), folder)
        checkpoint = load_checkpoint(folder)
        documents = [
            np.array(checkpoint.tokenizer(row * 12)["input_ids"])[:128]
            for row in ("The tide turned at noon. ", "Night fell on the hills. ")
        ]
        inside, whole = truncated_perplexity(checkpoint.model, documents, windows=[64, 128])
        assert one.measured.loss_nats == pytest.approx(whole.loss_nats, rel=1e-5)
        assert np.mean(one.measured.inside) == pytest.approx(inside.loss_nats, rel=1e-5)
        ends = [one.measured.curve[0].start, one.measured.curve[-1].end]
        assert ends == [1, 128]


def test_the_same_examination_goes_on_where_it_stopped(tiny_folder, texts, examined, monkeypatch):
    calls = []
    kept = measurement.losses_by_token
    monkeypatch.setattr(measurement, "losses_by_token", lambda *a: calls.append(1) or kept(*a))
    again = examine_checkpoint(tiny_folder, context_tokens=128, minutes=1e-9, data=[texts])
    assert not calls
    assert again == examined


def test_without_time_one_text_is_measured_as_the_model_is_and_the_rest_later(tiny_folder, texts, examined, cache):
    for path in (cache / "runs").rglob("*.*"):
        path.unlink()
    first = examine_checkpoint(tiny_folder, context_tokens=128, minutes=1e-9, data=[texts])
    assert not first.complete
    assert first.named("none").measured.documents == 1
    assert any(reason.evidence == "not known" for reason in first.recommendation.reasons)
    assert examine_checkpoint(tiny_folder, context_tokens=128, minutes=5, data=[texts]).methods == examined.methods


def test_a_model_whose_window_has_to_be_said_is_planned_too(tiny_folder, texts, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    path = folder / "config.json"
    content = json.loads(path.read_text())
    del content["max_position_embeddings"]
    path.write_text(json.dumps(content))
    asked = {"context_tokens": 128, "data": [texts], "minutes": 1e-9}
    with pytest.raises(RunError, match="--window"):
        examine_checkpoint(folder, **asked)
    found = examine_checkpoint(folder, window_tokens=64, **asked)
    assert found.cost is not None
    assert "windows of 128 tokens" in found.cost.run


def test_a_model_is_rescaled_as_if_it_were_loaded_so_and_is_the_same_afterwards(tiny_folder, tmp_path):
    checkpoint = load_checkpoint(tiny_folder)
    content = read_config(tiny_folder)
    ids = np.arange(120) % 250
    before = losses_by_token(checkpoint.model, ids)
    for method in METHODS.keys() - {"none"}:
        extension = compose(checkpoint.extension, scaling_by_name(method, 2.0))
        extend_checkpoint(tiny_folder, scaling_by_name(method, 2.0), tmp_path / method)
        with rescaled(checkpoint.model, content, extension) as model:
            there = losses_by_token(model, ids)
        assert np.array_equal(there, losses_by_token(load_checkpoint(tmp_path / method).model, ids))
        assert np.array_equal(before, losses_by_token(checkpoint.model, ids))


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_every_family_can_be_examined(family, texts, tmp_path):
    folder = tmp_path / family
    more = {"head_dim": 8} if family == "qwen3" else {}
    random_model(family, vocab_size=260, **more).save_pretrained(folder)
    byte_tokenizer(adds_bos=True).save_pretrained(folder)
    found = examine_checkpoint(folder, context_tokens=256, minutes=5, data=[texts])
    assert found.methods[0].passkeys is not None
    assert found.identity.family == family
    parameters = sum(one.numel() for one in load_checkpoint(folder).model.parameters())
    assert found.identity.parameters == parameters
    assert all(math.isfinite(one.measured.loss_nats) for one in found.methods)
    assert found.identity.bos == "<s>"


def test_an_extended_model_is_examined_by_its_own_method(tiny_folder, texts, tmp_path):
    extend_checkpoint(tiny_folder, LinearPI(2.0), tmp_path / "twice")
    found = examine_checkpoint(tmp_path / "twice", minutes=1e-9, data=[texts])
    assert found.context_tokens == 256
    assert [(one.method, one.factor) for one in found.methods] == [("none", 2.0), ("linear", 4.0)]
    assert found.identity.window_tokens == 64
    assert any("extended already" in oddity.what for oddity in found.identity.oddities)


def test_a_context_that_is_served_already_needs_nothing(tiny_folder, texts):
    found = examine_checkpoint(tiny_folder, context_tokens=64, minutes=1e-9, data=[texts])
    assert found.recommendation.method == "none"
    assert found.recommendation.commands == ()
    assert "as it is" in headline(found)


def test_with_no_minutes_only_the_config_is_looked_at_and_nothing_heavy_is_imported(tiny_folder, examined):
    script = (
        "import json, sys\n"
        "from pi_model.cli.main import main\n"
        "main(['examine', sys.argv[1], '--context', '128', '--minutes', '0', '--json'])\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tiny_folder)], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    said = answer(examined)
    assert found["theorem"] == said["theorem"]
    for one, other in zip(found["methods"], said["methods"], strict=True):
        assert all(one[key] == other[key] for key in ("method", "factor", "reach_tokens", "resolution"))
        assert one["loss_nats"] is None
    unread = ("tokenizer", "bos")
    assert {k: v for k, v in found["identity"].items() if k not in unread} == {
        k: list(v) if k == "oddities" else v for k, v in said["identity"].items() if k not in unread
    }


def identity(**changes) -> Identity:
    fields = {
        "model": "m", "family": "llama", "parameters": 1, "dtype": "float32", "layers": 1, "heads": 1, "kv_heads": 1,
        "head_dim": 8, "base": 1e4, "vocabulary": 260, "method": "none", "factor": 1.0, "window_tokens": 64,
        "window_from": "max_position_embeddings", "context_tokens": 64, "tokenizer": "bytes", "bos": None,
        "oddities": (),
    }  # fmt: skip
    return Identity(**(fields | changes))


LOSSES = st.lists(st.floats(0.5, 8), min_size=6, max_size=6)


@given(st.lists(LOSSES, min_size=1, max_size=4))
def test_the_recommended_method_is_within_2_percent_of_the_best_measured_or_untold(per_document):
    losses = dict(zip(METHODS, np.array(per_document).T.tolist(), strict=True))
    methods = [
        Method(name, 2.0, 128, 1.0, 1.0, measured=Measured(len(nats), tuple(nats), tuple(nats), tuple(nats), ()))
        for name, nats in losses.items()
    ]
    found = recommend(identity(), 128, methods, "m")
    best = min(np.mean(nats) for nats in losses.values())
    assert np.mean(losses[found.method]) - best <= TIE


@given(st.permutations(["linear", "ntk", "dynamic", "yarn", "llama3"]), st.integers(0, 5))
def test_before_heads_are_looked_at_what_does_not_reach_is_predicted_last(names, reaching):
    methods = [Method(name, 2.0, 128 if n < reaching else 70, 1.0, float(n)) for n, name in enumerate(names)]
    order = [one.reach_tokens for one in predicted_order(methods[::-1], 128)]
    assert order == sorted(order, reverse=True)


@given(st.lists(st.floats(0, 9), min_size=2, max_size=6))
def test_the_order_is_that_of_displacement_once_heads_were_looked_at(displacements):
    methods = [Method("yarn", 2.0, 70, 1.0, 1.0, displacement=value) for value in displacements]
    assert [one.displacement for one in predicted_order(methods, 128)] == sorted(displacements)


@given(st.integers(2, 300_000))
def test_the_distances_of_a_row_stand_for_all_distances_once(context):
    distances, weights = _distances(context)
    assert weights.sum() == context
    assert (np.diff(distances) > 0).all()
    assert distances[0] == 0
    assert distances[-1] < context
    assert len(distances) < 500


@settings(max_examples=50)
@given(window=st.integers(16, 10**6), factor=st.floats(1.01, 64), head_dim=st.sampled_from([2, 8, 64, 128]))
def test_ways_to_a_context_serve_that_context(window, factor, head_dim):
    asked = max(window + 1, round(factor * window))
    for way in ways(Extension(NoScaling(), window, 1e4, head_dim), asked)[1:]:
        assert way.extension.context_tokens == asked


def test_the_json_answer_has_the_keys_that_others_rely_on(examined):
    found = json.loads(json.dumps(answer(examined), allow_nan=False))
    assert {"window_tokens", "window_from", "context_tokens", "methods", "recommended", "reasons"} <= found.keys()
    for one in found["methods"]:
        assert {"method", "reach_tokens", "resolution", "displacement", "predicted", "loss_nats"} <= one.keys()


def test_the_summary_fits_a_terminal(examined, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, text(examined).splitlines())) <= 80 or "/" in text(examined)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--context", "1"], "--context: must be at least 2"),
        (["--minutes", "nan"], "--minutes: must be"),
        (["--minutes", "-1"], "--minutes: must be"),
        (["--gpu", "abacus"], "--gpu"),
    ],
)
def test_a_wrong_argument_is_named(words, says, tiny_folder, capsys):
    with pytest.raises(SystemExit) as ending:
        main(["examine", str(tiny_folder), *words])
    assert ending.value.code == 2
    assert says in capsys.readouterr().err


def test_minutes_must_be_a_number(tiny_folder):
    with pytest.raises(UsageError, match="minutes"):
        examine_checkpoint(tiny_folder, minutes=math.nan)


def test_examining_leaves_no_gradient_and_no_change_in_the_folder(tiny_folder, texts):
    before, files = read_extension(read_config(tiny_folder)), {one: one.read_bytes() for one in tiny_folder.iterdir()}
    examine_checkpoint(tiny_folder, context_tokens=128, minutes=5, data=[texts])
    assert {one: one.read_bytes() for one in tiny_folder.iterdir()} == files
    checkpoint = load_checkpoint(tiny_folder)
    assert not any(one.requires_grad for one in checkpoint.model.parameters())
    assert torch.is_inference_mode_enabled() is False
    assert read_extension(read_config(tiny_folder)) == before
