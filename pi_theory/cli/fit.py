"""`pi-theory fit`: Fig. 2 of the paper, in several arithmetics and exactly."""

import argparse
from typing import Any

from pi_theory.cli.options import add_head, exact_number, expect, whole_between
from pi_theory.console import Command, show, wrap


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_head(parser)
    parser.add_argument(
        "--window",
        type=whole_between(1, 1 << 24),
        default=2048,
        metavar="L",
        help="Number of random points, one at each whole position from 0 to L - 1.",
    )
    parser.add_argument(
        "--seed",
        type=whole_between(0, 1 << 63),
        default=0,
        metavar="N",
        help="Seed for drawing the points.",
    )
    parser.add_argument(
        "--ridge",
        type=exact_number,
        metavar="X",
        help="Weight of a penalty X sum |h_j|^2 that is added to the sum of squares. Default: no penalty.",
    )
    parser.add_argument(
        "--digits",
        type=whole_between(1, 10**6),
        metavar="N",
        help="Solve the problem exactly as well and print N certified digits of the value at position 2L - 1. "
        "Default: floating point only.",
    )


_MOST_NUMBERS = 1 << 25  # of a design matrix: a quarter of a GiB, of which a fit needs several


def _run(arguments: argparse.Namespace) -> None:
    import numpy as np

    from pi_theory.arguments import check_base, check_count, check_head_dim
    from pi_theory.certified.balls import enclosure
    from pi_theory.certified.least_squares import exact_least_squares, exact_seconds
    from pi_theory.leastsquares import Arithmetic, evaluate, fit, random_points, ridge_bound

    check_head_dim(arguments.head_dim)
    check_base(arguments.base)
    window = check_count(arguments.window)
    if arguments.digits is not None and arguments.ridge:
        raise ValueError("digits: the exact solution is of the problem without --ridge; leave one of the two out")
    ridge = float(arguments.ridge or 0)
    if window < arguments.head_dim:
        raise ValueError(f"window: {window} points do not determine {arguments.head_dim} functions; give at least that")
    if window * arguments.head_dim > _MOST_NUMBERS:
        raise ValueError(
            f"window: at most {_MOST_NUMBERS // arguments.head_dim} points fit in memory for this --head-dim"
        )
    expect(1e-8 * window * arguments.head_dim**2, "window", "choose a smaller --window or --head-dim")
    if arguments.digits is not None:
        seconds = exact_seconds(arguments.digits, head_dim=arguments.head_dim, window=window)
        expect(seconds, "digits", "ask for fewer --digits, or choose a smaller --window or --head-dim")
    points = random_points(window, arguments.seed)
    rows = []
    for arithmetic in Arithmetic:
        row: dict[str, Any] = {
            "arithmetic": str(arithmetic),
            "max_inside": None,
            "max_beyond": None,
            "residual_rms": None,
        }
        try:
            with np.errstate(all="ignore"):  # what overflows is not finite, which is seen below
                h = fit(points, head_dim=arguments.head_dim, base=arguments.base, arithmetic=arithmetic, ridge=ridge)
                inside = evaluate(h, np.arange(window), base=arguments.base)
                beyond = evaluate(h, np.arange(window, 2 * window), base=arguments.base)
            if not np.isfinite([inside, beyond]).all():
                raise np.linalg.LinAlgError
            row["max_inside"], row["max_beyond"] = float(np.abs(inside).max()), float(np.abs(beyond).max())
            row["residual_rms"] = float(np.sqrt(np.mean((inside - points) ** 2)))
        except np.linalg.LinAlgError:
            row["failed"] = "the matrix is singular, or too large, in this arithmetic"
        rows.append(row)
    answer: dict[str, Any] = {
        "head_dim": arguments.head_dim,
        "base": float(arguments.base),
        "window": window,
        "seed": arguments.seed,
        "ridge": ridge,
        "fits": rows,
        "ridge_bound": ridge_bound(points, ridge, arguments.head_dim) if ridge else None,
    }
    if arguments.digits is not None:
        last = 2 * window - 1
        exact = exact_least_squares(
            points, [last], head_dim=arguments.head_dim, base=arguments.base, digits=arguments.digits
        )
        value, deviation = exact.values[0], exact.standard_deviations[0]
        answer["exact"] = {
            "position": last,
            "value": value.str(arguments.digits, radius=False),
            "enclosure": [enclosure(value).lower, enclosure(value).upper],
            "standard_deviation": deviation.str(arguments.digits, radius=False),
            "bits": exact.bits,
        }
    show(arguments, answer, text(answer))


def text(answer: dict[str, Any]) -> str:
    """The answer in words, with a table of the arithmetics."""
    penalty = f" and a ridge penalty of {answer['ridge']:g}" if answer["ridge"] else ""
    lines = [
        wrap(
            f"Least-squares fit of {answer['window']} random points, drawn from N(0, 1) with seed {answer['seed']}, by "
            f"the {answer['head_dim']} real functions of a score with c = {answer['base']:g}{penalty}."
        ),
        f"  {'arithmetic':28}{'max on [0, L)':>15}{'max on [L, 2L)':>16}",
    ]
    for row in answer["fits"]:
        if "failed" in row:
            lines.append(wrap(row["failed"], " " * 30, f"  {row['arithmetic']:28}"))
        else:
            lines.append(f"  {row['arithmetic']:28}{row['max_inside']:15.4g}{row['max_beyond']:16.4g}")
    if answer["ridge_bound"] is not None:
        lines.append(wrap(f"At every real position the exact ridge fit is at most {answer['ridge_bound']:.4g}."))
    if exact := answer.get("exact"):
        lines += [
            wrap(
                f"The exact fit at position {exact['position']} is {exact['value']}, every digit certified, computed "
                f"with {exact['bits']} bits."
            ),
            wrap(f"Over random points its standard deviation is {exact['standard_deviation']}."),
        ]
    return "\n".join(lines)


FIT = Command(
    name="fit",
    summary="Fits random points by the functions of a score, as Fig. 2 of the paper does.",
    details="It shows how large the fit becomes in the window after the fitted one, in several arithmetics, because "
    "much of what the figure shows is rounding error. With --digits the problem is also solved exactly.",
    example="pi-theory fit --head-dim 128 --base 10000 --window 2048 --seed 0 --digits 10",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --window, --head-dim or --digits",
)
