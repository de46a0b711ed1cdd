"""Scores of real heads: h is what transformers computes with, and no proved bound is ever exceeded."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from experiments.measurement.heads.ablation import Jump, loss_jump, treated
from experiments.measurement.heads.scores import Bounds, draw_coefficients
from experiments.records import record, study
from experiments.records.study import load
from experiments.studies.tiny_heads_tuned import compare
from figures.drawing import save
from figures.verdicts import EXPERIMENTS
from pi_model.errors import UsageError
from pi_model.examine.heads import queries_and_keys
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import random_llama, random_model
from pi_model.models.rope_parameters import compose, read_extension, write_extension
from pi_theory.extrapolation import eq8_difference_witness
from pi_theory.interpolation import interpolation_error, published_bound, published_margin, sharp_witness
from pi_theory.rope import coefficients, frequencies, score
from pi_theory.scaling import LinearPI
from tests.model.conftest import byte_tokenizer
from tests.pipeline import synthetic
from tests.pipeline.toy import breaking_model, model_and_text, runs_of_letters
from tests.theory.strategies import coefficients as any_h

PROVED = ("taylor", "sharp", "eq8_first", "eq8_last", "trivial", "sum")
WINDOW = 32


@pytest.fixture(scope="module")
def model():
    return random_llama(max_position_embeddings=WINDOW)


@pytest.fixture(scope="module", params=["llama", "llama, biased", "mistral", "qwen2", "qwen3"])
def of_any_family(request):
    """A model whose heads have 8 components."""
    changes = {"attention_bias": True} if "biased" in request.param else {}
    size = {} if request.param == "qwen2" else {"head_dim": 8}
    return random_model(request.param.split(",")[0], max_position_embeddings=WINDOW, **changes, **size)


@pytest.fixture(scope="module")
def one_layer():
    return random_llama(max_position_embeddings=WINDOW, num_hidden_layers=1)


def ids(tokens, seed=0):
    return np.random.default_rng(seed).integers(0, 256, tokens).astype(np.uint32)


@given(st.integers(0, 4096), st.integers(0, 4096), st.integers(0, 2**32 - 1), st.sampled_from([4, 32, 64]))
def test_h_from_query_and_key_gives_the_logit_of_transformers_at_any_positions(m, n, seed, head_dim):
    config = random_llama(head_dim=head_dim, num_hidden_layers=1).config
    query, key = np.random.default_rng(seed).normal(size=(2, head_dim)).astype(np.float32)
    rotary = LlamaRotaryEmbedding(config)
    cos, sin = rotary(torch.zeros(1), torch.tensor([[m, n]]))
    both = torch.from_numpy(np.stack([query, key]))[None, None]
    turned, _ = apply_rotary_pos_emb(both, both, cos, sin)
    theirs = float(turned[0, 0, 0] @ turned[0, 0, 1])
    ours = float(score(coefficients(query, key, "half"), float(m - n), frequencies(head_dim, 10000)))
    # float32 phases: a unit in the last place of m radians
    assert ours == pytest.approx(theirs, abs=1e-3 * float(np.abs(query) @ np.abs(key) + 1))


def test_scores_of_all_heads_give_the_attention_of_transformers(of_any_family):
    model = of_any_family
    tokens = ids(24)
    model.set_attn_implementation("eager")
    theirs = model(torch.from_numpy(tokens.astype(np.int64))[None], output_attentions=True).attentions
    model.set_attn_implementation("sdpa")
    q_NHTJ, k_NHTJ = queries_and_keys(model, tokens)
    theta = frequencies(8, 10000)
    for layer, weights in enumerate(theirs):
        for head in range(4):
            for m in (0, 7, 23):
                h_TJ = q_NHTJ[layer, head, m] * k_NHTJ[layer, head, : m + 1].conj()
                logits = np.array([score(h, m - n, theta) for n, h in enumerate(h_TJ)]) / np.sqrt(8)
                ours = np.exp(logits - logits.max())
                np.testing.assert_allclose(ours / ours.sum(), weights[0, head, m, : m + 1].numpy(), atol=1e-5)


def test_attended_keys_are_drawn_as_the_head_attends(model):
    q_NHTJ, k_NHTJ = queries_and_keys(model, ids(2))
    theta = frequencies(8, 10000)
    drawn = draw_coefficients(q_NHTJ[0], k_NHTJ[0], theta, pairs=4000, draw="attended", rng=np.random.default_rng(0))
    for head in range(4):
        second = q_NHTJ[0, head, 1].astype(complex) * k_NHTJ[0, head].conj()  # with either key
        logits = np.array([score(second[0], 1.0, theta), score(second[1], 0.0, theta)]) / np.sqrt(8)
        expected = 1 / (1 + np.exp(logits[1] - logits[0]))
        first = np.isclose(drawn[head], second[0]).all(axis=1).sum()
        other = np.isclose(drawn[head], second[1]).all(axis=1).sum()
        assert first / (first + other) == pytest.approx(expected, abs=0.05)


@settings(max_examples=30)
@given(
    any_h(),
    st.sampled_from([10.0, 10_000.0, 500_000.0]),
    st.integers(2, 40),
    st.integers(2, 4),
    st.lists(st.integers(2, 5), min_size=1, max_size=2, unique=True),
)
def test_no_head_exceeds_a_proved_bound(h, base, window, factor, beyond):
    bounds = Bounds(head_dim=2 * h.size, base=base, window=window, factor=factor, beyond=beyond)
    found = {name: values[0] for name, values in bounds.measure(h[None]).named().items()}
    for name in PROVED:
        assert 0 <= found[name] <= 1 + 1e-9, name
    assert found["sharp"] >= found["taylor"] * (1 - 1e-9)
    # what the published bound can be exceeded by, at half-integers and everywhere else
    assert found["published"] <= max(published_margin(2 * h.size, base), 0) + 1e-9
    for multiple in beyond:
        assert found[f"amplification_{multiple}"] <= found["condition"] * (1 + 1e-9)


def test_measuring_agrees_with_the_theory_s_own_functions():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(3, 8)) + 1j * rng.normal(size=(3, 8))
    found = Bounds(head_dim=16, base=10000.0, window=12, factor=2, beyond=[3]).measure(h).named()
    theta = frequencies(16, 10000)
    for n, one in enumerate(h):
        size = np.abs(score(one, np.arange(12), theta)).max()
        errors = [interpolation_error(one, s + 0.5, s, s + 1, head_dim=16, base=10000) for s in range(11)]
        published = published_bound(0.5, 0, 1, head_dim=16, base=10000, hmax=np.abs(one).max())
        assert found["published"][n] == pytest.approx(np.abs(errors).max() / published)
        beyond = score(one, np.arange(12, 36), theta)
        assert found["amplification_3"][n] == pytest.approx(np.abs(beyond).max() / size)
        inside = score(one, np.arange(12), theta)
        assert found["excess_3"][n] == pytest.approx((beyond.max() - inside.max()) / 4)


def test_the_witnesses_of_the_bounds_are_measured_at_them():
    bounds = Bounds(head_dim=32, base=10000.0, window=16, factor=2, beyond=[2])
    worst = sharp_witness(7.5, 7, 8, head_dim=32, base=10000)
    found = bounds.measure(np.stack([worst, eq8_difference_witness(20.0, head_dim=32, base=10000)])).named()
    assert found["sharp"][0] == pytest.approx(1)
    assert found["published"][0] == pytest.approx(published_margin(32, 10000))
    assert found["eq8_first"][1] == pytest.approx(1)


def test_the_linear_program_bounds_what_a_head_does(model):
    bounds = Bounds(head_dim=8, base=10000.0, window=WINDOW, factor=2, beyond=[2])
    q_NHTJ, k_NHTJ = queries_and_keys(model, ids(24))
    for head in range(4):
        case = bounds.worst_possible(q_NHTJ[0, head, 9].astype(complex) * k_NHTJ[0, head, 3].conj(), 2)
        assert case["measured"] <= case["upper_bound"] * (1 + 1e-9)


def logits(model, tokens, treatments=None, **how):
    wanted = torch.from_numpy(tokens.astype(np.int64))[None]
    if treatments is None:
        return model(wanted, use_cache=False).logits[0]
    with treated(model, treatments, theta_J=frequencies(8, 10000), window=WINDOW, **how) as layers:
        return model(wanted, use_cache=False).logits[0], layers


def everywhere(model, treatment):
    layers, heads = model.config.num_hidden_layers, model.config.num_attention_heads
    return {(layer, head): treatment for layer in range(layers) for head in range(heads)}


def test_untreated_it_is_the_attention_of_transformers_and_the_model_is_left_as_it_was(of_any_family):
    model = of_any_family
    before = logits(model, ids(80))
    ours, _ = logits(model, ids(80), {})
    torch.testing.assert_close(ours, before, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits(model, ids(80)), before, rtol=0, atol=0)


def test_linear_in_every_head_is_the_linear_scaling_of_transformers(model):
    content = write_extension(model.config.to_dict(), compose(read_extension(model.config), LinearPI(4.0)))
    theirs = random_llama(**content)
    theirs.load_state_dict(model.state_dict())
    ours, _ = logits(model, ids(80), everywhere(model, "linear"), factor=4.0)
    torch.testing.assert_close(ours, logits(theirs, ids(80)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("treatment", ["clamp", "local"])
def test_no_treatment_of_unseen_distances_changes_anything_inside_the_window(model, treatment):
    ours, _ = logits(model, ids(WINDOW), everywhere(model, treatment))
    torch.testing.assert_close(ours, logits(model, ids(WINDOW)), rtol=1e-4, atol=1e-4)


def test_a_local_head_reads_the_last_window_and_nothing_else(one_layer):
    ours, _ = logits(one_layer, ids(80), everywhere(one_layer, "local"))
    torch.testing.assert_close(ours[-1], logits(one_layer, ids(80)[-WINDOW:])[-1], rtol=1e-4, atol=1e-4)


def test_a_clamped_head_scores_far_keys_at_the_last_trained_distance(one_layer):
    tokens = ids(60)
    _, (layer,) = logits(one_layer, tokens, {}, observe=1)
    q_NHTJ, k_NHTJ = queries_and_keys(one_layer, tokens)
    theta = frequencies(8, 10000)
    distance = 59 - np.arange(60)
    for head in range(4):
        h_TJ = q_NHTJ[0, head, 59] * k_NHTJ[0, head].conj()
        weights = []
        for s in (distance, np.minimum(distance, WINDOW - 1)):
            scores = np.array([score(h, float(at), theta) for h, at in zip(h_TJ, s, strict=True)]) / np.sqrt(8)
            weights.append(np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum())
        assert layer.displacement["far"][head] == pytest.approx(weights[0][distance >= WINDOW].sum(), abs=1e-5)
        assert layer.displacement["displaced"][head] == pytest.approx(
            np.abs(weights[0] - weights[1]).sum() / 2, abs=1e-5
        )


@pytest.mark.parametrize("treatment", ["none", "clamp", "local"])
def test_a_pass_that_goes_on_from_a_past_is_the_whole_pass(model, treatment):
    tokens = ids(80)
    whole, _ = logits(model, tokens, everywhere(model, treatment))
    _, layers = logits(model, tokens[:WINDOW], {})
    rest, _ = logits(model, tokens[WINDOW:], everywhere(model, treatment), past=[layer.read for layer in layers])
    torch.testing.assert_close(rest, whole[WINDOW:], rtol=1e-4, atol=1e-4)


def test_a_jump_that_one_head_makes_is_saved_by_that_head_and_by_no_other():
    model = random_llama(max_position_embeddings=WINDOW, num_hidden_layers=1)
    model.model.layers[0].self_attn.o_proj.weight[:, :16] = 0  # nothing is read from heads 0 and 1,
    model.model.layers[0].self_attn.o_proj.weight[:, 24:] = 0  # nor from head 3
    jump = Jump(
        model, [ids(64, n) for n in range(3)], theta_J=frequencies(8, 10000), window=WINDOW, last_tokens=16, factor=2.0
    )
    made = loss_jump(
        jump,
        {"given": np.array([0, 0, 1, 0])},
        treatments=["clamp", "linear", "local"],
        worst_first={"clamp": ["given"]},
        counts=[1, 3],
        draws=1,
        alone=True,
        bos=False,
        seed=0,
    )
    saved = [row["saved_nats"] for row in made["heads"]]
    assert saved[0] == saved[1] == saved[3] == pytest.approx(0, abs=1e-6)
    assert saved[2] == pytest.approx(made["losses"]["none"]["loss_nats"] - made["losses"]["clamp"]["loss_nats"])
    assert abs(saved[2]) > 1e-3
    assert made["verdicts"][0]["verdict"] in ("reproduced", "partly", "refuted", "not tested")
    assert made["worst_first"][0]["over_within"] == pytest.approx([made["losses"]["clamp"]["over_within"]] * 2)


@pytest.fixture(scope="module")
def toy_records(tmp_path_factory):
    """Every study of heads, on a random model and a text of its own."""
    folder = model_and_text(tmp_path_factory.mktemp("toy"), WINDOW)
    text = folder / "text.txt"
    common = {"model": str(folder / "model"), "corpora": {str(text): 1}}
    heads = common | {"tokens": WINDOW, "pairs": 8, "factor": 2, "programs": 2}
    jump = common | {"tokens": 2 * WINDOW, "short_tokens": WINDOW, "last_tokens": 16, "counts": [1, 2], "draws": 1}
    tuned = common | {"training": {str(text): 1.0}, "steps": 2, "batch": 2, "tokens": 2 * WINDOW, "pairs": 8}
    changes = {"tiny_heads": heads, "smollm2_heads": heads, "tiny_jump": jump, "tiny_heads_tuned": tuned}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PI_MODEL_CACHE", str(folder / "cache"))
        patch.setattr(record, "RESULTS", folder / "results")
        for name, change in changes.items():
            found = load(name)
            made = {**vars(found), "config": found.config | change, "inputs": dict, "live": True}
            study.Study(**made).measure()
        yield {name: record.read(name)["metrics"] for name in changes}


def test_the_toy_studies_show_what_they_exist_to_show(toy_records):
    heads = toy_records["tiny_heads"]
    assert len(heads["heads"]) == 8
    for row in heads["heads"]:
        for draw in ("uniform", "attended"):
            assert all(row[draw][name]["max"] <= 1 + 1e-9 for name in PROVED)
    for case in heads["programs"]:
        assert case["measured"] <= case["upper_bound"] * (1 + 1e-9)
    assert {row["verdict"] for row in heads["verdicts"]} <= {"reproduced", "partly", "refuted"}
    clamp = [row for row in toy_records["tiny_jump"]["worst_first"] if row["treatment"] == "clamp"]
    assert {row["order"] for row in clamp} == {"excess", "amplification", "displaced", "random 0"}


@pytest.mark.parametrize("name", ["tiny_jump", "smollm2_jump"])
def test_a_model_whose_heads_look_back_too_far_is_found_out_and_cured(name, tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    text = runs_of_letters(tmp_path / "letters.jsonl", documents=4)
    change = {"model": str(breaking_model(tmp_path / "model")), "corpora": {str(text): 4}, "counts": [2], "draws": 0}
    change |= {"tokens": 512, "last_tokens": 128, "short_tokens": 256}
    made = load(name).run({**load(name).config, **change})
    assert made["losses"]["none"]["over_within"] > 0.5
    assert made["verdicts"][0]["verdict"] == "reproduced"
    for row in made["heads"]:
        assert row["far"] > 0.5
        assert row["displaced"] > 0.5


def jump(results, document_over_within):
    """The rule's outcomes on a record with these losses by document."""
    losses = {
        name: {"over_within": float(np.mean(values)), "document_over_within": values}
        for name, values in document_over_within.items()
    }
    config = {"model": "m", "tokens": 512, "corpora": {"books": 3}}
    synthetic.write("tiny_jump", {"losses": losses}, config=config)
    return [check.outcome for check in EXPERIMENTS["jump_tiny"].outcome().checks]


def test_the_cause_of_a_jump_is_decided_by_the_interval_over_documents(results):
    assert jump(results, {"none": [1.9, 2.0, 2.1], "clamp": [0.02, 0.03, 0.01]}) == ["holds", "holds"]
    assert jump(results, {"none": [1.9, 2.0, 2.1], "clamp": [0.5, 0.6, 0.7]}) == ["holds", "fails"]
    assert jump(results, {"none": [1.9, 2.0, 2.1], "clamp": [0.0, 0.1, 0.4]}) == ["holds", "open"]
    assert jump(results, {"none": [2.0], "clamp": [0.0]}) == ["open", "open"]
    assert jump(results, {"none": [-0.2, -0.21, -0.19], "clamp": [-0.2, -0.21, -0.19]}) == ["fails"]


def test_fine_tuning_moves_h_and_comparing_a_checkpoint_with_itself_moves_nothing(toy_records, tmp_path):
    for row in toy_records["tiny_heads_tuned"]["heads"]:
        assert min(row["moved"]) > 0
    random_llama(vocab_size=260).save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "text.txt").write_text("once " * 20)
    config = {"corpora": {str(tmp_path / "text.txt"): 1}, "split": "test", "seed": 0, "tokens": 40, "pairs": 4}
    for row in compare(tmp_path, tmp_path, config)["heads"]:
        assert row["before"] == row["after"]
        assert max(row["moved"]) == 0


@pytest.mark.usefixtures("toy_records")
@pytest.mark.parametrize("name", ["heads_bounds", "heads_beyond", "heads_jump", "heads_moved"])
def test_the_figures_of_heads_are_drawn_twice_alike(name, tmp_path):
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        save(name, folder=folder)
    assert (tmp_path / "a" / f"{name}.pdf").read_bytes() == (tmp_path / "b" / f"{name}.pdf").read_bytes()


def test_an_extended_model_is_refused(tmp_path):
    random_llama(vocab_size=260).save_pretrained(tmp_path / "plain")
    byte_tokenizer().save_pretrained(tmp_path / "plain")
    extend_checkpoint(tmp_path / "plain", LinearPI(2.0), tmp_path / "extended")
    with pytest.raises(UsageError, match="give the checkpoint that it was extended from"):
        load("tiny_heads").run({**load("tiny_heads").config, "model": str(tmp_path / "extended")})


def test_a_model_that_sees_a_part_of_its_window_is_refused(tmp_path):
    random_model("mistral", vocab_size=260, sliding_window=16).save_pretrained(tmp_path / "sliding")
    byte_tokenizer().save_pretrained(tmp_path / "sliding")
    with pytest.raises(UsageError, match="its heads do not see all distances of the window"):
        load("tiny_heads").run({**load("tiny_heads").config, "model": str(tmp_path / "sliding")})
