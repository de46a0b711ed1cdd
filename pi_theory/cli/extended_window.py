"""The arguments of the commands that compare all scaling methods at one window and factor."""

import argparse
from fractions import Fraction

from pi_theory.cli.options import add_head, exact_number
from pi_theory.console import whole

_LARGEST_HEAD_DIM, _LARGEST_WINDOW, _LARGEST_FACTOR = 65_536, 10**9, 10**6


def add_extended_window(parser: argparse.ArgumentParser) -> None:
    """Declares what fixes the frequencies before and after: the head, the trained window and the factor."""
    add_head(parser)
    parser.add_argument(
        "--window", type=whole(1), default=4096, metavar="L", help="Length of the trained window in tokens."
    )
    parser.add_argument(
        "--factor",
        type=exact_number,
        default=Fraction(2),
        metavar="F",
        help="Extended window divided by trained window, at least 1.",
    )


def check_sizes(arguments: argparse.Namespace) -> float:
    """Returns the factor, if all numbers are in the range in which an answer takes at most seconds.

    Raises:
        ValueError: a number is outside its domain, or larger than any model has.
    """
    from pi_theory.arguments import check_base, check_factor, check_head_dim

    check_head_dim(arguments.head_dim)
    check_base(arguments.base)
    check_factor(arguments.factor)
    for name, largest in (("head_dim", _LARGEST_HEAD_DIM), ("window", _LARGEST_WINDOW), ("factor", _LARGEST_FACTOR)):
        if getattr(arguments, name) > largest:
            raise ValueError(f"{name.replace('_', '-')}: must be at most {largest}")
    return float(arguments.factor)
