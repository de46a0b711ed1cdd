"""Recipes: functions that return a whole training config, by name. Variants start from one and change a line.

The paper's settings are those of Chen et al. 2023 (arXiv:2306.15595), Section 3.1. What it leaves unsaid is a choice
made here, and marked as one.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from pi_model.errors import UsageError
from pi_model.training.config import ADAPTABLE, Architecture, Config, Corpus, Evaluation, Lora, Summaries

# LLaMA 1 on the hub; the paper's "33B" is published as 30b.
LLAMA = {
    "7b": "huggyllama/llama-7b",
    "13b": "huggyllama/llama-13b",
    "33b": "huggyllama/llama-30b",
    "65b": "huggyllama/llama-65b",
}


def llama(size: str, context_tokens: int, *, direct: bool = False, corpus: str = "pile") -> Config:
    """The paper's fine-tuning of a LLaMA from 2048 tokens: by Position Interpolation, or directly.

    Args:
        size: a key of `LLAMA`.
        context_tokens: L'; the paper has 8192, 16384 and 32768.
        direct: positions are not scaled, and there are ten times the steps.
        corpus: "pile", or "redpajama", which the paper has for 7B at 8192 in Table 5.
    """
    steps = 10000 if direct else 1000
    # 64 on 32 A100 for 7B, 13B and 33B to 8192; 128 on 128 A100 for all others.
    batch = 64 if context_tokens == 8192 and size != "65b" else 128
    return Config(
        model=LLAMA[size],
        window_tokens=2048,
        factor=context_tokens / 2048,
        method="none" if direct else "linear",
        data=(Corpus(name=corpus, stream_tokens=steps * batch * context_tokens),),
        steps=steps,
        global_batch=batch,
        peak_lr=2e-5 if size in ("7b", "13b") else 1e-5,
        warmup_steps=20,
        warmup_from=0.1,
        beta1=0.9,
        beta2=0.95,
        weight_decay=0.0,
        # Not stated in the paper, chosen: no decay after the warmup (it names only the warmup); clipping at 1.0 and
        # eps 1e-8 (1.0 is LLaMA's own, 1e-8 AdamW's default); packing as pi_model.data.packing says; bfloat16 with float32
        # master weights, as on the A100s it names; one window a forward pass; seed 0.
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
    """`llama` with adapters on every layer, for less memory: not in the paper; its learning rate is a usual one."""
    return replace(llama(size, context_tokens), lora=Lora(targets=ADAPTABLE), peak_lr=2e-4)


def smollm2(context_tokens: int, *, direct: bool = False) -> Config:
    """SmolLM2-135M from 8192 tokens on real books and code, with the paper's optimiser.

    Eight windows a step, not 64: the books hold a few hundred windows of 16384 tokens.
    """
    return Config(
        model="smollm2-135m",
        window_tokens=8192,
        factor=context_tokens / 8192,
        method="none" if direct else "linear",
        data=(Corpus(name="books"), Corpus(name="code")),
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
        # A fifth of the windows teach retrieval, so that passkey means something at this size.
        data=(Corpus(name="books", weight=0.5), Corpus(name="code", weight=0.3), Corpus(name="retrieval", weight=0.2)),
        steps=6000,
        global_batch=16,
        micro_batch=16,
        # Of 2e-3, 4e-3 and 8e-3, the best after 400 steps.
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
    """The tiny LLaMA from 256 tokens to `factor` times as many, at the paper's learning rate and schedule."""
    return replace(
        pretrain_tiny(),
        architecture=None,
        model="tiny-llama",
        factor=float(factor),
        method="none" if direct else "linear",
        steps=200,
        # As many tokens a step as in pretraining.
        global_batch=16 // factor,
        micro_batch=16 // factor,
        peak_lr=2e-5,
        warmup_steps=20,
        decay="constant",
        weight_decay=0.0,
        evaluation=Evaluation(),
    )


def llama_7b_govreport() -> Config:
    """The paper's fine-tuning for summaries (Section 3.5): ten epochs of GovReport, window 16384, loss on the summary.

    Its model is what ``pi-model finetune llama_7b_16384_pi --out llama-7b-16384`` leaves: positions stay interpolated.
    """
    documents, batch = 17457, 64
    return replace(
        llama("7b", 16384),
        model="llama-7b-16384/model",
        window_tokens=16384,
        factor=1.0,
        method="none",
        # GovReport as parquet, 17517 training documents, where the paper's 17457 are those of SCROLLS.
        data=(Summaries(name="ccdv/govreport-summarization"),),
        steps=math.ceil(10 * documents / batch),
        # Not stated in the paper, chosen: batch, and learning rate and schedule as in the extension.
        global_batch=batch,
    )


def smollm2_abstracts() -> Config:
    """SmolLM2-135M on the docstrings of modules as summaries of the modules, in windows of 1024 tokens."""
    return replace(
        smollm2(8192, direct=True),
        data=(Summaries(name="abstracts", summary_tokens=128),),
        sequence_tokens=1024,
        steps=60,
        warmup_steps=5,
        peak_lr=1e-4,
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
        UsageError: no such recipe; the message lists them.
    """
    if name not in RECIPES:
        raise UsageError(f"recipe: unknown {name!r}, choose from {', '.join(sorted(RECIPES))}")
    return RECIPES[name]()
