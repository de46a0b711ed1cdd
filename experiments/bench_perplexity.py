"""Sliding-window perplexity: ours beside the strided loop of transformers' documentation."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from transformers import LlamaForCausalLM

from experiments.timing import compare, peak_gib
from pi_model.data import Selection, Source, load_documents
from pi_model.evaluation.perplexity import sliding_perplexity
from pi_model.model import load_checkpoint, random_llama

# model, document tokens, window, stride, repeats
TIMED = [("tiny", 8192, 256, 64, 5), ("tiny", 8192, 512, 256, 5), ("smollm2-135m", 3072, 2048, 512, 3)]
WEIGHED = [("smollm2-135m", 8192, 8192, 256)]


def model_and_document(name: str, tokens: int) -> tuple[LlamaForCausalLM, np.ndarray]:
    """A real document for a real checkpoint; random tokens for the tiny model, whose weights are random too."""
    if name == "tiny":
        # The shape of a few million parameters that an embedded tiny LLaMA has.
        model = random_llama(
            vocab_size=4096,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=6,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=256,
            initializer_range=0.02,
        )
        return model, np.random.default_rng(0).integers(0, 4096, tokens)
    checkpoint = load_checkpoint(name)
    documents = load_documents(Source("books"), checkpoint.tokenizer, Selection(tokens, tokens, samples=1))
    return checkpoint.model, documents.tokens[0]


def ours(model: LlamaForCausalLM, ids: np.ndarray, window: int, stride: int) -> list[float]:
    return [sliding_perplexity(model, [ids], windows=[window], stride=stride)[0].loss_nats]


def theirs(model: LlamaForCausalLM, ids: np.ndarray, window: int, stride: int) -> list[float]:
    """One window at a time, whole logits, the model's own masked loss, as their page on perplexity shows."""
    ids_1T = torch.from_numpy(np.asarray(ids, dtype=np.int64))[None]
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


def once(who: str, name: str, tokens: int, window: int, stride: int) -> None:
    """One run by "ours" or "theirs", for its memory; "load" only loads."""
    model, ids = model_and_document(name, tokens)
    if who != "load":
        {"ours": ours, "theirs": theirs}[who](model, ids, window, stride)


def rows() -> Iterator[dict[str, Any]]:
    """Times as ratios, then peak memory of whole processes."""
    loop = "the strided loop of transformers' documentation"
    for name, tokens, window, stride, repeats in TIMED:
        case = (*model_and_document(name, tokens), window, stride)
        what = f"perplexity, {name}, {tokens} tokens, window {window}, stride {stride}"
        yield {"what": what, "theirs": loop, **compare(partial(ours, *case), partial(theirs, *case), repeats=repeats)}
    for name, tokens, window, stride in WEIGHED:
        peaks = {
            f"{who}_peak_gib": peak_gib("experiments.bench_perplexity", "once", who, name, tokens, window, stride)
            for who in ("load", "ours", "theirs")
        }
        yield {"what": f"perplexity, {name}, window {window}, memory of the whole process", "theirs": loop, **peaks}


if __name__ == "__main__":
    for row in rows():
        print(row, flush=True)
