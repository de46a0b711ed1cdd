"""Malformed RoPE fields are refused in one line, by one validator, in every command."""

import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pi_model.cli.main import main
from pi_model.errors import RunError
from pi_model.models.rope_fields import rope_fields
from pi_model.models.rope_parameters import check_frequencies, read_extension, understood
from pi_theory.scaling import Yarn
from tests.model.released_configs import SHAPE, linear, llama3, yarn

PLAIN = SHAPE | {"max_position_embeddings": 4096}


def scaling(**rope) -> dict:
    return PLAIN | {"rope_scaling": rope}


def without(content: dict, key: str) -> dict:
    rope = {name: value for name, value in content["rope_scaling"].items() if name != key}
    return SHAPE | content | {"rope_scaling": rope}


MALFORMED = {
    "an unknown type": (scaling(type="superlinear", factor=2.0), "'superlinear' is not supported"),
    "Phi's longrope": (scaling(type="longrope", short_factor=[1.0], long_factor=[2.0]), "'longrope' is not supported"),
    "Phi's su": (scaling(type="su", short_factor=[1.0], long_factor=[2.0]), "'su' is not supported"),
    "a type that is a number": (scaling(type=3, factor=2.0), "3 is not supported"),
    "a null type": (scaling(rope_type=None, factor=2.0), "null is not supported"),
    "two types": (scaling(type="linear", rope_type="yarn", factor=2.0), "keep the right one"),
    "a string for the settings": (PLAIN | {"rope_scaling": "dynamic"}, "rope_scaling is 'dynamic', but must be"),
    "a list for the settings": (PLAIN | {"rope_parameters": [1]}, "rope_parameters is"),
    "settings for each layer": (PLAIN | {"rope_parameters": {"full": {"rope_type": "default"}}}, "layer to layer"),
    "a missing factor": (scaling(type="linear"), "factor is missing"),
    "a null factor": (scaling(type="dynamic", factor=None), "factor is missing"),
    "a string factor": (scaling(type="linear", factor="4.0"), "factor is '4.0', but must be a number"),
    "a true factor": (scaling(type="linear", factor=True), "factor is True, but must be a number"),
    "a factor below 1": (scaling(type="linear", factor=0.25), "number of at least 1"),
    "a factor that is no number": (scaling(type="linear", factor=float("nan")), "must be a number"),
    "a factor without a method": (scaling(factor=4.0), "no method"),
    "a factor of the default": (scaling(rope_type="default", factor=4.0), "no method"),
    "a null base": (PLAIN | {"rope_theta": None}, "rope_theta is null"),
    "a null base inside": (PLAIN | {"rope_parameters": {"rope_type": "default", "rope_theta": None}}, "is null"),
    "a string base": (PLAIN | {"rope_theta": "1e4"}, "rope_theta is '1e4'"),
    "a base of 1": (PLAIN | {"rope_theta": 1}, "must be a number above 1"),
    "two bases": (
        PLAIN | {"rope_theta": 1e4, "rope_parameters": {"rope_type": "default", "rope_theta": 5e5}}, "keep the right",
    ),
    "two spellings that differ": (
        linear(4.0, 4096) | {"rope_parameters": {"rope_type": "linear", "factor": 2.0}}, "contradict each other",
    ),
    "a window beyond all sense": (PLAIN | {"max_position_embeddings": 10**30}, "at most 1000000000"),
    "a factor beyond all sense": (scaling(type="linear", factor=1e29), "at most 1e+06"),
    "a slow limit of 0": (SHAPE | yarn(4.0, 4096, 16384, beta_slow=0), "rise"),
    "Hunyuan's alpha": (scaling(type="dynamic", factor=2.0, alpha=1000.0), "rope_scaling.alpha says nothing"),
    "a number of another method": (scaling(type="linear", factor=2.0, beta_fast=32), "beta_fast says nothing"),
    "a base under another name": (PLAIN | {"rotary_emb_base": 1e6}, "rotary_emb_base is 1000000.0, but rope_theta"),
    "a part of each head": (PLAIN | {"rotary_pct": 0.25}, "rotary_pct is 0.25"),
    "layers without RoPE": (PLAIN | {"no_rope_layers": [1, 0]}, "every layer here has RoPE"),
    "every fourth layer without RoPE": (PLAIN | {"no_rope_layer_interval": 4}, "no_rope_layer_interval is 4"),
    "positions by a bias": (PLAIN | {"alibi": True}, "alibi is True"),
    "learned positions": (PLAIN | {"position_embedding_type": "absolute"}, "position_embedding_type is 'absolute'"),
    "a float window": (SHAPE | {"max_position_embeddings": 4096.0}, "max_position_embeddings is 4096.0"),
    "a string window": (SHAPE | {"max_position_embeddings": "4096"}, "max_position_embeddings is '4096'"),
    "a window of 0": (SHAPE | {"max_position_embeddings": 0}, "positive whole number"),
    "a float original": (SHAPE | yarn(4.0, 4096.5, 16384), "original_max_position_embeddings is 4096.5"),
    "a float length": (PLAIN | {"max_sequence_length": 4096.0}, "max_sequence_length is 4096.0"),
    "two originals": (
        SHAPE | yarn(4.0, 4096, 16384) | {"original_max_position_embeddings": 8192}, "contradict each other",
    ),
    "llama3 without an original": (
        without(llama3(8.0, 131072), "original_max_position_embeddings"), "original_max_position_embeddings is missing",
    ),
    "llama3 without a low frequency": (without(llama3(8.0, 131072), "low_freq_factor"), "low_freq_factor is missing"),
    "llama3 upside down": (
        SHAPE | {"rope_scaling": llama3(8.0, 131072)["rope_scaling"] | {"low_freq_factor": 8.0}}, "rise",
    ),
    "yarn upside down": (SHAPE | yarn(4.0, 4096, 16384, beta_fast=1, beta_slow=32), "rise"),
    "yarn with a string": (SHAPE | yarn(4.0, 4096, 16384, beta_fast="32"), "beta_fast is '32'"),
    "yarn that truncates perhaps": (SHAPE | yarn(4.0, 4096, 16384, truncate="no"), "must be true or false"),
    "DeepSeek's attention": (
        SHAPE | yarn(40, 4096, 163840, mscale=1.0, mscale_all_dim=1.0), "mscale and mscale_all_dim",
    ),
    "another attention": (SHAPE | yarn(4.0, 4096, 16384, attention_factor=1.0), "attention_factor"),
    "a partial rotation": (scaling(type="linear", factor=2.0, partial_rotary_factor=0.5), "part of each head"),
    "heads that do not divide": (PLAIN | {"hidden_size": 33}, "4 does not divide hidden_size 33"),
    "groups that do not divide": (PLAIN | {"num_key_value_heads": 3}, "3 does not divide num_attention_heads 4"),
    "odd heads": (PLAIN | {"head_dim": 7}, "head_dim must be even"),
    "a string of heads": (PLAIN | {"num_attention_heads": "4"}, "num_attention_heads is '4'"),
    "a ratio that is a string": (PLAIN | {"rope_condense_ratio": "8"}, "rope_condense_ratio is '8'"),
    "a ratio beside yarn": (SHAPE | yarn(4.0, 4096, 16384) | {"rope_condense_ratio": 4}, "contradict each other"),
    "a record that is no object": (PLAIN | {"position_interpolation": 4}, "position_interpolation is 4"),
    "a record without a window": (
        linear(4.0, 4096) | {"position_interpolation": {"method": "linear", "factor": 4.0, "base": 1e4}},
        "window_tokens is missing",
    ),
    "a record of another method": (
        linear(4.0, 4096)
        | {"position_interpolation": {"method": "yarn", "factor": 4.0, "base": 1e4, "window_tokens": 1024}},
        "edited by hand",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_field_is_refused_by_its_name_in_one_line(name):
    content, says = MALFORMED[name]
    with pytest.raises(RunError, match=r"^config\.json: ") as caught:
        rope_fields(content)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunError):  # saying the window mends none of these
        read_extension(content, window_tokens=2048)


@pytest.mark.parametrize("name", ["an unknown type", "a string for the settings", "a string factor", "a null base",
                                  "a float window", "heads that do not divide"])  # fmt: skip
def test_every_command_refuses_a_malformed_field_alike(name, tiny_folder, tmp_path, capsys):
    content, says = MALFORMED[name]
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    before = json.loads((folder / "config.json").read_text())
    kept = {key: value for key, value in before.items() if "rope" not in key and key != "head_dim"}
    (folder / "config.json").write_text(json.dumps(kept | content))
    (tmp_path / "text.txt").write_text("The grass is green. " * 20)
    data, out = ["--data", tmp_path / "text.txt"], ["--out", tmp_path / "out"]
    model = ["--model", folder]
    commands = [
        ["extend", folder, "--factor", 2, *out],
        ["perplexity", *model, *data, "--windows", 64],
        ["passkey", *model],
        ["plan", *model, "--context", 8192],
        ["finetune", "tiny_512_pi", f"model={folder}", "window_tokens=4096", *out],
        ["gguf", folder, *out],
    ]
    for words in commands:
        assert main([str(word) for word in words]) == 1, words[0]
        err = capsys.readouterr().err
        assert says in err, words[0]
        assert len(err.splitlines()) == 1, words[0]
    assert not (tmp_path / "out" / "model").exists()


ANYTHING = st.sampled_from(
    [None, True, 0, 1, -1, 2, 4.0, 0.5, 8, 64, 4096, 4096.0, 8192, 10**12, 1e30, float("nan"), "4", "", [], {}, [4.0]]
)
TYPES = st.sampled_from(["default", "linear", "dynamic", "yarn", "llama3", "ntk", "", None, 4])
NUMBERS = ("factor", "original_max_position_embeddings", "rope_theta", "beta_fast", "beta_slow", "attention_factor",
           "low_freq_factor", "high_freq_factor", "mscale", "mscale_all_dim", "truncate")  # fmt: skip


@settings(max_examples=300)
@given(
    base=st.sampled_from([linear(4.0, 4096), yarn(4.0, 4096, 16384), llama3(8.0, 131072), {"rope_scaling": {}}]),
    rope=st.dictionaries(st.sampled_from(NUMBERS), ANYTHING, max_size=2),
    kind=st.one_of(st.just({}), st.fixed_dictionaries({"rope_type": TYPES})),
    outer=st.dictionaries(
        st.sampled_from(["max_position_embeddings", "rope_theta", "max_sequence_length", "rope_condense_ratio"]),
        ANYTHING,
        max_size=2,
    ),
    key=st.sampled_from(["rope_scaling", "rope_parameters"]),
)
def test_any_config_is_refused_in_one_line_or_computed_as_it_was_read(base, rope, kind, outer, key):
    content = SHAPE | {name: value for name, value in base.items() if name != "rope_scaling"} | outer
    content[key] = base["rope_scaling"] | rope | kind
    try:
        extension = read_extension(content)
    except RunError as caught:
        refused = str(caught)
    else:
        refused = ""
    if refused:
        assert refused.startswith("config.json: ")
        assert "\n" not in refused
        return
    config = LlamaConfig.from_dict(understood(content))
    assert check_frequencies(LlamaRotaryEmbedding(config), config) == extension


@given(
    st.dictionaries(
        st.sampled_from(
            [*("alibi", "use_dynamic_ntk", "use_logn_attn", "rope_interleaved"), *("rotary_pct", "no_rope_layers")]
        ),
        st.sampled_from([None, False]),
    ),
    st.sampled_from([{}, {"rotary_emb_base": 10000}, {"rotary_dim": 8}, {"no_rope_layers": [1, 1]}, {"rotary_pct": 1}]),
)
def test_what_other_configs_say_of_positions_may_stand_where_it_changes_nothing(unset, usual):
    assert rope_fields(PLAIN | unset | usual) == rope_fields(PLAIN)


@pytest.mark.parametrize("stated", [{"attention_factor": 1.3688879}, {"mscale": 1.0, "mscale_all_dim": 0.0}])
def test_yarns_published_attention_factor_may_be_stated(stated):
    extension = read_extension(SHAPE | yarn(40.0, 4096, 163840, **stated))
    assert extension.scaling == Yarn(40.0)
