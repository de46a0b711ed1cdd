"""What would make a run fit, or let it run on fewer GPUs: one change at a time, each planned."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any

from pi_model.errors import UsageError
from pi_model.gpus import GPUS, Gpu
from pi_model.planning.advice import advise, fewest_gpus, leanest, usable_counts
from pi_model.planning.architectures import Shape
from pi_model.planning.sheet import USABLE, Plan
from pi_model.training.config import CHECKPOINTING, Config, Lora

_LORA_RANK = 16
_SHORTEST = 1024  # tokens of the shortest training windows that are tried
_DEGREES = (2, 4, 8, 16)  # GPUs that may share each window


@dataclass(frozen=True)
class Lever:
    """A change to a run, and the plan of the run with it.

    Attributes:
        name: the change in words of the command line.
        settings: fields of the config with their new values, as `pi-model finetune` takes them; none where it is the
            hardware that changes.
        same_result: whether the trained model stays the same.
        plan: the run with it.
    """

    name: str
    settings: tuple[str, ...]
    same_result: bool
    plan: Plan


@dataclass(frozen=True)
class _Change:
    fields: dict[str, Any]
    gpu: Gpu
    gpus: int | None


def levers(
    planned: Plan,
    config: Config,
    shape: Shape,
    *,
    fixed: Collection[str] = (),
    utilisation: float | None = None,
    usable: float = USABLE,
) -> list[Lever]:
    """The changes that help a run, each planned as `advise` plans it.

    Args:
        planned: the run as it is planned.
        config: the run as it was asked for.
        shape: the architecture of its model.
        fixed: names of fields that were asked for; a change may still be to one of them.
        utilisation, usable: as for `advise`.

    Returns:
        Where the run does not fit, every change, on as many GPUs as were asked for: of changes of one kind the smallest
        that is enough, or else the largest. Two changes together stand there if neither is enough alone. Where the run
        fits, the changes with which fewer GPUs are enough.
    """

    def tried(change: _Change) -> Lever | None:
        changes = {"lora" if name == "lora.rank" else name: value for name, value in change.fields.items()}
        if "lora" in changes:
            changes["lora"] = Lora(rank=changes["lora"])
        try:
            changed = replace(config, **changes)
            kept = {*fixed, *changes}
            found = advise(changed, shape, change.gpu, change.gpus, fixed=kept, utilisation=utilisation, usable=usable)
        except UsageError:  # the config does not allow it, or so many GPUs cannot share the batch
            return None
        settings = tuple(f"{name}={str(value).lower()}" for name, value in change.fields.items())
        hardware = [] if change.gpu == planned.gpu else [f"--gpu {change.gpu.name}"]
        if not (settings or hardware) or change.gpus not in (None, planned.gpus):
            hardware.append(f"--gpus {found.gpus}")
        same = changed.identity() == config.identity()
        return Lever(" ".join([*settings, *hardware]), settings, same, found)

    gpus = None if planned.fits else planned.gpus
    found: dict[str, Lever] = {}

    def add(kind: Iterable[_Change]) -> None:
        plans = [lever for lever in map(tried, kind) if lever is not None]
        if planned.fits:
            plans = [lever for lever in plans if lever.plan.fits and lever.plan.gpus < planned.gpus]
            plans = sorted(plans, key=lambda lever: lever.plan.gpus)[:1]
        elif plans:
            plans = [next((lever for lever in plans if lever.plan.fits), plans[-1])]
        found.update({lever.name: lever for lever in plans})

    shared, shorter, adapters = _sharing(config), _shorter(config), _adapters(config)
    for kind in (*_lighter(config, fixed), shared, shorter, adapters):
        add(_Change(fields, planned.gpu, gpus) for fields in kind)
    if not (planned.fits or any(lever.plan.fits for lever in found.values())):
        for kind in (shared, shorter):
            add(_Change(fields | one, planned.gpu, gpus) for fields in adapters for one in kind)
    add([_Change({}, planned.gpu, None)] if planned.fits else _more_gpus(planned, config, shape, fixed, usable))
    add(
        _Change({}, gpu, gpus)
        for gpu in sorted(GPUS.values(), key=attrgetter("memory"))
        if gpu.memory > planned.gpu.memory
    )
    return list(found.values())


# Kinds of changes to a run, each from the smallest change to the largest.


def _lighter(config: Config, fixed: Collection[str]) -> list[list[dict[str, Any]]]:
    """Settings that `advise` chooses itself unless they were asked for."""
    kinds: list[list[dict[str, Any]]] = []
    if config.micro_batch > 1 and "micro_batch" in fixed:
        kinds.append([{"micro_batch": 1}])
    if "activation_checkpointing" in fixed:
        leaner = CHECKPOINTING[CHECKPOINTING.index(config.activation_checkpointing) + 1 :]
        kinds.append([{"activation_checkpointing": kind} for kind in leaner])
    return kinds


def _sharing(config: Config) -> list[dict[str, Any]]:
    # What a config refuses together with it.
    given_up: dict[str, Any] = {"compile": False} if config.compile else {}
    if config.activation_checkpointing == "selective":
        given_up["activation_checkpointing"] = "full"
    return [{"context_parallel": degree, **given_up} for degree in _DEGREES if degree > config.context_parallel]


def _shorter(config: Config) -> list[dict[str, Any]]:
    lengths = [config.training_tokens >> halvings for halvings in range(1, config.training_tokens.bit_length())]
    return [{"sequence_tokens": length} for length in lengths if length >= _SHORTEST]


def _adapters(config: Config) -> list[dict[str, Any]]:
    return [{"lora.rank": _LORA_RANK}] if config.lora is None and config.architecture is None else []


def _more_gpus(planned: Plan, config: Config, shape: Shape, fixed: Collection[str], usable: float) -> Iterator[_Change]:
    """The fewest GPUs that are enough, where as few of them as possible share each window."""
    for fields in ({}, *_sharing(config)):
        try:
            lean = leanest(replace(config, **fields), {*fixed, *fields})
        except UsageError:
            return
        fewest = fewest_gpus(lean, shape, planned.gpu, usable=usable)
        count = next((count for count in usable_counts(lean) if fewest and count >= fewest), None)
        if count is not None:
            yield _Change(fields, planned.gpu, count)
            return
