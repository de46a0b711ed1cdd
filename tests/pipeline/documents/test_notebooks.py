"""The notebooks store no output; every cell runs, draws what it says it draws, and moves with its controls."""

import base64
import io
import re

import matplotlib.image
import nbformat
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipywidgets import IntSlider
from matplotlib.figure import Figure
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from traitlets.config import PyFileConfigLoader

from experiments.records.record import ROOT
from figures.notebook import sliders

FOLDER = ROOT / "experiments" / "notebooks"
PICTURES = {"bounds": 4, "heads": 1, "extend": 1}
# other values of every control of a notebook's pictures, usual ones and others; each moves its pictures anew, so that
# what makes them cheaper comes first
MOVES = {
    "bounds": """
times.value, d.value, c.value = 2, 18, 54_321.5
factor.value, hmax.value, method.value = 4.0, 1.5, "yarn"
""",
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
def test_a_copy_of_every_notebook_runs_in_another_folder_and_draws(name, tmp_path):
    notebook = read(name)
    client = NotebookClient(notebook, timeout=600, startup_timeout=600, resources={"metadata": {"path": str(tmp_path)}})
    with client.setup_kernel():
        for number, cell in enumerate(notebook.cells):
            client.execute_cell(cell, number)
        drawn = pictures(notebook)
        if name in MOVES:
            notebook.cells.append(nbformat.v4.new_code_cell(MOVES[name]))
            client.execute_cell(notebook.cells[-1], len(notebook.cells) - 1)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    # Only what an empty cache lacks may be told: the example texts are fetched by whoever needs them first.
    told = "".join(output["text"] for output in outputs if output.get("name") == "stderr").splitlines()
    assert [line for line in told if not line.startswith("fetching ")] == []
    assert len(drawn) == PICTURES[name]
    for picture in drawn:
        assert min(picture.shape[:2]) > 300
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 50
    if name in MOVES:
        moved = pictures(notebook)
        assert len(moved) == len(drawn)
        assert not any(np.array_equal(before, after) for before, after in zip(drawn, moved, strict=True))


def exported(notebook):
    """The HTML that `make notebooks` makes of a notebook, which is not run."""
    config = PyFileConfigLoader("nbconvert_config.py", path=str(FOLDER)).load_config()
    html, _ = HTMLExporter(config=config).from_notebook_node(notebook)
    return html


@pytest.mark.parametrize("name", PICTURES)
def test_exported_formulas_are_mathml_and_nothing_is_fetched(name):
    html = exported(read(name))
    text = "".join(cell.source for cell in read(name).cells if cell.cell_type == "markdown")
    assert html.count("<math ") == text.count("$") / 2
    assert "$" not in re.sub(r"<script.*?</script>|<style.*?</style>", "", html, flags=re.DOTALL)
    assert not re.search(r"<(?:script|link|img|iframe)[^>]*(?:src|href)=.http", html)


def test_an_exported_picture_has_its_description_and_a_slider_is_left_out():
    picture = nbformat.v4.new_output(
        "display_data", {"image/png": "AAAA"}, metadata={"image/png": {"alt": 'a "head"', "width": 7}}
    )
    slider = nbformat.v4.new_output(
        "display_data", {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "VBox"}
    )
    html = exported(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("", outputs=[slider, picture])]))
    (image,) = re.findall("<img[^>]*>", html)
    assert 'alt="a &quot;head&quot;"' in image or "alt='a \"head\"'" in image
    assert 'width="7"' in image
    assert "VBox" not in html


class Shown:
    """Stands for what IPython shows: the picture, and what replaces it."""

    def __init__(self):
        self.pictures = []

    def display(self, value, display_id=False):
        if isinstance(value, sliders.Image):
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
    monkeypatch.setattr(sliders, "display", shown.display)
    slider = IntSlider(1, min=0, max=5)
    sliders.explore(line, length=slider)
    slider.value = 2
    assert len(shown.pictures) == 2
    assert shown.pictures[0] != shown.pictures[1]
    slider.value = 4
    assert len(shown.pictures) == 2
    slider.value = 1
    assert shown.pictures[2] == shown.pictures[0]


def number(value=8):
    made = sliders.Number(value, [4, 8, 16], "d")
    stops, field, said = made.children
    return made, stops, field, said


@given(st.integers())
def test_a_field_takes_any_whole_number_and_the_slider_stands_near_it(value):
    made, stops, field, said = number()
    field.value = str(value)
    assert made.value == value
    assert abs(stops.value - value) == min(abs(stop - value) for stop in (4, 8, 16))
    assert said.value == ""


@given(st.text().filter(lambda text: not re.search(r"\d", text)))
def test_text_that_is_no_number_changes_nothing_and_is_answered(text):
    made, _, field, said = number()
    field.value = "12"
    field.value = text
    assert made.value == 12
    assert said.value == "d must be a whole number, for example 4"


@given(st.floats())
def test_a_field_of_a_float_takes_every_finite_one(value):
    made, _, field, said = number(8.0)
    field.value = str(value)
    assert made.value == (value if np.isfinite(value) else 8.0)
    assert bool(said.value) is not np.isfinite(value)


def test_a_slider_sets_its_number_and_what_a_number_cannot_mean_is_said_beside_it(monkeypatch):
    shown = Shown()
    monkeypatch.setattr(sliders, "display", shown.display)
    made, stops, field, _ = number(1)
    sliders.explore(line, length=made)
    stops.value = 16  # too long for the line
    assert (made.value, field.value) == (16, "16")
    assert len(shown.pictures) == 1
    field.value = "3"
    assert len(shown.pictures) == 2
