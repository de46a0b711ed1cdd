"""`pi-theory resolution`: how sharply heads can point at one place after each scaling method."""

import argparse
from dataclasses import asdict
from typing import Any

from pi_theory.cli.extended_window import add_extended_window
from pi_theory.console import Command, show, wrap


def _run(arguments: argparse.Namespace) -> None:
    from pi_theory.resolution import linear_cap_ratio, resolution
    from pi_theory.scaling import METHODS, scaling_by_name

    factor = float(arguments.factor)
    config = {"head_dim": arguments.head_dim, "base": float(arguments.base), "window": arguments.window}
    found = {method: resolution(scaling_by_name(method, factor), **config) for method in METHODS}
    answer = {
        **config,
        "factor": factor,
        "linear_bound": linear_cap_ratio(factor),
        "resolution": {method: asdict(one) for method, one in found.items()},
    }
    show(arguments, answer, text(answer))


def text(answer: dict[str, Any]) -> str:
    """The answer in words."""
    lines = [
        wrap(
            "The bend of a score, by which a place stands out from its two neighbours, has a cap for each head. For "
            f"d = {answer['head_dim']}, c = {answer['base']:g}, a window of {answer['window']} tokens and a factor of "
            f"{answer['factor']:g}, each method multiplies the cap by"
        ),
        "",
        "  method      fastest      flat     least      most   scores needed",
    ]
    for method, one in answer["resolution"].items():
        ratios = "".join(f"{one[name]:10.4f}" for name in ("fastest", "flat", "least", "most"))
        lines.append(f"  {method:9}{ratios}{one['score_growth']:16.4g}")
    lines += [
        "",
        wrap(
            "for a head on the fastest frequency alone, for one with equal |h_j|, and at least and at most for any "
            "head. The last column says by what the scores of the first head, and so its sum |h_j|, must be multiplied "
            "before any head has that cap again. Linear interpolation leaves no head more than "
            f"(1 - cos(1/F))/(1 - cos 1) = {answer['linear_bound']:.4g} of its cap."
        ),
    ]
    return "\n".join(lines)


RESOLUTION = Command(
    name="resolution",
    summary="Computes how much of a head's sharpest peak each scaling method leaves.",
    details="The bend of a score is how far it lies above the mean of the scores one position before and after it. "
    "Divided by sqrt(d), it is the log-odds of a key over two like it at both sides. Dynamic NTK is taken at the full "
    "extended window.",
    example="pi-theory resolution --head-dim 128 --base 10000 --window 4096 --factor 4",
    add_arguments=add_extended_window,
    run=_run,
)
