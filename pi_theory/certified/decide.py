"""Whether a statement without free symbols is true, decided by evaluating both sides of its relations in balls."""

import operator
from collections.abc import Callable, Mapping
from functools import cache, reduce

import sympy as sp
from flint import arb, ctx
from sympy.core.relational import Relational

from pi_theory.certified.balls import B_ball, ball_sum, exact
from pi_theory.certified.quantities import integer, number
from pi_theory.statements import ExtrapolationBound, Quantity, explicit

_BITS = 128


def decide(statement: sp.Basic) -> bool | None:
    """Returns whether a relation, or several joined by "and" or "or", is certainly true or certainly false.

    Returns:
        None where the balls are too wide to tell.

    Raises:
        ValueError: it has free symbols, or an expression that this module cannot evaluate.
        ArithmeticError: a quantity of it could not be computed.
    """
    if isinstance(statement, (sp.And, sp.Or)):
        decisive = isinstance(statement, sp.Or)
        found = {decide(one) for one in statement.args}
        return decisive if decisive in found else None if None in found else not decisive
    if not isinstance(statement, Relational):
        raise ValueError(f"statement: {statement} is no relation")
    left, right = ball(statement.lhs), ball(statement.rhs)
    if _holds(statement.rel_op, left, right):
        return True
    return False if _holds(statement.negated.rel_op, left, right) else None


@cache
def ball(expression: sp.Basic) -> arb:
    """Returns a ball that holds the value of an expression.

    Raises:
        ValueError: the expression has free symbols or unknown functions.
        ArithmeticError: a quantity of it could not be computed.
    """
    with ctx.workprec(_BITS):
        return _ball(explicit(expression), {})


def _ball(expression: sp.Basic, indices: Mapping[sp.Basic, int]) -> arb:
    """The ball of an expression in which the indices of sums have values."""
    match expression:
        case ExtrapolationBound():
            s, d, c = expression.args
            return B_ball(number(s), head_dim=integer(d), base=number(c))
        case Quantity():
            return expression.ball()
        case sp.Symbol() if expression in indices:
            return arb(indices[expression])
        case sp.Rational():
            return exact(number(expression))
        case sp.Sum():
            index, first, last = expression.args[1].args
            places = range(integer(first), integer(last) + 1)
            return ball_sum(_ball(expression.function, {**indices, index: n}) for n in places)
    if type(expression) in _FUNCTIONS:
        return _FUNCTIONS[type(expression)](*(_ball(one, indices) for one in expression.args))
    raise ValueError(f"statement: cannot evaluate {expression}")


_FUNCTIONS: dict[type, Callable[..., arb]] = {
    sp.Add: lambda *terms: ball_sum(terms),
    sp.Mul: lambda *factors: reduce(operator.mul, factors),
    sp.Pow: operator.pow,
    sp.Abs: abs,
    sp.exp: arb.exp,
    sp.log: arb.log,
    sp.cos: arb.cos,
    sp.sin: arb.sin,
    sp.sec: arb.sec,
}


def _holds(relation: str, left: arb, right: arb) -> bool:
    match relation:
        case "<=":
            return bool(left <= right)
        case "<":
            return bool(left < right)
        case ">=":
            return bool(left >= right)
        case ">":
            return bool(left > right)
        case "==":
            return bool(left == right)  # true of two exact balls only
        case "!=":
            return bool(left != right)
    return False
