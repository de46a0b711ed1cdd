"""The proofs that settle claims of others: turns in the window (YaRN, Llama 3) and the granularity of Xiong et al.

The arguments that join the steps stand in `pi_theory.reach` and `pi_theory.resolution`.
"""

from functools import cache

import sympy as sp
from sympy import And, Eq, Ge, Gt, I, Le, Lt, cos, exp, log, sin

from pi_theory.proofs.interpolation import HEADS, more, x
from pi_theory.proofs.prediction import SLOW, ScaledTheta, Size, last_seen, ntk_reach, theta, trained_arc, v
from pi_theory.proofs.steps import Proof, equal, follows, true
from pi_theory.statements import L, Theta, c, d, j, kappa

kept = sp.Symbol("g", positive=True)
"""The share of a frequency that a method keeps: it divides the rest by kappa."""


@cache
def kept_reach() -> Proof:
    """The last distance that a method reads which keeps a share of a slow frequency."""
    given = (*HEADS, L > 1, SLOW, kappa > 1)
    blend = kept * Theta(j, d, c) + (1 - kept) * Theta(j, d, c) / kappa
    whole, part = kappa * (L - 1), kappa * (L - 1) / (1 + (kappa - 1) * kept)
    slower = true(
        r"For $\kappa = 1 + p$ this is more than $1/\kappa$, because",
        Gt(1 + more * kept, 1, evaluate=False),
    )
    one, grown = slower.formula.rhs, slower.formula.lhs.subs(more, kappa - 1)
    return Proof(
        id="kept_reach",
        given=given,
        needs=(trained_arc(),),
        steps=(
            equal(
                r"A frequency of which the share $g$ is kept and the rest divided by $\kappa$ is, over $\theta_j$,",
                blend / Theta(j, d, c),
                (1 + (kappa - 1) * kept) / kappa,
            ),
            slower,
            follows(
                "So the last distance within the trained arc is less than that of linear interpolation:",
                And(Eq(last_seen, part), Lt(part, whole, evaluate=False)),
                And(
                    trained_arc().at({ScaledTheta(j): blend}, given),
                    Lt(whole / grown, whole / one, evaluate=False),
                ),
            ),
        ),
    )


@cache
def ntk_shortfall() -> Proof:
    """NTK-aware scaling takes every slow pair but the slowest out of its trained arc within the extended window."""
    given = (*HEADS, L > 1, SLOW, kappa > 1, 2 * j < d - 2)
    end, short = ntk_reach().at({}, given), sp.Symbol("w", positive=True)
    slowed = true(
        r"With $2j/(d-2) = 1 - w$ and $\kappa = 1 + p$, the logarithm of the divisor is less than $\ln\kappa$:",
        Lt((1 - short) * log(1 + more), log(1 + more), evaluate=False),
    )
    less, than = (one.subs({more: kappa - 1, short: 1 - 2 * j / (d - 2)}) for one in slowed.formula.args)
    return Proof(
        id="ntk_shortfall",
        given=given,
        needs=(ntk_reach(),),
        steps=(
            slowed,
            follows(
                r"So the arc is left before the last distance of linear interpolation:",
                And(
                    Eq(last_seen, (L - 1) * kappa ** (2 * j / (d - 2))), Lt(last_seen, kappa * (L - 1), evaluate=False)
                ),
                And(end, Lt(end.lhs, end.rhs / exp(less) * exp(than), evaluate=False)),
            ),
        ),
    )


@cache
def neighbours_apart() -> Proof:
    """How far apart a vector stands at neighbouring positions after a change of base and after linear interpolation."""
    given = (*HEADS, d > 2, 2 * j <= d - 2, kappa >= 1)
    n = sp.Symbol("n", real=True)
    image = x * exp(I * n * theta)
    moved = equal(
        r"A pair of size $x = |x_j|$ moves from one position to the next by the squared distance",
        sp.expand_complex((image.subs(n, n + 1) - image) * sp.conjugate(image.subs(n, n + 1) - image)),
        2 * x**2 * (1 - cos(theta)),
    )
    apart, short = moved.formula.rhs.subs(x**2, Size(j)), sp.Symbol("w", nonnegative=True)
    slowed = true(
        r"With $2j/(d-2) = 1 - w \le 1$ and $\kappa = 1 + p$, the base $c\,\kappa^{d/(d-2)}$ divides $\theta_j$ by a "
        r"number whose logarithm is at most $\ln\kappa$:",
        Le((1 - short) * log(1 + more), log(1 + more), evaluate=False),
    )
    less, than = (one.subs({more: kappa - 1, short: 1 - 2 * j / (d - 2)}) for one in slowed.formula.args)
    return Proof(
        id="neighbours_apart",
        given=given,
        steps=(
            moved,
            equal(r"This grows with $\theta \le \pi$:", sp.Derivative(1 - cos(v), v), sin(v)),
            slowed,
            follows(
                r"With $|h_j| = |x_j|^2$ this is twice the cap of a bend. So no pair stands nearer than after linear "
                "interpolation:",
                Ge(
                    2 * Size(j) * (1 - cos(Theta(j, d, c) * kappa ** (-2 * j / (d - 2)))),
                    2 * Size(j) * (1 - cos(Theta(j, d, c) / kappa)),
                    evaluate=False,
                ),
                Ge(*(apart.subs(theta, Theta(j, d, c) / exp(one)) for one in (less, than)), evaluate=False),
            ),
        ),
    )
