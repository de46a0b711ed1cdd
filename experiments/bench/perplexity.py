"""Speed and memory of perplexity, ours beside the strided loop in the documentation of transformers.

Two protocols are measured: a sliding window over a document, and documents that are cut to each of several lengths.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from statistics import median

import numpy as np
import torch

from experiments.bench.timing import Row, added_gib, alone, faster, leaner, race
from pi_model.data.documents import Selection, Source, load_documents
from pi_model.evaluation.perplexity import BATCH_TOKENS_CPU, sliding_perplexity, truncated_perplexity
from pi_model.models.families import CausalLM
from pi_model.models.loading import load_checkpoint

LOOP = "the strided loop of transformers' documentation"
CUTS = "one pass a cut, as in that loop"
# Model, tokens of the document, window, stride, turns, and whether the rows before have warmed a slow model up.
SLIDING = [
    ("tiny-llama", 8192, 256, 64, 11, False),
    ("tiny-llama", 8192, 512, 256, 11, False),
    ("tiny-llama", 8192, 2048, 512, 11, False),
    ("smollm2-135m", 4096, 2048, 512, 3, False),
    ("smollm2-135m", 6144, 4096, 1024, 3, True),
    ("smollm2-135m", 9216, 8192, 1024, 3, True),  # of a single window everything is scored, and nothing can be saved
]
# Model, lengths that the document is cut to, turns.
TRUNCATED = [("tiny-llama", (256, 512, 1024, 2048, 4096), 5), ("smollm2-135m", (512, 1024, 2048), 2)]
# By processor time, because what is saved is arithmetic; in a tiny model overheads weigh more, which are saved as well.
FASTER_AIMS = {"tiny-llama": 1.3, "smollm2-135m": 1.1}
LEANER_AIM = 0.5  # of the memory that is added to the loaded model
# What ours may take of what is needed, where that leaves less to save than the aim; never more than theirs.
OVER_LIMIT = 1.1


def model_and_document(name: str, tokens: int) -> tuple[CausalLM, np.ndarray]:
    """The model of a checkpoint, and the first tokens of a book."""
    checkpoint = load_checkpoint(name)
    documents = load_documents(Source("books"), checkpoint.tokenizer, Selection(tokens, tokens, samples=1))
    return checkpoint.model, documents.tokens[0]


def ours(model: CausalLM, ids: np.ndarray, window: int, stride: int) -> list[float]:
    """The mean loss in nats with a sliding window, by this project."""
    return [sliding_perplexity(model, [ids], windows=[window], stride=stride)[0].loss_nats]


def theirs(model: CausalLM, ids: np.ndarray, window: int, stride: int) -> list[float]:
    """The mean loss in nats with a sliding window, by the loop on the perplexity page of transformers.

    It takes one window at a time, computes the logits of all its tokens, and masks in the model's own loss the tokens
    that an earlier window has scored.
    """
    ids_1T = torch.from_numpy(np.asarray(ids, dtype=np.int64))[None].to(model.device)
    total, count, scored = 0.0, 0, 0
    for start in range(0, ids_1T.shape[1], stride):
        end = min(start + window, ids_1T.shape[1])
        inputs = ids_1T[:, start:end]
        labels = inputs.clone()
        labels[:, : scored - end] = -100
        with torch.no_grad():
            loss = model(inputs, labels=labels).loss
        tokens = int((labels[:, 1:] != -100).sum())
        total, count, scored = total + float(loss) * tokens, count + tokens, end
        if end == ids_1T.shape[1]:
            break
    return [total / count]


@torch.inference_mode()
def needed(model: CausalLM, ids: np.ndarray, window: int, stride: int) -> list[float]:
    """The mean loss in nats with a sliding window, by nothing but what an exact result needs.

    The layers read every window, windows of one length share a pass as ours do, and scored tokens alone go through the
    head and the loss. What the other loop takes beside this is the most that can be saved.
    """
    ids_T = torch.from_numpy(np.asarray(ids, dtype=np.int64)).to(model.device)
    starts = range(0, len(ids_T) - window + 1, stride)
    total, count = 0.0, 0
    each = max(1, BATCH_TOKENS_CPU // window)
    for first in range(0, len(starts), each):
        batch_BT = torch.stack([ids_T[start : start + window] for start in starts[first : first + each]])
        hidden_BTD = model.model(input_ids=batch_BT, use_cache=False).last_hidden_state
        for number, (hidden_TD, window_T) in enumerate(zip(hidden_BTD, batch_BT, strict=True), start=first):
            from_token = window - stride if number else 1
            logits_SV = model.lm_head(hidden_TD[from_token - 1 : -1])
            total += float(torch.nn.functional.cross_entropy(logits_SV, window_T[from_token:], reduction="sum"))
            count += window - from_token
    return [total / count]


WAYS = {"ours": ours, "theirs": theirs, "needed": needed}


def sweep(model: CausalLM, ids: np.ndarray, windows: Sequence[int]) -> list[float]:
    """The mean loss in nats of a document cut to each length, by this project."""
    return [result.loss_nats for result in truncated_perplexity(model, [ids], windows=windows)]


def cuts(model: CausalLM, ids: np.ndarray, windows: Sequence[int]) -> list[float]:
    """The mean loss in nats of a document cut to each length, each cut as one window of their loop."""
    return [loss for window in windows for loss in theirs(model, ids[:window], window, window)]


def added(who: str, name: str, tokens: int, window: int, stride: int) -> float:
    """How much memory in GiB a perplexity by a way of `WAYS` adds to the loaded model, in a process of its own."""
    model, ids = model_and_document(name, tokens)
    way = WAYS[who]
    way(model, ids[:32], 16, 8)  # Weights are read from the disk when they are first used.
    return added_gib(partial(way, model, ids, window, stride))


def _added(who: str, short: tuple[str, int, int, int]) -> float:
    gib, _ = alone("experiments.bench.perplexity", "added", who, *short)
    return float(gib)


def rows() -> Iterator[Row]:
    """How many times as fast ours is with each protocol, and which share of the peak memory it takes.

    What is needed takes turns with both. Where ours does not reach an aim of speed, it is the limit that the aim gives
    way to; in memory it is measured where an aim is missed.
    """
    for name, tokens, window, stride, turns, warm in SLIDING:
        case = (*model_and_document(name, tokens), window, stride)
        what = f"perplexity, {name}, window {window}, stride {stride}"
        ways = {who: partial(way, *case) for who, way in WAYS.items()}
        found = race(ways, repeats=turns, warm=warm, clock=time.process_time)
        row = faster(what, LOOP, found, aim=FASTER_AIMS[name])
        if row.value < FASTER_AIMS[name]:
            limit = median(other / least for other, least in zip(found["theirs"], found["needed"], strict=True))
            row = replace(
                row, aim=max(1.0, min(FASTER_AIMS[name], limit / OVER_LIMIT)), detail=row.detail | {"limit": limit}
            )
        yield row
        # Two windows are enough, because more have the same peak.
        short = (name, window + stride, window, stride)
        what += ", beside the loaded model"
        row = leaner(what, LOOP, [_added("ours", short)], [_added("theirs", short)], aim=LEANER_AIM)
        if row.value > LEANER_AIM:
            limit = _added("needed", short) / row.detail["theirs_peak_gib"]
            row = replace(row, aim=min(1.0, max(LEANER_AIM, limit * OVER_LIMIT)), detail=row.detail | {"limit": limit})
        yield row
    for name, windows, turns in TRUNCATED:
        model, ids = model_and_document(name, max(windows))
        ways = {"ours": partial(sweep, model, ids, windows), "theirs": partial(cuts, model, ids, windows)}
        found = race(ways, repeats=turns, clock=time.process_time)
        what = f"perplexity, {name}, truncated to {', '.join(map(str, windows))}"
        yield faster(what, CUTS, found, aim=FASTER_AIMS[name])
