"""What a GGUF file says is honoured or refused; test_llama_cpp.py holds what is read here against llama.cpp."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

pytest.importorskip("gguf", reason="GGUF: gguf is not installed")

from gguf import GGMLQuantizationType, GGUFEndian, GGUFReader, GGUFWriter, quantize
from transformers import AutoModelForCausalLM, AutoTokenizer

from pi_model.cli import main as cli
from pi_model.errors import RunError, UsageError
from pi_model.models.gguf_export import interleaved
from pi_model.models.gguf_import import halves
from pi_model.models.gguf_positions import read_positions, write_positions
from pi_model.models.gguf_tokenizer import SPLITS
from pi_model.models.loading import load_checkpoint
from pi_model.models.rope_parameters import Extension, read_extension, write_extension
from pi_model.models.sources import local_folder
from pi_model.planning.architectures import Shape, named_architecture, named_extension
from pi_theory.scaling import LinearPI, Llama3, NoScaling, NTKAware, Yarn
from tests.clients.conftest import TEXT, byte_level_like, sentencepiece_like
from tests.clients.gguf_files import FAMILIES, VOCABULARY, WINDOW, llama3_divisors, make_file, make_folder, rewrite

METHODS = ("none", "linear", "ntk", "yarn", "llama3")
IDS = torch.randint(0, VOCABULARY, (1, 3 * WINDOW), generator=torch.Generator().manual_seed(1))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def plain(tokenizer, tmp_path_factory) -> Path:
    return make_file(tmp_path_factory.mktemp("plain") / "plain.gguf", tokenizer)


def logits(source) -> torch.Tensor:
    return load_checkpoint(source).model(IDS).logits


def rope(file) -> dict:
    return json.loads((local_folder(file) / "config.json").read_text())


@pytest.mark.parametrize(
    ("model_type", "method"),
    [("llama", method) for method in METHODS] + [(family, "linear") for family in FAMILIES[1:]],
)
def test_a_folder_written_as_gguf_and_read_again_is_the_same_model(model_type, method, tokenizer, tmp_path):
    file = make_file(tmp_path / "model.gguf", tokenizer, method, model_type)
    before, after = load_checkpoint(tmp_path / ("model.base" if method == "none" else "model")), load_checkpoint(file)
    torch.testing.assert_close(after.model(IDS).logits, before.model(IDS).logits, atol=1e-4, rtol=1e-4)
    assert (after.extension.scaling, after.extension.window_tokens) == (
        before.extension.scaling,
        before.extension.window_tokens,
    )
    for name, weight in before.model.state_dict().items():
        assert torch.equal(after.model.state_dict()[name], weight), name
    assert after.tokenizer(TEXT)["input_ids"] == before.tokenizer(TEXT)["input_ids"]
    assert after.tokenizer.eos_token == before.tokenizer.eos_token
    # Plain transformers reads the folder, too.
    theirs = AutoModelForCausalLM.from_pretrained(after.folder).eval()
    torch.testing.assert_close(theirs(IDS).logits, after.model(IDS).logits)


@pytest.mark.parametrize("model_type", FAMILIES)
def test_a_file_is_planned_from_its_metadata_without_being_converted(model_type, tokenizer, tmp_path, cache, capsys):
    file = make_file(tmp_path / "model.gguf", tokenizer, "linear", model_type)
    planned = Shape.of(named_architecture(str(file))), named_extension(str(file))
    assert cli.main(["plan", "--model", str(file), "--gpus", "1"]) == 0
    assert capsys.readouterr().out.startswith("Yes, it fits on 1 x")
    assert not cache.exists()
    folder = str(local_folder(file))
    assert planned == (Shape.of(named_architecture(folder)), named_extension(folder))


def test_perplexity_of_an_extended_folder_survives_the_way_through_gguf(tokenizer, tmp_path, capsys):
    make_file(tmp_path / "model.gguf", tokenizer, "linear")
    (tmp_path / "text.txt").write_text(TEXT * 20)
    said = []
    for source in ("model", "model.gguf"):
        words = ["perplexity", "--model", str(tmp_path / source), "--data", str(tmp_path / "text.txt"), "--json"]
        assert cli.main([*words, "--windows", str(2 * WINDOW)]) == 0
        said.append(json.loads(capsys.readouterr().out))
    assert json.dumps(said[1]["results"]) == json.dumps(said[0]["results"])


@given(
    method=st.sampled_from([NoScaling, LinearPI, NTKAware, Yarn, Llama3]),
    context=st.integers(1, 2**20),
    window=st.integers(16, 2**17),
    base=st.floats(100, 1e7),
    half=st.integers(2, 64),
    recorded=st.booleans(),
)
def test_positions_are_read_as_they_were_written(method, context, window, base, half, recorded):
    factor = max(context / window, 1.0)
    scaling = NoScaling() if method is NoScaling else method(factor)
    extension = Extension(scaling, window, float(np.float32(base)), 2 * half)
    record = write_extension({}, extension).get("position_interpolation")
    assume(recorded or method is not Llama3 or (extension.frequencies()[-1] * factor) < 6 / window)
    writer = GGUFWriter("unused", "llama")
    divisors = write_positions(writer, extension, record if recorded else None)
    said = {name.removeprefix("llama."): value.value for name, value in writer.kv_data[0].items()}
    said = {name: float(np.float32(value)) if isinstance(value, float) else value for name, value in said.items()}
    content = read_positions(said, said.pop("position_interpolation", None), divisors, 2 * half)
    assert set(said) == {"general.architecture"}  # all was read
    assert content["max_position_embeddings"] == extension.context_tokens
    shape = {"hidden_size": 2 * half, "num_attention_heads": 1, "head_dim": 2 * half}
    again = read_extension(random_config(content | shape))
    np.testing.assert_allclose(
        again.frequencies(), extension.frequencies(), rtol=2e-4 if divisors is not None else 1e-5
    )


def random_config(content):
    from transformers import LlamaConfig

    return LlamaConfig.from_dict({name: value for name, value in content.items() if name != "rope_scaling"})


@given(heads=st.integers(1, 4), half=st.integers(1, 8), columns=st.integers(1, 3))
def test_halves_undoes_what_interleaved_does(heads, half, columns):
    weight = np.arange(heads * 2 * half * columns).reshape(-1, columns)
    assert (halves(interleaved(torch.from_numpy(weight), heads).numpy(), heads) == weight).all()


def linear(factor):
    return {"rope_type": "linear", "factor": factor}


def yarn(factor, window, fast=32.0, slow=1.0):
    settings = {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": window}
    return settings | {"beta_fast": fast, "beta_slow": slow}


@pytest.mark.parametrize(
    ("says", "rope_fields"),
    [
        ({"type": "linear", "factor": 4.0}, linear(4.0)),
        ({"factor": 4.0}, linear(4.0)),
        ({"scale_linear": 4.0}, linear(4.0)),
        ({"scale_linear": 2.0, "factor": 4.0}, linear(4.0)),
        ({"type": "linear", "factor": 4.0, "original_context_length": 16}, linear(4.0)),
        ({"type": "linear", "factor": 0.0}, {"rope_type": "default"}),
        ({"type": "none", "factor": 4.0}, {"rope_type": "default"}),
        ({"type": "yarn", "factor": 4.0}, yarn(4.0, 64)),
        ({"type": "yarn", "factor": 4.0, "original_context_length": 16, "finetuned": True}, yarn(4.0, 16)),
        ({"type": "yarn", "factor": 4.0, "yarn_beta_fast": 16.0, "yarn_beta_slow": 2.0}, yarn(4.0, 64, 16.0, 2.0)),
        ({"type": "yarn", "factor": 4.0, "attn_factor": 1.0, "yarn_ext_factor": 1.0}, yarn(4.0, 64)),
    ],
    ids=str,
)
def test_every_spelling_of_scaling_is_read_as_llama_cpp_reads_it(says, rope_fields, plain, tmp_path):
    key = {"scale_linear": "llama.rope.scale_linear"}
    says = {key.get(name, f"llama.rope.scaling.{name}"): value for name, value in says.items()}
    content = rope(rewrite(plain, tmp_path / "model.gguf", says))
    assert content["rope_parameters"] == {"rope_theta": 10000.0} | rope_fields
    assert content["max_position_embeddings"] == WINDOW
    window = content.get("original_max_position_embeddings", rope_fields.get("original_max_position_embeddings"))
    assert window == says.get(
        "llama.rope.scaling.original_context_length", WINDOW if "beta_fast" in rope_fields else None
    )
    # Versions of transformers before 5 read these.
    assert content["rope_theta"] == 10000.0
    assert content.get("rope_scaling") == (rope_fields if rope_fields["rope_type"] != "default" else None)


@pytest.mark.parametrize(("factor", "window"), [(8.0, 8192), (32.0, 8192), (16.0, 4096), (2.0, 300)])
def test_llama_3s_scaling_is_recognised_by_its_divisors(factor, window, plain, tmp_path):
    says = {"llama.rope.freq_base": 500000.0, "llama.context_length": 131072}
    tensors = {"rope_freqs.weight": llama3_divisors(factor, 1, 4, window)}
    settings = rope(rewrite(plain, tmp_path / "model.gguf", says, tensors))["rope_parameters"]
    assert settings["original_max_position_embeddings"] == window
    assert (settings["rope_type"], settings["factor"]) == ("llama3", factor)
    assert (settings["low_freq_factor"], settings["high_freq_factor"]) == (1.0, 4.0)


@pytest.mark.parametrize("kinds", [("q", "k", "v", "output"), ("q", "k", "v")], ids="".join)
@pytest.mark.parametrize("mlp", [False, True])
def test_biases_of_a_llama_are_honoured(kinds, mlp, tokenizer, tmp_path):
    file = make_file(tmp_path / "all.gguf", tokenizer, attention_bias=True, mlp_bias=mlp)
    left_out = {"q", "k", "v", "output"} - set(kinds)
    drop = {f"blk.{layer}.attn_{kind}.bias": None for layer in range(2) for kind in left_out}
    model = load_checkpoint(rewrite(file, tmp_path / "model.gguf", {}, drop)).model
    expected = load_checkpoint(tmp_path / "all.base").model
    for layer in expected.model.layers:
        if left_out:
            layer.self_attn.o_proj.bias.data[:] = 0
    assert model.config.mlp_bias == mlp
    torch.testing.assert_close(model(IDS).logits, expected(IDS).logits)


@pytest.mark.parametrize("tied", [False, True])
def test_a_head_is_tied_where_the_file_has_none(tied, tokenizer, tmp_path):
    file = make_file(tmp_path / "model.gguf", tokenizer, tie_word_embeddings=tied)
    assert load_checkpoint(file).model.config.tie_word_embeddings == tied
    torch.testing.assert_close(logits(file), logits(tmp_path / "model.base"))


def test_quantised_tensors_keep_the_values_that_they_stand_for(tokenizer, tmp_path):
    file = make_file(tmp_path / "model.gguf", tokenizer)
    reader = GGUFReader(file)
    writer = GGUFWriter(tmp_path / "small.gguf", "llama")
    for name, field in reader.fields.items():
        if "GGUF." not in name and name != "general.architecture":
            kinds = field.types
            writer.add_key_value(name, field.contents(), kinds[0], kinds[-1] if len(kinds) > 1 else None)
    for tensor in reader.tensors:
        kind = GGMLQuantizationType.Q8_0 if "attn_v" in tensor.name else GGMLQuantizationType.BF16
        kind = tensor.tensor_type if tensor.data.ndim == 1 else kind
        writer.add_tensor(tensor.name, quantize(tensor.data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    theirs, ours = load_checkpoint(tmp_path / "small.gguf").model, load_checkpoint(tmp_path / "model.base").model
    name = "model.layers.0.self_attn.k_proj.weight"
    assert torch.equal(theirs.state_dict()[name], ours.state_dict()[name].bfloat16().float())
    name = name.replace("k_proj", "v_proj")
    torch.testing.assert_close(theirs.state_dict()[name], ours.state_dict()[name], atol=0.01, rtol=0)


REFUSED = {
    "a length in words": ({"llama.block_count": "two"}, {}, "whole number"),
    "a base in words": ({"llama.rope.freq_base": "high"}, {}, "must be a number"),
    "a negative base": ({"llama.rope.freq_base": -1.0}, {}, "above 0"),
    "a shard": ({"split.count": 3}, {}, "llama-gguf-split"),
    "experts": ({"llama.expert_count": 8}, {}, "experts"),
    "another architecture": ({"general.architecture": "gemma3"}, {}, "supported are llama, qwen2, qwen3"),
    "an adapter": ({"general.type": "adapter"}, {}, "adapter"),
    "no context": ({"llama.context_length": None}, {}, "context_length is missing"),
    "no norm": ({"llama.attention.layer_norm_rms_epsilon": None}, {}, "epsilon is missing"),
    "longrope": ({"llama.rope.scaling.type": "longrope"}, {}, "longrope"),
    "a factor below 1": ({"llama.rope.scaling.factor": 0.5}, {}, "at least 1"),
    "another attention": (
        {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0, "llama.rope.scaling.attn_factor": 2.0},
        {},
        "attn_factor",
    ),
    "part of YaRN": (
        {
            "llama.rope.scaling.type": "yarn",
            "llama.rope.scaling.factor": 4.0,
            "llama.rope.scaling.yarn_ext_factor": 0.5,
        },
        {},
        "yarn_ext_factor",
    ),
    "a multiplier": ({"llama.rope.scaling.yarn_log_multiplier": 0.1}, {}, "yarn_log_multiplier"),
    "scaling twice": (
        {"llama.rope.scaling.factor": 2.0},
        {"rope_freqs.weight": llama3_divisors(8.0, 1, 4, 64)},
        "scaled twice",
    ),
    "other divisors": ({}, {"rope_freqs.weight": np.linspace(1, 9, 12)}, "not Llama 3's"),
    "too few divisors": ({}, {"rope_freqs.weight": np.full(4, 2.0)}, "4 divisors"),
    "long and short divisors": ({}, {"rope_factors_long.weight": np.full(12, 2.0)}, "rope_factors_long"),
    "RoPE on a part": ({"llama.rope.dimension_count": 12}, {}, "dimension_count"),
    "a sliding window": ({"llama.attention.sliding_window": 16}, {}, "sliding_window"),
    "a scale": ({"llama.attention.scale": 1.0}, {}, "attention.scale"),
    "not causal": ({"llama.attention.causal": False}, {}, "causal"),
    "something unknown": ({"llama.logit_scale": 0.5}, {}, "logit_scale"),
    "layers that differ": ({"llama.attention.head_count": None, "llama.feed_forward_length": None}, {}, "missing"),
    "another number of layers": ({"llama.block_count": 1}, {}, "there are 2"),
    "too few layers": ({"llama.block_count": 3}, {}, "missing"),
    "no end of layers": ({"llama.block_count": 10**9}, {}, "missing"),
    "another shape": ({}, {"blk.0.attn_q.weight": lambda weight: weight[:-1]}, "shape"),
    "a bias in one layer alone": ({}, {"blk.0.attn_q.bias": np.zeros(96)}, "missing"),
    "heads that do not divide": ({"llama.attention.head_count": 3}, {}, "attention heads"),
    "no tokenizer": ({"tokenizer.ggml.tokens": None}, {}, "no tokenizer"),
    "another tokenizer": ({"tokenizer.ggml.model": "t5"}, {}, "'t5'"),
    "an unknown split": ({"tokenizer.ggml.pre": "elvish"}, {}, "elvish"),
    "no merges": ({"tokenizer.ggml.merges": None}, {}, "merges"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_honoured_is_refused_in_one_line(name, plain, cache, tmp_path):
    says, tensors, word = REFUSED[name]
    file = rewrite(plain, tmp_path / "model.gguf", says, tensors)
    with pytest.raises(RunError) as caught:
        load_checkpoint(file)
    assert word in str(caught.value)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not [path for path in cache.rglob("*") if path.is_file()]


@settings(max_examples=12)
@given(data=st.data())
def test_no_tensor_is_ever_made_up_or_left_unread(data, plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensors")
    names = [tensor.name for tensor in GGUFReader(plain).tensors]
    name = data.draw(st.sampled_from([name for name in names if name != "output.weight"]))
    with pytest.raises(RunError, match=f"missing.*{name}|{name} is missing"):
        load_checkpoint(rewrite(plain, folder / "less.gguf", {}, {name: None}))
    with pytest.raises(RunError, match="is no tensor of Llama"):
        load_checkpoint(rewrite(plain, folder / "more.gguf", {}, {name.replace("weight", "scale"): np.ones(3)}))
    shutil.rmtree(folder)


@given(share=st.floats(0, 0.999))
def test_a_file_that_is_cut_short_is_refused(share, plain, tmp_path_factory):
    file = tmp_path_factory.mktemp("cut") / "cut.gguf"
    content = plain.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(RunError, match="not a readable GGUF file"):
        load_checkpoint(file)


@pytest.mark.parametrize("prefix", [True, False])
def test_a_sentencepiece_tokenizer_survives_the_way_through_gguf(prefix, tmp_path):
    before = sentencepiece_like(340)
    if not prefix:
        before.backend_tokenizer.normalizer = normalizers.Replace(" ", "▁")
    make_file(tmp_path / "model.gguf", before, vocab_size=len(before))
    after = load_checkpoint(tmp_path / "model.gguf").tokenizer
    for text in (TEXT, "naïve ☃ grass  two spaces\nline", " leading", "a</s>b"):
        assert after(text)["input_ids"] == before(text)["input_ids"]
    assert after.decode(after(TEXT)["input_ids"], skip_special_tokens=True) == TEXT
    assert (after.bos_token, after.eos_token, after.unk_token) == ("<s>", "</s>", "<unk>")


@pytest.mark.parametrize("split", SPLITS)
def test_a_byte_level_tokenizer_survives_the_way_through_gguf(split, tmp_path):
    """As those of Llama 3, Qwen 2, Mistral Nemo and others split text; BOS, a template and added tokens go along."""
    text = TEXT + "It's 12345 o'clock,<|eot|>  naïve ☃ HTTPServer\r\n\n x²"
    before = byte_level_like(split, 320)
    make_file(tmp_path / "model.gguf", before, vocab_size=330)  # there are more embeddings than tokens
    after = load_checkpoint(tmp_path / "model.gguf").tokenizer
    assert after(text)["input_ids"] == before(text)["input_ids"]
    assert after.decode(after(text)["input_ids"], skip_special_tokens=True) == text.replace("<|eot|>", "")
    assert (after.bos_token, after.eos_token, after.pad_token) == ("<|begin|>", "<|eot|>", None)
    assert after.chat_template == before.chat_template


@pytest.mark.parametrize("stored", ["inv_freq", "tied head"])
def test_what_is_stored_beside_the_weights_is_not_exported(stored, tokenizer, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = make_folder(tmp_path / "model", tokenizer, tie_word_embeddings=True)
    weights = load_file(folder / "model.safetensors")
    if stored == "inv_freq":
        weights["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(12)
    else:
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert cli.main(["gguf", str(folder), "--out", str(tmp_path / "model.gguf")]) == 0
    names = [tensor.name for tensor in GGUFReader(tmp_path / "model.gguf").tensors]
    assert len(names) == 1 + 1 + 2 * 9
    assert not [name for name in names if "rot" in name or name == "output.weight"]


def test_a_sliding_window_that_llama_cpp_would_not_have_is_refused(tokenizer, tmp_path, capsys):
    folder = make_folder(tmp_path / "model", tokenizer, "mistral", sliding_window=WINDOW // 2)
    assert cli.main(["gguf", str(folder), "--out", str(tmp_path / "model.gguf")]) != 0
    assert "sliding_window" in capsys.readouterr().err
    assert not (tmp_path / "model.gguf").exists()


@pytest.mark.parametrize("number", [2**32 - 1, VOCABULARY])
def test_a_special_token_that_is_no_token_says_that_there_is_none(number, plain, tmp_path):
    checkpoint = load_checkpoint(rewrite(plain, tmp_path / "model.gguf", {"tokenizer.ggml.padding_token_id": number}))
    assert checkpoint.tokenizer.pad_token is None
    assert checkpoint.model.config.pad_token_id is None


@pytest.mark.parametrize("model_type", ["qwen2", "qwen3"])
def test_llama_3s_scaling_of_qwen_is_refused(model_type, tokenizer, tmp_path):
    with pytest.raises(UsageError, match="LLaMA and Mistral only"):
        make_file(tmp_path / "model.gguf", tokenizer, "llama3", model_type)
    assert not (tmp_path / "model.gguf").exists()


def test_a_ramp_of_yarn_that_llama_cpp_does_not_read_is_refused(tokenizer, tmp_path):
    yarn = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16, "rope_theta": 10000.0}
    with pytest.raises(UsageError, match="beta_fast"):
        make_file(tmp_path / "model.gguf", tokenizer, rope_parameters=yarn | {"beta_fast": 16.0})


def test_a_file_of_the_other_byte_order_is_refused(tmp_path):
    writer = GGUFWriter(tmp_path / "model.gguf", "llama", endianess=GGUFEndian.BIG)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(RunError, match="byte order"):
        load_checkpoint(tmp_path / "model.gguf")


def test_llama_3s_tokenizer_puts_bos_first_and_takes_whole_words(plain, tmp_path):
    folder = local_folder(rewrite(plain, tmp_path / "model.gguf", LLAMA3))
    content = json.loads((folder / "tokenizer.json").read_text())
    assert content["model"]["ignore_merges"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    first, *rest = tokenizer("It's 12345 o'clock")["input_ids"]
    assert first == tokenizer.bos_token_id
    assert tokenizer.decode(rest) == "It's 12345 o'clock"


LLAMA3 = {"tokenizer.ggml.pre": "llama-bpe", "tokenizer.ggml.add_bos_token": None, "tokenizer.ggml.bos_token_id": 0}
