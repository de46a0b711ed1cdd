"""How to set a run so that it fits and is fast, and how many GPUs it needs at least."""

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from pi_model.errors import UsageError
from pi_model.gpus import Gpu
from pi_model.planning.architectures import Shape
from pi_model.planning.sheet import USABLE, Plan, compile_measured, plan
from pi_model.training.config import CHECKPOINTING, Config

_MOST_GPUS = 2**20  # where the search for enough of them ends


def fewest_gpus(config: Config, shape: Shape, gpu: Gpu, *, usable: float = USABLE) -> int | None:
    """The smallest number of GPUs on which a run fits with its config as it is.

    The search doubles and then bisects, because the memory that each GPU needs falls as GPUs are added. It falls no
    further than to what one forward pass and one gathered layer take.

    Returns:
        The number, whether or not it can share the global batch evenly; None where no number is enough.
    """

    def fits(gpus: int) -> bool:
        return plan(config, shape, gpu, gpus, usable=usable).fits

    enough = config.context_parallel
    while not fits(enough):
        if enough > _MOST_GPUS:
            return None
        enough *= 2
    too_few = enough // 2 if enough > config.context_parallel else enough - 1
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if fits(middle):
            enough = middle
        else:
            too_few = middle
    return enough


def usable_counts(config: Config) -> list[int]:
    """The numbers of GPUs that can share the global batch evenly, with the micro batch as it is."""
    share = config.global_batch // config.micro_batch
    readers = [number for number in range(1, share + 1) if config.global_batch % (number * config.micro_batch) == 0]
    return [number * config.context_parallel for number in readers]


def leanest(config: Config, fixed: Collection[str] = ()) -> Config:
    """The same run with the settings that take least memory: one window a forward pass and full checkpointing.

    Args:
        config: The run.
        fixed: Names of fields to leave as they are.
    """
    lean = {"micro_batch": 1, "activation_checkpointing": CHECKPOINTING[-1]}
    changes: dict[str, Any] = {name: value for name, value in lean.items() if name not in fixed}
    return replace(config, **changes)


def advise(
    config: Config,
    shape: Shape,
    gpu: Gpu,
    gpus: int | None = None,
    *,
    fixed: Collection[str] = (),
    utilisation: float | None = None,
    usable: float = USABLE,
) -> Plan:
    """The fastest plan that fits, over micro batches, kinds of activation checkpointing and compiled layers or not.

    Of equally fast plans it is the one with the config's own micro batch, then the one that recomputes least. The
    result of the run depends on none of these settings. Layers are compiled only in the kind of run in which that was
    measured to be faster, see `pi_model.planning.sheet.compile_measured`.

    Args:
        config: The run.
        shape: The architecture of its model.
        gpu: The kind of GPU.
        gpus: Number of GPUs; None takes the fewest on which the run fits and that can share the global batch evenly.
        fixed: Names of fields to leave as they are.
        utilisation: Share of the peak arithmetic that the run reaches, above 0 and at most 1; None assumes one.
        usable: Share of a GPU's memory that tensors may take, above 0 and at most 1.

    Returns:
        The plan. Where none fits it is the one that needs least memory, and its `fits` is False.

    Raises:
        UsageError: The number of GPUs is below 1 or cannot share the global batch, or a share is out of range.
    """
    if gpus is None:
        gpus = _enough(leanest(config, fixed), shape, gpu, usable)
    elif gpus < 1:
        raise UsageError(f"gpus: must be at least 1, got {gpus}")
    plans = [
        plan(choice, shape, gpu, gpus, utilisation=utilisation, usable=usable)
        for choice in _choices(config, fixed, gpus)
    ]
    if not plans:
        config.accumulation(gpus)  # raises, with the reason
    fitting = [one for one in plans if one.fits]
    if not fitting:
        return min(plans, key=lambda one: one.sheet.peak)

    def rank(one: Plan) -> tuple[float, bool, bool, int, float]:
        # The sheet knows neither how inefficient small products are nor what is between products. Where its times are
        # equal, the micro batch stays as it is and no more is recomputed than has to be.
        chosen = one.config
        recomputed = CHECKPOINTING.index(chosen.activation_checkpointing)
        other_batch = chosen.micro_batch != config.micro_batch
        return one.sheet.step_time, other_batch, chosen.compile != config.compile, recomputed, one.sheet.peak

    return min(fitting, key=rank)


def _enough(config: Config, shape: Shape, gpu: Gpu, usable: float) -> int:
    """The fewest GPUs that fit and can share the batch, or the most that can share it where it never fits."""
    counts = usable_counts(config)
    fewest = fewest_gpus(config, shape, gpu, usable=usable)
    return next((count for count in counts if fewest and count >= fewest), counts[-1] if counts else 1)


def _choices(config: Config, fixed: Collection[str], gpus: int) -> list[Config]:
    """The run with every setting that is not fixed, that it allows, and with which so many GPUs share the batch."""
    readers, left = divmod(gpus, config.context_parallel)
    if left or config.global_batch % readers:
        return []
    each = config.global_batch // readers
    sizes = [config.micro_batch] if "micro_batch" in fixed else range(1, each + 1)
    kinds = [config.activation_checkpointing] if "activation_checkpointing" in fixed else list(CHECKPOINTING)
    if (config.compile or config.context_parallel > 1) and "activation_checkpointing" not in fixed:
        kinds.remove("selective")  # a config refuses it together with these
    choices = [
        replace(config, micro_batch=size, activation_checkpointing=kind)
        for kind in kinds
        for size in sizes
        if each % size == 0
    ]
    if "compile" in fixed:
        return choices
    return choices + [replace(one, compile=True) for one in choices if not one.compile and compile_measured(one)]
