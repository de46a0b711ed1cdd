"""Touches everything that runs on a CUDA GPU once, within about a minute, and says what is broken there.

    python -m experiments.gpu --smoke --out gpu-smoke

The model has random weights in the shape of SmolLM2-135M and is extended from 8192 tokens to twice as many by Position
Interpolation. Nothing is fetched. Each check is one line as soon as it ends; ``smoke.json`` in the folder holds its
numbers, and the traceback of one that broke, which does not stop the others.
"""

import contextlib
import gc
import json
import math
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers
from torch import Tensor
from transformers import LlamaForCausalLM
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.utils import logging as transformers_logging

from experiments.bench import gpu as bench_gpu
from experiments.records.record import write_atomically
from experiments.runner.kernel_trace import STEP, Event, attention_kinds, keep_trace, kernels, step_profile
from pi_model.distributed.process_group import process_group
from pi_model.evaluation.passkey import passkey
from pi_model.evaluation.perplexity import sliding_perplexity, truncated_perplexity
from pi_model.models.config_file import read_config
from pi_model.models.extension import extend_checkpoint
from pi_model.models.families import model_config
from pi_model.models.loading import Checkpoint, load_checkpoint, random_llama
from pi_model.models.sources import SHIPPED
from pi_model.training.config import Architecture, Checkpointing, Config, Device, Lora, MixturePart
from pi_model.training.loop import adamw, optimizer_step, train
from pi_model.training.lora import with_first_adapters
from pi_model.training.meter import flops_per_token, peak_gib
from pi_model.training.sharding import sharded_model
from pi_theory.scaling import LinearPI

Numbers = dict[str, Any]
Check = Callable[[], Numbers]

FILE = "smoke.json"
FACTOR = 2
STEPS = 3
BACKENDS = {
    "flash": "FLASH_ATTENTION",
    "cudnn": "CUDNN_ATTENTION",
    "mem-efficient": "EFFICIENT_ATTENTION",
    "math": "MATH",
}


@dataclass(frozen=True)
class Settings:
    """What is touched, and at which size."""

    device: Device = "cuda"
    shape: Architecture = field(default_factory=lambda: bench_gpu.Settings().models["135M"])
    side: int = 8192  # of the matrices whose product is timed
    window: int = 8192  # before the extension
    attention: tuple[int, ...] = (16384, 32768)  # tokens; the first is what training and the backends take
    forward: int = 32768  # tokens of the longest forward pass
    short: int = 2048  # tokens of the comparison with float32, of the training loop and of perplexity
    stride: int = 256
    passkey: int = 4096  # tokens


TOY = Settings(
    shape=Architecture(vocabulary=2048, hidden=64, intermediate=128, layers=2, heads=4, kv_heads=2),
    side=128,
    window=256,
    attention=(256, 512),
    forward=512,
    short=128,
    stride=64,
    passkey=512,
)


class Lab:
    """The model, and what one check leaves for the next.

    Args:
        settings: what is touched.
        folder: for the models and the runs, removed afterwards.
        out: for what is to be kept.
    """

    def __init__(self, settings: Settings, folder: Path, out: Path) -> None:
        self.settings, self.folder, self.out = settings, folder, out
        self.device = torch.device(settings.device)
        self.product: float | None = None  # FLOP/s of a matrix product

    @cached_property
    def llama(self) -> LlamaForCausalLM:
        """A model of random weights, on the CPU."""
        shape = self.settings.shape
        return random_llama(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.intermediate,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=self.settings.window,
            initializer_range=0.02,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=0,
        )

    @cached_property
    def base(self) -> Path:
        """The model's folder before the extension, with the tokenizer of the tiny LLaMA."""
        folder = self.folder / "base"
        transformers_logging.disable_progress_bar()
        self.llama.save_pretrained(folder)
        for path in SHIPPED["tiny-llama"].glob("tokenizer*"):
            shutil.copy2(path, folder)
        return folder

    @cached_property
    def extended(self) -> Path:
        """The folder of the extended model."""
        extend_checkpoint(self.base, LinearPI(FACTOR), self.folder / "extended")
        return self.folder / "extended"

    @cached_property
    def text(self) -> str:
        """Words of random letters, enough for a few training windows."""
        draw = np.random.default_rng(0)
        letters = draw.choice(list("etaoinshrdlu"), size=(10 * self.settings.short, 5))
        return " ".join("".join(word) for word in letters)

    @cached_property
    def exported(self) -> Checkpoint:
        """What the training loop has exported, as it is evaluated."""
        return load_checkpoint(self.folder / "run" / "model", dtype="bfloat16", device=self.settings.device)

    def config(self, **changes: Any) -> Config:
        """A run that extends the model and trains it on the text."""
        path = self.folder / "text.txt"
        path.write_text(self.text)
        common = Config(
            model=str(self.base),
            window_tokens=self.settings.window,
            factor=FACTOR,
            method="linear",
            sequence_tokens=self.settings.short,
            data=(MixturePart(name=str(path)),),
            steps=2,
            global_batch=1,
            peak_lr=2e-5,
            warmup_steps=0,
            checkpoint_every=2,
            keep=1,
            dtype="bfloat16",
            device=self.settings.device,
        )
        return replace(common, **changes)

    def tokens(self, count: int) -> Tensor:
        """One window of random tokens on the device."""
        draw = torch.Generator().manual_seed(0)
        return torch.randint(0, self.settings.shape.vocabulary, (1, count), generator=draw).to(self.device)

    def wait(self) -> None:
        """Wait until the device has done all it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, call: Callable[[], Any], *, warm_up: int = 1, times: int = 3) -> float:
        """The mean time of a call after others that warm up."""
        for _ in range(warm_up):
            call()
        self.wait()
        start = time.perf_counter()
        for _ in range(times):
            call()
        self.wait()
        return (time.perf_counter() - start) / times

    def trace(self, call: Callable[[], Any]) -> list[Event]:
        """The events of one call, as a Chrome trace has them; the call itself is the event named `STEP`."""
        from torch.profiler import ProfilerActivity, profile, record_function

        activities = [ProfilerActivity.CPU]
        if self.device.type == "cuda":
            activities.append(ProfilerActivity.CUDA)
        self.wait()
        with profile(activities=activities) as profiler:
            with record_function(STEP):
                call()
            self.wait()
        path = self.folder / "trace.json"
        profiler.export_chrome_trace(str(path))
        events: list[Event] = json.loads(path.read_bytes())["traceEvents"]
        return events


def checks(lab: Lab) -> dict[str, Check]:
    """All checks by name, in their order. Each returns its numbers, and raises where something is broken."""
    first, *_ = lab.settings.attention
    found: dict[str, Check] = {"device": partial(device, lab), "model folder": partial(model_folder, lab)}
    for tokens in lab.settings.attention:
        found[f"attention, {tokens} tokens"] = partial(attention, lab, tokens)
    found[f"attention backends, {first} tokens"] = partial(backends, lab, first)
    found["load and forward, bfloat16"] = partial(forward, lab)
    found["training, none"] = partial(training, lab, profile=True)
    found["training, selective"] = partial(training, lab, way="selective")
    found["training, full"] = partial(training, lab, way="full")
    if lab.device.type == "cuda":  # for a CPU it would be another compiler, and half a minute
        found["training, none, compiled"] = partial(training, lab, compiled=True, profile=True)
    found["training, LoRA"] = partial(training, lab, lora=Lora())
    found["training loop, 2 steps"] = partial(loop, lab, 2)
    found["training loop, resumed to 4"] = partial(loop, lab, 4)
    found["perplexity of the export"] = partial(perplexity, lab)
    found["passkey of the export"] = partial(passkeys, lab)
    return found


def device(lab: Lab) -> Numbers:
    """What the device is, and the rate of a matrix product on it."""
    found: Numbers = {}
    if lab.device.type == "cuda":
        properties = torch.cuda.get_device_properties(lab.device)
        found = {"name": properties.name, "GiB": properties.total_memory / 2**30}
        found["bf16"] = torch.cuda.is_bf16_supported()
    side = lab.settings.side
    a, b = (torch.randn(side, side, device=lab.device).bfloat16() for _ in range(2))
    lab.product = 2 * side**3 / lab.seconds(lambda: a @ b, warm_up=3, times=20)
    versions = {name: str(version) for name, version in _versions().items()}
    return found | {"product TFLOP/s": lab.product / 1e12, **versions}


def model_folder(lab: Lab) -> Numbers:
    """Writes the model and extends it."""
    config = read_config(lab.extended)
    return {"rope": config["rope_parameters"]["rope_type"], "window": config["max_position_embeddings"]}


def attention(lab: Lab, tokens: int) -> Numbers:
    """Which kernels torch chooses for attention as transformers calls it, and how fast they are."""
    call, output, inputs = _attention(lab, tokens)
    slope = torch.ones_like(output)
    backward = partial(torch.autograd.grad, output, inputs, slope, retain_graph=True)
    pairs = tokens**2 / 2 * lab.settings.shape.hidden  # times heads and their size
    times = {"forward": lab.seconds(call), "backward": lab.seconds(backward)}
    work = {"forward": 4 * pairs, "backward": 10 * pairs}
    found: Numbers = {"peak GiB": peak_gib(lab.device)}
    for way, what in (("forward", call), ("backward", backward)):
        names = sorted(kernels(lab.trace(what)))
        found[way] = attention_kinds(names)
        found[f"{way} TFLOP/s"] = work[way] / times[way] / 1e12
        found[f"{way} kernels"] = names
    return found


def backends(lab: Lab, tokens: int) -> Numbers:
    """The milliseconds of attention, forward and backward, by each backend of torch; it may not have all of them."""
    from torch.nn.attention import SDPBackend, sdpa_kernel

    found: Numbers = {}
    for name, backend in BACKENDS.items():
        with warnings.catch_warnings(record=True) as said, sdpa_kernel(getattr(SDPBackend, backend)):
            warnings.simplefilter("always")
            try:
                call, output, inputs = _attention(lab, tokens)
                slope = torch.ones_like(output)
                del output
                both = partial(_forward_and_backward, call, inputs, slope)
                found[f"{name} ms"] = 1e3 * lab.seconds(both, times=2)
            except RuntimeError as error:  # also where memory is not enough
                found[name] = _first_line(error)
                found[f"{name}, why"] = [str(each.message).strip().splitlines()[0] for each in said]
    return found


def _forward_and_backward(call: Callable[[], Tensor], inputs: Sequence[Tensor], slope: Tensor) -> None:
    torch.autograd.grad(call(), inputs, slope)


def _attention(lab: Lab, tokens: int) -> tuple[Callable[[], Tensor], Tensor, list[Tensor]]:
    """A call of attention as a layer of the model makes it, what it returns, and its three inputs."""
    shape = lab.settings.shape
    size = shape.hidden // shape.heads
    inputs = [
        torch.randn(1, tokens, heads, size, device=lab.device).bfloat16().transpose(1, 2).requires_grad_()
        for heads in (shape.heads, shape.kv_heads, shape.kv_heads)
    ]
    query, key, value = inputs
    layer: Any = SimpleNamespace(num_key_value_groups=shape.heads // shape.kv_heads, is_causal=True)

    def call() -> Tensor:
        output: Tensor = sdpa_attention_forward(layer, query, key, value, None, scaling=size**-0.5)[0]
        return output

    return call, call(), inputs


def forward(lab: Lab) -> Numbers:
    """Loads the extended model in bfloat16, which checks its frequencies, and compares it with float32."""
    start = time.perf_counter()
    checkpoint = load_checkpoint(lab.extended, dtype="bfloat16", device=lab.settings.device)
    loaded = time.perf_counter() - start
    model = checkpoint.model.model
    seen: list[torch.dtype] = []
    hook = model.rotary_emb.register_forward_hook(lambda _, __, output: seen.append(output[0].dtype))
    count, short = lab.settings.forward, lab.tokens(lab.settings.short)
    ids = lab.tokens(count)
    with torch.inference_mode():
        took = lab.seconds(lambda: model(input_ids=ids, use_cache=False), times=1)
        peak = peak_gib(lab.device)
        half = model(input_ids=short, use_cache=False).last_hidden_state.float()
        hook.remove()
        exact = load_checkpoint(lab.extended, device=lab.settings.device).model.model
        whole = exact(input_ids=short, use_cache=False).last_hidden_state
    error = half - whole
    return {
        "tokens/s": count / took,
        "peak GiB": peak,
        "cos": str(seen[0]).removeprefix("torch."),
        "frequencies": str(model.rotary_emb.inv_freq.dtype).removeprefix("torch."),
        "max error": float(error.abs().max()),
        "relative error": float(error.norm() / whole.norm()),
        "load s": loaded,
    }


def training(
    lab: Lab,
    *,
    way: Checkpointing = "none",
    compiled: bool = False,
    lora: Lora | None = None,
    profile: bool = False,
) -> Numbers:
    """Training steps of one window by our own code, and what one step spends its time on."""
    tokens = lab.settings.attention[0]
    config = lab.config(lora=lora)
    llama = model_config(read_config(lab.extended))
    weights = lab.llama.state_dict().__getitem__
    read = weights if lora is None else with_first_adapters(weights, lora, 0)
    window = lab.tokens(tokens + 1)
    found: Numbers = {}
    if compiled:
        torch._dynamo.reset()
        torch._dynamo.utils.counters.clear()
    with process_group(config.device) as place:
        model = sharded_model(
            llama,
            read,
            place,
            lora=lora,
            dtype=config.dtype,
            activation_checkpointing=way,
            compile_layers=compiled,
        )
        optimizer = adamw(model, config)

        def step() -> float:
            loss, norm = optimizer_step(model, optimizer, window, 1, config.peak_lr, config.clip_norm)
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise ArithmeticError(f"not finite: loss {loss}, gradient norm {norm}")
            return loss

        seconds = []
        for _ in range(STEPS):
            start = time.perf_counter()
            loss = step()
            lab.wait()
            seconds.append(time.perf_counter() - start)
        found["step s"] = seconds[-1]
        found["tokens/s"] = tokens / seconds[-1]
        flops = tokens * flops_per_token(llama, tokens, frozen=lora is not None) / seconds[-1]
        if lab.product is not None:
            found["of the product"] = flops / lab.product
        found |= {"peak GiB": peak_gib(place), "loss": loss, "all steps s": seconds, "attention": model.attention}
        if compiled:
            counters = torch._dynamo.utils.counters
            found["compile s"] = seconds[0] - seconds[-1]
            found["graphs"] = counters["stats"]["unique_graphs"]
            found["graph breaks"] = sum(counters["graph_break"].values())
        if profile:
            events = lab.trace(step)
            found |= step_profile(events, seconds[-1])
            if not compiled:
                keep_trace(events, lab.out / "trace-none.json.gz")
    return found


def loop(lab: Lab, steps: int) -> Numbers:
    """The training loop from wherever the run's folder is to so many steps, with a checkpoint and an export."""
    outcome = train(lab.config(steps=steps), lab.folder / "run")
    if outcome.resumed_at != steps - 2:
        raise RuntimeError(f"resumed at {outcome.resumed_at}, not at {steps - 2}")
    return {"resumed at": outcome.resumed_at, "loss": outcome.loss_nats, "peak GiB": peak_gib(lab.device)}


def perplexity(lab: Lab) -> Numbers:
    """The perplexity of a short document, with a sliding window and cut to a window."""
    window, stride = lab.settings.short, lab.settings.stride
    tokenizer = lab.exported.tokenizer
    ids = np.asarray(tokenizer(lab.text, add_special_tokens=False, verbose=False)["input_ids"][: window + 8 * stride])
    model, bos = lab.exported.model, lab.exported.bos_id
    start = time.perf_counter()
    (sliding,) = sliding_perplexity(model, [ids], windows=[window], stride=stride, bos_id=bos)
    took = time.perf_counter() - start
    (cut,) = truncated_perplexity(model, [ids], windows=[window], bos_id=bos)
    found = {"sliding": sliding.perplexity, "truncated": cut.perplexity}
    return found | {"windows/s": sliding.windows / took, "peak GiB": peak_gib(lab.device)}


def passkeys(lab: Lab) -> Numbers:
    """A passkey at two distances, which a model of random weights hardly finds."""
    start = time.perf_counter()
    context = lab.settings.passkey
    found = passkey(
        lab.exported.model,
        lab.exported.tokenizer,
        context_tokens=context,
        positions=2,
        trials=1,
        bos_id=lab.exported.bos_id,
    )
    took = time.perf_counter() - start
    return {"context": context, "k_max": found.k_max, "s": took, "peak GiB": peak_gib(lab.device)}


@dataclass
class Result:
    """How a check ended; ``ok`` is None if it was not run."""

    name: str
    ok: bool | None = None
    seconds: float = 0.0
    detail: Numbers = field(default_factory=dict)
    error: str | None = None
    traceback: str | None = None

    def line(self) -> str:
        """The name, how it ended, how long it took, and the numbers that are not lists."""
        ended = {True: "ok", False: f"BROKEN: {self.error}", None: "not run"}[self.ok]
        shown = [f"{name} {_shown(value)}" for name, value in self.detail.items() if not isinstance(value, list | dict)]
        return f"{self.name:32} {ended} {self.seconds:.1f} s  {', '.join(shown)}".rstrip()


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return str(value)


def run(wanted: Mapping[str, Check], out: Path, *, seconds: float = math.inf, cleaned: Path | None = None) -> int:
    """Runs checks, one after the other, and prints how each ended.

    Args:
        wanted: the checks by name.
        out: the folder for the results, written anew after every check.
        seconds: when they are over, the process ends, wherever it is.
        cleaned: a folder that is removed if it ends that way.

    Returns:
        The exit code: 0 if all is well.
    """
    out.mkdir(parents=True, exist_ok=True)
    results = [Result(name) for name in wanted]
    lock = threading.Lock()
    start = began = time.perf_counter()

    def ended(result: Result) -> None:
        with lock:
            result.seconds = time.perf_counter() - began
            print(result.line(), flush=True)
            _write(results, out)

    def give_up() -> None:
        lock.acquire()  # for good: nobody else writes any more
        left = [result for result in results if result.ok is None]
        if left:
            left[0].ok, left[0].error = False, "the time was over"
            left[0].seconds = time.perf_counter() - began
        for result in left:
            print(result.line(), flush=True)
        _write(results, out)
        if cleaned is not None:
            shutil.rmtree(cleaned, ignore_errors=True)
        os._exit(1)

    clock = threading.Timer(min(seconds, threading.TIMEOUT_MAX), give_up)
    clock.daemon = True
    clock.start()
    try:
        for result, check in zip(results, wanted.values(), strict=True):
            began = time.perf_counter()
            try:
                _make_room()
                result.detail, result.ok = check(), True
            except Exception as error:
                result.ok, result.error, result.traceback = False, _first_line(error), traceback.format_exc()
            ended(result)
    finally:
        clock.cancel()
    broken = [result.name for result in results if not result.ok]
    print(f"{len(broken)} of {len(results)} broken in {time.perf_counter() - start:.0f} s: {out / FILE}", flush=True)
    return int(bool(broken))


def _make_room() -> None:
    """Frees what the check before has left on the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _first_line(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def _versions() -> Numbers:
    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
    }


def _write(results: Sequence[Result], out: Path) -> None:
    content = {
        "device": torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        **_versions(),
        "checks": [vars(result) for result in results],
    }
    write_atomically(out / FILE, (json.dumps(content, indent=1, default=str) + "\n").encode())


def main(out: Path, *, device: Device = "cuda", toy: bool = False, seconds: float = math.inf) -> int:
    """All checks on a device; the exit code.

    Args:
        out: the folder for the results.
        device: where everything runs.
        toy: take a tiny model and short windows, as fit a CPU.
        seconds: the most that it may take.
    """
    if device == "cuda" and not torch.cuda.is_available():
        print("python -m experiments.gpu --smoke: needs a CUDA GPU, or --device cpu --toy", file=sys.stderr)
        return 1
    settings = replace(TOY if toy else Settings(), device=device)
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="gpu-smoke-")))
        return run(checks(Lab(settings, folder, out)), out, seconds=seconds, cleaned=folder)
