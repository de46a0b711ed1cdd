"""What a run gained and lost: its measurements before the first step and after the last, as a table and a picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from pi_model.files import write_text
from pi_model.training.midrun_evaluation import DIGEST
from pi_model.training.run_log import read_log

NAMES = ("before_after.txt", "before_after.svg")


@dataclass(frozen=True)
class Row:
    """One quantity before and after.

    Attributes:
        name: what was measured.
        before: its value before the first step.
        after: its value after the last.
        share: whether it is a share from 0 to 1, of which more is better; else it is a perplexity.
    """

    name: str
    before: float
    after: float
    share: bool


@dataclass(frozen=True)
class BeforeAfter:
    """Two measurements of the same things.

    Attributes:
        model: the name of the model that was trained.
        data: the source of the documents; None where no perplexity was measured.
        first: the step of the first measurement.
        last: the step of the last.
        rows: what was measured.
    """

    model: str
    data: str | None
    first: int
    last: int
    rows: tuple[Row, ...]

    @property
    def title(self) -> str:
        """What the table and the picture show."""
        on = f", perplexity on {self.data}" if self.data else ""
        return f"{self.model} before training (step {self.first}) and after (step {self.last}){on}"

    def table(self) -> str:
        """The measurements as a table in text."""
        heads = ("", f"step {self.first}", f"step {self.last}", "change")
        cells = [
            heads,
            *((row.name, _shown(row, row.before), _shown(row, row.after), _change(row)) for row in self.rows),
        ]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = ["  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])]) for line in cells]
        return "\n".join([self.title, *lines])

    def picture(self) -> str:
        """The measurements as an SVG: two bars for each quantity, each with its number."""
        left, across, pair = 260, 280, 62
        longest = max((value for row in self.rows if not row.share for value in _finite(row)), default=1.0)
        parts = [_text(16, 26, self.title if len(self.title) < 90 else f"...{self.title[-86:]}", "bold")]
        for number, row in enumerate(self.rows):
            top = 48 + pair * number
            parts.append(_text(16, top + 26, row.name))
            for place, (value, colour) in enumerate(zip((row.before, row.after), ("#9aa5b1", "#1f5f99"), strict=True)):
                share = value if row.share else value / longest
                length = across * min(1.0, share) if math.isfinite(share) else across
                y = top + 4 + 22 * place
                step = (self.first, self.last)[place]
                parts.append(f'<rect x="{left}" y="{y}" width="{max(1.0, length):.1f}" height="18" fill="{colour}"/>')
                parts.append(_text(left + length + 8, y + 14, f"{_shown(row, value)}  (step {step})"))
        height = 56 + pair * len(self.rows)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 680 {height}" width="680" height="{height}" '
            f'role="img" font-family="sans-serif" font-size="13"><title>{escape(self.table())}</title>\n'
            f'<rect width="680" height="{height}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
        )

    def write(self, out: Path) -> None:
        """Write table and picture into the run's folder.

        Raises:
            RunError: it cannot be written.
        """
        for name, content in zip(NAMES, (self.table() + "\n", self.picture()), strict=True):
            write_text(out / name, content)


def before_after(out: Path, model: str, data: str | None) -> BeforeAfter | None:
    """The first and the last of a run's measurements; None where it has not two that measured the same.

    Args:
        out: the run's folder.
        model: the name of the model that was trained.
        data: the source of the documents.
    """
    lines = read_log(out / "evaluations.jsonl")
    same = [line for line in lines if line.get(DIGEST) == lines[-1].get(DIGEST)]
    steps = {line["step"]: line for line in same}
    if len(steps) < 2:
        return None
    first, last = steps[min(steps)], steps[max(steps)]
    rows = [
        Row(f"perplexity in windows of {window}", _perplexity(nats), _perplexity(last["loss_nats"][window]), False)
        for window, nats in first.get("loss_nats", {}).items()
    ]
    if found := first.get("accuracy"):
        rows.append(Row("passkeys found", _mean(found.values()), _mean(last["accuracy"].values()), True))
        farthest = max(found, key=int)
        name = f"passkeys found at {farthest} tokens"
        rows.append(Row(name, found[farthest], last["accuracy"][farthest], True))
    return BeforeAfter(model, data, first["step"], last["step"], tuple(rows))


def _perplexity(nats: Any) -> float:
    return math.exp(nats) if nats < 700 else math.inf


def _mean(values: Any) -> float:
    return sum(values) / len(values)


def _finite(row: Row) -> Sequence[float]:
    return [value for value in (row.before, row.after) if math.isfinite(value)]


def _shown(row: Row, value: float) -> str:
    return f"{value:.0%}" if row.share else f"{value:.4g}" if value < 1e4 else f"{value:.2e}"


def _change(row: Row) -> str:
    if row.share:
        return f"{100 * (row.after - row.before):+.0f} points"
    return f"{row.after / row.before - 1:+.1%}"


def _text(x: float, y: float, content: str, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" font-weight="{weight}" fill="#222222">{escape(content)}</text>'
