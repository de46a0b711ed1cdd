"""What a report says of the methods: loss by position, what is known of each, how far it reaches, passkeys."""

import math
from collections.abc import Mapping, Sequence

from pi_model.evaluation.differences import Difference, difference
from pi_model.examine.findings import Examination, Method, PredictedLoss, Stretch
from pi_model.examine.losses import best, mean
from pi_model.examine.report import charts
from pi_model.examine.report.markup import (
    UNMEASURED,
    Column,
    called,
    facts,
    got,
    loss,
    number,
    perplexity,
    share,
    signed,
    style,
    table,
    text,
    titled,
    whole,
)

REACHED = 0.2
"""The share of trials from which on a distance counts as reached: Chen et al. 2023, Section 3.3."""


def loss_by_position(one: Examination) -> str:
    """The loss of every method along the context, with the trained window and the target marked."""
    measured = [method for method in one.methods if method.measured]
    bold = best(measured) if len(measured) > 1 else None
    drawn = [
        charts.Line(called(method.method), style(method.method), method.measured.curve, bold=method is bold)
        for method in one.methods
        if method.measured
    ]
    caption = (
        "Each line is the mean loss of the documents at that position, read by one method; the thick one is lowest "
        "over the whole. A line with ↑ leaves the picture at its top and ends at the loss beside its name. Read: "
        f'{text(one.data)}. <a href="#how-loss">More on losses</a>.'
    )
    return losses_by_position("Loss by position, for each method", drawn, _marks(one), one.context_tokens, caption)


def losses_by_position(
    title: str, drawn: Sequence[charts.Line], marks: Sequence[charts.Mark], tokens: int, caption: str
) -> str:
    """The chart of losses by position, and its numbers in a table."""
    drawn = [line for line in drawn if line.points()]
    if not drawn:
        return f"<p>The loss by position is {UNMEASURED} yet.</p>"
    says = " ".join(
        f"{line.label}: {loss(line.points()[0][1])} nats at the start, {loss(line.points()[-1][1])} at the end."
        for line in drawn
    )
    places = sorted({(stretch.start, stretch.end) for line in drawn for stretch in line.curve})
    rows = [
        (f"{whole(start)} to {whole(end)}", [got(_at(line.curve, start, end), "loss") for line in drawn])
        for start, end in places
    ]
    columns = [Column(line.label, "loss") for line in drawn]
    numbers = table("Loss in nats per token between two positions", "tokens", columns, rows)
    return (
        charts.figure(title, says, charts.lines(drawn, marks, tokens), caption)
        + f"<details><summary>The numbers of this chart</summary>{numbers}</details>"
    )


def _at(curve: Sequence[Stretch], start: int, end: int) -> str:
    return loss(next((one.loss_nats for one in curve if (one.start, one.end) == (start, end)), None))


def methods_compared(one: Examination) -> str:
    """What is known of each method before measuring, and what was measured, in two tables."""
    winner = best(one.methods)
    names = [titled(method.method, method.factor) for method in one.methods]
    predicted = table(
        "What is known of each method before anything is measured: reach and resolution from the configuration, the "
        "others from this checkpoint's heads.",
        "method",
        [
            Column("reach", "reach"),
            Column("resolution, sharpest and flat", "resolution"),
            Column("bends kept", "bend"),
            Column("displacement", "displacement"),
            Column("loss added", "predicted"),
        ],
        [(text(name), _known(method)) for name, method in zip(names, one.methods, strict=True)],
    )
    if not any(method.measured for method in one.methods):
        return f"{predicted}<p>Their losses are {UNMEASURED} yet.</p>"
    return predicted + table(
        f"What was measured on {_documents(one)}: loss in nats per token, and perplexity in brackets. ★ has the lowest "
        "loss over the whole; differences are to it, with their standard errors.",
        "method",
        [
            *(Column(f"{part}: loss (perplexity)", "loss") for part in ("inside", "whole", "last")),
            Column("whole, minus the best", "difference"),
        ],
        [
            (text(name) + " ★" * (method is winner), _measured(method, winner))
            for name, method in zip(names, one.methods, strict=True)
        ],
    )


def _known(method: Method) -> list[str]:
    reach = "no limit" if method.reach_tokens is None else whole(method.reach_tokens)
    return [
        got(reach, "reach"),
        got(f"{share(method.resolution)}, {share(method.flat_resolution)}", "resolution"),
        got(share(method.bend), "bend"),
        got(number(method.displacement), "displacement"),
        got(_range(method.predicted), "predicted"),
    ]


def _range(predicted: PredictedLoss | None) -> str:
    if predicted is None:
        return UNMEASURED
    return f"{predicted.above_nats:.2g} ({predicted.low:.2g} to {predicted.high:.2g})"


def _measured(method: Method, winner: Method | None) -> list[str]:
    measured = method.measured
    if measured is None:
        return [got(UNMEASURED, "measured")] * 4
    losses = [mean_loss(part) for part in (measured.inside, measured.whole, measured.last)]
    if method is winner:
        return [*losses, got("the best", "difference")]
    best_losses = winner.measured.whole if winner and winner.measured else ()
    return [*losses, said_difference(difference(measured.whole, best_losses))]


def _documents(one: Examination) -> str:
    """How many documents were read: where it differs by method, the fewest and the most."""
    counts = [method.measured.documents for method in one.methods if method.measured]
    fewest, most = min(counts), max(counts)
    said = whole(most) if fewest == most else f"{whole(fewest)} to {whole(most)}"
    return f"{got(said, 'loss')} document{'s' * (most != 1)}, the same by each method"


def mean_loss(losses: Sequence[float]) -> str:
    """The mean over documents, and its perplexity."""
    value = mean(losses)
    return got(UNMEASURED if value is None else f"{loss(value)} ({perplexity(value)})", "loss")


def said_difference(found: Difference | None) -> str:
    """A difference with its standard error, and in per cent of perplexity."""
    if found is None:
        return got(UNMEASURED, "difference")
    error = "" if found.error is None else f"\u00a0±\u00a0{_error(found.error)}"
    grown = math.expm1(found.mean) if found.mean < 700 else math.inf
    return got(f"{signed(found.mean)}{error} ({'+' * (grown > 0)}{share(grown)})", "difference")


def _error(nats: float) -> str:
    return "<0.001" if 0 < nats < 0.0005 else loss(nats)


def reach(one: Examination) -> str:
    """How far each method reads, against the target."""
    drawn = [charts.Bar(called(method.method), style(method.method), method.reach_tokens) for method in one.methods]
    says = " ".join(f"{bar.label}: {'no limit' if bar.tokens is None else whole(bar.tokens)}." for bar in drawn)
    caption = (
        "Up to how many tokens each method meets only angles that training has shown, from the configuration alone. "
        'It says how far attention is on known ground, not how good it is there. <a href="#how-reach">More on '
        "reach</a>."
    )
    return charts.figure(
        "Reach of each method against the target, in tokens", says, charts.bars(drawn, _marks(one)), caption
    )


def passkeys(one: Examination) -> str:
    """How far back each method finds a number, where that was asked."""
    tried = [method for method in one.methods if method.passkeys]
    if not tried:
        return f"<p>Passkeys are {UNMEASURED} yet.</p>"
    drawn = [charts.Row(called(method.method), style(method.method), method.passkeys or {}) for method in tried]
    says = " ".join(
        f"{row.label}: " + ", ".join(f"{share(found)} at {whole(k)}" for k, found in sorted(row.shares.items())) + "."
        for row in drawn
    )
    caption = (
        "How often each method finds a number hidden k tokens back; 4k is 4,096 tokens. "
        '<a href="#how-passkey">More on passkeys</a>.'
    )
    furthest = [
        (titled(method.method, method.factor), got(whole(k_max(method.passkeys or {})), "passkey")) for method in tried
    ]
    return (
        charts.figure("Share of passkeys found, by distance", says, charts.shares(drawn), caption)
        + '<p class="soft">k_max in tokens: the largest k such that it is found at least one time in five there and at '
        f"every smaller k tried, or 0.</p>\n{facts(furthest)}"
    )


def k_max(found: Mapping[int, float]) -> int:
    """The largest distance up to which every distance is reached; 0 if there is none."""
    reached = 0
    for distance in sorted(found):
        if not found[distance] >= REACHED:
            break
        reached = distance
    return reached


def _marks(one: Examination) -> list[charts.Mark]:
    return [
        charts.Mark(one.identity.window_tokens, f"trained window {whole(one.identity.window_tokens)}"),
        charts.Mark(one.context_tokens, f"target {whole(one.context_tokens)}"),
    ]
