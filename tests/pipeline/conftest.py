"""What tests of the pipeline share: pictures of few pixels, and a place for made-up records."""

import sys
from pathlib import Path

import pytest

from experiments.records import record


@pytest.fixture(autouse=True)
def few_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test looks at them, and most of a figure's time is spent on its pixels."""
    if drawing := sys.modules.get("figures.drawing"):
        rendered = drawing.rendered
        for module in filter(None, (drawing, sys.modules.get("figures.headlines"))):
            monkeypatch.setattr(module, "rendered", lambda figure, kind, dpi=0: rendered(figure, kind, dpi=40))


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which records are written and looked for; tables and pages may be written beside them."""
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    return tmp_path
