r"""What a claim or a theorem says, as an expression that can be compared, evaluated, printed and held to its sentence.

A `Statement` is a SymPy relation between named quantities under hypotheses, which are relations too. The quantities
of this module have a definition in elementary functions. Those that a program computes, such as the smallest B(s) over
an interval, stand in `pi_theory.certified.quantities`. Where d, c and the like are fixed, hypotheses such as d = 128
say so; `Statement.closed` puts the numbers in.

A sentence stands beside each statement, and `unsaid` finds what the two do not share: a number that the statement has
and the sentence does not, or a relation that it has no words for. So neither can be changed without the other.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import sympy as sp
from sympy.core.relational import Relational

c = sp.Symbol("c", positive=True)
d = sp.Symbol("d", positive=True)
L, H, S, kappa, rho, tau = sp.symbols("L H S kappa rho tau", positive=True)
s, s1, s2 = sp.symbols("s s_1 s_2", real=True)
j = sp.Symbol("j", integer=True, nonnegative=True)
hmax = sp.Symbol(r"{\max_j|h_j|}", nonnegative=True)
hstep = sp.Symbol(r"\max_j|h_j-h_{j+1}|", nonnegative=True)
hsum = sp.Symbol(r"{\sum_j|h_j|}", nonnegative=True)
score = sp.Symbol("|a(s)|", nonnegative=True)
error = sp.Symbol(r"|a(s)-a_{\rm lin}(s)|", nonnegative=True)
trained = sp.Symbol(r"\max_{0\le n\le L-1}|a(n)|", nonnegative=True)
everywhere = sp.Symbol(r"\sup_{s\in\mathbb R}|a(s)|", nonnegative=True)
at_integers = sp.Symbol(r"\sup_{n\in\mathbb Z}|a(n)|", nonnegative=True)


@dataclass(frozen=True)
class Statement:
    """A relation, or several joined by "and" or "or", and the hypotheses under which it is meant."""

    then: sp.Basic
    given: tuple[sp.Basic, ...] = ()

    def at(self, values: Mapping[sp.Basic, sp.Basic]) -> "Statement":
        """Returns the statement with expressions put in the place of symbols; hypotheses that become true are gone."""
        given = tuple(one.subs(values) for one in self.given)
        return Statement(_put(self.then, values), tuple(one for one in given if one != sp.true))

    def closed(self) -> "Statement":
        """Returns the statement with every symbol replaced that a hypothesis, such as d = 128, gives a number."""
        numbers = {one.lhs: one.rhs for one in self.given if isinstance(one, sp.Eq) and one.rhs.is_number}
        return self.at(numbers)

    def latex(self) -> str:
        """Returns the statement as LaTeX, its hypotheses last."""
        then, *given = (sp.latex(one, ln_notation=True) for one in (self.then, *self.given))
        return then + r",\quad " * bool(given) + ", ".join(given)


def _put(statement: sp.Basic, values: Mapping[sp.Basic, sp.Basic]) -> sp.Basic:
    """Puts values into the sides of relations, which stay relations even where SymPy could decide them."""
    if isinstance(statement, Relational):
        return statement.func(statement.lhs.subs(values), statement.rhs.subs(values), evaluate=False)
    return statement.func(*(_put(one, values) for one in statement.args))


class Quantity(sp.Function):  # type: ignore[misc]  # SymPy has no types
    """A named quantity of statements.

    A subclass has a `definition`, its value in elementary functions, or a method ``ball`` that computes it.
    """

    is_extended_real = True
    is_complex = True

    def _eval_evalf(self, prec: int) -> None:
        """None: SymPy has no digits of it."""

    def definition(self) -> sp.Expr:
        """The value in elementary functions of the arguments."""
        raise NotImplementedError


def explicit(expression: sp.Basic) -> sp.Basic:
    """Returns an expression with the quantities that have a definition replaced by it."""
    return expression.replace(_is_defined, lambda found: explicit(found.definition()))


def _is_defined(expression: sp.Basic) -> bool:
    return isinstance(expression, Quantity) and type(expression).definition is not Quantity.definition


class Theta(Quantity):
    """The frequency theta_j = c^(-2j/d) of arguments (j, d, c)."""

    is_positive = True

    def definition(self) -> sp.Expr:
        index, d, c = self.args
        return c ** (-2 * index / d)

    def _latex(self, printer: sp.printing.printer.Printer, exp: str | None = None) -> str:
        name = rf"\theta_{{{printer._print(self.args[0])}}}"
        return name if exp is None else f"{name}^{{{exp}}}"


class LargestError(Quantity):
    """The largest |a - a_lin| at s between s1 and s2 over heads with |h_j| <= 1, of arguments (s, s1, s2, d, c).

    That it is the sum of the |D_j| is the proof `pi_theory.proofs.sharp`.
    """

    is_nonnegative = True

    def definition(self) -> sp.Expr:
        s, s1, s2, d, c = self.args
        lam, theta = (s - s1) / (s2 - s1), Theta(j, d, c)
        parts = (f(s * theta) - (1 - lam) * f(s1 * theta) - lam * f(s2 * theta) for f in (sp.cos, sp.sin))
        return sp.Sum(sp.sqrt(sum((part**2 for part in parts), sp.Integer(0))), (j, 0, d / 2 - 1))

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return rf"\max_{{|h_j|\le1}}|a-a_{{\rm lin}}|({printer._print(self.args[0])})"


class Margin(Quantity):
    """F(d, c), the largest interpolation error on a unit interval over the published bound, of arguments (d, c)."""

    is_nonnegative = True

    def definition(self) -> sp.Expr:
        d, c = self.args
        return 64 * sp.log(c) / d * sp.Sum(sp.sin(Theta(j, d, c) / 4) ** 2, (j, 0, d / 2 - 1))

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return "F({}, {})".format(*map(printer._print, self.args))


class ExtrapolationBound(Quantity):
    """B(s) = sum_k |A_k(s)|, of arguments (s, d, c)."""

    is_nonnegative = True

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return f"B({printer._print(self.args[0])})"


def published(s: sp.Expr, s1: sp.Expr, s2: sp.Expr) -> sp.Expr:
    """Returns the right side of Theorem 2.1 for max|h| = 1."""
    return d * (s - s1) * (s2 - s) / (8 * sp.log(c))


def midpoint_error(d: sp.Expr | int = d, c: sp.Expr | int = c) -> sp.Expr:
    """Returns the largest interpolation error halfway between neighbours, for max|h| = 1."""
    return sp.Sum(1 - sp.cos(Theta(j, d, c) / 2), (j, 0, sp.Rational(1, 2) * d - 1))


def unsaid(statement: Statement, sentence: str) -> str | None:
    """Returns what a statement has and its sentence does not say: a number or a relation. None if there is nothing."""
    said = _numbers_of_text(sentence)
    for number in sorted(set(_numbers(statement.then)).union(*map(_numbers, statement.given))):
        parts = {Fraction(number.numerator), Fraction(number.denominator)} - {Fraction(1)}
        if number not in said and (number.denominator == 1 or not parts <= said):
            return f"the number {number}"
    for relation in statement.then.atoms(Relational):
        if not any(word in sentence for word in _WORDS[type(relation)]):
            return f"the relation {relation.rel_op}"
    return None


_WORDS = {
    sp.Ge: ("at least", "never below", "never falls below"),
    sp.Le: ("at most", "within", "stays below"),
    sp.Gt: ("exceeds", "more than", "beyond"),
    sp.Lt: ("less than", "below"),
    sp.Eq: ("equal", "is exactly", "reaches exactly"),
    sp.Ne: ("differs",),
}


def _numbers(expression: sp.Basic) -> list[Fraction]:
    """The numbers of an expression but the exponent -1; a power of a number is one."""
    if isinstance(expression, sp.Rational):
        return [Fraction(int(expression.p), int(expression.q))]
    if isinstance(expression, sp.Pow):
        if expression.exp == -1:
            return _numbers(expression.base)
        if isinstance(expression.base, sp.Integer) and isinstance(expression.exp, sp.Integer):
            return [Fraction(int(expression.base)) ** int(expression.exp)]
    return [number for argument in expression.args for number in _numbers(argument)]


def _numbers_of_text(text: str) -> set[Fraction]:
    """The numbers that a sentence has: 4096, 1.5, 10^4 and 10^-50, and not the 1 of s1; a minus sign counts as -1."""
    found = {Fraction(-1)} if " - " in text else set()
    for sign, base, exponent in re.findall(r"(?<![\w.^])(- ?)?(\d+(?:\.\d+)?)(?:\^(-?\d+))?(?!\w)", text):
        value = Fraction(base) ** int(exponent or 1)
        found |= {value, -value} if sign else {value}
    return found
