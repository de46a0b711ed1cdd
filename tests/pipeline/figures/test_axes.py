"""Nothing that a figure draws is cut off, in the committed records at least."""

import importlib

import matplotlib.pyplot as plt
import numpy as np
import pytest

from experiments.records import record
from figures import FIGURES
from figures.style import shared_style


def outside(figure):
    """Of every line and cloud of points: label and points that lie outside their axes."""
    for axes in figure.axes:
        lines = [(line, line.get_xydata()) for line in axes.lines if line.get_transform() == axes.transData]
        clouds = [
            (cloud, cloud.get_offsets()) for cloud in axes.collections if cloud.get_offset_transform() == axes.transData
        ]
        for artist, points in lines + clouds:
            points = np.ma.filled(np.ma.asarray(points, dtype=float), np.nan)
            points = points[np.isfinite(points).all(axis=1)]
            low, high = np.sort([axes.get_xlim(), axes.get_ylim()], axis=1).T
            beyond = points[((points < low) | (points > high)).any(axis=1)]
            if len(beyond):
                yield artist.get_label(), beyond


@pytest.mark.parametrize("name", FIGURES)
def test_every_point_a_figure_draws_lies_within_its_axes(name):
    with record.reading(committed=True), shared_style():
        try:
            figure = importlib.import_module(f"figures.plots.{name}").draw()
        except record.NoRecord as missing:
            pytest.skip(str(missing))
        figure.canvas.draw()
    assert list(outside(figure)) == []
    plt.close(figure)


def test_a_point_outside_its_axes_is_seen():
    figure, axes = plt.subplots()
    axes.plot([0, 1, 2], [0, 1, 9], label="cut")
    axes.set_ylim(0, 5)
    ((label, points),) = outside(figure)
    assert label == "cut"
    assert points.tolist() == [[2, 9]]
    plt.close(figure)
