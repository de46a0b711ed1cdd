"""What would make a run fit: every row of the table is the plan that the command makes with that change."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from pi_model.gpus import GPUS
from pi_model.planning import Shape, advise, levers
from pi_model.training.config import Lora
from pi_model.training.overrides import override
from pi_model.training.recipes import LLAMA, recipe
from tests.model.plans import H100


def found(config, shape, gpus, gpu=H100, fixed=()):
    planned = advise(config, shape, gpu, gpus, fixed=fixed)
    return planned, {one.name: one for one in levers(planned, config, shape, fixed=fixed)}


@given(
    size=st.sampled_from(list(LLAMA)),
    context=st.sampled_from([8192, 16384, 32768]),
    gpu=st.sampled_from(list(GPUS.values())),
    gpus=st.sampled_from([1, 4, 8, 64, None]),
    lora=st.booleans(),
)
@settings(max_examples=8)
def test_each_lever_is_the_plan_of_the_run_with_that_change(size, context, gpu, gpus, lora):
    config = replace(recipe(f"llama_{size}_{context}_pi"), lora=Lora() if lora else None)
    shape = Shape.of_run(config)
    planned, all_found = found(config, shape, gpus, gpu)
    for one in all_found.values():
        changed = override(config, list(one.settings))
        kept = {setting.partition("=")[0].partition(".")[0] for setting in one.settings}
        again = advise(changed, shape, one.plan.gpu, one.plan.gpus, fixed=kept)
        assert (again.sheet.peak, again.sheet.run_time) == (one.plan.sheet.peak, one.plan.sheet.run_time)
        assert one.same_result == (changed.identity() == config.identity())
        if planned.fits:
            assert one.plan.fits
            assert one.plan.gpus < planned.gpus


def test_a_70b_on_one_machine_is_told_what_would_help():
    config = override(
        recipe("llama_7b_32768_pi"), ["model=meta-llama/Meta-Llama-3-70B", "window_tokens=8192", "factor=4"]
    )
    planned, helps = found(config, Shape.of_run(config), 8)
    assert not planned.fits
    assert {name: one.plan.fits for name, one in helps.items()} == {
        "context_parallel=8": False,
        "sequence_tokens=1024": False,
        "lora.rank=16": False,
        "lora.rank=16 context_parallel=2": True,
        "lora.rank=16 sequence_tokens=16384": True,
        "context_parallel=2 --gpus 64": True,
        "--gpu h200": False,
    }


def test_settings_that_were_asked_for_are_levers_too_and_two_together_only_where_neither_is_enough():
    config = replace(recipe("llama_7b_8192_pi"), micro_batch=4, activation_checkpointing="none")
    shape = Shape.of_run(config)
    planned, helps = found(config, shape, 8, fixed={"micro_batch", "activation_checkpointing"})
    assert not planned.fits
    assert {"micro_batch=1", "activation_checkpointing=full"} <= helps.keys()
    assert helps["micro_batch=1"].plan.fits
    assert not any(name.startswith("lora.rank=16 ") for name in helps)


def test_a_run_that_fits_is_told_of_fewer_gpus_and_a_small_one_of_nothing():
    config = recipe("llama_7b_8192_pi")
    planned, helps = found(config, Shape.of_run(config), 32)
    assert planned.fits
    assert helps["--gpus 2"].plan.config.activation_checkpointing == "full"
    assert helps["lora.rank=16"].plan.gpus == 1
    small = recipe("smollm2_16384_pi")
    assert found(small, Shape.of_run(small), None)[1] == {}
