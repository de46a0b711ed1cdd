"""The report of an examination: one file, right for every value, readable by everybody, and honest about gaps."""

import html
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pi_model.examine.report as report
from pi_model.examine.differences import best, difference
from pi_model.examine.findings import (
    Cost,
    Examination,
    Identity,
    Measured,
    Method,
    Oddity,
    Reason,
    Recommendation,
    Sharpness,
    Stretch,
    Theorem,
)
from pi_model.examine.report import page

VOID = {"meta", "br", "hr", "img", "link", "input"}


def sample(model="smollm2-135m", better=0.0, window=8192, context=16384):
    """An examination with made-up values of the size that real ones have."""

    def measured(beyond, inside):
        step = context // 32
        curve = tuple(
            Stretch(at, at + step, 2.9 + inside + 1.3 / (1 + at / step) + (beyond * (at - window) / window) * (at >= window) - better)
            for at in range(0, context, step)
        )
        def part(first, last):
            losses = [one.loss_nats for one in curve if first <= one.start < last]
            return tuple(sum(losses) / len(losses) + 0.2 * wave for wave in (-1.1, 0.3, 0.8, 0.1 + 0.05 * beyond))
        return Measured(4, part(0, context), part(0, window), part(context * 7 // 8, context), curve)

    found = {context * share // 16: 0 for share in (1, 2, 4, 6, 8, 11, 15)}
    def keys(*shares):
        return dict(zip(found, shares, strict=True))
    factor = context / window
    methods = (
        Method("none", 1.0, window, 1.0, 1.0, 31.8, 1.0, measured(5.2, 0), keys(1, 1, 1, 0.75, 0.25, 0, 0)),
        Method("linear", factor, context - 1, 0.266, 0.31, 12.4, 0.28, measured(0.02, 1.28), keys(0.5, 0.25, 0, 0, 0, 0, 0)),
        Method("ntk", factor, 11310, 1.0, 0.81, 6.31, 0.77, measured(0.61, 0.05), keys(1, 1, 0.75, 0.5, 0.5, 0, 0)),
        Method("dynamic", factor, 10240, 1.0, 0.84, 7.02, 0.79, measured(0.9, 0.03), keys(1, 1, 1, 0.5, 0.25, 0, 0)),
        Method("yarn", factor, context - 1, 1.143, 0.95, 3.17, 0.93, measured(-0.03, 0.014), keys(1, 1, 1, 1, 0.75, 0.5, 0.25)),
        Method("llama3", factor, context - 1, 1.0, 0.88, 4.05, 0.9, measured(0.06, 0.02), None),
    )
    return Examination(
        identity=Identity(
            model, "llama", 134_515_008, "bfloat16", 30, 9, 3, 64, 100_000.0, 49_152, "none", 1.0, window,
            "max_position_embeddings, confirmed by the model card's training length", window,
            "GPT2Tokenizer, 49,152 tokens", "<|endoftext|>",
            (
                Oddity("tied heads", "The embedding and the output share their weights; nothing changes for a longer window."),
                Oddity("grouped queries", "Three heads share each key; the cache of a longer window takes a third of the room."),
            ),
        ),
        context_tokens=context,
        theorem=Theorem(False, 1.0423, 1 / math.cos(0.5), 1.0),
        sharpness=Sharpness(41, 270, 2.83, 7, 3),
        methods=methods,
        data="8 books and 4 files of code that come with the package",
        device="CPU, 2 cores, float32; torch 2.11.0, transformers 5.17.0",
        minutes=9.4,
        complete=False,
        recommendation=Recommendation(
            "yarn",
            True,
            (
                Reason("YaRN keeps every slow frequency at trained angles up to 16,383 tokens; NTK-aware only up to 11,310.", "proved"),
                Reason("YaRN moves 3.2 heads' worth of attention, linear interpolation 12.4.", "from the heads"),
                Reason("On four documents YaRN has perplexity 18.9, the next best method 19.5.", "measured"),
                Reason("Whether 200 steps are enough for passkeys at 15,360 tokens.", "not known"),
            ),
            (
                "pi-model extend smollm2-135m --method yarn --factor 2 --out smollm2-yarn",
                "pi-model finetune --model smollm2-135m --context 16384 --method yarn --data my.jsonl --column body --out tuned",
            ),
        ),
        cost=Cost("H100", 1, 0.31, 22.4, True, "200 steps of 65,536 tokens in bfloat16, all weights"),
    )  # fmt: skip


