"""The arguments of the commands that compare all scaling methods at one window and factor."""

import argparse
from fractions import Fraction

from pi_theory.cli.options import add_head, exact_between, whole_between


def add_extended_window(parser: argparse.ArgumentParser) -> None:
    """Declares what fixes the frequencies before and after: the head, the trained window and the factor."""
    add_head(parser)
    parser.add_argument(
        "--window",
        type=whole_between(1, 1 << 30),
        default=4096,
        metavar="L",
        help="Length of the trained window in tokens, which has the distances 0 to L - 1.",
    )
    parser.add_argument(
        "--factor",
        type=exact_between(1, 1e6),
        default=Fraction(2),
        metavar="F",
        help="Extended window divided by trained window, at least 1.",
    )
