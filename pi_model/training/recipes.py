"""Recipes: functions that return a whole training config, listed by name. A variant starts from another recipe.

The paper's settings are those of Chen et al. 2023 (arXiv:2306.15595), Section 3.1. Where the paper is silent we had to
choose; comments mark these choices.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pi_model.errors import UsageError
from pi_model.training.config import ADAPTABLE, Architecture, Config, Evaluation, Lora, MixturePart, Summaries

# LLaMA 1 on the hub. The model that the paper calls 33B is published there as 30b.
LLAMA = {
    "7b": "huggyllama/llama-7b",
    "13b": "huggyllama/llama-13b",
    "33b": "huggyllama/llama-30b",
    "65b": "huggyllama/llama-65b",
}


def llama(size: str, context_tokens: int, *, direct: bool = False, corpus: str = "pile") -> Config:
    """The paper's fine-tuning of a LLaMA whose window is 2048 tokens, by Position Interpolation or directly.

    Args:
        size: a key of `LLAMA`.
        context_tokens: L', the extended window; 8192, 16384 and 32768 in the paper.
        direct: direct fine-tuning: positions are not scaled, and there are ten times as many steps.
        corpus: "pile", or "redpajama", on which the paper fine-tunes 7B to 8192 for Table 5.
    """
    steps = 10000 if direct else 1000
    # The paper: 64 windows a step, on 32 A100, for 7B, 13B and 33B at 8192; 128 windows, on 128 A100, for all others.
    batch = 64 if context_tokens == 8192 and size != "65b" else 128
    return Config(
        model=LLAMA[size],
        window_tokens=2048,
        factor=context_tokens / 2048,
        method="none" if direct else "linear",
        data=(MixturePart(name=corpus, stream_tokens=steps * batch * context_tokens),),
        steps=steps,
        global_batch=batch,
        peak_lr=2e-5 if size in ("7b", "13b") else 1e-5,
        warmup_steps=20,
        warmup_from=0.1,
        beta1=0.9,
        beta2=0.95,
        weight_decay=0.0,
        # Our choices, where the paper says nothing: no decay after the warmup, which is all it mentions; clipping at
        # 1.0, as LLaMA itself, and AdamW's default eps of 1e-8; packing as described in pi_model.data.packing; bfloat16
        # with float32 master weights, as usual on the A100s it names; one window a forward pass; seed 0.
        decay="constant",
        clip_norm=1.0,
        eps=1e-8,
        dtype="bfloat16",
        device="cuda",
        activation_checkpointing="full",
        micro_batch=1,
        checkpoint_every=100,
    )


def llama_lora(size: str, context_tokens: int) -> Config:
    """`llama` with adapters on every linear layer, for less memory: not in the paper, with a usual learning rate."""
    return replace(llama(size, context_tokens), lora=Lora(targets=ADAPTABLE), peak_lr=2e-4)


def smollm2(context_tokens: int, *, direct: bool = False) -> Config:
    """SmolLM2-135M, whose window is 8192 tokens, on real books and code, with the paper's optimiser.

    A step has eight windows instead of 64, because the books hold only a few hundred windows of 16384 tokens.

    Args:
        context_tokens: L', the extended window.
        direct: direct fine-tuning: positions are not scaled.
    """
    return Config(
        model="smollm2-135m",
        window_tokens=8192,
        factor=context_tokens / 8192,
        method="none" if direct else "linear",
        data=(MixturePart(name="books"), MixturePart(name="code")),
        steps=200,
        global_batch=8,
        peak_lr=2e-5,
        activation_checkpointing="full",
        checkpoint_every=20,
    )


def pretrain_tiny() -> Config:
    """A LLaMA of 2.2 million parameters with a window of 256, from nothing, on books, code and retrieval documents."""
    return Config(
        architecture=Architecture(vocabulary=2048, hidden=192, intermediate=512, layers=4, heads=6, kv_heads=6),
        window_tokens=256,
        # A fifth of the windows teach retrieval; otherwise a model of this size would never find a passkey.
        data=(
            MixturePart(name="books", weight=0.5),
            MixturePart(name="code", weight=0.3),
            MixturePart(name="retrieval", weight=0.2),
        ),
        steps=6000,
        global_batch=16,
        micro_batch=16,
        # The best of 2e-3, 4e-3 and 8e-3 after 400 steps.
        peak_lr=2e-3,
        warmup_steps=100,
        decay="cosine",
        weight_decay=0.1,
        checkpoint_every=250,
        evaluation=Evaluation(
            steps=(0, 500, 1000, 2000, 3000, 4000, 5000, 6000),
            data="books",
            windows=(64, 128, 256, 512, 1024),
            stride=32,
            max_tokens=4096,
            passkey_positions=8,
        ),
    )


def tiny(factor: int, *, direct: bool = False) -> Config:
    """The tiny LLaMA, whose window is 256 tokens, with the paper's learning rate and schedule.

    Args:
        factor: L'/L, extended window over trained window.
        direct: direct fine-tuning: positions are not scaled.
    """
    return replace(
        pretrain_tiny(),
        architecture=None,
        model="tiny-llama",
        factor=float(factor),
        method="none" if direct else "linear",
        steps=200,
        # A step has as many tokens as in pretraining.
        global_batch=16 // factor,
        micro_batch=16 // factor,
        peak_lr=2e-5,
        warmup_steps=20,
        decay="constant",
        weight_decay=0.0,
        evaluation=Evaluation(),
    )


def llama_7b_govreport() -> Config:
    """The paper's fine-tuning for summaries (Section 3.5): ten epochs of GovReport at 16384 tokens.

    The loss counts the summaries only. The model to start from is the one that ``pi-model finetune llama_7b_16384_pi
    --out llama-7b-16384`` exports, and its positions stay interpolated.
    """
    documents, batch = 17457, 64
    return replace(
        llama("7b", 16384),
        model="llama-7b-16384/model",
        window_tokens=16384,
        factor=1.0,
        method="none",
        # GovReport as parquet has 17517 training documents; the paper's 17457 are those in SCROLLS.
        data=(Summaries(name="ccdv/govreport-summarization"),),
        steps=math.ceil(10 * documents / batch),
        # Our choice, where the paper says nothing: batch, learning rate and schedule are those of the extension.
        global_batch=batch,
    )


def smollm2_abstracts() -> Config:
    """SmolLM2-135M on Python modules, with their docstrings as summaries, in windows of 1024 tokens."""
    return replace(
        smollm2(8192, direct=True),
        data=(Summaries(name="abstracts", summary_tokens=128),),
        sequence_tokens=1024,
        steps=60,
        warmup_steps=5,
        peak_lr=1e-4,
    )


def paper_evaluation(context_tokens: int, steps: int) -> Evaluation:
    """What the paper's Tables 3 and 4 show along a run: PG-19 perplexity at L', and passkey, every 200 steps.

    It takes as long as the training itself: 100 whole books with a stride of 256, at every step it is asked for.

    Args:
        context_tokens: L', the extended window.
        steps: length of the run; where it is longer than the paper's 1000 steps, its end is measured as well.
    """
    return Evaluation(
        steps=(*range(0, 1001, 200), *([steps] if steps > 1000 else [])),
        data="pg19",
        split="test",
        windows=(context_tokens,),
        stride=256,
        max_tokens=None,
        samples=100,
        passkey_positions=32,
        passkey_trials=10,
    )


def _recipes() -> dict[str, Callable[[], Config]]:
    found: dict[str, Callable[[], Config]] = {
        "pretrain_tiny": pretrain_tiny,
        "llama_7b_govreport": llama_7b_govreport,
        "smollm2_abstracts": smollm2_abstracts,
    }
    for kind, direct in (("pi", False), ("direct", True)):
        for factor in (2, 4, 8):
            found[f"tiny_{256 * factor}_{kind}"] = partial(tiny, factor, direct=direct)
        for context in (16384, 32768):
            found[f"smollm2_{context}_{kind}"] = partial(smollm2, context, direct=direct)
        for size in LLAMA:
            for context in (8192, 16384, 32768):
                found[f"llama_{size}_{context}_{kind}"] = partial(llama, size, context, direct=direct)
    for size in LLAMA:
        for context in (8192, 16384, 32768):
            found[f"llama_{size}_{context}_pi_lora"] = partial(llama_lora, size, context)
    found["llama_7b_8192_pi_redpajama"] = partial(llama, "7b", 8192, corpus="redpajama")
    return found


RECIPES = _recipes()


def recipe(name: str) -> Config:
    """The config of a recipe.

    Raises:
        UsageError: there is no such recipe; the message lists all there are.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe: unknown {name!r}, choose from {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()
