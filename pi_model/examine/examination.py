"""The whole examination of a checkpoint, from its config to a recommendation."""

import hashlib
import importlib.metadata
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pi_model.data.documents import Source
from pi_model.distributed.devices import chosen_device, fast_dtype
from pi_model.errors import UsageError
from pi_model.examine.certainty import Way, ways
from pi_model.examine.cost import cost
from pi_model.examine.findings import Examination, Method
from pi_model.examine.glance import glance
from pi_model.examine.heads import TOKENS, look
from pi_model.examine.measurement import Measurement
from pi_model.examine.prediction import predicted_loss
from pi_model.examine.recommendation import predicted_order, recommend
from pi_model.examine.texts import EMBEDDED, Texts, long_texts
from pi_model.files import cache_dir
from pi_model.models.config_file import read_config
from pi_model.models.loading import Checkpoint, load_checkpoint
from pi_model.models.rope_parameters import understood

_LARGE = 2e7  # parameters; the time of a smaller model is no matter


def examine_checkpoint(
    model: str | Path,
    *,
    context_tokens: int | None = None,
    minutes: float = 3.0,
    data: Sequence[Source] = (),
    window_tokens: int | None = None,
    dtype: str = "auto",
    device: str = "auto",
    gpu: str = "h100",
    gpus: int | None = None,
    progress: bool = False,
) -> Examination:
    """Find out how far a checkpoint reads, how far it could, by which method, and at what cost.

    Args:
        model: a folder, a hub name, a GGUF file or an embedded name, see `pi_model.models.loading.load_checkpoint`.
        context_tokens: L', the window that is wanted; None is twice the window that the checkpoint serves.
        minutes: how long to measure. Results are kept, so that the same call with more minutes goes on. With 0 only
            the config is looked at, see `pi_model.examine.glance`.
        data: texts to measure on; the embedded books and code where there is none.
        window_tokens: the window that the model was trained on, where its config does not say so.
        dtype: number format to run in: "float32", "bfloat16", "float16", or "auto", which is bfloat16 where the device
            is fast in it and the model has 20 million parameters or more, and else float32. On SmolLM2-135M bfloat16
            adds a thousandth of a nat to the loss, in a third of the time.
        device: "cpu", "cuda", "cuda:N", or "auto", which is CUDA where there is a GPU.
        gpu, gpus: the hardware that fine-tuning is planned for, a key of `pi_model.gpus.GPUS` and how many; None takes
            the fewest that have room.
        progress: show bars.

    Raises:
        UsageError: an argument is outside its domain, or there is no such model, data or device.
        RunError: the model or the data is broken, or a loss is not finite.
    """
    if not 0 <= minutes < math.inf:
        raise UsageError(f"minutes: must be a finite number of at least 0, got {minutes}")
    certain = glance(model, context_tokens=context_tokens, window_tokens=window_tokens)
    if minutes == 0:
        return certain
    device = chosen_device(device)
    if dtype == "auto":
        dtype = fast_dtype(device) if certain.identity.parameters >= _LARGE else "float32"
    checkpoint = load_checkpoint(model, dtype=dtype, device=device, window_tokens=window_tokens)
    content = understood(read_config(checkpoint.folder), window_tokens=window_tokens)
    current, asked, tokenizer = checkpoint.extension, certain.context_tokens, checkpoint.tokenizer
    found = replace(
        certain.identity,
        tokenizer=f"{type(tokenizer).__name__}, {len(tokenizer)} tokens",
        bos=None if checkpoint.bos_id is None else str(tokenizer.convert_ids_to_tokens(checkpoint.bos_id)),
    )
    sources = data or [Source(name) for name in EMBEDDED]
    texts = long_texts(sources, checkpoint.tokenizer, asked - (checkpoint.bos_id is not None), progress=progress)
    there = ways(current, asked)
    short = texts.texts[0].ids[: min(TOKENS, current.window_tokens) - 1]
    bos = [] if checkpoint.bos_id is None else [checkpoint.bos_id]
    heads = look(checkpoint.model, np.concatenate([bos, short]).astype(int), there, asked)
    methods = [
        replace(
            m,
            displacement=heads.displacement[m.method],
            bend=heads.bend[m.method],
            predicted=predicted_loss(heads.along[m.method], found.layers),
        )
        for m in certain.methods
    ]
    measurement = _measurement(checkpoint, content, there, methods, texts, asked)
    complete = measurement.run(60 * minutes, progress=progress)
    losses, passkeys = measurement.losses(), measurement.passkeys()
    methods = [replace(m, measured=losses.get(m.method), passkeys=passkeys.get(m.method)) for m in methods]
    return replace(
        certain,
        identity=found,
        sharpness=heads.sharpness,
        methods=tuple(methods),
        data=texts.described,
        device=_device(checkpoint),
        minutes=measurement.seconds / 60,
        complete=complete,
        recommendation=recommend(found, asked, methods, str(model)),
        cost=cost(checkpoint.folder, asked, window_tokens=window_tokens, gpu=gpu, gpus=gpus),
    )


def _measurement(
    checkpoint: Checkpoint,
    content: dict[str, object],
    there: Sequence[Way],
    methods: Sequence[Method],
    texts: Texts,
    context_tokens: int,
) -> Measurement:
    """The measurement, in the order that theory predicts, in a folder that belongs to it alone."""
    by_name = {way.name: way for way in there}
    order = [m.method for m in predicted_order(methods[1:], context_tokens)]
    facts = (checkpoint.fingerprint(), str(checkpoint.extension), checkpoint.model.device.type, context_tokens)
    key = hashlib.sha256(repr((*facts, texts.sha256())).encode()).hexdigest()[:32]
    return Measurement(
        checkpoint,
        content,
        [there[0], *(by_name[name] for name in order)],
        texts,
        context_tokens=context_tokens,
        folder=cache_dir() / "runs" / f"examine-{key}",
    )


def _device(checkpoint: Checkpoint) -> str:
    import torch

    device = checkpoint.model.device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    versions = ", ".join(f"{package} {importlib.metadata.version(package)}" for package in ("torch", "transformers"))
    return f"{name}, {str(checkpoint.model.dtype).removeprefix('torch.')}, {versions}"
