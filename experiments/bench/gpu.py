"""Speed and memory on a CUDA GPU: training beside Hugging Face Trainer, perplexity, and B(s).

The rates of a matrix product and of a memory copy are measured first. The utilisation of a training step is its share
of the rate of that product, and its share of the data sheet's peak stands beside it. Ours and theirs run one after
the other, each alone on the GPU, and memory is the most that torch allocated. That a run does not fit is a result
too. Each measurement is kept as soon as it is made, and the same command goes on from there.
"""

import copy
import gc
import json
import os
import runpy
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM

from experiments.bench import harness
from experiments.bench import perplexity as bench_perplexity
from experiments.bench import theory as bench_theory
from experiments.bench.harness import GPU_NAME
from experiments.bench.timing import Different, Row, faster, leaner, measured, race, same
from experiments.bench.training import TRAINER, Steps, Task, ours, theirs
from experiments.measurement.budget import UNLIMITED, Budget
from experiments.measurement.kept import kept
from experiments.records import record, source_hashes
from pi_model.files import cache_dir
from pi_model.gpus import GPUS
from pi_model.models.loading import random_llama
from pi_model.training.config import Architecture, Checkpointing, Config, Device, Dtype, MixturePart
from pi_model.training.meter import flops_per_token
from pi_theory.extrapolation import B_on_grid

SAYS = "Training and perplexity beside what people would otherwise run: tokens a second, utilisation, memory"
COMMAND = "python -m experiments.bench gpu"
WARM_UP = 2  # steps that do not count
RESERVE_SECONDS = 20  # for what cannot be interrupted, and the record
# 1.3 times Trainer at 16k is asked for; nowhere slower
FASTER_AIMS = {16384: 1.3}


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
    lengths: tuple[int, ...] = (16384, 8192, 32768)  # the one with an aim first
    steps: int = 4  # measured
    side: int = 8192  # of the matrices whose product is timed
    copied: int = 2**31  # bytes
    windows: tuple[int, ...] = (8192,)
    stride: int = 256
    strides: int = 16
    positions: int = 1_000_000
    turns: int = 5


def measurements(settings: Settings) -> dict[str, Callable[[], list[dict[str, Any]]]]:
    """By name, in the order they are made: each gives its rows, as values that JSON holds."""

    def values(of: Callable[[], Iterator[Row]]) -> list[dict[str, Any]]:
        return [asdict(row) for row in of()]

    made: dict[str, Callable[[], Iterator[Row]]] = {"machine": partial(machine, settings)}
    ways: tuple[Checkpointing, ...] = ("none", "full")
    for tokens in settings.lengths:
        for model in settings.models:
            for way in ways:
                made[f"training-{model}-{tokens}-{way}"] = partial(training, settings, model, tokens, way)
    model = next(iter(settings.models))
    for window in settings.windows:
        made[f"perplexity-{model}-{window}"] = partial(perplexity, settings, model, window)
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


def training(settings: Settings, model: str, tokens: int, way: Checkpointing) -> Iterator[Row]:
    """Steps of one window, ours and Trainer's."""
    task = _task(settings, model, tokens, way)
    what = f"training step, LLaMA of {model} parameters, {tokens} tokens, {settings.dtype}"
    what += "" if way == "none" else f", {way} activation checkpointing"
    names = {"ours": what, "theirs": f"{what}: {TRAINER}"}
    runs = {who: _run(task, who) for who in names}
    own, other = runs["ours"], runs["theirs"]
    if own is not None and other is not None:
        same({"ours": own[0].losses, "theirs": other[0].losses}, 1e-2)
        seconds = {"ours": own[0].seconds, "theirs": other[0].seconds}
        yield faster(what, f"{TRAINER}, SDPA", seconds, aim=FASTER_AIMS.get(tokens, 1.0))
        yield leaner(what, f"{TRAINER}, SDPA", [own[1]], [other[1]])
    flops = tokens * flops_per_token(task.architecture, tokens)
    product = _product_rate(settings)
    for who, name in names.items():
        if (found := runs[who]) is None:
            yield measured(name, "runs (0: out of memory)", [0.0], more=True)
            continue
        median = statistics.median(found[0].seconds)
        yield measured(
            name,
            "of the matrix product's FLOP/s",
            [flops / each / product for each in found[0].seconds],
            more=True,
            tflops=flops / median / 1e12,
            of_data_sheet=_of_data_sheet(flops / median),
            tokens_per_second=tokens / median,
            peak_gib=found[1],
        )


def perplexity(settings: Settings, model: str, window: int) -> Iterator[Row]:
    """Sliding windows a second on the same random tokens, by ours and by the loop in the documentation."""
    llama = copy.deepcopy(_llama(settings.models[model]))
    llama.config.max_position_embeddings = window
    llama.to(settings.device, getattr(torch, settings.dtype))  # type: ignore[arg-type]  # transformers wraps it
    tokens = window + settings.strides * settings.stride
    ids = np.random.default_rng(0).integers(0, settings.models[model].vocabulary, tokens)
    case = (llama, ids, window, settings.stride)
    ways = {"ours": partial(bench_perplexity.ours, *case), "theirs": partial(bench_perplexity.theirs, *case)}
    found = race(ways, repeats=settings.turns, relative=1e-2)
    what = f"perplexity, LLaMA of {model} parameters, window {window}, stride {settings.stride}, {settings.dtype}"
    yield faster(what, bench_perplexity.LOOP, found, aim=1)
    windows = settings.strides + 1
    yield measured(what, "windows/s", [windows / each for each in found["ours"]], more=True)


def sums(settings: Settings) -> Iterator[Row]:
    """B(s) by the paper's recipe on the device, beside ours on the CPU, in positions a second."""
    count, head_dim, base = settings.positions, bench_theory.HEAD_DIM, bench_theory.BASE

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


def _run(task: Task, who: str) -> tuple[Steps, float] | None:
    """Steps by one of both, alone on the device, without those that warm it up, and GiB; None: it does not fit."""
    cuda = task.config.device == "cuda"
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        done = ours(task) if who == "ours" else theirs(task)
    except torch.cuda.OutOfMemoryError:
        return None
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else record.peak_memory_gib()
    return Steps(done.seconds[WARM_UP:], done.losses), peak


def _task(settings: Settings, model: str, tokens: int, way: Checkpointing) -> Task:
    """Random weights and tokens: neither time nor memory depends on their values."""
    shape = settings.models[model]
    config = Config(
        architecture=shape,
        window_tokens=tokens,
        data=(MixturePart(name="random"),),
        steps=WARM_UP + settings.steps,
        global_batch=1,
        peak_lr=2e-5,
        warmup_steps=0,
        dtype=settings.dtype,
        device=settings.device,
        activation_checkpointing=way,
    )
    llama = _llama(shape)
    architecture = copy.deepcopy(llama.config)
    architecture.max_position_embeddings = tokens
    draw = torch.Generator().manual_seed(0)
    windows = [torch.randint(0, shape.vocabulary, (1, tokens + 1), generator=draw) for _ in range(config.steps)]
    return Task(config, architecture, llama.state_dict().__getitem__, windows)


@cache
def _llama(shape: Architecture) -> LlamaForCausalLM:
    """A model of random weights, on the CPU."""
    return random_llama(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        initializer_range=0.02,
        tie_word_embeddings=True,
    )


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
    product, _ = _kept(settings, "machine", measurements(settings)["machine"])
    return 1e12 * product["value"]


def _of_data_sheet(flops: float) -> float | None:
    name = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
    return next((flops / gpu.bfloat16 for gpu in GPUS.values() if gpu.chip in name), None)


def _kept(settings: Settings, name: str, make: Callable[[], list[dict[str, Any]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = kept(_folder(settings) / f"{name}.json", lambda: {"rows": make()})["rows"]
    return rows


def _folder(settings: Settings) -> Path:
    """Where measurements are kept: of these settings, this code and this device."""
    name = torch.cuda.get_device_name() if settings.device == "cuda" else "cpu"
    key = record.digest([asdict(settings), _code(), name, torch.__version__])
    return cache_dir() / "runs" / f"{GPU_NAME}-{key[:16]}"


@cache
def _code() -> list[str]:
    """The definitions that these measurements reach; they do not change while this process runs."""
    return source_hashes.sources("experiments.bench.gpu")


def run(settings: Settings, *, budget: Budget = UNLIMITED) -> dict[str, Any]:
    """Everything, as far as the budget allows.

    Returns:
        A part of a record, as `experiments.bench.harness.part` makes it, with ``not_measured``, the names of what is
        left.
    """
    folder, wanted = _folder(settings), measurements(settings)
    start, left = time.perf_counter(), list(wanted)
    rows: list[dict[str, Any]] = []
    with budget.stops(reserve_seconds=RESERVE_SECONDS):
        for number, (name, make) in enumerate(wanted.items()):
            print(f"{number + 1} of {len(wanted)}: {name}", file=sys.stderr, flush=True)
            new = not (folder / f"{name}.json").exists()
            try:
                found = _kept(settings, name, make)
            except (Different, RuntimeError) as error:  # of one measurement; the others can do without
                print(f"{name}: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            left.remove(name)
            rows += found
            for row in found if new else []:
                print(harness.show(row), flush=True)
    return {**harness.part(GPU_NAME, rows, time.perf_counter() - start), "not_measured": left}


def is_whole(found: record.Record) -> bool:
    """Whether a record has all measurements, by today's code. Raises KeyError: it is no record of these."""
    part = found["metrics"]["parts"][GPU_NAME]
    same = part["code_sha256"] == record.digest(_code())
    return same and not part["not_measured"]


def main(budget: Budget, *, as_json: bool = False) -> int:
    """Measures what is left and keeps it in the committed record; the exit code."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # Trainer would use all there are
    if not torch.cuda.is_available():
        print(f"{COMMAND}: needs a CUDA GPU, and there is none here", file=sys.stderr)
        return 1
    part = run(Settings(), budget=budget)
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
