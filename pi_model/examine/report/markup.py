"""The parts that a report is put together from: numbers in words, links to how they were got, tables."""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from unicodedata import category

UNKNOWN = "not known yet"
UNMEASURED = "not measured"
_METHODS = {
    "none": "as it is",
    "linear": "linear (PI)",
    "ntk": "NTK-aware",
    "dynamic": "dynamic NTK",
    "yarn": "YaRN",
    "llama3": "Llama 3",
}
_WAYS = {"proved": "proved", "from the heads": "heads", "measured": "measured", "planned": "planned"}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def text(value: object) -> str:
    """Any value as text that HTML and SVG show as it stands; what cannot be seen is written as an escape."""
    said = str(value)
    return html.escape(said if said.isprintable() else "".join(map(_seen, said)))


def code(command: str) -> str:
    """A command to copy, of which a click selects the whole. Lines break between words, not within an option."""
    lines = (" ".join(f"<span>{text(word)}</span>" for word in line.split(" ")) for line in command.splitlines())
    return "<pre><code>" + "\n".join(lines) + "</code></pre>"


def _seen(character: str) -> str:
    seen = character.isprintable() or category(character) == "Zs"  # spaces of any width
    return character if seen else character.encode("unicode_escape").decode()


def number(value: float | None, digits: int = 3, missing: str = UNKNOWN) -> str:
    """A number with so many significant digits, without a power of ten unless it is far from 1.

    >>> [number(one) for one in (0.01704, 26.93, 134515008, 0.0, float("inf"), None)]
    ['0.0170', '26.9', '1.35·10⁸', '0', 'infinite', 'not known yet']
    """
    if value is None:
        return missing
    if math.isnan(value):
        return "undefined"
    sign = "−" if value < 0 else ""
    size = abs(value)
    if math.isinf(size):
        return f"{sign}infinite"
    if size == 0:
        return "0"
    if 1e-3 <= size < 1e6:
        return f"{sign}{size:,.{max(0, digits - 1 - math.floor(math.log10(size)))}f}"
    mantissa, power = f"{size:.{digits - 1}e}".split("e")
    return f"{sign}{mantissa}·10{str(int(power)).translate(_SUPERSCRIPT)}"


def plain(value: float | None, digits: int = 3) -> str:
    """A number that is often whole.

    >>> plain(10000.0), plain(2.5)
    ('10,000', '2.50')
    """
    usual = value is not None and math.isfinite(value) and abs(value) < 1e15 and value == int(value)
    return f"{value:,.0f}" if usual else number(value, digits)


def whole(value: int | None, missing: str = UNKNOWN) -> str:
    """A count, with its thousands apart.

    >>> whole(16384)
    '16,384'
    """
    return missing if value is None else f"{value:,}" if isinstance(value, int) else number(value)


def share(value: float | None, missing: str = UNKNOWN) -> str:
    """A ratio in per cent.

    >>> [share(one) for one in (1.0, 0.266, 0.017)]
    ['100%', '27%', '1.7%']
    """
    known = value is not None and math.isfinite(value)
    return f"{number(100 * value, 2)}%" if known and value is not None else number(value, missing=missing)


def loss(value: float | None) -> str:
    """A loss in nats: three decimals, which is a tenth of a per cent of perplexity."""
    usual = value is not None and math.isfinite(value) and abs(value) < 1e3
    return f"{value:.3f}".replace("-", "−") if usual else number(value, missing=UNMEASURED)


def perplexity(value: float | None) -> str:
    """The perplexity of a loss in nats."""
    if value is None:
        return UNMEASURED
    return number(math.exp(value) if value < 700 else math.inf if value >= 700 else value)


def signed(value: float) -> str:
    """A difference in nats."""
    return f"+{loss(value)}" if value > 0 else loss(value)


def called(method: str) -> str:
    """The name of a method, in words."""
    return _METHODS.get(method, method)


def style(method: str) -> str:
    """The class that gives a method its colour and its dashes."""
    return method if method in _METHODS else "other"


def titled(method: str, factor: float) -> str:
    """The name of a method with its factor.

    >>> titled("linear", 2.0), titled("yarn", 1.5)
    ('linear (PI) ×2', 'YaRN ×1.5')
    """
    by = f"{factor:g}" if math.isfinite(factor) else number(factor)
    return called(method) if method == "none" else f"{called(method)} ×{by}"


def got(said: str, how: str) -> str:
    """A number as a link to how it was got, an id of `pi_model.examine.report.terms`."""
    return f'<a class="number" href="#how-{how}">{text(said)}</a>'


def badge(evidence: str) -> str:
    """How a sentence is known, as a link to what that means."""
    way = _WAYS.get(evidence, "unknown")
    return f'<a class="badge {way}" href="#how-{way}">{text(evidence)}</a>'


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its head.
        how: what its head links to; "" for nothing.
    """

    title: str
    how: str = ""

    def head(self) -> str:
        """Its title, linked."""
        return f'<a href="#how-{self.how}">{text(self.title)}</a>' if self.how else text(self.title)


def table(caption: str, first: str, columns: Sequence[Column], rows: Sequence[tuple[str, Sequence[str]]]) -> str:
    """A table that becomes a list of cards where it has no room; its roles are named, because those cards lose them.

    Args:
        caption: what it shows, as HTML.
        first: title of the first column, whose cells head the rows.
        columns: the others.
        rows: the head and the cells of each, as HTML.
    """
    heads = "".join(f'<th role="columnheader" scope="col">{one.head()}</th>' for one in columns)
    body = "".join(
        f'<tr role="row"><th role="rowheader" scope="row">{head}</th>'
        + "".join(
            f'<td role="cell" data-label="{text(column.title)}"><span>{cell}</span></td>'
            for column, cell in zip(columns, cells, strict=True)
        )
        + "</tr>\n"
        for head, cells in rows
    )
    return (
        f'<div class="room"><table role="table" class="stacks"><caption>{caption}</caption>\n'
        f'<thead role="rowgroup"><tr role="row"><th role="columnheader" scope="col">{text(first)}</th>{heads}</tr>'
        f'</thead>\n<tbody role="rowgroup">{body}</tbody></table></div>\n'
    )


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """Names, and one value of each as HTML."""
    body = "".join(f'<tr><th scope="row">{text(name)}</th><td>{value}</td></tr>\n' for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>\n'


def items(parts: Sequence[str]) -> str:
    """A list of pieces of HTML."""
    return f"<ul>{''.join(f'<li>{one}</li>' for one in parts)}</ul>\n" if parts else ""
