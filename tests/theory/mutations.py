"""Statements with one constant, sign or relation changed, as tests hold proofs and claims to what they say."""

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp
from sympy.core.relational import Relational

from pi_theory.statements import Statement

_OTHERS = {
    sp.Le: (sp.Ge, sp.Lt),
    sp.Lt: (sp.Gt, sp.Le),
    sp.Ge: (sp.Le, sp.Gt),
    sp.Gt: (sp.Lt, sp.Ge),
    sp.Eq: (sp.Ne,),
    sp.Ne: (sp.Eq,),
}


def mutations(expression: sp.Basic) -> Iterator[sp.Basic]:
    """Every expression that differs in one place: a number one larger or negated, a sign, or a relation changed."""
    if isinstance(expression, sp.Rational):
        yield from {expression + 1, -expression} - {expression}
        return
    if isinstance(expression, Relational):
        for other in _OTHERS[type(expression)]:
            yield other(*expression.args, evaluate=False)
    for n, argument in enumerate(expression.args):
        negated = (-argument,) if isinstance(expression, (sp.Add, Relational)) and not argument.is_number else ()
        for changed in (*negated, *mutations(argument)):
            arguments = (*expression.args[:n], changed, *expression.args[n + 1 :])
            try:
                found = _rebuilt(expression, arguments)
            except (TypeError, ValueError):  # not an expression at all, as a sum over no index
                continue
            same = expression.is_number and found == expression.doit()  # (-10)^50 is 10^50
            if not same and found not in (expression, sp.nan) and not found.has(sp.zoo, sp.nan):
                yield found


def mutated_statements(statement: Statement) -> Iterator[Statement]:
    """Every statement that differs in one place, its hypotheses included."""
    for then in mutations(statement.then):
        yield replace(statement, then=then)
    for n, one in enumerate(statement.given):
        for changed in mutations(one):
            yield replace(statement, given=(*statement.given[:n], changed, *statement.given[n + 1 :]))


def _rebuilt(expression: sp.Basic, arguments: tuple[sp.Basic, ...]) -> sp.Basic:
    if isinstance(expression, Relational):
        return expression.func(*arguments, evaluate=False)
    return expression.func(*arguments)
