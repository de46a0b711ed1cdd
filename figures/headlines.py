"""What was found, in a few sentences with their numbers from records: the top of the page."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import matplotlib.pyplot as plt

from experiments.records.record import RecordError, read
from figures.drawing import rendered, script_of
from figures.style import shared_style
from figures.verdicts.fine_tuning_runs import read_runs


@dataclass(frozen=True)
class Headline:
    """A finding.

    Attributes:
        title: the finding in a few words.
        says: one or two sentences with numbers.
        links: ids of what on the page it rests on: claim-ID, experiment-ID, or the name of a figure.
        picture: a PNG, or empty.
    """

    title: str
    says: str
    links: tuple[str, ...]
    picture: bytes = b""


def headlines() -> list[Headline]:
    """The findings whose records are there, in the order of the README."""
    found = []
    for make in _HEADLINES:
        try:
            found.append(make())
        except RecordError:
            continue  # a record that was changed is reported where its figure is drawn
    return found


def _interpolation_is_safe() -> Headline:
    record = read("amplification")
    hmax = record["config"]["hmax"][0]
    curves = {c["method"]: c for c in record["metrics"]["curves"] if c["hmax"] == hmax}
    bound = {method: max(curve["upper_bound"]) for method, curve in curves.items()}
    reached = {method: max(curve["attained"]) for method, curve in curves.items()}
    others = [value for method, value in reached.items() if method not in ("none", "linear", "whole")]
    # what none exceeds is rounded up, what one reaches down
    none_exceeds, one_reaches = math.ceil(100 * bound["whole"]) / 100, math.floor(100 * reached["linear"]) / 100
    return Headline(
        "Interpolation is safe, in the worst case too",
        f"Of all heads whose scores are at most 1 in the trained window, none exceeds {none_exceeds:.2f} in twice "
        f"the window under Position Interpolation by (L' - 1)/(L - 1); by L'/L, as published, the last distance leaves "
        f"the window, and {one_reaches:.2f} is reached there. Extrapolated, one reaches {math.floor(reached['none'])}; "
        f"under NTK-aware, dynamic, YaRN and Llama-3 scaling "
        f"{math.floor(min(others))} to {math.floor(max(others))}. "
        "Every value is certified.",
        ("amplification", "claim-stability", "claim-methods.share_stability", "claim-pi.worst"),
        _picture("amplification"),
    )


def _few_heads() -> Headline:
    metrics = read("tiny_jump")["metrics"]
    losses = {name: row["over_within"] for name, row in metrics["losses"].items()}
    return Headline(
        "Extrapolation fails because of distances that training never showed",
        f"Beyond its window a tiny LLaMA loses {losses['none']:.2f} nats a token. When all heads see the last trained "
        f"distance in place of untrained ones, {1 - losses['clamp'] / losses['none']:.0%} of that loss goes; PI, which "
        f"changes all distances, leaves {losses['linear'] / losses['none']:.0%} of it before any fine-tuning.",
        ("heads_jump", "experiment-jump_tiny"),
        _picture("heads_jump"),
    )


def _sharp_heads() -> Headline:
    tiny, released = read("tiny_bends")["metrics"], read("smollm2_bends")["metrics"]
    by_two = [next(case for case in one["interpolated"] if case["factor"] == 2) for one in (tiny, released)]
    first, other = (case["sharpest"][0]["share"] for case in by_two)
    return Headline(
        "Untrained PI loses because its sharpest heads no longer can point",
        "Dividing positions blurs the few heads that tell a token from its neighbours, which the untouched model's "
        f"queries and keys name. On {by_two[0]['corpus']}, {first:.0%} of what PI by 2 costs inside the window goes "
        f"when one head of {len(tiny['heads'])} of a tiny LLaMA is left unscaled, and {other:.0%} when one group of "
        "heads of SmolLM2-135M is.",
        ("bends_spared", "claim-resolution.cap", "claim-resolution.linear"),
        _picture("bends_spared"),
    )


def _reach() -> Headline:
    metrics = read("tiny_reach")["metrics"]
    rank = metrics["rank_correlation"]["reach"]
    low, high = rank["interval"]
    return Headline(
        "The configuration alone tells how far a method reads",
        "Up to its reach a method meets only phases that training showed in every slow frequency. In a tiny LLaMA, "
        f"over {len(metrics['curves'])} methods and factors, the place where the loss rises follows the reach with "
        f"rank correlation {rank['value']:.2f} (95% interval {low:.2f} to {high:.2f}).",
        ("reach_onsets", "claim-reach.linear", "claim-reach.ntk"),
        _picture("reach_onsets"),
    )


def _choice() -> Headline:
    found = read("tiny_choice")["metrics"]["summary"]["beyond"]
    chosen, default = found["squared"], found["yarn"]
    return Headline(
        "Theory chooses the method and its settings",
        "Before anything is measured, take the settings that change the untouched model's attention least. On a tiny "
        f"LLaMA, beyond its window, they are the best measured ones in {chosen['best']} of {chosen['cells']} cases and "
        f"lose at most {chosen['largest_nats']:.2f} nats to them otherwise; YaRN with its published settings loses "
        f"{default['mean_nats']:.2f} in the mean.",
        ("settings_chosen", "displacement_losses", "claim-attention.shift"),
    )


def _without_training() -> Headline:
    record = read("smollm2_perplexity")
    corpus, window = next(iter(record["config"]["corpora"])), max(record["config"]["windows"])
    at = {
        method: next(case["perplexity"] for case in parts[corpus]["whole"] if case["window"] == window)
        for method, parts in record["metrics"]["perplexity"].items()
    }
    return Headline(
        "Without training, PI is the costliest way",
        f"SmolLM2-135M on {window} tokens of {corpus}, twice its window: perplexity {at['linear']:.0f} with PI, "
        f"{at['none']:.0f} as trained, {at['yarn']:.0f} with YaRN. PI stays level there but starts higher.",
        ("smollm2_perplexity", "experiment-zero_shot"),
        _picture("smollm2_perplexity"),
    )


def _after_training() -> Headline:
    tuned = read_runs("smollm2_finetune@gpu")
    corpus, factor = tuned.corpora[0], tuned.factors[0]
    window = round(factor * tuned.window)
    ours, theirs = (
        next(one for one in tuned.groups if (one.method, one.factor) == (method, factor)).last()[0]
        for method in ("linear", "none")
    )
    at_the_end = [math.exp(one.loss(corpus, window, "last") or math.nan) for one in (ours, theirs)]
    return Headline(
        "Fine-tuned, PI reads to the end of its new window",
        f"After {ours.step} steps in windows of {window} tokens, SmolLM2-135M has perplexity {at_the_end[0]:.1f} by PI "
        f"in the last {tuned.record['config']['last_tokens']} tokens of {corpus}, {at_the_end[1]:.1f} by direct "
        f"fine-tuning. It finds a passkey {ours.k_max} tokens back by PI, {theirs.k_max} directly.",
        ("smollm2_finetune@gpu", "experiment-finetune_smollm2_gpu"),
    )


def _theorem() -> Headline:
    models = read("landscape")["metrics"]["models"]
    margins = [model["margin"] for model in models]
    failing = [model["name"] for model in models if model["margin"] > 1]
    return Headline(
        "The paper's interpolation bound is too small",
        f"Theorem 2.1 fails for {len(failing)} of {len(models)} models in use: the true interpolation error exceeds "
        f"the published bound by {min(margins) - 1:.0%} to {max(margins) - 1:.0%}. Slightly larger bounds are proved "
        "here.",
        ("theorem_region", "claim-chen2023.thm2_1", "claim-taylor", "claim-closed_form"),
        _picture("theorem_region"),
    )


def _signs() -> Headline:
    record = read("smollm2_heads")
    beyond = record["config"]["beyond"][0]
    heads = [head["uniform"] for head in record["metrics"]["heads"]]
    above = sum(head[f"excess_{beyond}"]["median"] > 0 for head in heads)
    size = median(head[f"amplification_{beyond}"]["median"] for head in heads)
    return Headline(
        "In trained heads the sign turns, not the size",
        f"Up to {beyond} windows, the scores of the median head of SmolLM2-135M are {size:.2f} times their trained "
        f"size; in {above} of {len(heads)} heads they rise above the highest trained one.",
        ("heads_beyond", "experiment-heads_smollm2", "experiment-heads_tiny"),
    )


def _picture(name: str) -> bytes:
    """A figure for a narrow column: one panel of it, where it has several."""
    script = script_of(name)
    with shared_style():
        figure = getattr(script, "teaser", script.draw)()
        content = rendered(figure, "png", dpi=250)
        plt.close(figure)
    return content


_HEADLINES: tuple[Callable[[], Headline], ...] = (
    _theorem, _interpolation_is_safe, _few_heads, _sharp_heads, _reach, _choice, _without_training, _after_training,
    _signs,
)  # fmt: skip
