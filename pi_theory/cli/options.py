"""The arguments that commands of `pi-theory` share, exact numbers, and what is said before long work."""

import argparse
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

from pi_theory.console import whole

LONGEST = 3600.0  # seconds; what is expected to take longer is refused
_WORTH_SAYING = 10.0  # seconds from which on the cost is said before the work
_LARGEST_EXPONENT = 400  # beyond float64, and below what exact arithmetic would take minutes for


def exact_number(word: str) -> Fraction:
    """The type of an argument that is taken exactly as it is written: 0.1 is 1/10, and 1/3 is allowed."""
    try:
        if "/" not in word and abs(Decimal(word).adjusted()) > _LARGEST_EXPONENT:
            raise ValueError
        value = Fraction(word)
        if value and not float(value):
            raise ValueError
        return value
    except (ValueError, ArithmeticError):
        raise argparse.ArgumentTypeError(f"must be a finite number, got {word[:60]!r}") from None


def exact_between(least: float, most: float) -> Callable[[str], Fraction]:
    """The type of an exact number from ``least`` to ``most``."""

    def parse(word: str) -> Fraction:
        value = exact_number(word)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must lie between {least:g} and {most:g}, got {word[:60]!r}")
        return value

    return parse


def whole_between(least: int, most: int) -> Callable[[str], int]:
    """The type of a whole number from ``least`` to ``most``."""
    parse_from_least = whole(least)

    def parse(word: str) -> int:
        if (value := parse_from_least(word)) > most:
            raise argparse.ArgumentTypeError(f"must be at most {most}, got {word[:60]!r}")
        return value

    return parse


def add_head(parser: argparse.ArgumentParser) -> None:
    """Declares the two numbers that fix the frequencies of a head."""
    parser.add_argument(
        "--head-dim",
        type=whole_between(2, 1 << 16),
        default=128,
        metavar="D",
        help="Dimension d of an attention head, an even number.",
    )
    parser.add_argument(
        "--base",
        type=exact_number,
        default=Fraction(10000),
        metavar="C",
        help="Base c of the rotary frequencies c^(-2j/d), above 1; models call it rope_theta.",
    )


def add_upto(parser: argparse.ArgumentParser, help: str) -> None:
    """Declares the end of the range in which B(s) is searched."""
    parser.add_argument("--upto", type=whole_between(1, 1 << 40), default=4096, metavar="S", help=help)


def expect(seconds: float, argument: str, instead: str) -> None:
    """Says on standard error about how long the work will take, if that is long.

    Args:
        seconds: how long the work is expected to take.
        argument: what makes it long.
        instead: what to do to make it shorter.

    Raises:
        ValueError: it is expected to take longer than `LONGEST`.
    """
    if seconds > LONGEST:
        raise ValueError(f"{argument}: would take {_duration(seconds)}; {instead}")
    if seconds > _WORTH_SAYING:
        print(f"pi-theory: this takes {_duration(seconds)}; {instead} to be quicker", file=sys.stderr)


def _duration(seconds: float) -> str:
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"about {seconds / size:.0f} {unit}"
    return f"about {seconds:.0f} seconds"
