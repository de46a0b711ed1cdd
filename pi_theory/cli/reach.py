"""`pi-theory reach`: how far each scaling method reads before it meets phases that training never showed."""

import argparse
from typing import Any

from pi_theory.cli.extended_window import add_extended_window
from pi_theory.console import Command, show, wrap


def _run(arguments: argparse.Namespace) -> None:
    from pi_theory.certified.reach import certified_first_slow_pair, certified_reach
    from pi_theory.scaling import METHODS, scaling_by_name

    factor = float(arguments.factor)
    config = {"head_dim": arguments.head_dim, "base": arguments.base, "window": arguments.window}
    found = {method: certified_reach(scaling_by_name(method, factor), **config) for method in METHODS}
    answer = {
        **config,
        "base": float(arguments.base),
        "factor": factor,
        "first_slow_pair": certified_first_slow_pair(**config),
        "reach_tokens": {method: one.tokens for method, one in found.items()},
    }
    show(arguments, answer, text(answer))


def text(answer: dict[str, Any]) -> str:
    """The answer in words."""
    about = f"d = {answer['head_dim']}, c = {answer['base']:g} and a window of {answer['window']} tokens"
    if answer["first_slow_pair"] is None:
        return wrap(
            f"With {about}, every frequency turns at least once within the window, so that training showed all phases "
            "and no method meets new ones at any length."
        )
    lines = [
        wrap(
            f"With {about}, the frequencies from j = {answer['first_slow_pair']} on turn less than once within the "
            "window, so that training showed only a part of their phases. For a factor of "
            f"{answer['factor']:g}, they stay within that part up to so many tokens:"
        ),
        "",
        "  method         tokens   times the window",
    ]
    for method, tokens in answer["reach_tokens"].items():
        times = "" if tokens is None else f"{tokens / answer['window']:16.3f}"
        lines.append(f"  {method:10} {'no limit' if tokens is None else tokens:>10}   {times}".rstrip())
    return "\n".join(lines)


REACH = Command(
    name="reach",
    summary="Computes how many tokens each scaling method reads before it meets unseen phases.",
    details="A frequency that turns less than once in the trained window leaves phases that training never showed. The "
    "reach of a method is the longest text in which none of these is met, certified; where the loss rises beyond it is "
    "for a measurement to say. Dynamic NTK, whose frequencies depend on the length, is taken at each length.",
    example="pi-theory reach --head-dim 128 --base 10000 --window 4096 --factor 4",
    add_arguments=add_extended_window,
    run=_run,
)
