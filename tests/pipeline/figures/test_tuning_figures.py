"""The figures of fine-tuning, from records made up here."""

import importlib
import math

import matplotlib.pyplot as plt
import pytest

from experiments.records import record
from experiments.studies import tiny_sweep, tiny_tables
from figures.drawing import save
from figures.style import shared_style
from tests.pipeline.figures.test_axes import outside


def entry(step, factor, method, *, scale=1.0):
    """A measurement in which PI starts high and falls at once, and direct fine-tuning falls slowly."""
    height = {"linear": 90 / (1 + step), "none": 60 * 0.99**step}[method] * scale
    windows = [window for window in (64, 256, 512, 1024, 2048) if window <= 256 * factor]
    perplexities = {str(window): 40 + height * window / 2048 for window in windows}
    rows = {
        window: {"perplexity": perplexity, "loss_nats": math.log(perplexity), "documents": 2}
        for window, perplexity in perplexities.items()
    }
    return {
        "step": step,
        "perplexity": {"books": rows, "code": rows},
        "k_max": 256 * factor if method == "linear" and step else 256,
        "accuracy": {},
    }


def run(method, factor, peak_lr, seed, steps):
    curve = [entry(step, factor, method, scale=1 + 0.1 * seed) for step in steps]
    return {"method": method, "factor": factor, "peak_lr": peak_lr, "seed": seed, "curve": curve}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    sweep, tables = tiny_sweep.STUDY.config, tiny_tables.STUDY.config
    runs = {
        "tiny_sweep": [
            run(method, int(factor), peak_lr, seed, [0, *sweep["steps"]])
            for factor, seeds in sweep["seeds_by_factor"].items()
            for seed in range(seeds)
            for peak_lr in sweep["peak_lrs"]
            for method in sweep["methods"]
        ],
        "tiny_tables": [
            run(method, factor, peak_lr, seed, [0, *tables["steps"]])
            for peak_lr in tables["peak_lrs"]
            for factor in tables["factors"]
            for seed in tables["seeds"]
            for method in tables["methods"]
        ],
    }
    model = {"name": "toy", "parameters": 1, "window_tokens": 256}
    for name, config in (("tiny_sweep", sweep), ("tiny_tables", tables)):
        metrics = {"model": model, "base": entry(0, 8, "none"), "runs": runs[name]}
        made = {"schema": record.SCHEMA, "config": config, "metrics": metrics}
        record.write(made, record.path_of(name, live=True))


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("name", ["tiny_windows", "tiny_steps", "tiny_kmax"])
def test_a_figure_of_fine_tuning_is_drawn_from_its_record(name, tmp_path):
    save(name, folder=tmp_path)
    assert (tmp_path / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize("name", ["tiny_windows", "tiny_steps", "tiny_kmax"])
def test_no_factor_rate_or_seed_of_a_figure_of_fine_tuning_is_cut_off(name):
    with shared_style():
        figure = importlib.import_module(f"figures.plots.{name}").draw()
        figure.canvas.draw()
    assert list(outside(figure)) == []
    plt.close(figure)


@pytest.mark.usefixtures("results")
def test_a_row_a_factor_says_how_many_seeds_it_has():
    with shared_style():
        figure = importlib.import_module("figures.plots.tiny_steps").draw()
    said = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    seeds = [count for _, count in sorted((int(f), n) for f, n in tiny_sweep.STUDY.config["seeds_by_factor"].items())]
    assert [label.splitlines()[-1] for label in said] == [f"{n} seed{'s' * (n > 1)}" for n in seeds]
    assert len({axes.get_ylim() for axes in figure.axes[:3]}) == 1
    plt.close(figure)
