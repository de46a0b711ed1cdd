"""A run for a model and documents of one's own, without a recipe: settings that suit the model's size.

They are those of the recipes, which follow the paper (Chen et al. 2023, Section 3.1) where it says anything.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pi_model.data.corpora import CORPORA
from pi_model.data.documents import PRESETS, Selection, Source, load_documents
from pi_model.errors import RunError, UsageError
from pi_model.models.config_file import read_config
from pi_model.models.families import empty_model, model_config
from pi_model.models.rope_parameters import Extension, read_extension, understood
from pi_model.models.sources import local_folder
from pi_model.training.config import ADAPTABLE, Config, Evaluation, Lora, MixturePart
from pi_model.training.overrides import override


@dataclass(frozen=True)
class _Size:
    """Settings for models with at most so many parameters: those of the recipe that was made for such a model."""

    parameters: float
    steps: int
    step_tokens: int
    checkpointing: str
    pass_tokens: int  # in one forward pass


_SIZES = (
    _Size(2e7, 200, 4096, "none", 4096),  # tiny
    _Size(1e9, 200, 131072, "full", 1),  # smollm2
    _Size(float("inf"), 1000, 524288, "full", 1),  # llama
)
_LARGE = 2e10  # the paper's rate for 33B and 65B is half of that for 7B and 13B
_EVALUATION_TOKENS = 32768  # of a document, or one context where that is longer
_HELD_OUT = 20  # of so many documents one is held out, and more of a few


@dataclass(frozen=True)
class OwnRun:
    """What a user said of a run; the rest follows from the model.

    Attributes:
        model: as `pi_model.models.loading.load_checkpoint` takes it.
        context_tokens: L', the window that the model shall have; None trains an extended model as it is.
        method: how positions are scaled; None is the method that the model is extended by, or else "linear".
        trained_window: the window the model was trained on, where its config.json does not say so.
        data: the sources, each with its weight.
        column: the column of JSONL, parquet and hub datasets that holds the text.
        lora: train adapters.
        held_out: documents to measure perplexity on. None holds some of the first source of ``data`` out of training,
            or, where it has too few documents, takes the validation split of the embedded books.
        evaluate: measure before the first step and after the last.
    """

    model: str
    context_tokens: int | None
    data: Sequence[str]
    method: str | None = None
    trained_window: int | None = None
    column: str = "text"
    lora: bool = False
    held_out: str | None = None
    evaluate: bool = True

    def config(self, words: Sequence[str] = ()) -> tuple[Config, list[str]]:
        """The whole config, and what is left out of it and why, a line each.

        Args:
            words: changes to its fields, as `override` takes them.

        Raises:
            UsageError: what was said does not fit the model, or a field is set twice.
            RunError: the model is broken or missing.
        """
        named = {word.partition("=")[0] for word in words}
        for name, option in _OPTIONS.items():
            if name in named:
                raise UsageError(f"{name}: is set by {option} here; leave {name}=... out")
        folder = local_folder(self.model)
        content = read_config(folder)
        said = {"window_tokens": self.trained_window, "context_tokens": None}
        current = read_extension(content, **said)
        window = self._window(current)
        # Here, because transformers and torch take seconds, and what was refused so far needs neither.
        import torch

        from pi_model.distributed.devices import chosen_device
        from pi_model.models.loading import load_tokenizer

        hf_config = model_config(understood(content, **said))
        with torch.device("meta"):
            parameters = sum(one.numel() for one in empty_model(hf_config).parameters())
        size = next(size for size in _SIZES if parameters <= size.parameters)
        rough = Config(
            model=self.model,
            trained_window=self.trained_window,
            data=tuple(replace(part, column=self.column) for part in self._mixture()),
            steps=size.steps,
            global_batch=1,
            peak_lr=1.0,
            warmup_steps=0,
            lora=Lora(targets=ADAPTABLE) if self.lora else None,
            dtype="bfloat16" if chosen_device("auto") == "cuda" else "float32",
            activation_checkpointing=size.checkpointing,  # type: ignore[arg-type]
            **window,
        )
        evaluating = [word for word in words if word.startswith("evaluation")]
        config = override(rough, [word for word in words if word not in evaluating])
        if config.device == "cpu" and "dtype" not in named:
            config = replace(config, dtype="float32")
        free = {name: value for name, value in _defaults(config, size, parameters).items() if name not in named}
        config = replace(config, **free)
        if "micro_batch" not in named:
            config = replace(config, micro_batch=_micro_batch(config, size.pass_tokens))
        remarks: list[str] = []
        if self.evaluate:
            tokenizer = load_tokenizer(folder, hf_config)
            config = self._evaluated(config, current, tokenizer, remarks)
        return override(config, evaluating), remarks

    def _mixture(self) -> tuple[MixturePart, ...]:
        return tuple(MixturePart.written(text) for text in self.data)

    def _window(self, current: Extension) -> dict[str, Any]:
        """The fields that say what happens to the window."""
        present, extended = current.context_tokens, current.method != "none"
        context = self.context_tokens
        if context is None:
            if not extended:
                raise UsageError(
                    f"context: say which window {self.model} shall have; it has {present} tokens today, and "
                    f"--context {present} trains it as it is"
                )
            context = present
        if context < present:
            raise UsageError(
                f"context: {context} is shorter than the window of {self.model}, which has {present} tokens; to train "
                f"in shorter windows give --context {present} sequence_tokens={context}"
            )
        if context == present:
            if self.method not in (None, "none", current.method):
                raise UsageError(
                    f"method: {self.model} has {present} tokens already, so {self.method} would change nothing; leave "
                    "--method out, or give a longer --context"
                )
            return {"window_tokens": present, "factor": 1.0, "method": "none"}
        method = self.method or (current.method if extended else "linear")
        return {"window_tokens": present, "factor": context / present, "method": method}

    def _evaluated(self, config: Config, current: Extension, tokenizer: Any, remarks: list[str]) -> Config:
        """The run with what is measured before and after, as far as the documents and the context have room for it."""
        from pi_model.evaluation.passkey import PromptMaker, passkeys
        from pi_model.models.loading import first_token

        context = config.context_tokens
        inside = min(current.window_tokens, context)
        chosen = Evaluation(steps=(0, config.steps), stride=max(1, inside // 2), passkey_trials=2)
        windows = tuple(dict.fromkeys((inside, context)))
        limit = max(context, min(4 * context, _EVALUATION_TOKENS))
        measured: dict[str, Any] = {"windows": windows, "max_tokens": limit}
        if part := None if self.held_out else held_out(config, tokenizer, context):
            config = replace(config, data=(part, *config.data[1:]))
            kept = {name: getattr(part, name) for name in ("split", "column", "held_out_every")}
            chosen = replace(chosen, data=part.name, **kept, **measured)
        else:
            source = Source(self.held_out or "books", self.column if self.held_out else "text", "validation")
            try:
                load_documents(source, tokenizer, Selection(min_tokens=context, max_tokens=limit))
                chosen = replace(chosen, data=source.name, column=source.column, **measured)
            except RunError as error:
                if self.held_out:
                    raise
                remarks.append(f"no perplexity before and after: {error}; give --held-out DATA")
        try:
            keys = passkeys(4, chosen.passkey_trials).ravel().tolist()
            PromptMaker(tokenizer, context, first_token(tokenizer), keys)
            chosen = replace(chosen, passkey_positions=4)
        except UsageError as error:
            remarks.append(f"no passkeys before and after: {error}")
        return replace(config, evaluation=chosen if chosen.data or chosen.passkey_positions else Evaluation())


def held_out(config: Config, tokenizer: Any, context: int) -> MixturePart | None:
    """The first source of a run with every twentieth document held out, or every second to nineteenth of a few.

    None where the source has splits of its own, where it is read as a stream, where it has fewer than four documents,
    or where none of those that would be held out is as long as the context.
    """
    part = config.data[0]
    if part.name in CORPORA or part.name in PRESETS or part.stream_tokens is not None:
        return None
    source = Source(part.name, part.column, part.split, control_tokens=config.control_tokens)
    lengths = load_documents(source, tokenizer).lengths
    every = max(2, min(_HELD_OUT, len(lengths) // 2))
    if len(lengths) < 4 or lengths[every - 1 :: every].max() < context:
        return None
    return replace(part, held_out_every=every)


# The fields that options set, each with its option.
_OPTIONS = {
    "model": "--model",
    "window_tokens": "--context",
    "factor": "--context",
    "method": "--method",
    "trained_window": "--window",
    "data": "--data",
}


def _defaults(config: Config, size: _Size, parameters: int) -> dict[str, Any]:
    """The fields that depend on others."""
    full_rate = 2e-5 if parameters < _LARGE else 1e-5
    return {
        "global_batch": max(1, size.step_tokens // config.training_tokens),
        "peak_lr": full_rate if config.lora is None else 2e-4,
        "warmup_steps": min(20, config.steps // 10),
        "checkpoint_every": max(1, min(100, config.steps // 10)),
    }


def _micro_batch(config: Config, pass_tokens: int) -> int:
    """The most windows in a forward pass that divide a rank's share of the batch and keep within so many tokens."""
    share = max(1, config.global_batch * config.context_parallel // int(os.environ.get("WORLD_SIZE", "1")))
    most = max(1, pass_tokens // config.training_tokens)
    return max(count for count in range(1, share + 1) if share % count == 0 and count <= most)
