"""RoPE parameters: transformers computes the frequencies of the theory, and no other config gets past."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

from pi_model.errors import RunError, UsageError
from pi_model.models.loading import random_llama
from pi_model.models.rope_parameters import (
    Extension,
    check_frequencies,
    compose,
    read_extension,
    reset_frequencies,
    write_extension,
)
from pi_theory.scaling import METHODS, LinearPI, NoScaling, NTKAware, attention_factor, scaling_by_name

methods = st.sampled_from(sorted(METHODS.keys() - {"none"}))
factors = st.sampled_from([1.0, 1.5, 2.0, 4.0, 8.0, 32.0])
windows = st.sampled_from([64, 2048, 8192])
bases = st.sampled_from([1e4, 1e5, 5e5])
head_dims = st.sampled_from([4, 8, 64, 128])


def base_config(window: int = 2048, base: float = 1e4, head_dim: int = 64) -> LlamaConfig:
    return LlamaConfig(
        hidden_size=2 * head_dim,
        num_attention_heads=2,
        head_dim=head_dim,
        max_position_embeddings=window,
        rope_parameters={"rope_type": "default", "rope_theta": base},
    )


def extended(config: LlamaConfig, *scalings) -> LlamaConfig:
    for scaling in scalings:
        config = LlamaConfig.from_dict(write_extension(config.to_dict(), compose(read_extension(config), scaling)))
    return config


@given(method=methods, factor=factors, window=windows, base=bases, head_dim=head_dims)
def test_transformers_computes_the_frequencies_of_the_theory(method, factor, window, base, head_dim):
    config = extended(base_config(window, base, head_dim), scaling_by_name(method, factor))
    rotary = LlamaRotaryEmbedding(config)
    extension = check_frequencies(rotary, config)
    assert extension.scaling == scaling_by_name(method, factor)
    assert (extension.window_tokens, extension.context_tokens) == (window, int(factor * window))
    assert rotary.attention_scaling == pytest.approx(attention_factor(extension.scaling))


@given(factor=factors, context=st.integers(1, 40000))
def test_dynamic_frequencies_follow_the_context_as_the_theory_says(factor, context):
    import torch

    config = extended(base_config(), scaling_by_name("dynamic", factor))
    rotary = LlamaRotaryEmbedding(config)
    rotary(torch.zeros(1), torch.arange(context)[None, -1:])
    ours = read_extension(config).frequencies(context=context)
    np.testing.assert_allclose(rotary.inv_freq.numpy(), ours, rtol=1e-4)


@given(method=methods, first=factors, second=factors)
def test_extending_twice_is_extending_by_the_product(method, first, second):
    twice = extended(base_config(), scaling_by_name(method, first), scaling_by_name(method, second))
    once = extended(base_config(), scaling_by_name(method, first * second))
    assert read_extension(twice) == read_extension(once)
    np.testing.assert_array_equal(LlamaRotaryEmbedding(twice).inv_freq, LlamaRotaryEmbedding(once).inv_freq)


def test_two_methods_do_not_compose():
    with pytest.raises(UsageError, match="already extended by linear x2"):
        extended(base_config(), LinearPI(2.0), NTKAware(2.0))


def test_a_factor_that_splits_a_token_is_refused():
    with pytest.raises(UsageError, match="not a whole number of tokens"):
        compose(read_extension(base_config()), LinearPI(1.0001))


def test_extending_by_nothing_is_refused():
    with pytest.raises(UsageError, match="extends nothing"):
        compose(read_extension(base_config()), NoScaling())


@given(method=methods)
def test_max_position_embeddings_is_an_integer(method):
    assert type(extended(base_config(), scaling_by_name(method, 1.5)).max_position_embeddings) is int


def test_a_config_changed_after_the_model_was_built_is_refused():
    model = random_llama()
    model.config.rope_parameters = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    with pytest.raises(RunError, match="not those of its config"):
        check_frequencies(model.model.rotary_emb, model.config)


def test_a_model_cast_whole_to_bfloat16_is_refused():
    model = random_llama(head_dim=16).bfloat16()
    with pytest.raises(RunError, match="not those of its config"):
        check_frequencies(model.model.rotary_emb, model.config)


def test_the_old_rope_scaling_key_is_read():
    config = LlamaConfig(
        max_position_embeddings=8192, rope_theta=1e4, rope_scaling={"type": "linear", "factor": 4.0}, head_dim=64
    )
    assert read_extension(config) == Extension(LinearPI(4.0), 2048, 1e4, 64)


def test_writing_leaves_no_setting_of_before():
    content = base_config().to_dict() | {"rope_scaling": {"type": "yarn", "factor": 2.0}, "rope_theta": 3.0}
    written = write_extension(content, Extension(LinearPI(2.0), 2048, 1e4, 64))
    assert written["rope_scaling"] == {"rope_type": "linear", "type": "linear", "factor": 2.0}
    assert written["rope_theta"] == 1e4


def test_an_unknown_rope_type_is_refused():
    config = base_config()
    config.rope_parameters["rope_type"] = "longrope"
    with pytest.raises(RunError, match="'longrope' is not supported"):
        read_extension(config)


def test_dynamic_scaling_forgets_the_longest_input_when_reset():
    import torch

    config = extended(base_config(64), scaling_by_name("dynamic", 4.0))
    model = random_llama(**{**config.to_dict(), "vocab_size": 16, "num_hidden_layers": 1})
    before = model.model.rotary_emb.inv_freq.clone()
    model(torch.zeros(1, 200, dtype=torch.long))
    assert not torch.equal(model.model.rotary_emb.inv_freq, before)
    reset_frequencies(model)
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, before, rtol=0, atol=0)
