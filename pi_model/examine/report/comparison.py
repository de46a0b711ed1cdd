"""What a report says of two checkpoints, such as a model before and after fine-tuning, each read as it is."""

from pi_model.examine.differences import difference
from pi_model.examine.findings import Examination, Method
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
    plain = [_as_it_is(one) for one in both.values()]
    same_window = len({one.identity.window_tokens for one in both.values()}) == 1
    rows = []
    for part in ("inside", "whole", "last"):
        before, after = (getattr(one.measured, part) if one and one.measured else () for one in plain)
        alike = subtract and (same_window or part != "inside")
        less = said_difference(difference(after, before)) if alike else "not compared"
        rows.append((f"{part}: loss (perplexity)", [mean_loss(before), mean_loss(after), less]))
    found = [got(whole(k_max(one.passkeys)) if one and one.passkeys else UNMEASURED, "passkey") for one in plain]
    rows.append(("k_max of passkeys, in tokens", [*found, ""]))
    columns = [Column("A"), Column("B"), Column("B less A", "difference")]
    return table("The two checkpoints as they are", "measured", columns, rows)


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
