"""Attention without masks: whole windows, continuations, and heads that share keys."""

import pytest
import torch
import torch.nn.functional as F

from pi_model.models.attention import attend
from pi_model.models.families import empty_model
from pi_model.training.loss import CausalLoss
from tests.model.plans import small_llama


def drawn(heads: int, kv_heads: int, queries: int, keys: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    sizes = ((heads, queries), (kv_heads, keys), (kv_heads, keys))
    query, key, value = (torch.randn(2, *size, 16, generator=draw) for size in sizes)
    return query, key, value


@pytest.mark.parametrize("kv_heads", [1, 2, 4])
@pytest.mark.parametrize(("queries", "keys"), [(7, 7), (1, 1), (1, 7), (3, 7)])
def test_each_token_attends_to_itself_and_all_before_it(queries, keys, kv_heads):
    query, key, value = drawn(4, kv_heads, queries, keys)
    repeated_key, repeated_value = (one.repeat_interleave(4 // kv_heads, 1) for one in (key, value))
    seen = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    scores = (query @ repeated_key.mT * 0.3).masked_fill(~seen, -torch.inf)
    torch.testing.assert_close(attend(query, key, value, 0.3), scores.softmax(-1) @ repeated_value)


def test_a_models_loss_is_that_of_transformers_own_attention_to_the_bit():
    losses = []
    for name in ("causal", "sdpa"):
        torch.manual_seed(0)
        model = empty_model(small_llama(num_key_value_heads=2), attn_implementation=name)
        losses.append(CausalLoss(model)(torch.arange(65)[None]))
    assert torch.equal(*losses)


def test_the_kernel_is_given_each_key_once(monkeypatch):
    given = []

    def kernel(query, key, value, **how):
        given.append((key.shape[1], value.shape[1], how["enable_gqa"], how["attn_mask"]))
        return query

    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    attend(*drawn(4, 2, 5, 5), 0.3)
    assert given == [(2, 2, True, None)]
