"""Models that plan knows by name, and the count of weights, against transformers' models and the published numbers."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pi_model.errors import UsageError
from pi_model.models.families import empty_model, model_config, sliding_window
from pi_model.models.rope_parameters import read_extension
from pi_model.planning import Shape, settings
from pi_model.planning.architectures import named_architecture, named_extension
from pi_model.planning.known_models import KNOWN, known_names
from pi_model.planning.sheet import _BLOCK_TOKENS
from pi_model.training.loss import BLOCK_TOKENS
from pi_model.training.overrides import override
from pi_model.training.recipes import recipe

# Weights of the published checkpoints, as their hub pages count them.
PUBLISHED = {
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-33b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-2-7b": 6_738_415_616,
    "llama-2-13b": 13_015_864_320,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-70b": 70_553_706_496,
    "llama-3.1-8b": 8_030_261_248,
    "llama-3.1-70b": 70_553_706_496,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "mistral-7b": 7_248_023_552,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "smollm2-135m": 134_515_008,
}


def weights(shape: Shape) -> int:
    return shape.layers * shape.layer_parameters + shape.root_parameters


def test_known_models_have_the_published_numbers_of_weights_and_full_attention():
    assert {name: weights(Shape.of(known.content)) for name, known in KNOWN.items()} == PUBLISHED
    for name, known in KNOWN.items():
        config = model_config(known.content)
        assert Shape.of(config) == Shape.of(known.content), name
        assert sliding_window(config, float("inf")) is None, name
        assert read_extension(config).context_tokens == read_extension(known.content).context_tokens, name


@given(
    family=st.sampled_from(["llama", "mistral", "qwen2", "qwen3"]),
    heads=st.sampled_from([(4, 4), (4, 2), (4, 1)]),
    size=st.sampled_from([None, 16, 64]),
    tied=st.booleans(),
    biased=st.booleans(),
    layers=st.integers(1, 3),
)
def test_weights_are_counted_as_transformers_makes_them(family, heads, size, tied, biased, layers):
    content = {
        "model_type": family, "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": layers,
        "num_attention_heads": heads[0], "num_key_value_heads": heads[1], "vocab_size": 500, "sliding_window": None,
        "tie_word_embeddings": tied, "attention_bias": biased, "mlp_bias": biased,
    }  # fmt: skip
    if size is not None and family != "qwen2":
        content["head_dim"] = size
    config = model_config(content)
    with torch.device("meta"):
        model = empty_model(config)
    shape = Shape.of(config)
    attention = model.model.layers[0].self_attn
    assert weights(shape) == sum(parameter.numel() for parameter in model.parameters())
    assert layers * shape.layer_parameters == sum(parameter.numel() for parameter in model.model.layers.parameters())
    assert (shape.queries, shape.keys) == (attention.q_proj.out_features, attention.k_proj.out_features)


def test_blocks_of_logits_are_as_large_as_the_loss_makes_them():
    assert _BLOCK_TOKENS == BLOCK_TOKENS


@pytest.mark.parametrize("name", ["llama-70b", "Qwen3-8B", "mistralai/Mistral-7B-v0.3", "llama-2-13b", "llama-13b"])
def test_a_known_name_is_planned_under_the_name_that_a_run_loads(name):
    recipe_name, changes = settings(name, 65536)
    config = override(recipe(recipe_name), changes)
    assert config.context_tokens == 65536
    assert "/" in config.model
    assert Shape.of_run(config) == Shape.of(named_architecture(name))


def test_a_known_name_comes_before_a_folder_which_comes_before_the_hub(tiny_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for folder in ("llama-65b", "Qwen/Qwen3-8B"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.json").write_text((tiny_folder / "config.json").read_text())
    assert weights(Shape.of(named_architecture("llama-65b"))) == PUBLISHED["llama-65b"]
    assert "for the folder llama-65b here write ./llama-65b" in capsys.readouterr().err
    assert named_architecture("./llama-65b").hidden_size == named_architecture("Qwen/Qwen3-8B").hidden_size < 1024
    assert weights(Shape.of(named_architecture("qwen3-8b"))) == PUBLISHED["qwen3-8b"]


def test_a_known_name_needs_neither_torch_nor_transformers():
    code = (
        "import sys; from pi_model.cli import main; main.main(['plan', '--model', sys.argv[1], '--gpus', '8'])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    for name in ("llama-70b", "tiny-llama"):
        done = subprocess.run([sys.executable, "-c", code, name], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout[:3] in ("Yes", "No,")) == (0, True), done.stderr


def test_an_unknown_name_lists_what_there_is_shortly():
    with pytest.raises(UsageError) as raised:
        named_extension("llama-3.1-9b")
    message = str(raised.value)
    assert "did you mean llama-3.1-8b?" in message
    assert "llama-2-7b/13b/70b" in message
    assert len(message) < 500
    assert len(known_names()) < 300
