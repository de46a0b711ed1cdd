"""What a training run is: one frozen config, checked before any model is loaded."""

import hashlib
import json
import math
import typing
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from pi_model.errors import UsageError
from pi_theory.scaling import METHODS

DECAYS = ("constant", "linear", "cosine")
DTYPES = ("float32", "bfloat16")
CHECKPOINTING = ("none", "selective", "full")  # from the fastest to the leanest

# What may change between two commands on the same folder: how long, how often and on what hardware, never what is
# computed.
FREE_TO_CHANGE = frozenset(
    {
        "micro_batch",
        "context_parallel",
        "device",
        "compile",
        "activation_checkpointing",
        "checkpoint_every",
        "keep",
        "evaluation",
    }
)


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """One source of the training mixture.

    Attributes:
        name: what `pi_model.data.documents.Source` takes.
        weight: its share of the windows, relative to the other sources.
        split, column: of embedded corpora, JSONL, parquet and hub datasets.
        stream_tokens: read a hub dataset as a stream, and no further than this many tokens; None reads all of it.
    """

    name: str
    weight: float = 1.0
    split: str = "train"
    column: str = "text"
    stream_tokens: int | None = None


@dataclass(frozen=True, kw_only=True)
class Summaries(Corpus):
    """Documents with summaries, in the paper's prompt (Section 3.5), a pair a window: the loss is on the summary alone.

    Attributes:
        summary: column with the summary; the document is in `column`.
        document_tokens: documents are cut to this many, or to what the window leaves.
        summary_tokens: summaries are cut to this many.
    """

    column: str = "report"
    summary: str = "summary"
    document_tokens: int = 15000
    summary_tokens: int = 1000


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """A LLaMA to be made with random weights; the tokenizer is trained on the run's own data. Heads are of equal size.

    Attributes:
        vocabulary: tokens, of the tokenizer as of the model.
    """

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    base: float = 10000.0


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is measured while training, because the paper's Tables 3 and 4 are curves over steps.

    Attributes:
        steps: after which steps; 0 is before the first.
        data, split: documents to measure perplexity on; None measures none.
        windows: input lengths in tokens.
        stride: S of the sliding window.
        max_tokens: longer documents are cut; None cuts none.
        samples: number of documents.
        passkey_positions: distances to ask for in the extended window, 0 for no passkey.
        passkey_trials: keys at each.
    """

    steps: tuple[int, ...] = ()
    data: str | None = None
    split: str = "validation"
    windows: tuple[int, ...] = ()
    stride: int = 256
    max_tokens: int | None = 32768
    samples: int = 8
    passkey_positions: int = 0
    passkey_trials: int = 10


# The linear layers of a LLaMA that can have adapters; the embedding and the head are not called in training.
ADAPTABLE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters, trained in place of the whole weights (Hu et al. 2021, arXiv:2106.09685).

    Attributes:
        rank: r.
        alpha: the adapters' product counts alpha / r times.
        dropout: share of the adapters' inputs that a forward pass drops, drawn from seed, step and rank: with it, runs
            of different numbers of processes differ.
        targets: the layers that have adapters, of `ADAPTABLE`.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ADAPTABLE[:4]


@dataclass(frozen=True, kw_only=True)
class Config:
    """A training run, whole.

    Attributes:
        model: what `pi_model.models.loading.load_checkpoint` takes; None where `architecture` makes a new one.
        window_tokens: L, the context the model has before the run; checked against its config.json.
        factor: L'/L >= 1.
        sequence_tokens: length of the training windows, at most L'; None is L', the paper's way.
        method: how positions are scaled ("linear" is Position Interpolation); "none" scales nothing: direct
            fine-tuning where factor > 1, plain training where it is 1.
        data: the mixture.
        seed: of the data order, and of the weights where they are made.
        steps: optimiser steps.
        global_batch: windows an optimiser step, over all ranks; never changed by the hardware.
        micro_batch: windows a forward pass on one rank; gradients accumulate over the rest.
        context_parallel: ranks that share the tokens of each window, where one device cannot hold it.
        peak_lr, warmup_steps, warmup_from, decay: learning rate, see `learning_rate`.
        beta1, beta2, eps, weight_decay: of AdamW.
        clip_norm: largest norm of the whole gradient; None clips nothing.
        lora: train adapters and leave the model's own weights as they are; None trains the weights.
        dtype: of forward and backward, and of weights that are not trained; the master weights of those that are, their
            gradients and the optimiser state are always float32.
        device: "cpu" or "cuda".
        activation_checkpointing: what a layer keeps for its backward pass: everything ("none"), its input and what
            matrix products and attention give, the rest being cheap to compute again ("selective"), or its input
            ("full").
        compile: torch.compile each layer.
        checkpoint_every: steps between checkpoints; the last step always has one.
        keep: checkpoints kept, the newest.
        evaluation: see `Evaluation`.
    """

    model: str | None = None
    architecture: Architecture | None = None
    window_tokens: int
    factor: float = 1.0
    sequence_tokens: int | None = None
    method: str = "none"
    data: tuple[Corpus, ...]
    seed: int = 0
    steps: int
    global_batch: int
    micro_batch: int = 1
    context_parallel: int = 1
    peak_lr: float
    warmup_steps: int = 20
    warmup_from: float = 0.1
    decay: str = "constant"
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    lora: Lora | None = None
    dtype: str = "float32"
    device: str = "cpu"
    activation_checkpointing: str = "none"
    compile: bool = False
    checkpoint_every: int = 100
    keep: int = 2
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def context_tokens(self) -> int:
        """L' = factor L."""
        return round(self.factor * self.window_tokens)

    @property
    def training_tokens(self) -> int:
        """Length of a training window, in tokens that the model reads."""
        return self.sequence_tokens or self.context_tokens

    def accumulation(self, world_size: int) -> int:
        """Forward passes a rank makes for one optimiser step.

        Raises:
            UsageError: the global batch cannot be shared evenly.
        """
        if world_size % self.context_parallel:
            raise UsageError(
                f"context_parallel: {world_size} processes are no multiple of {self.context_parallel}; start as many "
                "with torchrun"
            )
        readers = world_size // self.context_parallel
        if self.global_batch % (readers * self.micro_batch):
            raise UsageError(
                f"global_batch: {self.global_batch} windows cannot be shared by {readers} processes in micro "
                f"batches of {self.micro_batch}; use a micro_batch and a number of processes whose product divides it"
            )
        return self.global_batch // (readers * self.micro_batch)

    def learning_rate(self, step: int) -> float:
        """Learning rate of a step, counted from 0.

        Linear from `warmup_from` times the peak to the peak over `warmup_steps` steps (Section 3.1: 10%, 20 steps);
        then constant, or to zero at `steps`, on a line or half a cosine.
        """
        if step < self.warmup_steps:
            return self.peak_lr * (self.warmup_from + (1 - self.warmup_from) * step / self.warmup_steps)
        done = (step - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        match self.decay:
            case "linear":
                return self.peak_lr * (1 - done)
            case "cosine":
                return self.peak_lr * (1 + math.cos(math.pi * done)) / 2
        return self.peak_lr

    def as_json(self) -> dict[str, Any]:
        """The config as JSON values."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content

    def identity(self) -> dict[str, Any]:
        """The part of the config that the result depends on."""
        free = FREE_TO_CHANGE | ({"steps"} if self.decay == "constant" else set())
        return {name: value for name, value in self.as_json().items() if name not in free}

    def sha256(self) -> str:
        """Hex SHA-256 of `identity`."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


# Fields that hold a dataclass, whose own fields are overridden by "group.field".
_GROUPS: dict[str, Any] = {"evaluation": Evaluation, "lora": Lora}


def _check(config: Config) -> None:
    """Raise UsageError, naming the field and what it may be."""
    for name in (
        "window_tokens",
        "steps",
        "global_batch",
        "micro_batch",
        "context_parallel",
        "checkpoint_every",
        "keep",
    ):
        if getattr(config, name) < 1:
            raise UsageError(f"{name}: must be at least 1, got {getattr(config, name)}")
    if (config.model is None) == (config.architecture is None):
        raise UsageError("model: give either a model to fine-tune or an architecture to make")
    if not (math.isfinite(config.factor) and config.factor >= 1):
        raise UsageError(f"factor: must be at least 1, got {config.factor}")
    if abs(config.factor * config.window_tokens - config.context_tokens) > 1e-5:
        raise UsageError(
            f"factor: {config.factor:g} x {config.window_tokens} is not a whole number of tokens; "
            f"{config.context_tokens / config.window_tokens:.6g} would be"
        )
    if config.sequence_tokens is not None and not 1 <= config.sequence_tokens <= config.context_tokens:
        raise UsageError(
            f"sequence_tokens: must be from 1 to the {config.context_tokens} tokens of the extended window, "
            f"got {config.sequence_tokens}"
        )
    if config.method not in METHODS:
        raise UsageError(f"method: unknown {config.method!r}, choose from {', '.join(METHODS)}")
    if config.method != "none" and config.factor == 1:
        raise UsageError(f"factor: {config.method} with factor 1 changes nothing; use a larger factor or method=none")
    pieces = 2 * config.context_parallel
    if config.context_parallel > 1 and config.training_tokens % pieces:
        raise UsageError(
            f"context_parallel: windows of {config.training_tokens} tokens do not divide into {pieces} equal pieces, "
            f"two for each of {config.context_parallel} ranks; use another number"
        )
    if config.context_parallel > 1 and config.compile:
        raise UsageError("context_parallel: not together with compile; set compile=false")
    _choose("decay", config.decay, DECAYS)
    _choose("dtype", config.dtype, DTYPES)
    _choose("device", config.device, ("cpu", "cuda"))
    _choose("activation_checkpointing", config.activation_checkpointing, CHECKPOINTING)
    if config.activation_checkpointing == "selective" and (config.compile or config.context_parallel > 1):
        # compile chooses for itself; the mask of shared windows cannot be built while operations are watched.
        other = "compile" if config.compile else "context_parallel"
        raise UsageError(f"activation_checkpointing: not selective together with {other}; use full or none")
    if not config.data:
        raise UsageError("data: name at least one source")
    for corpus in config.data:
        if not (math.isfinite(corpus.weight) and corpus.weight > 0):
            raise UsageError(f"data: the weight of {corpus.name} must be positive, got {corpus.weight}")
    for name in ("peak_lr", "eps"):
        if not (math.isfinite(getattr(config, name)) and getattr(config, name) > 0):
            raise UsageError(f"{name}: must be positive, got {getattr(config, name)}")
    for name in ("beta1", "beta2", "warmup_from"):
        if not 0 <= getattr(config, name) <= (1 if name == "warmup_from" else 0.99999999):
            raise UsageError(f"{name}: must be at least 0 and below 1, got {getattr(config, name)}")
    if not (math.isfinite(config.weight_decay) and config.weight_decay >= 0):
        raise UsageError(f"weight_decay: must be at least 0, got {config.weight_decay}")
    if config.warmup_steps < 0:
        raise UsageError(f"warmup_steps: must be at least 0, got {config.warmup_steps}")
    if config.clip_norm is not None and not (math.isfinite(config.clip_norm) and config.clip_norm > 0):
        raise UsageError(f"clip_norm: must be positive, or none, got {config.clip_norm}")
    if config.lora is not None:
        if config.architecture is not None:
            raise UsageError("lora: adapters need a trained model beneath them; give a model, not an architecture")
        _check_lora(config.lora)
    made = config.architecture
    if made and (made.hidden % made.heads or made.heads % made.kv_heads or made.hidden // made.heads % 2):
        raise UsageError("architecture: heads must divide hidden into even sizes, and kv_heads must divide heads")


def _check_lora(lora: Lora) -> None:
    if lora.rank < 1:
        raise UsageError(f"lora.rank: must be at least 1, got {lora.rank}")
    if not (math.isfinite(lora.alpha) and lora.alpha > 0):
        raise UsageError(f"lora.alpha: must be positive, got {lora.alpha}")
    if not 0 <= lora.dropout < 1:
        raise UsageError(f"lora.dropout: must be at least 0 and below 1, got {lora.dropout}")
    if not lora.targets:
        raise UsageError(f"lora.targets: name at least one of {', '.join(ADAPTABLE)}")
    for target in lora.targets:
        _choose("lora.targets", target, ADAPTABLE)


def _choose(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise UsageError(f"{name}: unknown {value!r}, choose from {', '.join(choices)}")


def paper_evaluation(config: Config) -> Evaluation:
    """What the paper's Tables 3 and 4 show along a run: PG-19 at the extended window, and passkey, every 200 steps.

    As long as the training itself: 100 whole books with a stride of 256, at every step it is asked for.
    """
    return Evaluation(
        steps=(*range(0, 1001, 200), *([config.steps] if config.steps > 1000 else [])),
        data="pg19",
        split="test",
        windows=(config.context_tokens,),
        stride=256,
        max_tokens=None,
        samples=100,
        passkey_positions=32,
        passkey_trials=10,
    )


def override(config: Config, assignments: list[str]) -> Config:
    """A config with some fields replaced.

    Args:
        assignments: "field=value", "evaluation.field=value" or "lora.field=value", which turns LoRA on where it was
            off; "none" where a field may be None; lists are joined by commas; data is "name" or "name*weight", joined
            by commas, read no further than the recipe's own; "evaluation=paper" is `paper_evaluation`.

    Raises:
        UsageError: an unknown field, or a value that does not fit it.
    """
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            raise UsageError(f"{assignment}: an override is written field=value")
        group, dot, inner = name.partition(".")
        if assignment == "evaluation=paper":
            changes: dict[str, Any] = {"evaluation": paper_evaluation(config)}
        elif dot and group in _GROUPS:
            target = getattr(config, group) or _GROUPS[group]()
            changes = {group: replace(target, **_assigned(target, inner, text, f"{group}."))}
        else:
            changes = _assigned(config, name, text, "")
        if name == "data":
            changes = {"data": tuple(_like(config.data[0], corpus) for corpus in changes["data"])}
        # Fields that only make sense together are checked together, below.
        config = _unchecked(config, changes)
    _check(config)
    return config


def _unchecked(config: Config, changes: dict[str, Any]) -> Config:
    fresh = object.__new__(Config)
    for item in fields(config):
        object.__setattr__(fresh, item.name, changes.get(item.name, getattr(config, item.name)))
    return fresh


def _like(own: Corpus | Summaries, other: Corpus) -> Corpus | Summaries:
    """Other documents in place of a recipe's own: what is learned from them, and how many are read, stays."""
    if isinstance(own, Summaries):
        return replace(own, name=other.name, weight=other.weight)
    return replace(other, stream_tokens=own.stream_tokens)


def _assigned(target: Any, name: str, text: str, prefix: str) -> dict[str, Any]:
    kinds = typing.get_type_hints(type(target))
    settable = sorted(prefix + key for key in kinds if key not in ("architecture", *_GROUPS))
    if prefix + name not in settable:
        groups = [] if prefix else [f"{group}.*" for group in _GROUPS]
        raise UsageError(f"{prefix}{name}: no such field; choose from {', '.join([*settable, *groups])}")
    try:
        return {name: _parse(kinds[name], text)}
    except ValueError:
        raise UsageError(
            f"{prefix}{name}: {text!r} does not fit; a value looks like {_example(target, name)}"
        ) from None


def _parse(kind: Any, text: str) -> Any:
    arguments = typing.get_args(kind)
    if type(None) in arguments:
        return None if text == "none" else _parse(arguments[0], text)
    if typing.get_origin(kind) is tuple:
        return tuple(_parse(arguments[0], item) for item in text.split(",")) if text else ()
    if kind is Corpus:
        name, star, weight = text.rpartition("*")
        return Corpus(name=name, weight=float(weight)) if star else Corpus(name=text)
    if kind is bool:
        return {"true": True, "false": False}[text] if text in ("true", "false") else _refuse()
    return kind(text)


def _refuse() -> typing.NoReturn:
    raise ValueError


def _example(target: Any, name: str) -> str:
    value = getattr(target, name)
    if isinstance(value, tuple):
        return ",".join(f"{item.name}*{item.weight:g}" if isinstance(item, Corpus) else str(item) for item in value)
    return str(value).lower() if isinstance(value, bool | None) else str(value)
