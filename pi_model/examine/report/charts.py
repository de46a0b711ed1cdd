"""The charts of a report as inline SVG: their colours are CSS variables, so that they follow light, dark and print.

A chart is drawn at several widths, and the page shows the one that has room, so that its letters keep their size.
Lines differ by their dashes as well as by their colours, and are labelled where they end.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pi_model.examine.findings import Stretch
from pi_model.examine.report.markup import number, text, whole

_WIDTHS = {"narrow": 370, "middle": 600, "broad": 960}  # the classes of page.css, and pixels
_LETTER, _SMALL_LETTER = 8.2, 7.0  # pixels that a letter of a label takes, and of an axis
_ROW = 17  # pixels from the label of one mark to that of the next
_LARGEST = 1e6  # what is above is no loss of a token

Drawing = Callable[[int], tuple[float, str]]
"""What draws a chart: from a width in pixels to the height and the content of the SVG."""


@dataclass(frozen=True)
class Line:
    """A loss by position.

    Attributes:
        label: what stands at its end.
        style: the class of its colour and its dashes.
        curve: its stretches.
        bold: whether it is the one to look at.
    """

    label: str
    style: str
    curve: tuple[Stretch, ...]
    bold: bool = False

    def points(self) -> list[tuple[float, float]]:
        """Position and loss: the middle of each stretch, and the two ends."""
        known = [one for one in self.curve if math.isfinite(one.loss_nats) and abs(one.loss_nats) < _LARGEST]
        middles = [((one.start + one.end) / 2, one.loss_nats) for one in known]
        if not known:
            return []
        return [(known[0].start, known[0].loss_nats), *middles, (known[-1].end, known[-1].loss_nats)]


@dataclass(frozen=True)
class Mark:
    """A vertical line with a name, at a number of tokens."""

    tokens: int
    label: str


@dataclass(frozen=True)
class Bar:
    """A number of tokens; None is without limit."""

    label: str
    style: str
    tokens: int | None


@dataclass(frozen=True)
class Row:
    """Shares from 0 to 1 by distance in tokens."""

    label: str
    style: str
    shares: dict[int, float]


def figure(title: str, says: str, draw: Drawing, caption: str) -> str:
    """A chart at every width.

    Args:
        title: what it shows.
        says: what it says, for those who do not see it.
        draw: what draws it.
        caption: below it, as HTML.
    """
    pictures = []
    for name, width in _WIDTHS.items():
        height, content = draw(width)
        pictures.append(
            f'<svg class="{name}" viewBox="0 0 {width} {height:.0f}" role="img" '
            f'aria-label="{text(title)}. {text(says)}"><title>{text(title)}</title><desc>{text(says)}</desc>\n'
            f"{content}</svg>\n"
        )
    return f'<figure><div class="room">{"".join(pictures)}</div><figcaption>{caption}</figcaption></figure>\n'


@dataclass(frozen=True)
class _Frame:
    """Where losses by position are drawn: its edges in pixels, and the positions and losses that they stand for."""

    left: float
    right: float
    top: float
    bottom: float
    tokens: int
    low: float
    high: float

    def x(self, position: float) -> float:
        return self.left + (self.right - self.left) * min(1.0, position / max(1, self.tokens))

    def y(self, nats: float) -> float:
        return self.top + (self.bottom - self.top) * (self.high - nats) / (self.high - self.low)


def lines(drawn: Sequence[Line], marks: Sequence[Mark], tokens: int) -> Drawing:
    """Losses by position up to so many tokens; what lies far above the lowest lines leaves the picture at its top."""
    shown = [line for line in drawn if line.points()]
    low, high = _range([line.points() for line in shown])

    def draw(width: int) -> tuple[float, str]:
        ends = {line: line.points()[-1][1] for line in shown}
        above = {line: f"↑ {line.label} {number(nats, 2)}" for line, nats in ends.items() if nats > high}
        labels = {line: line.label for line in shown} | above
        height = 330 if width < 500 else 420
        beside = max(20 + _LETTER * max(map(len, labels.values()), default=0), _SMALL_LETTER * len(whole(tokens)) / 2)
        frame = _Frame(38, width - beside, 30 + _ROW * len(marks), height - 46, tokens, low, high)
        tall = frame.bottom - frame.top
        return height, "\n".join(
            [
                *_axes(frame, steps=2 if width < 500 else 4),
                *_marks(marks, frame.x, (frame.top, frame.bottom), width),
                # An SVG inside an SVG cuts off what leaves it, and needs no id to do so.
                f'<svg y="{frame.top}" width="{width}" height="{tall}" viewBox="0 {frame.top} {width} {tall}">',
                *(_path(line, [(frame.x(at), frame.y(nats)) for at, nats in line.points()]) for line in shown),
                "</svg>",
                *_ends(frame, ends, labels),
            ]
        )

    return draw


def _axes(frame: _Frame, steps: int) -> list[str]:
    parts = [_say(2, 16, "loss in nats per token (lower is better)", "axis")]
    for level in _ticks(frame.low, frame.high):
        parts.append(f'<path class="grid" d="M{frame.left} {frame.y(level):.1f}H{frame.right:.1f}"/>')
        parts.append(_say(frame.left - 6, frame.y(level) + 4, f"{level:g}", "axis end"))
    for step in range(steps + 1):
        position = frame.tokens * step // steps
        parts.append(_say(frame.x(position), frame.bottom + 20, whole(position), "axis middle" if step else "axis"))
    middle = (frame.left + frame.right) / 2
    return [*parts, _say(middle, frame.bottom + 40, "position in the text, in tokens", "axis middle")]


def _ends(frame: _Frame, ends: dict[Line, float], labels: dict[Line, str]) -> list[str]:
    """The labels beside the ends of lines, moved apart where these are close."""
    heights = {line: min(max(frame.y(nats), frame.top + 4), frame.bottom) for line, nats in ends.items()}
    parts = []
    for line, placed in _apart(heights, 18, frame.top + 4).items():
        at = heights[line]
        parts.append(f'<path class="leader" d="M{frame.right:.1f} {at:.1f}l8 {placed - at:.1f}"/>')
        parts.append(_say(frame.right + 10, placed + 4, labels[line], f"label {line.style}"))
    return parts


def bars(drawn: Sequence[Bar], marks: Sequence[Mark]) -> Drawing:
    """Numbers of tokens as bars, beside marks; a bar that would be far longer than the marks ends in an arrow."""
    furthest = max([mark.tokens for mark in marks] + [1])
    longest = min(1.6 * furthest, max([bar.tokens or 0 for bar in drawn] + [1.15 * furthest]))

    def draw(width: int) -> tuple[float, str]:
        left = 8 + _LETTER * max((len(bar.label) for bar in drawn), default=0)
        right, top, each = 100, 14 + _ROW * len(marks), 30
        height = top + each * len(drawn) + 10
        inner = width - left - right

        def x(tokens: float) -> float:
            return left + inner * min(1.0, tokens / longest)

        parts, said = [], []
        for index, bar in enumerate(drawn):
            y, over = top + each * index + 4, bar.tokens is None or bar.tokens > longest
            end = x(longest) if over or bar.tokens is None else x(max(0, bar.tokens))
            tip = f"L{end + 9:.1f} {y + 10}L{end:.1f} {y + 20}" if over else f"V{y + 20}"
            tokens = "no limit" if bar.tokens is None else whole(bar.tokens)
            parts.append(f'<path class="bar {bar.style}" d="M{left:.1f} {y}H{end:.1f}{tip}H{left:.1f}Z"/>')
            parts.append(_say(left - 6, y + 15, bar.label, "end"))
            said.append(_say(end + (14 if over else 6), y + 15, tokens, "label over"))
        return height, "\n".join([*parts, *_marks(marks, x, (top, height), width), *said])

    return draw


def shares(drawn: Sequence[Row]) -> Drawing:
    """A box for each row and distance, filled as high as the share."""
    distances = sorted({one for row in drawn for one in row.shares})

    def draw(width: int) -> tuple[float, str]:
        left = 8 + _LETTER * max((len(row.label) for row in drawn), default=0)
        top, each = 42, 58
        column = min(100.0, (width - left - 4) / max(1, len(distances)))
        middles = {distance: left + column * (place + 0.5) for place, distance in enumerate(distances)}
        parts = [_say(2, 16, "per cent found, by distance k in tokens", "axis")]
        for distance, middle in middles.items():
            said = whole(distance) if column > 46 else f"{distance / 1024:.3g}k"
            parts.append(_say(middle, top - 6, said, "axis middle"))
        for index, row in enumerate(drawn):
            y = top + each * index
            parts.append(_say(left - 6, y + 36, row.label, "end"))
            for distance, middle in middles.items():
                found = row.shares.get(distance, math.nan)
                parts += _box(found, middle, y, min(column - 6, 64), row.style)
        return top + each * len(drawn), "\n".join(parts)

    return draw


def _box(found: float, middle: float, y: float, wide: float, style: str) -> list[str]:
    """A share as a box with its number above, or a dash where it is not known."""
    if not math.isfinite(found):
        return [_say(middle, y + 36, "–", "axis middle")]
    tall = 32
    filled = tall * min(max(found, 0.0), 1.0)
    at = f'x="{middle - wide / 2:.1f}" width="{wide:.1f}"'
    return [
        _say(middle, y + 14, number(100 * found, 2), "middle"),
        f'<rect class="box" {at} y="{y + 18}" height="{tall}"/>',
        f'<rect class="bar {style}" {at} y="{y + 18 + tall - filled:.1f}" height="{filled:.1f}"/>',
    ]


def _range(curves: Sequence[Sequence[tuple[float, float]]]) -> tuple[float, float]:
    """The losses between which a chart is drawn: from the lowest up to what the flattest curves need."""
    if not curves:
        return 0.0, 1.0
    heights = [[nats for _, nats in points] for points in curves]
    low, high = min(map(min, heights)), max(map(max, heights))
    spread = min(max(one) - min(one) for one in heights)
    high = min(high, low + max(2.5, 2.5 * spread))
    margin = 0.05 * max(high - low, 0.02)
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """A handful of round numbers between two."""
    rough = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * one for one in (1, 2, 5, 10) if power * one >= rough)
    first = math.ceil(low / step)
    return [round((first + one) * step, 10) for one in range(int((high - first * step) / step + 1e-9) + 1)]


def _apart(places: dict[Line, float], gap: float, top: float) -> dict[Line, float]:
    """The places moved so that none is closer to another than the gap, in their order and none above the top."""
    order = sorted(places, key=lambda one: places[one])
    moved: dict[Line, float] = {}
    previous = -math.inf
    for one in order:
        moved[one] = previous = max(places[one], previous + gap)
    # What was pushed below the last place goes up again, as far as the top allows.
    limit = max(places.values(), default=0.0) + gap / 2
    for one in reversed(order):
        moved[one] = min(moved[one], limit)
        limit = moved[one] - gap
    shift = max(0.0, top - min(moved.values(), default=top))
    return {one: at + shift for one, at in moved.items()}


def _marks(marks: Sequence[Mark], x: Callable[[float], float], between: tuple[float, float], width: int) -> list[str]:
    """Vertical lines, each with its label on a row of its own above them: to its right, where there is room.

    The leftmost has the highest row, so that no line crosses the label of another.
    """
    parts, (top, bottom) = [], between
    for row, mark in enumerate(sorted(marks, key=lambda one: one.tokens)):
        at, y = x(mark.tokens), top - _ROW * (len(marks) - row) + 7
        right = at + 5 + _SMALL_LETTER * len(mark.label) <= width
        parts.append(f'<path class="mark" d="M{at:.1f} {y - 10:.1f}V{bottom:.1f}"/>')
        parts.append(_say(at + 5 if right else at - 5, y, mark.label, "axis" if right else "axis end over"))
    return parts


def _path(line: Line, points: Sequence[tuple[float, float]]) -> str:
    bold = " bold" * line.bold
    return f'<path class="line {line.style}{bold}" d="M{"L".join(f"{x:.1f} {y:.1f}" for x, y in points)}"/>'


def _say(x: float, y: float, said: str, style: str) -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}">{text(said)}</text>'
