"""Steps that are simulated at their own size: memory, masks, and how often the host waits."""

from unittest.mock import patch

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from pi_model.planning import Shape, plan
from pi_model.planning.simulation import Observed, simulate
from pi_model.training.config import ADAPTABLE, Lora
from tests.model.plans import A100, run_config, small_llama, small_model

# Small in the proportions of LLaMA, so that windows are what takes memory.
LLAMA = small_llama(vocab_size=500, hidden_size=256, intermediate_size=688)
GROUPED = small_model("qwen3", vocab_size=500, num_key_value_heads=1, head_dim=64, tie_word_embeddings=True)


@pytest.mark.parametrize(
    ("model", "gpus", "changes"),
    [
        (LLAMA, 4, {"activation_checkpointing": "full"}),
        (LLAMA, 1, {"activation_checkpointing": "selective"}),
        (LLAMA, 6, {"context_parallel": 2, "global_batch": 3}),
        (LLAMA, 3, {"lora": Lora(targets=ADAPTABLE, dropout=0.1)}),
        (GROUPED, 4, {"micro_batch": 2, "global_batch": 16}),
    ],
)
def test_planned_memory_is_within_2_percent_of_a_simulated_step(model, gpus, changes):
    config = run_config(**{"global_batch": gpus, "dtype": "bfloat16", "device": "cuda", **changes})
    simulated = simulate(config, model, gpus)
    assert plan(config, Shape.of(model), A100, gpus).sheet.peak == pytest.approx(simulated.peak, rel=0.02)
    assert simulated.host_waits == 1


@pytest.mark.parametrize("tokens", [16384, 32768])
@pytest.mark.parametrize("changes", [{}, {"context_parallel": 2}, {"activation_checkpointing": "full"}])
def test_a_step_makes_no_mask_of_a_whole_window(changes, tokens):
    model = small_llama(vocab_size=500, num_hidden_layers=2, num_key_value_heads=2)
    config = run_config(window_tokens=tokens, dtype="bfloat16", device="cuda", **changes)
    pieces = 2 * config.context_parallel
    assert simulate(config, model, config.context_parallel).largest < tokens**2 / pieces**2


def test_a_mask_of_a_whole_window_would_be_seen():
    model = small_llama(vocab_size=500, num_hidden_layers=2)
    config = run_config(window_tokens=16384, dtype="bfloat16", device="cuda")
    with patch("pi_model.training.sharding.CAUSAL", "sdpa"):  # which asks for masks where values are not known
        assert simulate(config, model, 1).largest >= 16384**2


def test_what_is_freed_and_what_is_waited_for_is_counted():
    with FakeTensorMode(), Observed() as observed:
        kept = torch.empty(1000)
        made = torch.empty(3000)
        made.untyped_storage().resize_(0)
        torch.empty(500).sum().item()
        kept[:2].tolist()
    assert (observed.peak, observed.waits, observed.largest) == (4 * 4000, 2, 3000)
