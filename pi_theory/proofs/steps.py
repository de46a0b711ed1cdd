"""What a proof is, and the checks that its steps run.

A step is a sentence with a formula, and its check is a function of that formula: change a constant of the formula and
the step fails. The formula of the last step is the theorem, and its check derives it from the formulas of the steps
before it and from lemmas. A lemma is used by `Proof.at`, which refuses to do so while one of its hypotheses is open.

What a computer algebra system cannot check, such as an appeal to convexity or the choice of a nearest integer, is said
in the sentence of the step. What it can check is verified whenever `Step.verify` runs, and never assumed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import mpmath
import sympy as sp
from mpmath import mpc, mpf, workdps
from sympy.core.relational import Relational

from pi_theory.statements import Quantity, Statement, explicit


@dataclass(frozen=True)
class Step:
    """A sentence, the formula that carries it, and the check that the formula is true."""

    says: str
    formula: sp.Basic
    check: Callable[[sp.Basic], bool] = field(repr=False)

    def verify(self) -> bool:
        """Returns whether the formula is true."""
        return bool(self.check(self.formula))


@dataclass(frozen=True)
class Proof:
    """A theorem, its hypotheses, the lemmas it needs, and the steps that prove it."""

    id: str
    steps: tuple[Step, ...]
    given: tuple[sp.Basic, ...] = ()
    needs: tuple["Proof", ...] = ()

    @property
    def theorem(self) -> Statement:
        """What is proved: the formula of the last step under the hypotheses."""
        return Statement(self.steps[-1].formula, self.given)

    def failure(self) -> str | None:
        """Returns where the proof or a lemma of it does not verify, or None if all of it does.

        It is found once for each proof, because claims share proofs and proofs share lemmas.
        """
        return _failure(self)

    def verify(self) -> bool:
        """Returns whether every step verifies, and every step of the lemmas."""
        return self.failure() is None

    def at(self, values: Mapping[sp.Basic, sp.Basic], given: tuple[sp.Basic, ...] = ()) -> sp.Basic:
        """Returns what the theorem says with expressions put in the place of its symbols.

        Raises:
            ValueError: a hypothesis is neither true for these expressions nor among the relations given.
        """
        statement = self.theorem.at(values)
        for hypothesis in statement.given:
            if hypothesis not in given:
                raise ValueError(f"lemma '{self.id}' needs {hypothesis}")
        return statement.then

    def latex(self) -> str:
        """Returns the proof as a LaTeX enumeration of its sentences and formulas."""
        items = "\n".join(rf"  \item {step.says} \[ {sp.latex(step.formula)} \]" for step in self.steps)
        return "\\begin{enumerate}\n" + items + "\n\\end{enumerate}"


@cache
def _failure(proof: Proof) -> str | None:
    for lemma in proof.needs:
        if (found := lemma.failure()) is not None:
            return found
    for number, step in enumerate(proof.steps, 1):
        if not step.verify():
            return f"step {number} of proof '{proof.id}' does not verify"
    return None


def equal(says: str, left: sp.Expr, right: sp.Expr) -> Step:
    """A step whose formula is left = right, checked by simplifying the difference to zero."""
    return Step(says, sp.Eq(left, right, evaluate=False), _is_identity)


def true(says: str, relation: sp.Basic) -> Step:
    """A step whose formula is an inequality that SymPy decides, by the signs of its symbols or by its numbers."""
    return Step(says, relation, _is_true)


def nonnegative_from_zero(says: str, variable: sp.Symbol, function: sp.Expr, order: int, derivative: sp.Expr) -> Step:
    """A step that proves function >= 0 for variable >= 0; its formula gives the derivative after ``order``.

    The check is that the function and its first ``order`` derivatives vanish at 0, and that the next derivative is
    the one given, which SymPy sees to be non-negative.
    """

    def check(formula: sp.Basic) -> bool:
        if not _is_identity(formula) or formula.lhs != sp.Derivative(function, (variable, order + 1)):
            return False
        start = (sp.diff(function, variable, i).subs(variable, 0) for i in range(order + 1))
        return formula.rhs.is_nonnegative is True and all(map(is_zero, start))

    formula = sp.Eq(sp.Derivative(function, (variable, order + 1)), derivative, evaluate=False)
    return Step(says, formula, check)


def follows(says: str, formula: sp.Basic, derived: sp.Basic) -> Step:
    """A step whose formula must be what the steps and lemmas before it give, which is ``derived`` from them."""
    return Step(says, formula, lambda formula: same(formula, derived))


def same(left: sp.Basic, right: sp.Basic) -> bool:
    """Returns whether two relations, or the same number of them joined alike, have equal sides."""
    if type(left) is not type(right):
        return False
    if isinstance(left, Relational):
        return is_zero(left.lhs - right.lhs) and is_zero(left.rhs - right.rhs)
    if not isinstance(left, (sp.And, sp.Or)):
        return bool(left == right)
    return len(left.args) == len(right.args) and all(any(same(x, y) for y in right.args) for x in left.args)


def is_zero(expression: sp.Expr) -> bool:
    """Returns whether SymPy sees that an expression is 0, with its quantities replaced by their definitions."""
    if expression == 0:
        return True
    rest, sums = _without_sums(explicit(expression))
    expression = rest.doit()
    if _is_nonzero_at_a_point(expression) or not any(rewrite(expression) == 0 for rewrite in _REWRITES):
        return False
    return all(map(is_zero, sums))


def _without_sums(expression: sp.Expr) -> tuple[sp.Expr, list[sp.Expr]]:
    """Returns what is left of an expression without its sums over j, and those summands whose zeros make it equal.

    Sums over the same range are brought under one sign, because SymPy would look for a closed form of each. A sum whose
    terms are all the same, or that has numbers for limits, is added up instead.
    """
    expression = expression.replace(_can_be_added_up, lambda found: found.doit())
    if not expression.has(sp.Sum):
        return expression, []
    rest, summands = sp.Integer(0), dict[sp.Basic, sp.Expr]()
    for term in sp.Add.make_args(sp.expand_mul(expression, deep=False)):
        weight, sums = term.as_independent(sp.Sum)
        if isinstance(sums, sp.Sum):
            limits = sums.args[1].simplify()
            summands[limits] = summands.get(limits, sp.Integer(0)) + weight * sums.function
        else:
            rest += term
    return rest, list(summands.values())


def _can_be_added_up(expression: sp.Basic) -> bool:
    if not isinstance(expression, sp.Sum):
        return False
    index, first, last = expression.args[1].args
    return index not in expression.function.free_symbols or (first.is_number and last.is_number)


# The cheap ones first; what none of them can do stays unproved.
_REWRITES: tuple[Callable[[sp.Expr], sp.Expr], ...] = (
    lambda e: e,
    sp.expand,
    lambda e: sp.powsimp(sp.expand(e.rewrite(sp.exp))),
    lambda e: sp.powsimp(sp.expand(sp.together(e.rewrite(sp.exp)).as_numer_denom()[0])),
    lambda e: sp.simplify(e.rewrite(sp.Abs)),
    sp.simplify,
    lambda e: sp.simplify(sp.expand(e)),
    lambda e: sp.simplify(sp.expand(e.rewrite(sp.exp))),
    lambda e: sp.simplify(sp.expand_trig(sp.expand(e))),
    sp.gammasimp,
)


def _is_nonzero_at_a_point(expression: sp.Expr) -> bool:
    """Whether an expression is clearly not 0 at one point, which saves the search for a proof that it is."""
    unknown = sorted(expression.atoms(sp.Symbol, Quantity), key=str)
    point = {one: mpf(n + 6) if one.is_integer else mpf(3 * n + 25) / 7 for n, one in enumerate(unknown)}
    with workdps(50):
        try:
            return abs(_value(expression, point)) > 1e-20
        except (AttributeError, TypeError, ArithmeticError):  # it has no value that mpmath knows, or none there
            return False


def _value(expression: sp.Basic, point: Mapping[sp.Basic, mpf]) -> mpf | mpc:
    """The value of an expression where its symbols, and quantities without a definition, have given ones."""
    if expression in point:
        return point[expression]
    if expression.is_Atom:
        return mpmath.mpmathify(expression.evalf(50))
    values = [_value(one, point) for one in expression.args]
    match expression:
        case sp.Add():
            return mpmath.fsum(values)
        case sp.Mul():
            return mpmath.fprod(values)
        case sp.Pow():
            return mpmath.power(*values)
    name = type(expression).__name__
    return _IN_MPMATH[name](*values) if name in _IN_MPMATH else getattr(mpmath, name)(*values)


_IN_MPMATH: dict[str, Callable[..., Any]] = {"Abs": abs, "ceiling": mpmath.ceil, "Min": min, "Max": max}
"""What mpmath calls otherwise than SymPy."""


def _is_identity(formula: sp.Basic) -> bool:
    return isinstance(formula, sp.Eq) and is_zero(formula.lhs - formula.rhs)


def _is_true(formula: sp.Basic) -> bool:
    if isinstance(formula, Relational):
        gap = sp.factor(sp.simplify(formula.lhs - formula.rhs))
        formula = formula.func(gap, 0)
    return formula == sp.true
