"""Speed and memory on a CUDA GPU: training beside Hugging Face Trainer, perplexity, passkey retrieval, and B(s).

The rates of a matrix product and of a memory copy are measured first. The utilisation of a training step is its share
of the rate of that product, and its share of the data sheet's peak stands beside it. Ours and theirs run one after
the other, each alone on the GPU, and memory is the most that torch allocated. That a run does not fit is a result
too. What a step was planned to take stands beside what it took, and 1 within 0.1 was aimed for. Trainer runs once for
all the ways of ours that it is compared with; it keeps either everything or the layers' inputs, so ours that keeps
products too is compared with the latter. Each measurement is kept as soon as it is made, and the same command goes on
from there.
"""

import gc
import json
import os
import runpy
import statistics
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from experiments.bench import harness
from experiments.bench import passkey as bench_passkey
from experiments.bench import perplexity as bench_perplexity
from experiments.bench.harness import GPU_NAME
from experiments.bench.timing import Different, Row, faster, leaner, measured, race, same
from experiments.bench.training import TRAINER, Task, filled, ours, theirs
from experiments.measurement.budget import UNLIMITED, Budget
from experiments.measurement.kept import kept
from experiments.records import record, source_hashes
from pi_model.errors import UsageError
from pi_model.evaluation.passkey import PromptMaker
from pi_model.files import cache_dir
from pi_model.gpus import GPUS
from pi_model.models.families import CausalLM, ModelConfig, empty_model
from pi_model.models.loading import first_token, load_tokenizer
from pi_model.models.sources import SHIPPED
from pi_model.planning.architectures import Shape, architecture
from pi_model.planning.sheet import plan
from pi_model.training.config import Architecture, Checkpointing, Config, Device, Dtype, MixturePart
from pi_model.training.meter import flops_per_token
from pi_theory.extrapolation import B_on_grid

SAYS = "Training and evaluation beside what people would otherwise run: tokens a second, utilisation, memory"
COMMAND = "python -m experiments.bench gpu"
WARM_UP = 2  # steps that do not count
RESERVE_SECONDS = 20  # for what cannot be interrupted, and the record
# 1.3 times Trainer at 16k is asked for; nowhere slower
FASTER_AIMS = {16384: 1.3}
# of the matrix product's rate, by model and tokens, for the best of ours
UTILISATION_AIMS = {("1B", 16384): 0.45}


@dataclass(frozen=True)
class Case:
    """A training step of one window: of which model, how many tokens, what layers keep, and whether ours compiles."""

    model: str
    tokens: int
    way: Checkpointing = "none"
    compiled: bool = False

    @property
    def name(self) -> str:
        return f"{self.model}-{self.tokens}-{self.way}" + "-compiled" * self.compiled

    @property
    def theirs(self) -> "Case":
        """What Trainer does beside it."""
        return replace(self, way="none" if self.way == "none" else "full", compiled=False)

    def __str__(self) -> str:
        what = f"training step, LLaMA of {self.model} parameters, {self.tokens} tokens"
        return f"{what}{_keeps(self.way)}" + ", compiled layers" * self.compiled


def _keeps(way: Checkpointing) -> str:
    return "" if way == "none" else f", {way} activation checkpointing"


@dataclass(frozen=True)
class Run:
    """Steps by one of both, alone on the device.

    Attributes:
        warm_up_seconds: Of the steps that do not count, compilation included.
        seconds: Of each step that counts.
        losses: Of all steps.
        peak_gib: The most memory that was in use.
        wall_seconds: Of everything, the making of the model included.
    """

    warm_up_seconds: list[float]
    seconds: list[float]
    losses: list[float]
    peak_gib: float
    wall_seconds: float


# The most valuable first.
CASES = (
    Case("135M", 16384),
    Case("1B", 16384),
    Case("135M", 16384, compiled=True),
    Case("1B", 16384, compiled=True),
    Case("1B", 16384, "selective"),
    Case("1B", 16384, "full"),
    Case("135M", 32768),
    Case("1B", 32768),
    Case("135M", 8192),
    Case("1B", 8192),
)


@dataclass(frozen=True)
class Settings:
    """What is measured, and on what."""

    device: Device = "cuda"
    dtype: Dtype = "bfloat16"
    models: dict[str, Architecture] = field(
        default_factory=lambda: {
            # the shapes of SmolLM2-135M and Llama 3.2 1B, with LLaMA's vocabulary
            "135M": Architecture(vocabulary=49152, hidden=576, intermediate=1536, layers=30, heads=9, kv_heads=3),
            "1B": Architecture(vocabulary=32000, hidden=2048, intermediate=8192, layers=16, heads=32, kv_heads=8),
        }
    )
    cases: tuple[Case, ...] = CASES
    steps: int = 4  # measured
    side: int = 8192  # of the matrices whose product is timed
    copied: int = 2**31  # bytes
    windows: tuple[int, ...] = (8192,)
    stride: int = 256
    strides: int = 16
    passkey_tokens: int = 8192
    passkeys: int = 8
    positions: int = 1_000_000
    turns: int = 3


def measurements(settings: Settings) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """By name, in the order they are made: each gives its rows, as values that JSON holds."""

    def values(of: Callable[[], Iterator[Row]]) -> list[dict[str, Any]]:
        return [asdict(row) for row in of()]

    made: dict[str, Callable[[], Iterator[Row]]] = {"machine": partial(machine, settings)}
    made |= {f"training-{case.name}": partial(training, settings, case) for case in settings.cases}
    model = next(iter(settings.models))
    for window in settings.windows:
        made[f"perplexity-{model}-{window}"] = partial(perplexity, settings, model, window)
    made[f"passkey-{model}-{settings.passkey_tokens}"] = partial(passkey, settings, model)
    made["B"] = partial(sums, settings)
    return {name: partial(values, of) for name, of in made.items()}


def machine(settings: Settings) -> Iterator[Row]:
    """The rates that a matrix product and a memory copy alone reach."""
    dtype, device = getattr(torch, settings.dtype), settings.device
    a, b = torch.randn(2, settings.side, settings.side, device=device).to(dtype)
    seconds = _seconds(lambda: a @ b, settings)
    rates = [2 * settings.side**3 / each / 1e12 for each in seconds]
    yield measured(f"matrix product, {settings.dtype}, {settings.side} a side", "TFLOP/s", rates, more=True)
    source = torch.empty(settings.copied, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rates = [2 * settings.copied / each / 1e9 for each in _seconds(lambda: target.copy_(source), settings)]
    yield measured("memory copy, read and written", "GB/s", rates, more=True)


def training(settings: Settings, case: Case) -> Iterator[Row]:
    """Steps of one window, ours and Trainer's."""
    task, beside = _task(settings, case), _task(settings, case.theirs)
    found = _kept(settings, f"trainer-{case.theirs.name}", lambda: {"run": _run(beside, theirs)})["run"]
    other = Run(**found) if found else None
    own = Run(**found) if (found := _run(task, ours)) else None
    what, trainer = f"{case}, {settings.dtype}", f"{TRAINER}, SDPA"
    if case.way != case.theirs.way:
        trainer += _keeps(case.theirs.way)
    if own is not None and other is not None:
        same({"ours": own.losses, "theirs": other.losses}, 1e-2)
        seconds = {"ours": own.seconds, "theirs": other.seconds}
        yield faster(what, trainer, seconds, aim=FASTER_AIMS.get(case.tokens, 1.0))
        yield leaner(what, trainer, [own.peak_gib], [other.peak_gib])
    planned = _planned_gib(task.config)
    best = case.compiled or replace(case, compiled=True) not in settings.cases
    aim = UTILISATION_AIMS.get((case.model, case.tokens)) if best and case.way == "none" else None
    yield _utilisation(settings, what, task, own, aim=aim, planned_gib=planned)
    if own is not None:
        detail: dict[str, Any] = {"planned_gib": planned, "peak_gib": own.peak_gib}
        yield measured(f"{what}: planned", "of its measured peak memory", [planned / own.peak_gib], **detail)
    if case == case.theirs:
        yield _utilisation(settings, f"{what}: {TRAINER}", task, other)


def _utilisation(
    settings: Settings, what: str, task: Task, run: Run | None, *, aim: float | None = None, **detail: Any
) -> Row:
    """The share of the matrix product's rate that steps reach, or that they do not fit."""
    if run is None:
        return measured(what, "runs (0: out of memory)", [0.0], more=True, **detail)
    tokens, median = task.config.training_tokens, statistics.median(run.seconds)
    flops, product = tokens * flops_per_token(task.architecture, tokens), _product_rate(settings)
    return measured(
        what,
        "of the matrix product's FLOP/s",
        [flops / each / product for each in run.seconds],
        aim=aim,
        more=True,
        tflops=flops / median / 1e12,
        of_data_sheet=_of_data_sheet(flops / median),
        tokens_per_second=tokens / median,
        peak_gib=run.peak_gib,
        **detail,
        warm_up_seconds=run.warm_up_seconds,
        wall_seconds=run.wall_seconds,
    )


def perplexity(settings: Settings, model: str, window: int) -> Iterator[Row]:
    """Sliding windows a second on the same random tokens, by ours and by the loop in the documentation."""
    tokens = window + settings.strides * settings.stride
    ids = np.random.default_rng(0).integers(0, settings.models[model].vocabulary, tokens)
    case = (_evaluated(settings, model, window), ids, window, settings.stride)
    ways = {"ours": partial(bench_perplexity.ours, *case), "theirs": partial(bench_perplexity.theirs, *case)}
    found = race(ways, repeats=settings.turns, relative=1e-2)
    what = f"perplexity, LLaMA of {model} parameters, window {window}, stride {settings.stride}, {settings.dtype}"
    yield faster(what, bench_perplexity.LOOP, found, aim=1)
    windows = settings.strides + 1
    yield measured(what, "windows/s", [windows / each for each in found["ours"]], more=True)


def passkey(settings: Settings, model: str) -> Iterator[Row]:
    """Prompts a second, a key at each distance, by ours and by generate(); random weights find none."""
    llama = _evaluated(settings, model, settings.passkey_tokens)
    tokenizer = load_tokenizer(SHIPPED["tiny-llama"], llama.config)
    maker = PromptMaker(tokenizer, settings.passkey_tokens, first_token(tokenizer))
    case = (llama, maker, bench_passkey.prompts_of(maker, settings.passkeys, 1))
    ways = {"ours": partial(bench_passkey.ours, *case), "theirs": partial(bench_passkey.theirs, *case, True)}
    found = race(ways, repeats=settings.turns)
    what = f"passkey, LLaMA of {model} parameters, {settings.passkeys} prompts of {settings.passkey_tokens} tokens"
    what += f", {settings.dtype}"
    yield faster(what, "generate() with cache", found, aim=1)
    yield measured(what, "prompts/s", [settings.passkeys / each for each in found["ours"]], more=True)


def sums(settings: Settings) -> Iterator[Row]:
    """B(s) by the paper's recipe on the device, beside ours on the CPU, in positions a second."""
    count, head_dim, base = settings.positions, 128, 10000.0  # LLaMA's

    def on_device() -> list[float]:
        freqs = 1.0 / (base ** (torch.arange(0, head_dim, 2, device=settings.device).float() / head_dim))
        angles = torch.outer(torch.arange(count, device=settings.device).float(), freqs)
        each = angles.sin().cumsum(dim=1).pow(2) + angles.cos().cumsum(dim=1).pow(2)
        return [float(each.sqrt().sum(dim=1).mean())]

    ways = {"ours": lambda: [float(B_on_grid(count, head_dim=head_dim, base=base).mean())], "theirs": on_device}
    found = race(ways, repeats=settings.turns, relative=1e-3)
    where = f"Appendix C.2 recipe, float32 torch on {settings.device}"
    yield faster(f"B(s), {count} positions, on the CPU", where, found)
    yield measured(where, "positions/s", [count / each for each in found["theirs"]], more=True)


def _run(task: Task, train: Callable[[Task], Any]) -> dict[str, Any] | None:
    """The fields of a `Run`, or None: it does not fit."""
    cuda, start = task.config.device == "cuda", time.perf_counter()
    _free(task.config.device)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    try:
        done = train(task)
    except RuntimeError as error:
        # The allocator, the driver and cuBLAS each say it in a way of their own.
        told = ("out of memory", "ALLOC_FAILED")
        if not isinstance(error, torch.OutOfMemoryError) and not any(text in str(error) for text in told):
            raise
        return None
    finally:
        if task.config.compile:
            torch.compiler.reset()  # what is compiled for one length is no start for another
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else record.peak_memory_gib()
    wall = time.perf_counter() - start
    return asdict(Run(done.seconds[:WARM_UP], done.seconds[WARM_UP:], done.losses, peak, wall))


def _free(device: str) -> None:
    """Gives back the memory of what went before, which holds itself in cycles."""
    gc.collect()
    if device == "cuda":
        torch.cuda.empty_cache()


def _task(settings: Settings, case: Case) -> Task:
    """Random weights and tokens: neither time nor memory depends on their values."""
    shape = settings.models[case.model]
    config = Config(
        architecture=shape,
        window_tokens=case.tokens,
        data=(MixturePart(name="random"),),
        steps=WARM_UP + settings.steps,
        global_batch=1,
        peak_lr=2e-5,
        warmup_steps=0,
        dtype=settings.dtype,
        device=settings.device,
        activation_checkpointing=case.way,
        compile=case.compiled,
    )
    draw = torch.Generator().manual_seed(0)
    windows = [torch.randint(0, shape.vocabulary, (1, case.tokens + 1), generator=draw) for _ in range(config.steps)]
    hf_config = architecture(config)
    return Task(config, hf_config, _random_weights(hf_config, settings.device), windows)


def _random_weights(hf_config: ModelConfig, device: str) -> Callable[[str], Tensor]:
    """A reader of weights that are made on the device when they are asked for, always the same by the same name."""
    with torch.device("meta"):
        shapes = {name: weight.shape for name, weight in empty_model(hf_config).named_parameters()}

    def read(name: str) -> Tensor:
        if len(shapes[name]) == 1:  # a norm's
            return torch.ones(shapes[name], device=device)
        draw = torch.Generator(device).manual_seed(zlib.crc32(name.encode()))
        return torch.randn(shapes[name], generator=draw, device=device).mul_(hf_config.initializer_range)

    return read


def _evaluated(settings: Settings, model: str, tokens: int) -> CausalLM:
    """A model of random weights on the device, ready to evaluate on so many tokens."""
    _free(settings.device)
    hf_config = _task(settings, Case(model, tokens)).architecture
    weights = _random_weights(hf_config, settings.device)
    llama = filled(hf_config, weights, settings.device, getattr(torch, settings.dtype))
    return llama.requires_grad_(False).eval()  # type: ignore[no-untyped-call]  # for all families, not for one


def _planned_gib(config: Config) -> float:
    """What `pi-model plan` says that a step takes on one GPU, of whichever kind."""
    return plan(config, Shape.of(architecture(config)), GPUS["h100"], 1).peak_gib


def _seconds(call: Callable[[], Any], settings: Settings) -> list[float]:
    """The seconds of one call in each turn of ten calls, after a turn that warms up."""
    seconds = []
    for _ in range(1 + settings.turns):
        _wait(settings.device)
        start = time.perf_counter()
        for _ in range(10):
            call()
        _wait(settings.device)
        seconds.append((time.perf_counter() - start) / 10)
    return seconds[1:]


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _product_rate(settings: Settings) -> float:
    """The FLOP/s of the matrix product, as this benchmark has measured it on this machine."""
    product, _ = _rows(settings, "machine", measurements(settings)["machine"])
    return 1e12 * product["value"]


def _of_data_sheet(flops: float) -> float | None:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((flops / gpu.bfloat16 for gpu in GPUS.values() if gpu.chip in name), None)


def _rows(settings: Settings, name: str, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = _kept(settings, name, lambda: {"rows": make()})["rows"]
    return rows


def _kept(settings: Settings, name: str, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    return kept(_folder(settings) / f"{name}.json", make)


def _folder(settings: Settings) -> Path:
    """Where measurements are kept: of these settings, this code and this device."""
    name = torch.cuda.get_device_name() if settings.device == "cuda" else "cpu"
    key = record.digest([asdict(settings), _code(), name, torch.__version__])
    return cache_dir() / "runs" / f"{GPU_NAME}-{key[:16]}"


@cache
def _code() -> list[str]:
    """The definitions that these measurements reach; they do not change while this process runs."""
    return source_hashes.sources("experiments.bench.gpu")


def run(settings: Settings, *, budget: Budget = UNLIMITED, only: Sequence[str] = ()) -> dict[str, Any]:
    """Everything that is not measured yet, as far as the budget allows.

    Args:
        settings: what is measured.
        budget: the time for it.
        only: the names of measurements to make anew, and no others; none are all.

    Returns:
        A part of a record, as `experiments.bench.harness.part` makes it, with ``not_measured``, the names of what is
        left.

    Raises:
        UsageError: a name is not that of a measurement.
    """
    folder, wanted = _folder(settings), measurements(settings)
    if unknown := sorted({*only} - {*wanted}):
        raise UsageError(f"only: no measurement named {', '.join(unknown)}; choose from {', '.join(wanted)}")
    for name in only:
        (folder / f"{name}.json").unlink(missing_ok=True)
    start, left = time.perf_counter(), list(wanted)
    rows: list[dict[str, Any]] = []
    with budget.stops(reserve_seconds=RESERVE_SECONDS):
        for number, (name, make) in enumerate(wanted.items()):
            new, begun = not (folder / f"{name}.json").exists(), time.perf_counter()
            if new and only and name not in only:
                continue
            print(f"{number + 1} of {len(wanted)}: {name}", file=sys.stderr, flush=True)
            try:
                found = _rows(settings, name, make)
            except Exception as error:  # of one measurement; the others can do without
                if not isinstance(error, Different):
                    traceback.print_exc()
                print(f"{name}: {str(error) or repr(error)}", file=sys.stderr, flush=True)
                continue
            left.remove(name)
            rows += found
            for row in found if new else []:
                print(harness.show(row), flush=True)
            if new:
                print(f"{name}: {time.perf_counter() - begun:.1f} s", file=sys.stderr, flush=True)
    return {**harness.part(GPU_NAME, rows, time.perf_counter() - start), "not_measured": left}


def is_whole(found: record.Record) -> bool:
    """Whether a record has all measurements, by today's code. Raises KeyError: it is no record of these."""
    part = found["metrics"]["parts"][GPU_NAME]
    same = part["code_sha256"] == record.digest(_code())
    return same and not part["not_measured"]


def main(budget: Budget, *, as_json: bool = False, only: Sequence[str] = ()) -> int:
    """Measures what is left, or what is named anew, and keeps it in the committed record; the exit code."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # Trainer would use all there are
    # torch reads them when it first allocates: memory that is free in pieces is of use, too
    for name in ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF"):
        os.environ.setdefault(name, "expandable_segments:True")
    if not torch.cuda.is_available():
        print(f"{COMMAND}: needs a CUDA GPU, and there is none here", file=sys.stderr)
        return 1
    part = run(Settings(), budget=budget, only=only)
    if part["rows"]:
        harness.keep(GPU_NAME, {GPU_NAME: part}, command=COMMAND)
    if as_json:
        print(json.dumps(part, indent=1))
    if part["not_measured"]:
        print(f"not measured yet: {', '.join(part['not_measured'])}; run it again to go on", file=sys.stderr)
    return int(not part["rows"])


if __name__ == "__main__":  # the command before there was one for every part
    sys.argv.insert(1, "gpu")
    runpy.run_module("experiments.bench", run_name="__main__")
