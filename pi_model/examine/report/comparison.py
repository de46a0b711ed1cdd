"""What a report says of two checkpoints, such as a model before and after fine-tuning, each read as it is."""

from collections.abc import Sequence

from pi_model.evaluation.differences import difference
from pi_model.examine.findings import Examination, Method, Stretch
from pi_model.examine.losses import mean_until
from pi_model.examine.report import charts
from pi_model.examine.report.markup import UNMEASURED, Column, got, table, text, whole
from pi_model.examine.report.methods import k_max, losses_by_position, mean_loss, said_difference

LETTERS = "AB"
"""What the two are called where their names are too long."""


def compared(first: Examination, second: Examination) -> str:
    """Their losses in one chart, and their differences."""
    both = dict(zip(LETTERS, (first, second), strict=True))
    names = "".join(
        f"<p><strong>{letter}</strong> is {text(one.identity.model)}.</p>\n" for letter, one in both.items()
    )
    why = _not_alike(first, second)
    note = f"<p>{text(why)}</p>\n" if why else ""
    return names + _chart(both) + note + _table(both, subtract=not why)


def _chart(both: dict[str, Examination]) -> str:
    drawn = [
        charts.Line(letter, "none" if letter == "A" else "linear", method.measured.curve, bold=letter == "B")
        for letter, one in both.items()
        if (method := _as_it_is(one)) and method.measured
    ]
    tokens = max(one.context_tokens for one in both.values())
    windows = {letter: one.identity.window_tokens for letter, one in both.items()}
    if len(set(windows.values())) == 1:
        marks = [charts.Mark(windows["A"], f"trained window {whole(windows['A'])}")]
    else:
        marks = [charts.Mark(window, f"window of {letter}") for letter, window in windows.items()]
    return losses_by_position(
        "Loss by position of the two checkpoints as they are",
        drawn,
        [*marks, charts.Mark(tokens, "target")],
        tokens,
        'Both checkpoints as they are, without any method. <a href="#how-loss">More on losses</a>.',
    )


def _table(both: dict[str, Examination], *, subtract: bool) -> str:
    before, after = ((one.measured if one else None) for one in map(_as_it_is, both.values()))
    windows = {one.identity.context_tokens for one in both.values()}
    rows = []
    for part in ("inside", "whole", "last") if len(windows) == 1 else ("whole", "last"):
        losses = [getattr(one, part) if one else () for one in (before, after)]
        less = said_difference(difference(losses[1], losses[0])) if subtract else "not subtracted"
        rows.append((f"{part}: loss (perplexity)", [*map(mean_loss, losses), less]))
    if len(windows) == 2 and before and after:  # then what is inside for one is not for the other
        rows.insert(0, _inside_smaller(before.curve, after.curve, min(windows), subtract=subtract))
    found = [method.passkeys if (method := _as_it_is(one)) else None for one in both.values()]
    reached = [got(whole(k_max(shares)) if shares else UNMEASURED, "passkey") for shares in found]
    rows.append(("k_max of passkeys, in tokens", [*reached, "not subtracted"]))
    columns = [Column("A"), Column("B"), Column("B minus A", "difference")]
    return table("The two checkpoints as they are", "measured", columns, rows)


def _inside_smaller(
    before: Sequence[Stretch], after: Sequence[Stretch], window: int, *, subtract: bool
) -> tuple[str, list[str]]:
    """The row of losses in the window of the one that serves fewer tokens, from the losses by position."""
    losses = [mean_until(curve, window) for curve in (before, after)]
    known = [[nats] if nats is not None else [] for nats in losses]
    found = difference(known[1], known[0])
    less = said_difference(found) if subtract else "not subtracted"
    return f"up to {whole(window)} tokens: loss (perplexity)", [*map(mean_loss, known), less]


def _as_it_is(one: Examination) -> Method | None:
    return next((method for method in one.methods if method.method == "none"), None)


def _not_alike(first: Examination, second: Examination) -> str:
    """Why losses of the two may not be subtracted, or nothing."""
    if first.data != second.data:
        return "Their losses are not subtracted, because they read different texts."
    if first.context_tokens != second.context_tokens:
        return "Their losses are not subtracted, because they were examined for different windows."
    if first.identity.tokenizer != second.identity.tokenizer:
        return "Their losses are not subtracted, because their tokens are not the same."
    return ""
