"""How far a least-squares fit explodes beyond its window depends on the arithmetic: exactly it reaches 10^61.

The paper's Fig. 2: sums of RoPE's waves are fitted to random points in the window and drawn over twice its length, in
float32 and float64, with ridge regularisation, and exactly, which is certified in ball arithmetic. The paper shows
8000.
"""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from experiments.records.record import read
from figures.style import BLACK, BLUE, GREEN, ORANGE, PAGE, RED, panel

CLAIMS = ("chen2023.fig2.8000", "chen2023.fig2.almost_every", "chen2023.fig2.ridge")
_STYLES = {
    "float32 normal equations": {"color": ORANGE, "ls": "-"},
    "float64 normal equations": {"color": GREEN, "ls": "--"},
    "float64 SVD": {"color": BLUE, "ls": "-."},
}


def draw() -> Figure:
    record = read("least_squares")
    metrics, config = record["metrics"], record["config"]
    window, seed = config["window"], config["seeds"][0]
    positions = np.array(metrics["positions"])
    curves = {row["name"]: row for row in metrics["fits"] if row["seed"] == seed}
    published = curves["float32 normal equations"]
    points = np.array(metrics["points"])
    figure, grid = plt.subplots(2, 2, figsize=(PAGE, 3.9))
    (inside, beyond), (zoom, precision) = grid

    inside.plot(np.arange(window), points, ls="", marker=".", ms=1, color="0.7", rasterized=True, label="points")
    values = np.array(published["curve"])
    inside.plot(positions[positions < window], values[positions < window], color=BLUE, lw=0.7, label="fit")
    panel(inside, "a", "fit on the window, float32")
    inside.legend(loc="upper right", ncols=2, markerscale=5)
    inside.set_ylim(-4.3, 5)

    beyond.plot(positions, published["curve"], color=BLUE, lw=0.8, label="float32 normal equations")
    beyond.plot(positions, curves["ridge 1"]["curve"], color=RED, ls="--", lw=0.8, label=r"ridge, $\rho = 1$")
    beyond.axvline(window, color="0.5", lw=0.6, ls="--")
    panel(beyond, "b", "the same fit beyond the window")
    beyond.legend(loc="lower left")

    first, last = config["zoom"]
    zoom.plot(metrics["zoom_positions"], published["zoom"], color=BLUE, lw=0.8, label="fit, real s")
    integers = np.arange(first, last + 1)
    zoom_at_integers = np.interp(integers, metrics["zoom_positions"], published["zoom"])
    zoom.plot(integers, zoom_at_integers, ls="", marker="o", ms=2.5, color=BLACK, label="fit, integer s")
    panel(zoom, "c", "between integers nothing happens")
    zoom.legend(loc="upper right", ncols=2)
    low, high = zoom.get_ylim()
    zoom.set_ylim(low, high + 0.3 * (high - low))

    tiny = 1e-3
    for name, style in _STYLES.items():
        precision.semilogy(positions, np.maximum(np.abs(curves[name]["curve"]), tiny), lw=0.7, label=name, **style)
    exact = metrics["exact"]
    size = np.maximum(np.abs(exact["values"]), tiny)
    precision.semilogy(exact["positions"], size, color=BLACK, lw=1.3, label="exact (certified)")
    precision.axhline(8000, color=RED, lw=0.6, ls=":")
    precision.annotate("8000", (0, 8000), xytext=(2, 2), textcoords="offset points", color=RED, fontsize=7)
    precision.axvline(window, color="0.5", lw=0.6, ls="--")
    precision.set_ylim(tiny, 1e64)
    panel(precision, "d", "the same fit at rising precision")
    precision.legend(loc="upper left")
    precision.set_ylabel(r"$|a(s)|$")
    for axes in (inside, beyond, zoom):
        axes.set_ylabel(r"$a(s)$")
    for axes in (zoom, precision):
        axes.set_xlabel("position s")
    return figure
