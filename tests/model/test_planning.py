"""Plans against what happens: allocations of real steps, torch's count of operations, and advice that must be true."""

import gc
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._C._distributed_c10d import HashStore
from torch.profiler import ProfilerActivity, profile
from torch.testing._internal.distributed.fake_pg import FakeStore
from torch.utils import flop_counter
from transformers import LlamaConfig, LlamaForCausalLM

from pi_model.cli import main as cli
from pi_model.gpus import GPUS
from pi_model.planning import sheet as planning
from pi_model.planning.launch_scripts import script
from pi_model.planning.sheet import Shape, advise, beside_paper, fewest_gpus, plan, usable_counts
from pi_model.training.config import ADAPTABLE, CHECKPOINTING, Config, Lora, MixturePart
from pi_model.training.loop import adamw, optimizer_step
from pi_model.training.lora import add_adapters
from pi_model.training.loss import CausalLoss
from pi_model.training.meter import flops_per_token
from pi_model.training.overrides import override
from pi_model.training.recipes import LLAMA, RECIPES, recipe
from pi_model.training.sharding import sharded_model

A100 = GPUS["a100-80"]


def small(**changes: Any) -> LlamaConfig:
    defaults: dict[str, Any] = {
        "vocab_size": 2000, "hidden_size": 128, "intermediate_size": 344, "num_hidden_layers": 4,
        "num_attention_heads": 4, "max_position_embeddings": 4096,
    }  # fmt: skip
    return LlamaConfig(**(defaults | changes))


def run_config(**changes: Any) -> Config:
    defaults: dict[str, Any] = {
        "model": "m", "window_tokens": 2048, "data": (MixturePart(name="d"),), "steps": 1, "global_batch": 1,
        "peak_lr": 1e-4,
    }  # fmt: skip
    return Config(**(defaults | changes))


def peak_allocated(work: Callable[[], object]) -> int:
    """Bytes of torch's CPU allocator at their highest during some work, above those before it."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        work()
    total = peak = 0
    for event in profiled.profiler.kineto_results.events():
        if event.name() == "[memory]":
            total += event.nbytes()
            peak = max(peak, total)
    return peak


def measured_peak(config: Config, llama: LlamaConfig, ranks: int) -> int:
    """Peak of rank 0's second optimiser step; collectives of more than one rank are torch's fake ones."""
    if ranks == 1:
        dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    else:
        dist.init_process_group("fake", store=FakeStore(), rank=0, world_size=ranks)
    try:
        with torch.device("meta"):
            whole = LlamaForCausalLM(llama)
            if config.lora:
                add_adapters(whole, config.lora)
            shapes = {name: tensor.shape for name, tensor in whole.state_dict().items()}
        model = sharded_model(
            llama,
            lambda name: torch.full(shapes[name], 0.01),
            torch.device("cpu"),
            lora=config.lora,
            dtype=config.dtype,
            activation_checkpointing=config.activation_checkpointing,
        )
        optimizer = adamw(model, config)
        accumulation = config.accumulation(ranks)
        windows = torch.zeros(config.micro_batch * accumulation, config.training_tokens + 1, dtype=torch.long)

        def step() -> None:
            optimizer_step(model, optimizer, windows, accumulation, 1e-4, 1.0)
            if ranks > 1:  # where nothing is really gathered, values mean nothing and the step may refuse them
                optimizer.step()

        step()
        optimizer.zero_grad()
        gc.collect()
        held = sum(p.to_local().nbytes for p in model.parameters())
        moments = [value.to_local() for state in optimizer.state.values() for value in state.values() if value.ndim]
        return held + sum(moment.nbytes for moment in moments) + peak_allocated(step)
    finally:
        dist.destroy_process_group()


# Each has another part of the sheet at its peak: the loss, activations, gathered layers, the head.
STEPS = {
    "long windows": (small(), {"window_tokens": 2048}),
    "few words": (small(vocab_size=100, num_hidden_layers=2), {"window_tokens": 2048}),
    "wide layers": (small(vocab_size=100, hidden_size=512, intermediate_size=1376), {"window_tokens": 32}),
    "grouped heads": (
        small(num_key_value_heads=2, num_hidden_layers=6, tie_word_embeddings=True),
        {"window_tokens": 512, "micro_batch": 2},
    ),
    "many words": (
        small(vocab_size=8000, hidden_size=512, intermediate_size=1376, num_hidden_layers=2),
        {"window_tokens": 64, "accumulation": 2},
    ),
}


ADAPTERS = {
    "": None,
    "attention": Lora(),
    "all": Lora(targets=ADAPTABLE),
    "all, dropped": Lora(targets=ADAPTABLE, dropout=0.1),
}
RUNS = [
    *((name, 4, "") for name in STEPS),
    ("grouped heads", 1, ""),
    ("many words", 1, ""),
    ("long windows", 4, "all"),
    ("few words", 4, "attention"),
    ("wide layers", 1, "attention"),
    ("many words", 4, "attention"),
    ("grouped heads", 1, "all, dropped"),
]


@pytest.mark.parametrize("checkpointing", CHECKPOINTING)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(("name", "ranks", "adapters"), RUNS)
def test_planned_memory_is_within_a_tenth_of_a_real_steps(name, ranks, adapters, dtype, checkpointing):
    llama, changes = STEPS[name]
    changes = dict(changes)
    batch = ranks * changes.get("micro_batch", 1) * changes.pop("accumulation", 1)
    lora = ADAPTERS[adapters]
    config = run_config(dtype=dtype, activation_checkpointing=checkpointing, global_batch=batch, lora=lora, **changes)
    planned = plan(config, Shape.of(llama), A100, ranks)
    assert planned["peak"] == pytest.approx(measured_peak(config, llama, ranks), rel=0.1)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_what_a_layer_saves_is_what_autograd_saves(dtype):
    """Exactly, but for the frequencies' cosines and sines, which all layers share."""
    sizes = []
    for layers in (1, 2):
        llama = LlamaForCausalLM(small(num_hidden_layers=layers, num_key_value_heads=2)).to(getattr(torch, dtype))
        llama.train()
        weights = {parameter.untyped_storage().data_ptr() for parameter in llama.parameters()}
        saved: dict[int, torch.Tensor] = {}  # kept, so that no storage is freed and its address used again

        def keep(tensor: torch.Tensor, saved: dict = saved, weights: set = weights) -> torch.Tensor:
            if tensor.untyped_storage().data_ptr() not in weights:
                saved[tensor.untyped_storage().data_ptr()] = tensor
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            CausalLoss(llama)(torch.zeros(1, 301, dtype=torch.long))
        sizes.append(sum(tensor.untyped_storage().nbytes() for tensor in saved.values()))
    planned = plan(run_config(window_tokens=300, dtype=dtype), Shape.of(small(num_key_value_heads=2)), A100, 1)
    assert sizes[1] - sizes[0] == pytest.approx(planned["layer_activations"], rel=0.002)


@pytest.mark.parametrize("lora", [None, Lora(targets=ADAPTABLE)])
@pytest.mark.parametrize("checkpointing", ["none", "full"])
def test_planned_operations_are_those_torch_counts(checkpointing, lora):
    """Attention goes over all pairs there and over the causal half here; the CPU's kernel by the GPU's formula.

    In bfloat16, because torch does not count the product that float32 adds in place.
    """
    aten = torch.ops.aten
    attention = {
        aten._scaled_dot_product_flash_attention_for_cpu: lambda *args, **_: flop_counter.sdpa_flop_count(*args[:3]),
        aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda *args, **_: (
            flop_counter.sdpa_backward_flop_count(*args[:4])
        ),
    }
    llama = small()
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
    # Without checkpointing, nothing below the first layer asks what its frozen input was worth.
    unasked = 2 * 512 * shape.hidden * (shape.queries + 2 * shape.keys + 3 * lora.rank) if lora else 0
    counted = counter.get_total_flops() + (unasked if checkpointing == "none" else 0)
    assert planned["executed_flops"] + other_half == pytest.approx(counted, rel=1e-3)


def test_operations_without_recomputation_are_those_the_training_log_counts():
    for size in LLAMA:
        config = recipe(f"llama_{size}_8192_pi")
        llama = planning.architecture(config)
        for kind, frozen in (("pi", False), ("pi_lora", True)):
            planned = plan(recipe(f"llama_{size}_8192_{kind}"), Shape.of(llama), A100, 32)
            assert planned["model_flops"] == pytest.approx(
                planned["tokens"] * flops_per_token(llama, 8192, frozen=frozen)
            )


# Of the published checkpoints.
PUBLISHED = {"7b": 6_738_415_616, "13b": 13_015_864_320, "33b": 32_528_943_616, "65b": 65_285_660_672}


@pytest.mark.parametrize("size", LLAMA)
def test_parameters_are_those_of_the_whole_model_and_of_the_published_one(size):
    config = recipe(f"llama_{size}_8192_pi")
    llama = planning.architecture(config)
    with torch.device("meta"):
        whole = sum(parameter.numel() for parameter in LlamaForCausalLM(llama).parameters())
    assert plan(config, Shape.of(llama), A100, 1)["parameters"] == whole == PUBLISHED[size]


def test_every_recipe_can_be_planned_without_a_network():
    for name in RECIPES:
        config = recipe(name)
        if not str(config.model).endswith("/model"):  # the outcome of another run, which is not here
            shape = Shape.of(planning.architecture(config))
            assert advise(config, shape, A100)["peak"] > 0, name


SEVEN = Shape.of(planning.architecture(recipe("llama_7b_8192_pi")))
PAPER = recipe("llama_7b_8192_pi")


@given(
    context=st.integers(1, 64).map(lambda n: 2048 * n),
    gpus=st.integers(1, 512),
    dtype=st.sampled_from(["float32", "bfloat16"]),
    checkpointing=st.sampled_from(CHECKPOINTING),
)
def test_memory_and_time_grow_with_context_and_size_and_shrink_with_gpus(context, gpus, dtype, checkpointing):
    config = replace(PAPER, factor=context / 2048 + 1, dtype=dtype, activation_checkpointing=checkpointing)
    here = plan(config, SEVEN, A100, gpus)
    longer = plan(replace(config, factor=context / 2048 + 2), SEVEN, A100, gpus)
    deeper = plan(config, replace(SEVEN, layers=SEVEN.layers + 1), A100, gpus)
    more = plan(config, SEVEN, A100, gpus + 1)
    # Where the update is the peak, the context does not count.
    assert longer["peak"] >= here["peak"]
    assert deeper["peak"] > here["peak"]
    assert longer["peak_at_last_layer"] > here["peak_at_last_layer"]
    for larger in (longer, deeper):
        assert larger["compute_time"] > here["compute_time"]
    assert more["peak"] <= here["peak"]
    assert more["compute_time"] < here["compute_time"]
    assert plan(replace(config, activation_checkpointing="full"), SEVEN, A100, gpus)["peak"] <= here["peak"]


@given(
    size=st.sampled_from(list(LLAMA)),
    context=st.sampled_from([8192, 16384, 32768]),
    gpu=st.sampled_from(list(GPUS.values())),
    checkpointing=st.sampled_from(CHECKPOINTING),
)
@settings(max_examples=30)
def test_the_fewest_gpus_fit_and_one_fewer_do_not(size, context, gpu, checkpointing):
    config = replace(recipe(f"llama_{size}_{context}_pi"), activation_checkpointing=checkpointing)
    shape = Shape.of(planning.architecture(config))
    fewest = fewest_gpus(config, shape, gpu)
    if fewest is None:
        assert not plan(config, shape, gpu, 10**6).fits
    else:
        assert plan(config, shape, gpu, fewest).fits
        assert fewest == 1 or not plan(config, shape, gpu, fewest - 1).fits


@given(size=st.sampled_from(list(LLAMA)), gpu=st.sampled_from(list(GPUS.values())), gpus=st.sampled_from([8, 32, None]))
@settings(max_examples=30)
def test_advice_fits_shares_the_batch_and_no_other_setting_that_fits_is_faster(size, gpu, gpus):
    config = recipe(f"llama_{size}_8192_pi")
    shape = Shape.of(planning.architecture(config))
    advised = advise(config, shape, gpu, gpus)
    chosen = advised.config
    assert chosen.identity() == config.identity()  # nothing is advised that changes the result
    chosen.accumulation(advised.gpus)
    others = [
        plan(replace(config, micro_batch=micro, activation_checkpointing=checkpointing), shape, gpu, advised.gpus)
        for micro in usable_counts(config)
        if config.global_batch % (micro * advised.gpus) == 0
        for checkpointing in CHECKPOINTING
    ]
    fitting = [other for other in others if other.fits]
    assert advised.fits == bool(fitting)
    for other in fitting:
        assert advised["step_time"] <= other["step_time"]


def test_a_compiled_run_is_not_advised_to_keep_products_which_it_cannot():
    config = replace(recipe("llama_7b_16384_pi"), compile=True)
    plain, compiled = (advise(one, SEVEN, A100, 128) for one in (replace(config, compile=False), config))
    assert plain.config.activation_checkpointing == "selective"
    assert compiled.config.activation_checkpointing == "full"


def test_the_assumed_utilisation_is_below_what_llama_reports():
    """380 tokens a second on each A100, LLaMA 65B at 2048 tokens (arXiv:2302.13971, Section 2.4)."""
    config = replace(recipe("llama_65b_8192_direct"), factor=1.0, activation_checkpointing="none")
    shape = Shape.of(planning.architecture(config))
    planned = plan(config, shape, A100, 128)
    rate = planned["tokens"] / planned["compute_time"] / 128
    assert 0.7 * 380 < rate < 380


def told(capsys: pytest.CaptureFixture, *words: str) -> dict[str, Any]:
    assert cli.main(["plan", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_a_plan_says_what_it_plans_beside_what_the_paper_used(capsys):
    report = told(capsys, "--model", "llama-65b", "--context", "32768", "--gpus", "128", "--gpu", "h200")
    assert (report["recipe"], report["context_tokens"], report["gpus"]) == ("llama_65b_32768_pi", 32768, 128)
    assert (report["fits"], report["micro_batch"], report["accumulation"]) == (True, 1, 1)
    assert report["paper"] == []  # its 65B goes to 8192
    beside = told(capsys, "llama_33b_8192_pi", "--gpus", "8", "--gpu", "h200")["paper"]
    assert [(one["gpus"], one["gpu"]) for one in beside] == [(32, "a100-40"), (32, "a100-80")]
    # The same arithmetic on another number of GPUs of another speed.
    here = told(capsys, "llama_33b_8192_pi", "--gpus", "32", "--gpu", "a100-80")["quantities"]
    assert [beside[1][name] for name in ("peak", "room")] == [here[name]["value"] for name in ("peak", "room")]


# Of Tables 1, 2, 4 and 5, with the A100s that Section 3.1 gives them.
IN_THE_PAPER = {
    **{f"llama_{size}_8192_{kind}": 32 for size in ("7b", "13b", "33b") for kind in ("pi", "direct")},
    **{f"llama_{size}_16384_pi": 128 for size in ("7b", "13b", "33b")},
    "llama_7b_32768_pi": 128,
    "llama_13b_32768_pi": 128,
    "llama_65b_8192_pi": 128,
    "llama_7b_8192_pi_redpajama": 32,
}


def test_every_run_in_the_papers_tables_fits_on_the_a100s_it_used():
    """Of either size, which the paper does not say."""
    assert {name for name in RECIPES if planning.paper_gpus(recipe(name))} == IN_THE_PAPER.keys()
    for name, gpus in IN_THE_PAPER.items():
        config = recipe(name)
        shape = Shape.of(planning.architecture(config))
        beside = beside_paper(config, shape, utilisation=planning.UTILISATION, usable=planning.USABLE)
        assert [(one.gpus, one.gpu.name) for one in beside] == [(gpus, "a100-40"), (gpus, "a100-80")]
        assert all(one.fits for one in beside), name


def test_printed_formulas_give_the_printed_numbers(capsys):
    report = told(capsys, "llama_13b_16384_pi", "--gpus", "64")
    values = dict(report["givens"])
    for name, one in report["quantities"].items():
        values[name] = eval(one["formula"], {"__builtins__": {}, "max": max, "min": min}, values)
        assert values[name] == one["value"], name


def test_the_command_offers_every_gpu_and_the_sheets_own_assumptions():
    asked = cli._parse(["plan", "llama_7b_8192_pi"])
    assert tuple(GPUS) == cli.GPU_NAMES
    assert (asked.utilisation, asked.usable) == (planning.UTILISATION, planning.USABLE)


def test_the_table_explains_itself_when_asked(capsys):
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "32"]) == 0
    plain = capsys.readouterr().out
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "32", "--explain"]) == 0
    explained = capsys.readouterr().out
    assert "the paper used 32 A100; planned on a100-40:" in plain
    assert "data sheet" in explained
    for name, _, formula, _ in planning._SHEET:
        assert name in plain
        assert f"= {formula}\n" in explained
        assert f"= {formula}\n" not in plain


def test_a_local_folder_is_planned_from_its_config_alone(tiny_folder, tmp_path, capsys):
    (tmp_path / "config.json").write_text((tiny_folder / "config.json").read_text())
    report = told(capsys, "--model", str(tmp_path), "--context", "256", "steps=5")
    assert report["context_tokens"] == 256
    config = override(recipe(report["recipe"]), report["overrides"])
    assert (config.window_tokens, config.factor, config.method, config.steps) == (64, 4.0, "linear", 5)


@pytest.mark.parametrize(("kind", "gpus"), [("torchrun", 8), ("slurm", 8), ("slurm", 16), ("slurm", 64)])
def test_the_script_starts_the_run_that_was_planned(kind, gpus, tmp_path):
    """As bash runs it, with Slurm's commands and torchrun replaced by ones that say what they were given."""
    changes = ["steps=10", "evaluation.windows=2048,8192"]
    config = override(recipe("llama_13b_8192_pi"), changes)
    planned = advise(config, Shape.of(planning.architecture(config)), A100, gpus)
    for command, does in (("scontrol", "printf 'node7\\nnode8\\n'"), ("srun", 'exec "$@"'), ("torchrun", 'echo "$@"')):
        (tmp_path / command).write_text(f"#!/bin/bash\n{does}\n")
        (tmp_path / command).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "SLURM_JOB_NODELIST": "node[7-8]", "SLURM_JOB_ID": "5"}
    text = script(kind, "llama_13b_8192_pi", changes, planned)
    done = subprocess.run(["bash"], input=text, env=environment, capture_output=True, text=True, check=True)
    words = done.stdout.split()
    nodes = 1
    if kind == "slurm":
        nodes = int(words[words.index("--nnodes") + 1])
        assert words[words.index("--rdzv-endpoint") + 1] == "node7:29500"
    assert nodes * int(words[words.index("--nproc-per-node") + 1]) == gpus
    asked = cli._parse(words[words.index("pi_model.cli.main") + 1 :])
    assert override(recipe(asked.recipe), asked.overrides) == planned.config


def test_torchrun_alone_starts_one_machine(capsys):
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "8", "--script", "torchrun"]) == 0
    assert "torchrun --standalone --nproc-per-node 8" in capsys.readouterr().out
    assert cli.main(["plan", "llama_7b_8192_pi", "--gpus", "16", "--script", "torchrun"]) == 2
    assert "use --script slurm" in capsys.readouterr().err


FAULTS = {
    "nothing to plan": (2, ["--gpus", "8"]),
    "two things to plan": (2, ["llama_7b_8192_pi", "--model", "llama-7b"]),
    "a recipe with a context": (2, ["llama_7b_8192_pi", "--context", "4096"]),
    "an unknown recipe": (2, ["llama_8b_8192_pi"]),
    "an unknown model": (2, ["--model", "llama-8b"]),
    "a context below the window": (2, ["--model", "llama-7b", "--context", "1024"]),
    "GPUs that cannot share the batch": (2, ["llama_7b_8192_pi", "--gpus", "3"]),
    "no GPUs": (2, ["llama_7b_8192_pi", "--gpus", "0"]),
    "a share above one": (2, ["llama_7b_8192_pi", "--utilisation", "1.5"]),
    "a model that is not here": (2, ["llama_7b_govreport"]),
    "a script for a run that does not fit": (1, ["llama_65b_32768_pi", "--gpu", "a100-40", "--script", "slurm"]),
    "windows that ranks share": (2, ["llama_7b_8192_pi", "context_parallel=4"]),
    "machines of unequal size": (2, ["llama_7b_8192_pi", "global_batch=9", "--gpus", "9", "--script", "slurm"]),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_cannot_be_planned_is_one_line(fault, capsys):
    code, words = FAULTS[fault]
    assert cli.main(["plan", *words]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1


def test_a_run_that_does_not_fit_is_planned_with_a_warning_that_says_what_would(capsys):
    assert cli.main(["plan", "llama_65b_32768_pi", "global_batch=64", "--gpus", "64"]) == 0
    out, err = capsys.readouterr()
    assert "fits: no" in out
    assert "113 would have it, but the batch can be shared by 64 at most" in err
