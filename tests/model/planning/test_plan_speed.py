"""Planned arithmetic against torch's count, the training log's and published numbers."""

from dataclasses import replace
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils import flop_counter
from transformers import LlamaForCausalLM

from pi_model.distributed.context_parallel import Sharing, _Gather, sharing
from pi_model.gpus import GPUS, link
from pi_model.models.families import empty_model
from pi_model.planning import UTILISATION, UTILISATION_COMPILED, Shape, architecture, plan
from pi_model.training.config import ADAPTABLE, Evaluation, Lora
from pi_model.training.lora import add_adapters
from pi_model.training.loss import CausalLoss
from pi_model.training.meter import flops_per_token
from pi_model.training.recipes import LLAMA, recipe
from tests.model.plans import A100, H100, STEPS_ON_AN_H100, benched_config, run_config, small_llama


@pytest.mark.parametrize("lora", [None, Lora(targets=ADAPTABLE)])
@pytest.mark.parametrize("checkpointing", ["none", "full"])
def test_planned_operations_are_those_torch_counts(checkpointing, lora):
    """Torch counts attention over all pairs of tokens, the plan over the causal half; the difference is added here.

    Torch has no formula for attention's kernel on a CPU, so it is given the one of the GPU's. The test runs in bfloat16
    because torch does not count the product that float32 adds in place.
    """
    aten = torch.ops.aten
    attention = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda *args, **_: flop_counter.sdpa_flop_count(*args[:3]),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *args, **_: (
            flop_counter.sdpa_backward_flop_count(*args[:4])
        ),
    }
    llama = small_llama()
    model = LlamaForCausalLM(llama)
    if lora:
        add_adapters(model, lora)
        model.to_empty(device="cpu")  # no values are asked for
    model.bfloat16().train()
    if checkpointing == "full":
        model.activation_checkpointing_enable({"use_reentrant": False})
    with flop_counter.FlopCounterMode(display=False, custom_mapping=attention) as counter:
        CausalLoss(model)(torch.zeros(1, 513, dtype=torch.long)).backward()
    config = run_config(window_tokens=512, activation_checkpointing=checkpointing, lora=lora)
    shape = Shape.of(llama)
    planned = plan(config, shape, A100, 1)
    products = 9 if checkpointing == "full" else 7
    other_half = products * shape.layers * shape.queries * 512 * 512
    # Without checkpointing, autograd leaves out the gradient of the first layer's input if nothing below is trained.
    unasked = 2 * 512 * shape.hidden * (shape.queries + 2 * shape.keys + 3 * lora.rank) if lora else 0
    counted = counter.get_total_flops() + (unasked if checkpointing == "none" else 0)
    assert planned.sheet.executed_flops + other_half == pytest.approx(counted, rel=1e-3)


def test_operations_without_recomputation_are_those_the_training_log_counts():
    for size in LLAMA:
        config = recipe(f"llama_{size}_8192_pi")
        llama = architecture(config)
        for kind, frozen in (("pi", False), ("pi_lora", True)):
            planned = plan(recipe(f"llama_{size}_8192_{kind}"), Shape.of(llama), A100, 32)
            assert planned.sheet.model_flops == pytest.approx(
                planned.sheet.tokens * flops_per_token(llama, 8192, frozen=frozen)
            )


# The numbers of weights in the published checkpoints.
PUBLISHED = {"7b": 6_738_415_616, "13b": 13_015_864_320, "33b": 32_528_943_616, "65b": 65_285_660_672}


@pytest.mark.parametrize("size", LLAMA)
def test_parameters_are_those_of_the_whole_model_and_of_the_published_one(size):
    config = recipe(f"llama_{size}_8192_pi")
    llama = architecture(config)
    with torch.device("meta"):
        whole = sum(parameter.numel() for parameter in LlamaForCausalLM(llama).parameters())
    assert plan(config, Shape.of(llama), A100, 1).sheet.parameters == whole == PUBLISHED[size]


def test_the_assumed_utilisation_is_below_what_llama_reports():
    """LLaMA 65B was trained at 380 tokens a second on each A100, in windows of 2048 (arXiv:2302.13971, Section 2.4)."""
    config = replace(recipe("llama_65b_8192_direct"), factor=1.0, activation_checkpointing="none")
    shape = Shape.of(architecture(config))
    planned = plan(config, shape, A100, 128)
    rate = planned.sheet.tokens / planned.sheet.compute_time / 128
    assert 0.65 * 380 < rate < 380


def test_the_assumed_utilisation_is_in_the_range_that_an_h100_reached_at_1b_and_above_it_at_135m():
    reached: dict[str, list[float]] = {"135M": [], "1B": []}
    for case, (_, share) in STEPS_ON_AN_H100.items():
        config = benched_config(*case)
        sheet = plan(config, Shape.of(architecture(config)), H100, 1).sheet
        reached[case[0]].append(share * sheet.executed_flops / sheet.model_flops)
    # the ranges that `pi-model plan` and its options tell
    assert [round(of(reached["135M"]), 2) for of in (min, max)] == [0.07, 0.30]
    assert [round(of(reached["1B"]), 2) for of in (min, max)] == [0.31, 0.44]
    assert max(reached["135M"]) < min(reached["1B"]) < UTILISATION < UTILISATION_COMPILED < max(reached["1B"])


@pytest.mark.parametrize("name", GPUS)
def test_between_machines_traffic_goes_through_all_network_cards(name):
    gpu = GPUS[name]
    assert link(gpu, 1) == link(gpu, 8) == gpu.node_link
    assert link(gpu, 16) == link(gpu, 128) == min(gpu.node_link, 8 * gpu.cluster_link)
    assert link(gpu, 10) == min(gpu.node_link, 5 * gpu.cluster_link)


@pytest.mark.parametrize("checkpointing", ["none", "full"])
def test_traffic_of_shared_windows_is_what_their_code_gathers_and_gives_back(checkpointing):
    received = []

    def gather(whole, local, group):
        received.append(whole.nbytes - local.nbytes)

    def exchange(parts, whole, group):
        received.append(parts.nbytes - parts[0].nbytes)

    llama = small_llama(num_key_value_heads=2)
    config = run_config(window_tokens=64, context_parallel=4, activation_checkpointing=checkpointing)
    dist.init_process_group("fake", store=FakeStore(), rank=1, world_size=4)
    try:
        model = empty_model(llama, attn_implementation="context_parallel")
        model.train()
        if checkpointing == "full":
            model.activation_checkpointing_enable({"use_reentrant": False})
        module = "pi_model.distributed.context_parallel"
        with patch(f"{module}._all_gather", gather), patch("torch.distributed.all_to_all_single", exchange):
            CausalLoss(model, sharing(4, torch.device("cpu")))(torch.zeros(1, 65, dtype=torch.long)).backward()
    finally:
        dist.destroy_process_group()
    assert plan(config, Shape.of(llama), A100, 4).sheet.window_traffic == sum(received)


def test_gradients_of_shared_keys_are_added_up_in_float32():
    """In bfloat16 one after the other, 256 and seven ones would stay 256."""

    def exchange(parts, whole, group):
        parts.copy_(torch.tensor([256.0] + 7 * [1.0])[:, None])

    class Context:
        group = None

    whole = torch.zeros(8, 3, dtype=torch.bfloat16)
    with patch("torch.distributed.all_to_all_single", exchange):
        summed, _ = _Gather.backward(Context(), whole)
    assert summed.tolist() == [264.0] * 3  # 263 as bfloat16 has it


@given(degree=st.integers(1, 16), tokens=st.integers(1, 8))
def test_all_ranks_that_share_a_window_have_as_many_pairs_of_query_and_key(degree, tokens):
    group = dist.ProcessGroup(0, degree)  # whose collectives are not called
    own = [Sharing(group, degree, rank).positions(2 * degree * tokens, torch.device("cpu")) for rank in range(degree)]
    pairs = [int((positions + 1).sum()) for positions in own]
    assert max(pairs) - min(pairs) == 0
    assert sorted(torch.cat(own).tolist()) == list(range(2 * degree * tokens))


def test_what_is_around_the_steps_is_counted():
    evaluation = Evaluation(steps=(0, 500), data="pg19", windows=(8192,), stride=256, max_tokens=16384, samples=4)
    config = replace(recipe("llama_7b_8192_pi"), evaluation=evaluation, keep=3)
    sheet = plan(config, Shape.of_run(config), A100, 8).sheet
    assert sheet.checkpoint == 12 * PUBLISHED["7b"]
    assert sheet.checkpoints == 4 * sheet.checkpoint
    assert sheet.read_tokens == 33 * 4 * 8192 / 8
    forward = 2 * 8192 * 32 * (sheet.layer_matrix + 4096 * 8192)  # of one window, without the head
    assert sheet.evaluation_time == pytest.approx(2 * 33 * 4 / 8 * forward / (312e12 * 0.33) / 3600)
    assert sheet.preparation_time == pytest.approx(1000 * 64 * 8192 / 0.5e6 / 3600)
