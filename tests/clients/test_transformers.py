"""An exported folder in plain transformers, beside a model written out here with the theory's frequencies."""

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from pi_model.models.families import ModelConfig, head_dim
from pi_model.models.rope_parameters import read_extension
from pi_theory.scaling import attention_factor
from tests.clients.conftest import FAMILIES, FOLDERS, TEXT

LENGTH = 140  # beyond the trained window of 64, within the extended one


def logits(weights: dict[str, Tensor], config: ModelConfig, ids: list[int]) -> Tensor:
    """Of the next token, in float64, from nothing but the weights: pairs are (j, j + d/2), as a folder has them."""

    def norm(x: Tensor, name: str) -> Tensor:
        """RMSNorm, where the model has one of this name."""
        if name not in weights:
            return x
        return x / (x.square().mean(-1, keepdim=True) + config.rms_norm_eps).sqrt() * weights[name]

    def product(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0)

    extension = read_extension(config)
    theta = torch.from_numpy(extension.frequencies(context=len(ids)))
    angle = torch.arange(len(ids), dtype=torch.float64)[:, None] * theta
    turn = torch.polar(torch.full_like(angle, attention_factor(extension.scaling)), angle)[:, None]
    half = head_dim(config) // 2
    future = torch.ones(len(ids), len(ids), dtype=torch.bool).triu(1)
    x = weights["model.embed_tokens.weight"][ids]
    for number in range(config.num_hidden_layers):
        layer = f"model.layers.{number}."
        attention = f"{layer}self_attn."
        h = norm(x, layer + "input_layernorm.weight")
        q, k, v = (
            norm(product(h, f"{attention}{part}_proj").unflatten(-1, (-1, 2 * half)), f"{attention}{part}_norm.weight")
            for part in "qkv"
        )
        q, k = (torch.complex(part[..., :half], part[..., half:]) * turn for part in (q, k))
        groups = config.num_attention_heads // config.num_key_value_heads
        k, v = k.repeat_interleave(groups, 1), v.repeat_interleave(groups, 1)
        scores = torch.einsum("shj,thj->hst", q, k.conj()).real / np.sqrt(2 * half)
        mixed = torch.einsum("hst,thj->shj", scores.masked_fill(future, -torch.inf).softmax(-1), v)
        x = x + product(mixed.flatten(1), f"{attention}o_proj")
        h = norm(x, layer + "post_attention_layernorm.weight")
        gate, up = (h @ weights[f"{layer}mlp.{part}_proj.weight"].T for part in ("gate", "up"))
        x = x + (torch.nn.functional.silu(gate) * up) @ weights[layer + "mlp.down_proj.weight"].T
    return norm(x, "model.norm.weight")[-1] @ weights["lm_head.weight"].T


@pytest.mark.parametrize("name", [*FOLDERS, *FAMILIES])
def test_plain_transformers_generates_what_the_theorys_frequencies_generate(name, folders, family_folders):
    """Token by token, greedily, across the end of the trained window."""
    folder = (folders | family_folders)[name]
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompt = tokenizer(TEXT, return_tensors="pt")["input_ids"]
    # Without a cache under dynamic scaling, whose old keys would keep the frequencies of a shorter text.
    theirs = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        max_length=LENGTH,
        do_sample=False,
        use_cache=name != "dynamic",
        eos_token_id=None,
        pad_token_id=0,
    )[0].tolist()
    weights = {name: tensor.double() for name, tensor in model.state_dict().items()}
    ours = prompt[0].tolist()
    while len(ours) < LENGTH:
        ours.append(int(logits(weights, model.config, ours).argmax()))
    assert theirs == ours
