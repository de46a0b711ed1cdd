"""Pictures under controls, for notebooks.

A picture is an ordinary output of its cell, which is replaced whenever a control changes. Where controls are not
rendered, as in a printed or exported notebook, the picture of their first values stays.
"""

import io
import math
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
from IPython.display import Image, display
from ipywidgets import HTML, Box, HBox, Layout, SelectionSlider, Text, ValueWidget, VBox
from matplotlib.figure import Figure
from traitlets import Any, Bunch

from figures.style import shared_style

_DPI = 160


class Number(HBox):  # type: ignore[misc]  # ipywidgets has no types
    """A slider over usual numbers, and a field beside it that takes any other.

    Text that is no number is answered by a line beside the field and changes nothing. Whether a number makes sense is
    left to what draws with it, see `explore`.

    Args:
        value: the first number. If it is an int, the field takes whole numbers only.
        usual: the slider's stops, rising.
        description: the name shown before the slider and used in messages.

    Attributes:
        value: the number that was chosen last. Setting it moves the slider to the nearest stop.
    """

    value = Any()

    def __init__(self, value: int | float, usual: Sequence[int | float], description: str) -> None:
        self._kind, self._usual, self._name = type(value), usual, description
        options = [(f"{stop:g}", stop) for stop in usual]
        self._slider = SelectionSlider(
            options=options, value=self._nearest(value), description=description, continuous_update=False, readout=False
        )
        self._field = Text(value=str(value), continuous_update=False, layout=Layout(width="7em"))
        self._said = HTML()
        super().__init__([self._slider, self._field, self._said], value=value)
        self._slider.observe(self._slid, "value")
        self._field.observe(self._typed, "value")
        self.observe(self._changed, "value")

    def _slid(self, change: Bunch) -> None:
        self.value = self._kind(change.new)

    def _typed(self, change: Bunch) -> None:
        self._said.value = ""
        try:
            number = self._kind(change.new)
            if not math.isfinite(number):
                raise ValueError
        except (ValueError, OverflowError):
            kind = "a whole number" if self._kind is int else "a number"
            self._said.value = f"{self._name} must be {kind}, for example {self._usual[0]:g}"
        else:
            self.value = number

    def _changed(self, change: Bunch) -> None:
        self._field.value = str(change.new)
        self._slider.unobserve(self._slid, "value")  # the stop stands near the number, and is not it
        self._slider.value = self._nearest(change.new)
        self._slider.observe(self._slid, "value")

    def _nearest(self, value: int | float) -> int | float:
        return min(self._usual, key=lambda stop: abs(stop - value))


def explore(draw: Callable[..., Figure], **controls: ValueWidget | Number) -> None:
    """Shows ``draw(name=value, ...)`` under its controls, and draws it again whenever one of them changes.

    Controls may be shared between pictures; moving one then redraws all of them.

    Args:
        draw: makes a figure. The message of a ValueError or ArithmeticError that it raises is shown beside the
            controls, and the last picture stays.
        controls: a widget for each argument of ``draw``.
    """

    def picture() -> Image:
        return _picture(lambda: draw(**{name: control.value for name, control in controls.items()}))

    said = HTML()
    display(VBox([Box(list(controls.values()), layout=Layout(flex_flow="row wrap")), said]))
    shown = display(picture(), display_id=True)

    def redraw(_: object) -> None:
        said.value = "drawing ..."
        try:
            shown.update(picture())
            said.value = ""
        except (ValueError, ArithmeticError) as error:
            said.value = str(error)

    for control in controls.values():
        control.observe(redraw, names="value")


def show(draw: Callable[[], Figure]) -> None:
    """Shows a picture without controls, in the same style."""
    display(_picture(draw))


def _picture(draw: Callable[[], Figure]) -> Image:
    content = io.BytesIO()
    with shared_style():
        figure = draw()
        figure.savefig(content, format="png", dpi=2 * _DPI)
        plt.close(figure)
    titles = "; ".join(title for axes in figure.axes if (title := axes.get_title(loc="left")))
    return Image(content.getvalue(), format="png", retina=True, metadata={"alt": titles})
