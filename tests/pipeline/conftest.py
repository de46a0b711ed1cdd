"""Pictures of few pixels: no test looks at them, and most of a figure's time is spent on its pixels."""

import sys

import pytest


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    if drawing := sys.modules.get("figures.drawing"):
        rendered = drawing.rendered
        for module in filter(None, (drawing, sys.modules.get("figures.headlines"))):
            monkeypatch.setattr(module, "rendered", lambda figure, kind, dpi=0: rendered(figure, kind, dpi=40))
