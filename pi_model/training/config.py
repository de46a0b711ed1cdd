"""What a training run is: one frozen config, checked completely before any model is loaded.

`Config` stays flat although its fields fall into groups (model, batches, learning rate, ...). Its field names are the
words of the command line (``peak_lr=1e-3``), and its SHA-256, which exported models carry and which decides whether a
run may be resumed, is taken over them: nesting the groups would change both. So each group has a function that checks
it instead of a class of its own. The parts that always were nested check themselves.
"""

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from pi_model.errors import UsageError
from pi_theory.scaling import METHODS

if TYPE_CHECKING:
    from transformers import LlamaConfig

Decay = Literal["constant", "linear", "cosine"]
Dtype = Literal["float32", "bfloat16"]
Device = Literal["cpu", "cuda", "auto"]
Checkpointing = Literal["none", "selective", "full"]

CHECKPOINTING: tuple[Checkpointing, ...] = get_args(Checkpointing)  # from the fastest to the leanest

# The linear layers of a LLaMA that can have adapters. The embedding and the head cannot: training never calls them as
# layers (see `pi_model.training.loss`).
ADAPTABLE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

# Fields that may change when a run is resumed: how long it runs, how often it saves and on what hardware. Every other
# field changes what is computed, so a folder that was begun with another value is refused.
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
class MixturePart:
    """One source of the training mixture, and how much of the mixture it makes up.

    Attributes:
        name: a source, as `pi_model.data.documents.Source` takes it.
        weight: the source's share of the training windows, relative to the other sources; positive.
        split: which split to read, for embedded corpora and hub datasets.
        column: which column holds the text, for JSONL, parquet and hub datasets.
        stream_tokens: read a hub dataset as a stream and stop after this many tokens; None reads all of it.
        held_out_every: each so many-th document is not trained on, so that it can be measured on, see
            `Evaluation.held_out_every`; None trains on all.

    Raises:
        UsageError: a value outside its domain.
    """

    name: str
    weight: float = 1.0
    split: str = "train"
    column: str = "text"
    stream_tokens: int | None = None
    held_out_every: int | None = None

    def __post_init__(self) -> None:
        _check_fields(self, "data.")
        if not _positive(self.weight):
            raise UsageError(f"data: the weight of {self.name} must be positive, got {self.weight}")

    @classmethod
    def written(cls, text: str) -> "MixturePart":
        """The part that is written ``name`` or ``name*weight``."""
        name, star, weight = text.rpartition("*")
        # A star before anything but a number belongs to a pattern of file names.
        if not (star and re.fullmatch(r"[\d.eE+-]+|nan|inf", weight)):
            return cls(name=text)
        try:
            share = float(weight)
        except ValueError:
            raise UsageError(f"data: {text!r} does not fit; a value looks like books*0.5") from None
        return cls(name=name, weight=share)


@dataclass(frozen=True, kw_only=True)
class Summaries(MixturePart):
    """Documents with summaries, one pair a window, in the prompt of the paper's Section 3.5.

    The loss counts the summary's tokens only.

    Attributes:
        summary: the column that holds the summary; `column` holds the document.
        document_tokens: documents are cut to this many tokens, or to what the window leaves them.
        summary_tokens: summaries are cut to this many tokens.
    """

    column: str = "report"
    summary: str = "summary"
    document_tokens: int = 15000
    summary_tokens: int = 1000

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.held_out_every:
            raise UsageError("data: held_out_every is for documents without summaries; give summaries a split instead")


@dataclass(frozen=True, kw_only=True)
class Architecture:
    """The shape of a new LLaMA, made with random weights and a tokenizer trained on the run's own data.

    Attributes:
        vocabulary: number of tokens, of the tokenizer and of the model.
        hidden: model width.
        intermediate: width of the MLP.
        layers: number of layers.
        heads: query heads of each layer, which divide `hidden` into even sizes.
        kv_heads: key and value heads of each layer, which divide `heads`.
        base: RoPE base c.

    Raises:
        UsageError: a value outside its domain, or the heads do not divide the width as they must.
    """

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    base: float = 10000.0

    def __post_init__(self) -> None:
        _check_fields(self, "architecture.")
        if not (math.isfinite(self.base) and self.base > 1):
            raise UsageError(f"architecture.base: must be above 1, got {self.base}")
        if self.hidden % self.heads or self.heads % self.kv_heads or self.hidden // self.heads % 2:
            raise UsageError("architecture: heads must divide hidden into even sizes, and kv_heads must divide heads")

    def hf_config(self, window_tokens: int) -> "LlamaConfig":
        """This shape as transformers has it, with the embedding as the head.

        Args:
            window_tokens: L, the window that the model is to be trained on.
        """
        from transformers import LlamaConfig

        return LlamaConfig(
            vocab_size=self.vocabulary,
            hidden_size=self.hidden,
            intermediate_size=self.intermediate,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            num_key_value_heads=self.kv_heads,
            max_position_embeddings=window_tokens,
            rope_parameters={"rope_type": "default", "rope_theta": self.base},
            tie_word_embeddings=True,
        )


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What is measured during training: the paper's Tables 3 and 4 show such measurements over the training steps.

    Attributes:
        steps: measure after these steps; 0 means before the first.
        data: the source of the documents whose perplexity is measured; None measures no perplexity.
        split: the split of that source.
        column: the column of that source that holds the text, for JSONL, parquet and hub datasets.
        held_out_every: measure on each so many-th document of that source alone, which `MixturePart.held_out_every`
            keeps out of training; None measures on any.
        windows: input lengths in tokens at which perplexity is measured.
        stride: S of the sliding window, in tokens.
        max_tokens: longer documents are cut to this length; None keeps them whole.
        samples: number of documents.
        passkey_positions: number of distances at which a passkey is asked for in the extended window; 0 leaves the
            passkey evaluation out.
        passkey_trials: random keys at each distance.

    Raises:
        UsageError: a value outside its domain. How the values fit together is checked with the whole run.
    """

    steps: tuple[int, ...] = ()
    data: str | None = None
    split: str = "validation"
    column: str = "text"
    held_out_every: int | None = None
    windows: tuple[int, ...] = ()
    stride: int = 256
    max_tokens: int | None = 32768
    samples: int = 8
    passkey_positions: int = 0
    passkey_trials: int = 10

    def __post_init__(self) -> None:
        _check_fields(self, "evaluation.")


@dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters, trained in place of the whole weights (Hu et al. 2021, arXiv:2106.09685).

    Attributes:
        rank: r, at least 1.
        alpha: the product of the adapters is scaled by alpha / r; positive.
        dropout: share of the adapters' inputs that a forward pass drops, in [0, 1). The draws depend on seed, step and
            rank, so with dropout a run on another number of processes gives other results.
        targets: the layers that get adapters, out of `ADAPTABLE`.

    Raises:
        UsageError: a value outside its domain.
    """

    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = ADAPTABLE[:4]

    def __post_init__(self) -> None:
        _check_fields(self, "lora.")
        if not _positive(self.alpha):
            raise UsageError(f"lora.alpha: must be positive, got {self.alpha}")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"lora.dropout: must be at least 0 and below 1, got {self.dropout}")
        if not self.targets:
            raise UsageError(f"lora.targets: name at least one of {', '.join(ADAPTABLE)}")
        for target in self.targets:
            check_choice("lora.targets", target, ADAPTABLE)


@dataclass(frozen=True, kw_only=True)
class Config:
    """A whole training run.

    Attributes:
        model: the model to fine-tune, as `pi_model.models.loading.load_checkpoint` takes it; None where `architecture`
            describes a new one.
        architecture: the model to make from nothing; None where `model` names one to fine-tune.
        window_tokens: L, the context length that the model has before the run; checked against its config.json, and
            taken where that does not say or its fields contradict each other.
        trained_window: the window in tokens that the model was trained on before any extension, against whatever its
            config.json says; None reads it there.
        factor: L'/L, at least 1.
        sequence_tokens: length of the training windows, at most L'. None means L', as in the paper.
        method: how positions are scaled, a key of `pi_theory.scaling.METHODS`; "linear" is Position Interpolation.
            "none" scales nothing: with factor > 1 that is the paper's direct fine-tuning, with factor 1 plain training.
        data: the mixture of sources to train on.
        seed: determines the order of the data, and the first weights of whatever is made new.
        steps: number of optimiser steps.
        global_batch: windows in one optimiser step, over all ranks; the hardware never changes it.
        micro_batch: windows in one forward pass of one rank; gradients accumulate until the global batch is done.
        context_parallel: number of ranks that share the tokens of each window, for windows too long for one device.
        peak_lr, warmup_steps, warmup_from, decay: the learning rate's schedule, see `learning_rate`.
        beta1, beta2, eps, weight_decay: settings of AdamW.
        clip_norm: the whole gradient is scaled down to this norm where it is larger; None never clips.
        control_tokens: read special tokens that the documents spell as control tokens; by default they are text.
        lora: train these adapters and leave the model's own weights as they are; None trains the weights.
        dtype: of the forward and backward passes, and of weights that are not trained. The trained weights, their
            gradients and the optimiser state are always float32.
        device: "cpu" or "cuda"; "auto" is CUDA where there is a CUDA device, else the CPU.
        activation_checkpointing: what a layer keeps for its backward pass: everything ("none"); its input and the
            results of matrix products and attention, everything else being cheap to recompute ("selective"); or its
            input alone ("full").
        compile: compile each layer with torch.compile.
        checkpoint_every: steps between two checkpoints; the last step always gets one.
        keep: number of checkpoints that are kept, the newest.
        evaluation: what is measured during training, see `Evaluation`.

    Raises:
        UsageError: a field outside its domain, or fields that do not fit together; the message names them.
    """

    model: str | None = None
    architecture: Architecture | None = None
    window_tokens: int
    trained_window: int | None = None
    factor: float = 1.0
    sequence_tokens: int | None = None
    method: str = "none"  # not a Literal, because a run can use every method that pi_theory registers
    data: tuple[MixturePart, ...]
    seed: int = 0
    steps: int
    global_batch: int
    micro_batch: int = 1
    context_parallel: int = 1
    peak_lr: float
    warmup_steps: int = 20
    warmup_from: float = 0.1
    decay: Decay = "constant"
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    control_tokens: bool = False
    lora: Lora | None = None
    dtype: Dtype = "float32"
    device: Device = "auto"
    activation_checkpointing: Checkpointing = "none"
    compile: bool = False
    checkpoint_every: int = 100
    keep: int = 2
    evaluation: Evaluation = field(default_factory=Evaluation)

    def __post_init__(self) -> None:
        _check_fields(self)
        for check in (_check_model, _check_extension, _check_choices, _check_hardware, _check_evaluation):
            check(self)
        if not self.data:
            raise UsageError("data: name at least one source")
        _check_optimiser(self)

    @property
    def context_tokens(self) -> int:
        """L' = factor L."""
        return round(self.factor * self.window_tokens)

    @property
    def training_tokens(self) -> int:
        """Length of a training window: the number of tokens that the model reads."""
        return self.sequence_tokens or self.context_tokens

    def accumulation(self, world_size: int) -> int:
        """Number of forward passes that a rank makes for one optimiser step.

        Raises:
            UsageError: the global batch cannot be shared evenly among so many processes.
        """
        if world_size % self.context_parallel:
            raise UsageError(
                f"context_parallel: {world_size} processes cannot form groups of {self.context_parallel}; start a "
                f"multiple of {self.context_parallel} with torchrun"
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

        It rises linearly from `warmup_from` times the peak to the peak over `warmup_steps` steps (Section 3.1: from 10%
        in 20 steps). Then it stays constant, or falls to zero at `steps` along a line or half a cosine.
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

    def remarks(self) -> list[str]:
        """What is allowed and may not be meant, one line each: a recipe is often made shorter by its steps alone."""
        said = []
        if self.warmup_steps > self.steps:
            said.append(f"warmup_steps: {self.warmup_steps} of {self.steps} steps, so the rate never reaches peak_lr")
        if beyond := [step for step in self.evaluation.steps if step > self.steps]:
            many = ", ".join(map(str, beyond))
            said.append(f"evaluation.steps: nothing is measured at {many}, beyond the run's {self.steps} steps")
        if not self.evaluation.steps and (self.evaluation.data is not None or self.evaluation.passkey_positions):
            said.append("evaluation.steps: names no step, so nothing is measured")
        return said

    def as_json(self) -> dict[str, Any]:
        """The config as JSON values."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        # Runs keep the hashes that they had before there were these fields.
        if self.trained_window is None:
            del content["trained_window"]
        if not self.control_tokens:
            del content["control_tokens"]
        if self.evaluation.column == "text":
            del content["evaluation"]["column"]
        for part in (*content["data"], content["evaluation"]):
            if not part["held_out_every"]:
                del part["held_out_every"]
        return content

    def identity(self) -> dict[str, Any]:
        """The part of the config that the result depends on, as JSON values."""
        free = FREE_TO_CHANGE | ({"steps"} if self.decay == "constant" else set())
        return {name: value for name, value in self.as_json().items() if name not in free}

    def sha256(self) -> str:
        """Hex SHA-256 of `identity`."""
        return hashlib.sha256(json.dumps(self.identity(), sort_keys=True).encode()).hexdigest()


# The smallest value of every whole number that is not at least 1, and the largest of all, which a float still holds.
_LEAST = {
    "seed": 0,
    "warmup_steps": 0,
    "evaluation.steps": 0,
    "evaluation.windows": 2,
    "evaluation.passkey_positions": 0,
    "data.held_out_every": 2,  # every document would be held out
}
_MOST = 2**53


@cache  # a plan makes hundreds of configs, and reading the types is most of what checking one takes
def _types(group: type) -> Mapping[str, Any]:
    """The type of each field of a dataclass."""
    return get_type_hints(group)


def _check_fields(group: Any, prefix: str = "") -> None:
    """Check each whole number and each word of a dataclass by itself, so that no field can be forgotten.

    Args:
        group: the dataclass.
        prefix: what is written before its fields' names.

    Raises:
        UsageError: a whole number below its least value or too large, or an empty word.
    """
    kinds = _types(group.__class__)
    for item in fields(group):
        name, value = prefix + item.name, getattr(group, item.name)
        counts = int in (kinds[item.name], *get_args(kinds[item.name]))
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, str) and not one.strip():
                raise UsageError(f"{name}: must not be empty")
            if counts and one is not None and not (least := _LEAST.get(name, 1)) <= one <= _MOST:
                bound = f"at least {least}" if one < least else f"at most {_MOST}"
                raise UsageError(f"{name}: must be {bound}, got {one}")


# The checks run in this order. Each raises UsageError with the field's name and what the field may be.


def _check_model(config: Config) -> None:
    if (config.model is None) == (config.architecture is None):
        raise UsageError("model: give either a model to fine-tune or an architecture to make")
    if config.lora is not None and config.architecture is not None:
        raise UsageError("lora: adapters need a trained model beneath them; give a model, not an architecture")


def _check_extension(config: Config) -> None:
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
    check_choice("method", config.method, tuple(METHODS))
    if config.method != "none" and config.factor == 1:
        raise UsageError(f"factor: {config.method} with factor 1 changes nothing; use a larger factor or method=none")


def _check_choices(config: Config) -> None:
    for name, kind in _types(Config).items():
        if get_origin(kind) is Literal:
            check_choice(name, getattr(config, name), get_args(kind))


def _check_hardware(config: Config) -> None:
    pieces = 2 * config.context_parallel
    if config.context_parallel > 1 and config.training_tokens % pieces:
        raise UsageError(
            f"context_parallel: windows of {config.training_tokens} tokens do not divide into {pieces} equal pieces, "
            f"two for each of {config.context_parallel} ranks; use another number"
        )
    if config.context_parallel > 1 and config.compile:
        raise UsageError("context_parallel: does not work together with compile; set compile=false")
    if config.activation_checkpointing == "selective" and (config.compile or config.context_parallel > 1):
        # compile chooses itself what to keep, and the attention mask of shared windows cannot be built under the
        # dispatch mode that selective checkpointing uses.
        other = "compile" if config.compile else "context_parallel"
        raise UsageError(f"activation_checkpointing: not selective together with {other}; use full or none")


def _check_evaluation(config: Config) -> None:
    asked = config.evaluation
    if asked.data is not None:
        if not asked.windows:
            raise UsageError("evaluation.windows: give at least one window for the perplexity")
        if asked.stride >= min(asked.windows):
            raise UsageError(
                f"evaluation.stride: {asked.stride} would leave tokens unscored in windows of {min(asked.windows)}; "
                f"use at most {min(asked.windows) - 1}"
            )
        if asked.max_tokens is not None and asked.max_tokens < max(asked.windows):
            raise UsageError(
                f"evaluation.max_tokens: {asked.max_tokens} would leave no document as long as the window of "
                f"{max(asked.windows)}; use at least that, or none"
            )
    if asked.passkey_positions > config.context_tokens:
        raise UsageError(
            f"evaluation.passkey_positions: {asked.passkey_positions} do not fit in {config.context_tokens} tokens; "
            f"use at most {config.context_tokens}"
        )


def _check_optimiser(config: Config) -> None:
    for name in ("peak_lr", "eps"):
        if not _positive(getattr(config, name)):
            raise UsageError(f"{name}: must be positive, got {getattr(config, name)}")
    for name in ("beta1", "beta2"):
        if not 0 <= getattr(config, name) <= 0.99999999:
            raise UsageError(f"{name}: must be at least 0 and below 1, got {getattr(config, name)}")
    if not 0 <= config.warmup_from <= 1:
        raise UsageError(f"warmup_from: must be from 0 to 1, got {config.warmup_from}")
    if not (math.isfinite(config.weight_decay) and config.weight_decay >= 0):
        raise UsageError(f"weight_decay: must be at least 0, got {config.weight_decay}")
    if config.clip_norm is not None and not _positive(config.clip_norm):
        raise UsageError(f"clip_norm: must be positive, or none, got {config.clip_norm}")


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise UsageError, naming the field, unless its value is one of the choices."""
    if value not in choices:
        raise UsageError(f"{name}: unknown {value!r}, choose from {', '.join(choices)}")


def _positive(number: float) -> bool:
    return math.isfinite(number) and number > 0
