"""`pi-theory amplification`: the largest score that heads can have which behave at all trained positions."""

import argparse
from fractions import Fraction
from typing import Any

from pi_theory.cli.options import add_head, exact_between, exact_number, expect, whole_between
from pi_theory.console import Command, counted, show, wrap

# The keys of pi_theory.scaling.METHODS, which would have to import numpy.
METHODS = ("none", "linear", "ntk", "dynamic", "yarn", "llama3")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_head(parser)
    parser.add_argument(
        "--window",
        type=whole_between(1, 1 << 20),
        default=512,
        metavar="L",
        help="Length of the trained window in tokens: heads are bounded at the distances 0 to L - 1.",
    )
    parser.add_argument(
        "--factor",
        type=exact_between(1, 1e9),
        default=Fraction(2),
        metavar="F",
        help="Extended window divided by trained window, at least 1.",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="linear",
        help="How positions are scaled; linear is Position Interpolation.",
    )
    parser.add_argument(
        "--hmax",
        type=exact_between(1e-9, 1e12),
        default=Fraction(1),
        metavar="H",
        help="Bound of |Re h_j| and |Im h_j|, the coefficients of a head.",
    )
    parser.add_argument(
        "--position",
        type=exact_number,
        action="append",
        metavar="S",
        help="A distance in the extended window, any real number from 0 to F L - 1, at which to find the largest "
        "score. Give the option once for each distance. Default: 24 whole distances evenly spread over "
        "it, the last among them, and the half distances just below them.",
    )


def _run(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from pi_theory.amplification import FiniteWindow, stability_constant, study_positions
    from pi_theory.arguments import check_base
    from pi_theory.scaling import scaling_by_name

    factor, hmax = float(arguments.factor), float(arguments.hmax)
    trained, last = arguments.window - 1, factor * arguments.window - 1
    positions = study_positions(arguments.window, factor) if arguments.position is None else arguments.position
    for position in positions:
        if not 0 <= position <= last:
            raise ValueError(f"position: must lie in [0, {last:g}], the extended window, got {float(position):g}")
    # Measured: a program takes 5 microseconds for each number of its matrix, and more than that where there are many.
    check_base(arguments.base)
    numbers = arguments.head_dim * (arguments.window + arguments.head_dim)
    expect(
        5e-6 * (len(positions) + 1) * numbers * (1 + numbers / 2e5),
        "window",
        "choose a smaller --window or --head-dim, or single positions",
    )
    program = FiniteWindow(
        head_dim=arguments.head_dim,
        base=arguments.base,
        window=arguments.window,
        scaling=scaling_by_name(arguments.method, factor),
    )
    bar = tqdm(positions, desc="linear programs", delay=1, leave=False, disable=None)
    cases = [program.worst_case(float(position), hmax) for position in bar]
    inside = [case for case in cases if case.position <= trained]
    beyond = [case for case in cases if case.position > trained]

    def largest(cases: list[Any], field: str) -> float | None:
        return max((getattr(case, field) for case in cases), default=None)

    answer = {
        "head_dim": arguments.head_dim,
        "base": float(arguments.base),
        "window": arguments.window,
        "factor": factor,
        "method": arguments.method,
        "hmax": hmax,
        "inside": largest(inside, "value"),
        "beyond": largest(beyond, "value"),
        "certified_inside": largest(inside, "upper_bound"),
        "certified_beyond": largest(beyond, "upper_bound"),
        "all_reals_all_integers_trained": stability_constant(),
        "positions": [
            {"position": case.position, "value": case.value, "upper_bound": case.upper_bound} for case in cases
        ],
    }
    show(arguments, answer, text(answer))


def text(answer: dict[str, Any]) -> str:
    """The answer in words."""

    def row(name: str, key: str) -> str:
        if answer[key] is None:
            return wrap("no position was asked for", " " * 26, f"  {name:24}")
        found = f"{answer[key]:.6g} is attained, at most {answer['certified_' + key]:.6g} is certified"
        return wrap(found, " " * 26, f"  {name:24}")

    positions = counted(len(answer["positions"]), "position")
    return "\n".join(
        [
            wrap(
                f"Largest score at {positions} among heads with |a(n)| <= 1 at every trained distance "
                f"n = 0 .. {answer['window'] - 1} and |Re h_j|, |Im h_j| <= {answer['hmax']:g}, for "
                f"d = {answer['head_dim']}, c = {answer['base']:g} and positions scaled by the method "
                f"{answer['method']} with factor {answer['factor']:g}:"
            ),
            row(f"inside, s <= {answer['window'] - 1}:", "inside"),
            row(f"beyond, s > {answer['window'] - 1}:", "beyond"),
            wrap(
                f"Were every whole position trained, no score anywhere could exceed "
                f"{answer['all_reals_all_integers_trained']:.6f} = sec(1/2)."
            ),
        ]
    )


AMPLIFICATION = Command(
    name="amplification",
    summary="Finds the largest score among heads whose scores are at most 1 at trained positions.",
    details="The largest score at a position is the value of a linear program over the coefficients h of a head. It is "
    "given for positions inside the trained window and beyond it, each with a certified upper bound.",
    example="pi-theory amplification --head-dim 64 --base 10000 --window 512 --factor 2 --method linear --hmax 1",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --window or --head-dim",
)
