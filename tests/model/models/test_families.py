"""Every family of models: extended, trained, adapted, measured and saved as LLaMA is, and others refused by name."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from pi_model.cli.main import main
from pi_model.data.documents import Selection, Source, load_documents
from pi_model.data.packing import Batches, Stream
from pi_model.errors import RunError, UsageError
from pi_model.evaluation.passkey import Judge, Prompt
from pi_model.evaluation.perplexity import sliding_perplexity
from pi_model.evaluation.summarization import Sampling, generate
from pi_model.models.config_file import read_config
from pi_model.models.extension import extend_checkpoint
from pi_model.models.families import FAMILIES, family_of, model_config, rotary_embedding, sliding_window
from pi_model.models.loading import load_checkpoint, random_model
from pi_model.models.rope_parameters import check_frequencies
from pi_model.planning import Shape
from pi_model.training.config import ADAPTABLE, Evaluation, Lora
from pi_model.training.loop import train
from pi_model.training.lora import add_adapters, with_first_adapters
from pi_model.training.meter import flops_per_token
from pi_model.training.preparation import extended
from pi_theory.scaling import METHODS, LinearPI, scaling_by_name
from tests.model.conftest import byte_tokenizer
from tests.model.small_runs import losses, small_config, trained, write_documents

# A model for each thing that differs. Heads of 16 are twice hidden size over heads.
MODELS = {
    "llama": ("llama", {}),
    "llama, biased": ("llama", {"attention_bias": True, "mlp_bias": True}),
    "mistral": ("mistral", {"head_dim": 16}),
    "qwen2": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {"head_dim": 16}),
}
IDS = torch.arange(1, 101)[None]  # beyond the models' 64
SLIDING = {
    "mistral": {"sliding_window": 16},
    "qwen2": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
    "qwen3": {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0, "head_dim": 16},
}


def saved(model, folder: Path) -> Path:
    model.save_pretrained(folder)
    byte_tokenizer().save_pretrained(folder)
    return folder


def sliding_model(model_type: str):
    return random_model(model_type, vocab_size=260, **SLIDING[model_type])


@pytest.fixture(scope="module", params=MODELS)
def model(request):
    model_type, changes = MODELS[request.param]
    return random_model(model_type, vocab_size=260, **changes)


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    return saved(model, tmp_path_factory.mktemp("family"))


@pytest.fixture
def data(tmp_path):
    return write_documents(tmp_path / "documents.jsonl")


def logits(model, ids=IDS, **how) -> torch.Tensor:
    with torch.inference_mode():
        return model(ids, **how).logits


def test_the_table_says_what_transformers_models_have(model):
    attention, mlp = model.model.layers[0].self_attn, model.model.layers[0].mlp
    layers = {name: getattr(attention if name in ADAPTABLE[:4] else mlp, name) for name in ADAPTABLE}
    family = family_of(model.config)
    asked = {name for field, names in family.optional_biases if getattr(model.config, field) for name in names}
    assert {name for name, layer in layers.items() if layer.bias is not None} == asked.union(family.biased)
    assert hasattr(attention, "q_norm") == hasattr(attention, "k_norm") == family.qk_norm


def test_the_extended_model_is_the_base_at_positions_divided_by_the_factor(folder, tmp_path):
    extend_checkpoint(folder, LinearPI(4.0), tmp_path / "out")
    base, longer = load_checkpoint(folder), load_checkpoint(tmp_path / "out")
    assert type(longer.model) is family_of(read_config(folder)).model_class
    assert (longer.extension.window_tokens, longer.extension.context_tokens) == (64, 256)
    expected = logits(base.model, position_ids=torch.arange(100)[None] / 4)
    torch.testing.assert_close(logits(longer.model), expected, rtol=1e-4, atol=1e-5)
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    torch.testing.assert_close(logits(plain), logits(longer.model), rtol=0, atol=0)


@given(name=st.sampled_from(sorted(MODELS)), method=st.sampled_from(sorted(METHODS.keys() - {"none"})))
def test_transformers_computes_the_frequencies_of_the_theory(name, method):
    from pi_model.models.rope_parameters import compose, read_extension, write_extension

    model_type, changes = MODELS[name]
    config = random_model(model_type, num_hidden_layers=1, **changes).config
    extension = compose(read_extension(config), scaling_by_name(method, 2.0))
    config = model_config(write_extension(config.to_dict(), extension))
    assert check_frequencies(rotary_embedding(config), config) == extension


def test_frequencies_of_another_config_are_found_out(model):
    other = random_model(model.config.model_type, head_dim=2 * model.model.layers[0].self_attn.head_dim)
    for wrong in (other.model.rotary_emb, rotary_embedding(scaled(model.config))):
        with pytest.raises(RunError, match="not those of its config"):
            check_frequencies(wrong, model.config)


def scaled(config):
    rope = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}
    return model_config(config.to_dict() | {"rope_parameters": rope})


def test_a_saved_folder_reloads_bit_equal(folder, tmp_path):
    extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    saved(load_checkpoint(tmp_path / "out").model, tmp_path / "again")
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("out", "again"))
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert load_checkpoint(tmp_path / "again").extension == load_checkpoint(tmp_path / "out").extension


def plain_losses(config, folder, lora=None) -> list[float]:
    """The losses of the same run x2 by a loop over transformers' own loss."""
    weights = load_checkpoint(folder).model
    model = type(weights)(scaled(weights.config))
    if lora is None:
        model.load_state_dict(weights.state_dict())
    else:
        add_adapters(model, lora)
        read = with_first_adapters(weights.state_dict().__getitem__, lora, config.seed)
        model.to_empty(device="cpu")
        model.model.rotary_emb = rotary_embedding(model.config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(read(name))
    model.train()
    tokenizer = load_checkpoint(folder).tokenizer
    documents = load_documents(Source(config.data[0].name, split="train"), tokenizer)
    batches = Batches(
        [Stream(documents, 128, (0, 0), None, tokenizer.eos_token_id)], [1], config.global_batch, config.steps
    )
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], betas=(0.9, 0.95), weight_decay=0)
    found = []
    for step in range(config.steps):
        windows = torch.from_numpy(batches.windows(step))
        loss = F.cross_entropy(model(windows[:, :-1]).logits.flatten(0, 1), windows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), config.clip_norm)
        optimizer.param_groups[0]["lr"] = config.learning_rate(step)
        optimizer.step()
        found.append(loss.item())
    return found


@pytest.mark.parametrize("lora", [None, Lora(rank=4, targets=ADAPTABLE)], ids=["whole", "adapters"])
def test_training_is_a_plain_loop_and_exports_the_model_that_it_measured(folder, data, tmp_path, lora):
    asked = Evaluation(steps=(2,), data=str(data), windows=(128,), stride=64, samples=2)
    config = small_config(folder, data, steps=2, global_batch=2, lora=lora, evaluation=asked, peak_lr=1e-2)
    train(config, tmp_path / "out")
    np.testing.assert_allclose(losses(tmp_path / "out"), plain_losses(config, folder, lora), rtol=2e-5)
    [live] = [json.loads(line) for line in (tmp_path / "out/evaluations.jsonl").read_text().splitlines()]
    checkpoint = load_checkpoint(tmp_path / "out/model")
    documents = load_documents(
        Source(str(data), split="validation"), checkpoint.tokenizer, Selection(128, 32768, samples=2)
    )
    nats = sliding_perplexity(checkpoint.model, documents.tokens, windows=[128], stride=64)[0].loss_nats
    assert math.isclose(nats, live["loss_nats"]["128"], rel_tol=1e-6)
    before, after = (load_file(where / "model.safetensors") for where in (folder, tmp_path / "out/model"))
    assert before.keys() == after.keys()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    adapted = {name for name in before if name.split(".")[-2] in ADAPTABLE and name.endswith(".weight")}
    assert changed == (adapted if lora else before.keys())


@pytest.mark.parametrize(
    ("model_type", "lora"), [("mistral", None), ("qwen2", Lora(rank=4, targets=("q_proj", "v_proj"))), ("qwen3", None)]
)
def test_two_processes_that_share_layers_or_windows_are_one(model_type, data, tmp_path, lora):
    folder = saved(random_model(model_type, vocab_size=260, **MODELS[model_type][1]), tmp_path / "model")
    config = small_config(folder, data, steps=2, global_batch=2, lora=lora)
    train(config, tmp_path / "one")
    one = losses(tmp_path / "one")
    np.testing.assert_allclose(trained(config, tmp_path / "two", processes=2), one, rtol=2e-5)
    if lora is None:
        shared = replace(config, context_parallel=2)
        np.testing.assert_allclose(trained(shared, tmp_path / "shared", processes=2), one, rtol=2e-5)


@pytest.mark.parametrize("name", MODELS)
def test_a_plan_counts_the_weights_that_a_model_has(name):
    model_type, changes = MODELS[name]
    model = random_model(model_type, num_hidden_layers=3, **changes)
    shape = Shape.of(model.config)
    assert shape.layers * shape.layer_parameters + shape.root_parameters == model.num_parameters()


# What their hub pages count; hidden and inner size, layers, heads, key-value heads and words; what else configs say.
RELEASED = {
    "Qwen2.5-0.5B": (494_032_768, "qwen2", (896, 4864, 24, 14, 2, 151936), {"tie_word_embeddings": True}),
    "Qwen2.5-7B": (7_615_616_512, "qwen2", (3584, 18944, 28, 28, 4, 152064), {}),
    "Qwen3-0.6B": (
        596_049_920,
        "qwen3",
        (1024, 3072, 28, 16, 8, 151936),
        {"tie_word_embeddings": True, "head_dim": 128},
    ),
    "Qwen3-8B": (8_190_735_360, "qwen3", (4096, 12288, 36, 32, 8, 151936), {"head_dim": 128}),
    "Mistral-7B-v0.1": (7_241_732_096, "mistral", (4096, 14336, 32, 32, 8, 32000), {}),
    "Mistral-Nemo-Base-2407": (12_247_782_400, "mistral", (5120, 14336, 40, 32, 8, 131072), {"head_dim": 128}),
}


@pytest.mark.parametrize("name", RELEASED)
def test_a_plan_counts_the_weights_of_released_models(name):
    weights, model_type, sizes, changes = RELEASED[name]
    fields = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    fields += ("num_key_value_heads", "vocab_size")
    content = {"model_type": model_type, **dict(zip(fields, sizes, strict=True)), **changes}
    shape = Shape.of(model_config(content))
    assert shape.layers * shape.layer_parameters + shape.root_parameters == weights


def test_arithmetic_is_counted_from_the_size_of_the_heads(model):
    products = [p for name, p in model.named_parameters() if p.ndim == 2 and "embed_tokens" not in name]
    weights = sum(p.numel() for p in products) + model.config.tie_word_embeddings * 260 * 32
    heads = 2 * 6 * model.model.layers[0].self_attn.q_proj.out_features * 100
    assert flops_per_token(model.config, 100) == 6 * weights + heads


GREEDY = Sampling(temperature=0.0, max_tokens=12)


def greedy(model, prompt: list[int], tokens: int) -> list[int]:
    """Greedy decoding without any cache."""
    ids = torch.tensor([prompt])
    for _ in range(tokens):
        ids = torch.cat([ids, logits(model, ids)[:, -1:].argmax(-1)], dim=1)
    return ids[0, len(prompt) :].tolist()


@settings(max_examples=12)
@given(name=st.sampled_from([*MODELS, *(f"{name}, sliding" for name in SLIDING)]), seed=st.integers(0, 10**6))
def test_kept_keys_change_no_passkey_and_no_summary(name, seed):
    model_type, slides = name.split(",")[0], name.endswith("sliding")
    model = sliding_model(model_type) if slides else random_model(*MODELS[name][:1], vocab_size=260, **MODELS[name][1])
    draw = np.random.default_rng(seed)
    prefix, other = draw.integers(1, 260, (2, 40)).tolist()
    own = tuple(draw.integers(1, 260, 9).tolist())
    right = tuple(greedy(model, [*prefix[:30], *own], 3))
    judge = Judge(model, prefix)
    assert judge.answers([Prompt(30, own, right)])[0]
    assert not judge.answers([Prompt(20, own, tuple(token ^ 1 for token in right))])[0]
    prompts = [prefix, other[:25]]
    assert generate(model, prompts, GREEDY, [[0]] * 2, set()) == [greedy(model, prompt, 12) for prompt in prompts]


@pytest.mark.parametrize("model_type", SLIDING)
def test_a_token_sees_the_sliding_window_and_not_more(model_type):
    model = sliding_model(model_type)
    hidden = sliding_window(model.config, 17)
    assert hidden is not None
    assert sliding_window(model.config, 16) is None
    one_layer = random_model(model_type, num_hidden_layers=1, **{**SLIDING[model_type], "max_window_layers": 0})
    ids = torch.arange(1, 60)[None]
    changed = ids.clone()
    changed[0, :-16] = 7
    torch.testing.assert_close(logits(one_layer, ids)[0, -1], logits(one_layer, changed)[0, -1])
    changed[0, -16] = 7
    assert not torch.allclose(logits(one_layer, ids)[0, -1], logits(one_layer, changed)[0, -1], atol=1e-4)


@pytest.mark.parametrize(
    ("content", "context", "said"),
    [
        # Mistral-7B-v0.1
        (
            {"model_type": "mistral", "sliding_window": 4096, "max_position_embeddings": 32768},
            32768,
            "in all layers a token attends to the last 4096 tokens alone",
        ),
        # Mistral-7B-v0.2 and later
        ({"model_type": "mistral", "sliding_window": None, "max_position_embeddings": 32768}, 10**6, None),
        # Ministral-8B-Instruct-2410
        (
            {"model_type": "mistral", "sliding_window": 32768, "max_position_embeddings": 32768},
            65536,
            "in all layers a token attends to the last 32768 tokens alone",
        ),
        ({"model_type": "mistral", "sliding_window": 32768, "max_position_embeddings": 32768}, 32768, None),
        # Qwen2.5-7B-Instruct
        (
            {
                "model_type": "qwen2",
                "use_sliding_window": False,
                "sliding_window": 131072,
                "max_window_layers": 28,
                "num_hidden_layers": 28,
            },
            10**6,
            None,
        ),
        # Qwen3-8B
        (
            {
                "model_type": "qwen3",
                "use_sliding_window": False,
                "sliding_window": None,
                "max_window_layers": 36,
                "num_hidden_layers": 36,
            },
            10**6,
            None,
        ),
        (
            {
                "model_type": "qwen2",
                "use_sliding_window": True,
                "sliding_window": 4096,
                "max_window_layers": 21,
                "num_hidden_layers": 28,
            },
            32768,
            "in 7 of 28 layers a token attends to the last 4096 tokens alone",
        ),
        (
            {"model_type": "qwen3", "use_sliding_window": True, "sliding_window": 512, "num_hidden_layers": 2}
            | {"layer_types": ["full_attention", "sliding_attention"]},
            1024,
            "in 1 of 2 layers a token attends to the last 512 tokens alone",
        ),
        # all layers are among the first that have full attention
        (
            {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 4096, "num_hidden_layers": 28},
            32768,
            None,
        ),
        ({"model_type": "llama", "sliding_window": 512}, 1024, None),
    ],
)
def test_a_sliding_window_is_read_as_transformers_reads_it(content, context, said):
    found = sliding_window(model_config(content), context)
    assert (found and str(found)) == (said and f"{said} (sliding_window)")


def test_no_context_is_extended_to_what_no_layer_sees(data, tmp_path, capsys):
    folder = saved(sliding_model("mistral"), tmp_path / "model")
    with pytest.raises(UsageError, match=r"attends to the last 16 tokens alone .*a context of 128 would not be seen"):
        extend_checkpoint(folder, LinearPI(2.0), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="a context of 128 would not be seen"):
        train(small_config(folder, data), tmp_path / "out")
    assert main(["plan", "--model", str(folder), "--context", "128"]) == 2
    assert "a context of 128 would not be seen" in capsys.readouterr().err


def test_layers_that_do_not_see_the_context_are_said(data, tmp_path, capsys):
    folder = saved(sliding_model("qwen2"), tmp_path / "model")
    assert main(["extend", str(folder), "--factor", "2", "--out", str(tmp_path / "out")]) == 0
    assert "warning: in 1 of 2 layers a token attends to the last 16 tokens alone" in capsys.readouterr().err
    measure = ["perplexity", "--model", str(tmp_path / "out"), "--data", str(data), "--windows", "64", "--quiet"]
    assert main(measure) == 0
    assert "warning: in 1 of 2 layers a token attends to the last 16 tokens alone" in capsys.readouterr().err


def test_ranks_do_not_share_windows_of_which_layers_see_a_part(data, tmp_path):
    folder = saved(sliding_model("qwen2"), tmp_path / "model")
    config = small_config(folder, data, context_parallel=2)
    from pi_model.training.preparation import prepare

    with pytest.raises(UsageError, match="context_parallel: in 1 of 2 layers a token attends"):
        prepare(config, tmp_path / "out")


@pytest.mark.parametrize("model_type", FAMILIES)
def test_reading_a_config_does_not_change_its_content(model_type):
    content = {"model_type": model_type, "rope_theta": 1e6, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    before = json.dumps(content)
    model_config(content)
    assert json.dumps(content) == before


@pytest.mark.parametrize("kind", ["gemma2", "mixtral", "phi3", "qwen2_moe", "qwen2_vl", "ministral", None, 3])
def test_another_architecture_is_refused_by_name_with_those_that_are_supported(kind, tmp_path, tiny_folder):
    content = read_config(tiny_folder) | {"model_type": kind}
    if kind is None:
        del content["model_type"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    named = "names no model_type" if kind is None else f"model_type is {kind!r}"
    with pytest.raises(RunError, match=f"config.json: {named}; supported are llama, mistral, qwen2, qwen3"):
        read_config(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_size": "32"}, "'hidden_size' expected int"),
        ({"num_attention_heads": 0}, "0"),
        ({"num_key_value_heads": 3}, "4 attention heads cannot share 3 key-value heads evenly"),
        ({"hidden_size": 34}, "34"),
        ({"hidden_size": 36}, "9"),
    ],
)
@pytest.mark.parametrize("model_type", FAMILIES)
def test_heads_that_do_not_divide_are_one_line(model_type, changes, said):
    content = random_model(model_type, num_hidden_layers=1).config.to_dict()
    if model_type == "qwen3" and "hidden_size" in changes and changes["hidden_size"] != "32":
        pytest.skip("its heads have a size of their own")
    content.pop("head_dim", None)
    with pytest.raises(RunError, match=r"^config.json: [^\n]*$") as raised:
        model_config(content | changes)
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"model_type": "mistral", "layer_types": ["full_attention"] * 32}, "Mistral has one kind of attention"),
        ({"model_type": "qwen3", "num_hidden_layers": 2, "layer_types": ["full_attention"] * 3}, "layer_types"),
        ({"model_type": "qwen3", "num_hidden_layers": 1, "layer_types": ["linear_attention"]}, "'linear_attention'"),
        ({"model_type": "qwen2", "num_hidden_layers": 1, "layer_types": ["sliding_attention"]}, "no sliding window"),
    ],
)
def test_layer_types_that_a_family_does_not_have_are_refused(content, said):
    with pytest.raises(RunError, match=said):
        model_config(content)


def test_direct_fine_tuning_of_a_family_allows_more_positions(folder, data):
    content, extension = extended(read_config(folder), small_config(folder, data, method="none"))
    assert content["max_position_embeddings"] == 128
    assert extension.factor == 1
