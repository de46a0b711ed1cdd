"""Cells of the tables: our numbers and the paper's, as text. A dash stands where nothing was measured."""

import json
from statistics import fmean
from typing import Any

from experiments.records.record import ROOT
from figures.verdicts import fine_tuning_runs as runs

Cells = tuple[str, ...]
PAPER = ROOT / "experiments" / "paper_tables.json"
_PAPER_WAYS = {"None": "untouched", "FT": "direct", "PI": "PI"}


def paper_numbers() -> dict[str, Any]:
    """The numbers of the paper's tables."""
    return json.loads(PAPER.read_text())


def shown(value: Any, digits: int = 2) -> str:
    """A value as a cell, a float with so many digits after the point."""
    return "–" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def named(key: str) -> str:
    """What the paper's row "7B/8192/PI" is called."""
    size, context, way = key.split("/")
    return f"{size}, {_PAPER_WAYS[way]}" + ("" if way == "None" else f" to {context}")


def multiple(multiple: float) -> str:
    """A window as a multiple of L."""
    return {0.25: "¼ L", 0.5: "½ L", 1: "L"}.get(multiple, f"{multiple:g} L")


def k_max(group: runs.Group, step: int) -> str:
    """How far back a passkey is found after a step: the mean over seeds and their standard deviation."""
    found = [one.k_max for one in group.at(step) if one.k_max is not None]
    return runs.over_seeds(fmean(found), runs.deviation(found), ".0f") if found else shown(None)
