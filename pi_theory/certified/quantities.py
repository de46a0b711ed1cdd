"""The quantities of statements that a program computes: each has a name in LaTeX and a ball that holds it.

Those with a definition in elementary functions stand in `pi_theory.statements`.
"""

from fractions import Fraction
from functools import cache

import sympy as sp
from flint import arb

from pi_theory.amplification import FiniteWindow
from pi_theory.certified.balls import Enclosure, exact, interval_ball
from pi_theory.certified.best_constant import best_constant
from pi_theory.certified.envelope import minimum
from pi_theory.certified.infimum import infimum
from pi_theory.certified.least_squares import ExactFit, exact_least_squares
from pi_theory.certified.reach import certified_reach
from pi_theory.certified.similarity import first_zero
from pi_theory.leastsquares import random_points
from pi_theory.scaling import scaled_frequencies, scaling_by_name
from pi_theory.statements import Quantity, Theta, j

_FAR = 1 << 20  # positions up to which a first zero is sought


def number(expression: sp.Expr) -> Fraction:
    """Returns the exact value of a rational SymPy number.

    Raises:
        ValueError: it is something else, such as a symbol that no hypothesis gives a number.
    """
    if not isinstance(expression, sp.Rational):
        raise ValueError(f"statement: {expression} is not a rational number")
    return Fraction(int(expression.p), int(expression.q))


def integer(expression: sp.Expr) -> int:
    """Returns the value of a SymPy integer.

    Raises:
        ValueError: it is something else.
    """
    if (value := number(expression)).denominator != 1:
        raise ValueError(f"statement: {expression} is not an integer")
    return value.numerator


class SmallestB(Quantity):
    """The smallest B(s) over real s in [lower, upper], of arguments (lower, upper, d, c)."""

    is_nonnegative = True

    def ball(self) -> arb:
        """The certified minimum."""
        lower, upper, d, c = self.args
        found = minimum(number(lower), number(upper), head_dim=integer(d), base=number(c)).value
        return interval_ball(found.lower, found.upper) * integer(d)

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        lower, upper = map(printer._print, self.args[:2])
        return rf"\min_{{{lower}\le s\le{upper}}}B(s)"


class LeastB(Quantity):
    """The infimum of B(s) over all real s, of arguments (d, c)."""

    is_nonnegative = True

    def ball(self) -> arb:
        """Between what is proved of all choices of phases and what one choice gives."""
        return infimum(*map(integer, self.args))

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return r"\inf_{s\in\mathbb R}B(s)"


class WorstScore(Quantity):
    """The largest score at distance s that any head reaches whose scores are at most 1 in the trained window.

    The arguments are (s, d, c, L, H, method, factor): |a(n)| <= 1 at n = 0 .. L - 1, |Re h_j| and |Im h_j| <= H, and
    the scaling method, a symbol of that name, with its factor.
    """

    is_nonnegative = True

    def ball(self) -> arb:
        """What is certainly attained and what certainly is not exceeded, as the ends of a ball."""
        found = self.enclosure()
        return interval_ball(found.lower, found.upper)

    def enclosure(self) -> Enclosure:
        """The certified values of the linear program and of its dual."""
        s, d, c, window, hmax, method, factor = self.args
        program = _program(integer(d), number(c), integer(window), method.name, number(factor))
        case = program.worst_case(float(number(s)), float(number(hmax)))
        return Enclosure(case.value, case.upper_bound)

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        method = {"none": "", "linear": r"_{\rm PI}"}.get(self.args[5].name, rf"_{{\rm {self.args[5].name}}}")
        return rf"\max_h|a{method}({printer._print(self.args[0])})|"


class ReachTokens(Quantity):
    """The reach in tokens of a scaling method, of arguments (d, c, L, method, factor); see `pi_theory.reach`."""

    is_nonnegative = True

    def ball(self) -> arb:
        """The certified reach, a whole number."""
        d, c, window, method, factor = self.args
        if not all(one.is_number for one in (d, c, window, factor)):
            raise ValueError(f"statement: {self} has free symbols")
        scaling = scaling_by_name(method.name, float(number(factor)))
        found = certified_reach(scaling, head_dim=int(d), base=number(c), window=int(window)).tokens
        if found is None:
            raise ArithmeticError("every pair turns at least once in the window, so that the reach has no limit")
        return arb(found)

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return rf"{{\rm reach}}_{{\rm {self.args[3].name}}}({printer._print(self.args[4])})"


class FirstZero(Quantity):
    """Where sum_j cos(s theta'_j) first turns negative, of arguments (d, c, L, method, factor).

    The frequencies are those of the scaling method in float64. See `pi_theory.certified.similarity`.
    """

    is_nonnegative = True

    def ball(self) -> arb:
        """The certified place."""
        found = self.enclosure()
        return interval_ball(found.lower, found.upper)

    def enclosure(self) -> Enclosure:
        """The certified place, as the ends of a narrow interval."""
        d, c, window, method, factor = self.args
        return _first_zero(integer(d), number(c), integer(window), method.name, number(factor))

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return rf"s_{{\rm {self.args[3].name}}}({printer._print(self.args[4])})"


class FlatCap(Quantity):
    """The cap of bends of a head with all |h_j| = 1 after division of frequencies by kappa, of arguments (d, c, kappa).

    Twice this is the squared distance between the images of a vector with all |x_j| = 1 at neighbouring positions.
    """

    is_nonnegative = True

    def definition(self) -> sp.Expr:
        d, c, kappa = self.args
        return sp.Sum(1 - sp.cos(Theta(j, d, c) / kappa), (j, 0, d / 2 - 1))

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return r"\sum_j\left(1-\cos\tfrac{{\theta_j({1})}}{{{2}}}\right)".format(*map(printer._print, self.args))


class BestConstant(Quantity):
    """The best constant of the stability theorem for functions of type 1, the argument."""

    is_nonnegative = True

    def ball(self) -> arb:
        """Between the two certified bounds."""
        if self.args[0] != 1:
            raise ValueError(f"statement: the best constant is known for type 1 only, not {self.args[0]}")
        found = best_constant()
        return interval_ball(found.lower, found.upper)

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return f"C({printer._print(self.args[0])})"


class FitValue(Quantity):
    """The exact least-squares curve of Fig. 2 at s, through L points of N(0, 1), of arguments (s, d, c, L, seed)."""

    def ball(self) -> arb:
        """The curve at s, to six digits."""
        s, d, c, window, seed = self.args
        return figure_2(integer(d), number(c), integer(window), integer(seed), integer(s)).values[0]

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return f"a({printer._print(self.args[0])})"


class ChanceWithin(Quantity):
    """The chance that such a curve, through random points, stays within x on [L, 2 L), of arguments (x, d, c, L).

    It is at most the chance at the last position alone, where the curve is normally distributed.
    """

    is_nonnegative = True

    def ball(self) -> arb:
        """From 0 to the chance at the last position."""
        x, d, c, window = self.args
        deviation = figure_2(integer(d), number(c), integer(window), 0, 2 * integer(window) - 1).standard_deviations[0]
        return arb(0).union((exact(number(x)) / (deviation * arb(2).sqrt())).erf())

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return rf"P\left(\max_{{L\le s<2L}}|a(s)|\le{printer._print(self.args[0])}\right)"


@cache
def figure_2(head_dim: int, base: Fraction, window: int, seed: int, position: int) -> ExactFit:
    """Returns the exact fit of so many points of that seed at one position."""
    return exact_least_squares(random_points(window, seed), [position], head_dim=head_dim, base=base, digits=6)


@cache
def _first_zero(head_dim: int, base: Fraction, window: int, method: str, factor: Fraction) -> Enclosure:
    scaling = scaling_by_name(method, float(factor))
    theta = scaled_frequencies(scaling, head_dim=head_dim, base=float(base), window=window)
    if (found := first_zero(theta, _FAR)) is None:
        raise ArithmeticError(f"the sum of cosines stays positive up to {_FAR}")
    return found


@cache
def _program(head_dim: int, base: Fraction, window: int, method: str, factor: Fraction) -> FiniteWindow:
    scaling = scaling_by_name(method, float(factor))
    return FiniteWindow(head_dim=head_dim, base=base, window=window, scaling=scaling)
