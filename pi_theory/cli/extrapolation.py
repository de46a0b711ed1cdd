"""`pi-theory extrapolation`: the certified minimum of the extrapolation bound."""

import argparse
from typing import Any

from pi_theory.cli.options import add_head, add_upto, expect
from pi_theory.console import Command, show, wrap


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_head(parser)
    add_upto(parser, "The range searched is [0, S], in positions.")
    parser.add_argument("--integers", action="store_true", help="Search whole positions only, not all real ones.")


def _run(arguments: argparse.Namespace) -> None:
    from pi_theory.arguments import check_base, check_count, check_head_dim
    from pi_theory.certified.envelope import first_below, integer_scan, minimum, search_seconds

    d, base, upto = check_head_dim(arguments.head_dim), check_base(arguments.base), check_count(arguments.upto, "upto")
    expect(2 * search_seconds(upto, head_dim=d, base=base), "upto", "choose a smaller --upto or --head-dim")
    first: list[float] | None
    if arguments.integers:
        scan = integer_scan(upto, head_dim=d, base=base)
        value, argmin = scan.minimum, float(scan.argmin)
        first = None if scan.first_below is None else [scan.first_below, scan.first_below]
    else:
        found = minimum(0, upto, head_dim=d, base=base)
        crossing = first_below(0, upto, head_dim=d, base=base)
        value, argmin = found.value, found.argmin
        first = None if crossing is None else [crossing.lower, crossing.upper]
    answer = {
        "head_dim": d,
        "base": float(base),
        "upto": upto,
        "integers": arguments.integers,
        "min_over_d": [value.lower, value.upper],
        "argmin": argmin,
        "first_below_d": first,
        "certified": True,  # What stays undecided ends in an error instead.
    }
    show(arguments, answer, text(answer))


def text(answer: dict[str, Any]) -> str:
    """The answer in words."""
    lower, upper = answer["min_over_d"]
    crossing = "B(s)/d stays above 1 there."
    if first := answer["first_below_d"]:
        place = f"{first[0]:.12g}" if first[0] == first[1] else f"between {first[0]:.12g} and {first[1]:.12g}"
        crossing = f"The first position at which B(s)/d is below 1 is {place}."
    kind = "whole" if answer["integers"] else "real"
    return "\n".join(
        [
            wrap(
                f"Extrapolation bound B(s) for d = {answer['head_dim']} and c = {answer['base']:g}, over {kind} s in "
                f"[0, {answer['upto']}], certified:"
            ),
            wrap(
                f"The minimum of B(s)/d is between {lower:.12g} and {upper:.12g}, at s = {answer['argmin']:.12g}.", "  "
            ),
            wrap(crossing, "  "),
        ]
    )


EXTRAPOLATION = Command(
    name="extrapolation",
    summary="Finds the minimum of the paper's extrapolation bound B(s)/d, with certified digits.",
    details="It also finds the first position at which B(s)/d falls below 1, if there is one in the range.",
    example="pi-theory extrapolation --head-dim 128 --base 10000 --upto 32768 --integers",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --upto",
)
