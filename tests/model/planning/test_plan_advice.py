"""Advice must be true: laws of plans, the fewest GPUs, the fastest settings, and the runs of the paper's tables."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pi_model.gpus import GPUS
from pi_model.planning import (
    USABLE,
    Shape,
    advise,
    beside_paper,
    fewest_gpus,
    paper_gpus,
    plan,
    usable_counts,
)
from pi_model.training.config import CHECKPOINTING, Lora
from pi_model.training.recipes import LLAMA, RECIPES, recipe
from tests.model.plans import A100


def test_every_recipe_can_be_planned_without_a_network():
    for name in RECIPES:
        config = recipe(name)
        if not str(config.model).endswith("/model"):  # which another run has to make first
            shape = Shape.of_run(config)
            assert advise(config, shape, A100).sheet.peak > 0, name


SEVEN = Shape.of_run(recipe("llama_7b_8192_pi"))
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
    # Not strictly: the peak may be where gradients are reduced, which does not depend on the context.
    assert longer.sheet.peak >= here.sheet.peak
    assert deeper.sheet.peak > here.sheet.peak
    assert longer.sheet.peak_at_last_layer > here.sheet.peak_at_last_layer
    for larger in (longer, deeper):
        assert larger.sheet.compute_time > here.sheet.compute_time
    assert more.sheet.peak <= here.sheet.peak
    assert more.sheet.compute_time < here.sheet.compute_time
    assert plan(replace(config, activation_checkpointing="full"), SEVEN, A100, gpus).sheet.peak <= here.sheet.peak


@given(
    size=st.sampled_from(list(LLAMA)),
    context=st.sampled_from([8192, 16384, 32768]),
    gpu=st.sampled_from(list(GPUS.values())),
    checkpointing=st.sampled_from(CHECKPOINTING),
    shared=st.sampled_from([1, 2, 8]),
)
@settings(max_examples=30)
def test_the_fewest_gpus_fit_and_one_fewer_do_not(size, context, gpu, checkpointing, shared):
    config = replace(recipe(f"llama_{size}_{context}_pi"), activation_checkpointing=checkpointing)
    if checkpointing != "selective":
        config = replace(config, context_parallel=shared)
    shape = Shape.of_run(config)
    fewest = fewest_gpus(config, shape, gpu)
    if fewest is None:
        assert not plan(config, shape, gpu, 10**6).fits
    else:
        assert plan(config, shape, gpu, fewest).fits
        assert fewest == config.context_parallel or not plan(config, shape, gpu, fewest - 1).fits


@given(size=st.sampled_from(list(LLAMA)), gpu=st.sampled_from(list(GPUS.values())), gpus=st.sampled_from([8, 32, None]))
@settings(max_examples=30)
def test_advice_fits_shares_the_batch_and_no_other_setting_that_fits_is_faster(size, gpu, gpus):
    config = recipe(f"llama_{size}_8192_pi")
    shape = Shape.of_run(config)
    advised = advise(config, shape, gpu, gpus)
    chosen = advised.config
    assert chosen.identity() == config.identity()  # nothing is advised that changes the result
    chosen.accumulation(advised.gpus)
    others = [
        plan(
            replace(config, micro_batch=micro, activation_checkpointing=checkpointing, compile=compiled),
            shape,
            gpu,
            advised.gpus,
        )
        for micro in usable_counts(config)
        if config.global_batch % (micro * advised.gpus) == 0
        for checkpointing in CHECKPOINTING
        for compiled in ({False, checkpointing == "none"} if config.dtype == "bfloat16" else {False})
    ]
    fitting = [other for other in others if other.fits]
    assert advised.fits == bool(fitting)
    for other in fitting:
        assert advised.sheet.step_time <= other.sheet.step_time


@given(
    size=st.sampled_from(list(LLAMA)),
    context=st.sampled_from([8192, 16384, 32768]),
    gpu=st.sampled_from(list(GPUS.values())),
    gpus=st.sampled_from([1, 8, 32]),
    fixed=st.sets(st.sampled_from(["micro_batch", "activation_checkpointing", "compile"])),
    checkpointing=st.sampled_from(CHECKPOINTING),
)
@settings(max_examples=30)
def test_layers_are_compiled_where_that_was_measured_and_fits(size, context, gpu, gpus, fixed, checkpointing):
    config = replace(recipe(f"llama_{size}_{context}_pi"), device="cuda", activation_checkpointing=checkpointing)
    shape = Shape.of_run(config)
    chosen = advise(config, shape, gpu, gpus, fixed=fixed)
    assert chosen.config.identity() == config.identity()
    for name in fixed:
        assert getattr(chosen.config, name) == getattr(config, name)
    if chosen.config.compile:
        assert chosen.config.activation_checkpointing == "none"
    elif chosen.fits and chosen.config.activation_checkpointing == "none":
        assert "compile" in fixed


def test_layers_are_not_compiled_in_kinds_of_runs_in_which_that_was_not_measured():
    measured = replace(PAPER, device="cuda")
    assert advise(measured, SEVEN, A100, 64).config.compile
    for changes in ({"device": "cpu"}, {"dtype": "float32"}, {"lora": Lora()}, {"context_parallel": 2}):
        assert not advise(replace(measured, **changes), SEVEN, A100, 64).config.compile, changes


def test_a_compiled_run_is_not_advised_to_keep_products_which_it_cannot():
    config = replace(recipe("llama_7b_16384_pi"), compile=True)
    plain, compiled = (advise(one, SEVEN, A100, 128) for one in (replace(config, compile=False), config))
    assert plain.config.activation_checkpointing == "selective"
    assert compiled.config.activation_checkpointing == "full"


@given(degree=st.sampled_from([2, 4, 8]), gpus=st.integers(1, 64), size=st.sampled_from(["7b", "65b"]))
@settings(max_examples=30)
def test_sharing_windows_takes_memory_from_each_gpu_and_adds_traffic(degree, gpus, size):
    config = recipe(f"llama_{size}_32768_pi")
    alone, shared = (
        plan(replace(config, context_parallel=one), Shape.of_run(config), A100, gpus * degree).sheet
        for one in (1, degree)
    )
    assert shared.peak < alone.peak
    assert shared.executed_flops == alone.executed_flops
    assert shared.step_time > alone.step_time
    assert shared.accumulation == degree * alone.accumulation


# The runs of the paper's Tables 1, 2, 4 and 5, with the number of A100s that Section 3.1 says each used.
IN_THE_PAPER = {
    **{f"llama_{size}_8192_{kind}": 32 for size in ("7b", "13b", "33b") for kind in ("pi", "direct")},
    **{f"llama_{size}_16384_pi": 128 for size in ("7b", "13b", "33b")},
    "llama_7b_32768_pi": 128,
    "llama_13b_32768_pi": 128,
    "llama_65b_8192_pi": 128,
    "llama_7b_8192_pi_redpajama": 32,
}


def test_every_run_in_the_papers_tables_fits_on_the_a100s_it_used():
    """They fit whether the A100s had 40 or 80 GB, which the paper does not say."""
    assert {name for name in RECIPES if paper_gpus(recipe(name))} == IN_THE_PAPER.keys()
    for name, gpus in IN_THE_PAPER.items():
        config = recipe(name)
        shape = Shape.of_run(config)
        beside = beside_paper(config, shape, utilisation=None, usable=USABLE)
        assert [(one.gpus, one.gpu.name) for one in beside] == [(gpus, "a100-40"), (gpus, "a100-80")]
        assert all(one.fits for one in beside), name
