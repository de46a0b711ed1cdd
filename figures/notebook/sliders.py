"""Sliders above a picture, for notebooks.

The picture is an ordinary output of the cell, which a slider replaces. Where widgets are not rendered, as in a printed
or exported notebook, the picture at the sliders' first values stays.
"""

import io
from collections.abc import Callable

import matplotlib.pyplot as plt
from IPython.display import Image, display
from ipywidgets import HTML, Box, Layout, ValueWidget, VBox
from matplotlib.figure import Figure

from figures.style import shared_style

_DPI = 160


def explore(draw: Callable[..., Figure], **controls: ValueWidget) -> None:
    """Shows ``draw(name=value, ...)`` under its controls, and draws it again whenever one of them changes.

    Controls may be shared between pictures: moving one then redraws all of them.

    Args:
        draw: makes a figure. A ValueError or ArithmeticError it raises is shown beside the controls, the last picture
            stays.
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
    """A picture without controls, in the same style."""
    display(_picture(draw))


def _picture(draw: Callable[[], Figure]) -> Image:
    content = io.BytesIO()
    with shared_style():
        figure = draw()
        figure.savefig(content, format="png", dpi=2 * _DPI)
        plt.close(figure)
    titles = "; ".join(title for axes in figure.axes if (title := axes.get_title(loc="left")))
    return Image(content.getvalue(), format="png", retina=True, alt=titles)
