"""The arguments that commands of `pi-theory` share, and exact numbers."""

import argparse
from decimal import Decimal
from fractions import Fraction

from pi_theory.console import whole

_LARGEST_EXPONENT = 400  # beyond float64, and below what exact arithmetic would take minutes for


def exact_number(word: str) -> Fraction:
    """The type of an argument that is taken exactly as it is written: 0.1 is 1/10, and 1/3 is allowed."""
    try:
        if "/" not in word and abs(Decimal(word).adjusted()) > _LARGEST_EXPONENT:
            raise ValueError
        return Fraction(word)
    except (ValueError, ArithmeticError):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {word[:60]!r}") from None


def add_head(parser: argparse.ArgumentParser) -> None:
    """Declares the two numbers that fix the frequencies of a head."""
    parser.add_argument(
        "--head-dim", type=whole(2), default=128, metavar="D", help="Dimension d of an attention head, an even number."
    )
    parser.add_argument(
        "--base",
        type=exact_number,
        default=Fraction(10000),
        metavar="C",
        help="Base c of the rotary frequencies c^(-2j/d), above 1; models call it rope_theta.",
    )
