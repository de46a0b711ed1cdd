"""The notebooks store no output; every cell runs, draws what it says it draws, and moves with its controls."""

import base64
import io

import matplotlib.image
import nbformat
import numpy as np
import pytest
from ipywidgets import IntSlider
from matplotlib.figure import Figure
from nbclient import NotebookClient

from experiments.records.record import ROOT
from figures.notebook import sliders as controls

FOLDER = ROOT / "experiments" / "notebooks"
PICTURES = {"bounds": 3, "heads": 1, "extend": 1}
MOVES = {
    "bounds": "d.value, c.value, times.value, factor.value, hmax.value, method.value = 16, 500_000, 2, 4.0, 1, 'yarn'",
    "heads": "",
    "extend": "",
}


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def pictures(notebook):
    """The pixels of every picture in the outputs, which are shown as text where nothing better can be."""
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [
        matplotlib.image.imread(io.BytesIO(base64.b64decode(output["data"]["image/png"])))
        for output in outputs
        if "image/png" in output.get("data", {})
    ]


def test_every_notebook_is_known_here():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == PICTURES.keys()


@pytest.mark.parametrize("name", PICTURES)
def test_no_notebook_stores_what_a_run_made(name):
    notebook = read(name)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert notebook.cells[0].cell_type == "markdown"  # it opens with what it shows
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None


@pytest.mark.slow
@pytest.mark.shared_cache
@pytest.mark.parametrize("name", PICTURES)
def test_every_notebook_runs_from_top_to_bottom_and_draws(name, tmp_path, monkeypatch):
    where = FOLDER
    if name == "extend":  # it saves a model beside the packages
        where = tmp_path / "experiments" / "notebooks"
        where.mkdir(parents=True)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
    notebook = read(name)
    client = NotebookClient(notebook, timeout=600, startup_timeout=600, resources={"metadata": {"path": str(where)}})
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        drawn = pictures(notebook)
        if MOVES[name]:
            notebook.cells.append(nbformat.v4.new_code_cell(MOVES[name]))
            client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output for output in outputs if output.get("name") == "stderr"] == []
    assert len(drawn) == PICTURES[name]
    for picture in drawn:
        assert min(picture.shape[:2]) > 300
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50
    if MOVES[name]:
        moved = pictures(notebook)
        assert len(moved) == len(drawn)
        assert not any(np.array_equal(before, after) for before, after in zip(drawn, moved, strict=True))


class Shown:
    """Stands for what IPython shows: the picture, and what replaces it."""

    def __init__(self):
        self.pictures = []

    def display(self, value, display_id=False):
        if isinstance(value, controls.Image):
            self.pictures.append(value.data)
        return self

    def update(self, value):
        self.pictures.append(value.data)


def line(length):
    if length > 3:
        raise ValueError("too long")
    figure = Figure()
    figure.subplots().plot([0, length])
    return figure


def test_a_picture_follows_its_control_and_survives_a_value_it_cannot_draw(monkeypatch):
    shown = Shown()
    monkeypatch.setattr(controls, "display", shown.display)
    slider = IntSlider(1, min=0, max=5)
    controls.explore(line, length=slider)
    slider.value = 2
    assert len(shown.pictures) == 2
    assert shown.pictures[0] != shown.pictures[1]
    slider.value = 4
    assert len(shown.pictures) == 2
    slider.value = 1
    assert shown.pictures[2] == shown.pictures[0]
