"""The proofs about extrapolation: Eq. 8 of the paper, why it is never better than the trivial bound, and ridge fits."""

from functools import cache

import sympy as sp
from sympy import Abs, And, Ge, Integer, Le, Rational, Sum, cos, sin, sqrt

from pi_theory.proofs.interpolation import HEADS, aligned, i, k, u, x, y
from pi_theory.proofs.steps import Proof, equal, follows, true
from pi_theory.statements import ExtrapolationBound, c, d, hmax, hstep, rho, s, score

sigma = sp.Symbol("sigma", positive=True)
B = ExtrapolationBound(s, d, c)


@cache
def abel() -> Proof:
    """Eq. 8, by summation by parts."""
    before, here = sp.symbols("A_n A_{n+1}")
    h_last, h_next = sp.symbols("h_{n-1} h_n")
    larger, smaller = sp.symbols("|h_j| |h_{j+1}|", nonnegative=True)
    e = sp.symbols("e_0:5")
    h = (*sp.symbols("h_0:5"), Integer(0))
    twice = equal(
        r"With both $|h_j|$ and $|h_{j+1}|$ at most $\max|h|$, their sum is at most",
        sp.Subs(larger + smaller, (larger, smaller), (hmax, hmax)),
        2 * hmax,
    )
    return Proof(
        id="abel",
        given=HEADS,
        steps=(
            equal(
                r"$\sum_{j<n} h_j e_j = \sum_{k=1}^n A_k (h_{k-1} - h_k)$ with $h_n = 0$ and $A_k = \sum_{j<k} e_j$. "
                "For five terms the identity is",
                sum((sum(e[:i], Integer(0)) * (h[i - 1] - h[i]) for i in range(1, 6)), Integer(0)),
                sum((h[i] * e[i] for i in range(5)), Integer(0)),
            ),
            equal(
                r"For any number of terms it follows by induction: one more term $h_n e_n$, where "
                r"$e_n = A_{n+1} - A_n$, changes the right side by",
                before * (h_last - h_next) + here * h_next - before * h_last,
                h_next * (here - before),
            ),
            aligned(
                r"The triangle inequality gives the first form. It is attained if "
                r"$h_{k-1} - h_k = \bar A_k/|A_k|$, because then each term is $|A_k|$:"
            ),
            twice,
            follows(
                r"A step $|h_j - h_{j+1}|$ is at most that sum. Hence",
                And(Le(score, hstep * B), Le(hstep * B, 2 * hmax * B)),
                And(Le(score, hstep * B), Le(hstep * B, twice.formula.rhs * B)),
            ),
        ),
    )


@cache
def pairs() -> Proof:
    """B(s) >= d/4, so the last form of Eq. 8 is never better than the trivial bound."""
    real, imag = sp.symbols("v w", real=True)
    even = equal(
        r"If $d/2$ is even, the pairs $(1, 2), (3, 4), \dots$ give in all",
        Sum(1, (k, 1, d / 4)),
        d / 4,
    )
    odd = equal(
        r"If $d/2$ is odd, $|A_1| = 1$ and the pairs $(2, 3), (4, 5), \dots$ give in all",
        Abs(sp.exp(sp.I * u), evaluate=False) + Sum(1, (k, 1, (d / 2 - 1) / 2)),
        d / 4 + Rational(1, 2),
    )
    return Proof(
        id="pairs",
        given=HEADS,
        steps=(
            equal(
                r"$A_{k+1} = A_k + e^{is\theta_k}$. A common rotation makes the added term 1, and changes no modulus:",
                Abs(sp.exp(-sp.I * u) * (x * sp.exp(sp.I * y) + sp.exp(sp.I * u))) ** 2,
                Abs(x * sp.exp(sp.I * (y - u)) + 1) ** 2,
            ),
            equal(
                r"So with $A_k = v + iw$ after rotation, $|A_{k+1}|$ is at least $|1 + v|$: the squares differ by",
                Abs(1 + real + sp.I * imag) ** 2 - (1 + real) ** 2,
                imag**2,
            ),
            equal(
                r"and $|A_k|$ is at least $|v|$. Since $|1 + v| + |v| \ge (1 + v) - v$, a pair is at least",
                sp.Add(1 + real, -real, evaluate=False),
                Integer(1),
            ),
            even,
            odd,
            true("which is more:", Ge(odd.formula.rhs, even.formula.rhs, evaluate=False)),
            follows(
                "So the last form of Eq. 8 is never below the trivial bound:",
                Ge(2 * hmax * B, d / 2 * hmax),
                Ge(2 * hmax * B, 2 * hmax * even.formula.rhs),
            ),
        ),
    )


@cache
def ridge() -> Proof:
    """A least-squares fit with ridge regularisation is bounded on the whole line."""
    points = sp.Symbol(r"\|y\|", nonnegative=True)
    gain = equal(
        r"Each singular value $\sigma$ is inverted with the gain $\sigma/(\sigma^2+\rho)$, which is at most "
        r"$1/(2\sqrt\rho)$:",
        1 / (2 * sqrt(rho)) - sigma / (sigma**2 + rho),
        (sigma - sqrt(rho)) ** 2 / (2 * sqrt(rho) * (sigma**2 + rho)),
    )
    row = equal(
        "The squared norm of a row of the design matrix is",
        Sum(cos(x) ** 2 + sin(x) ** 2, (i, 0, d / 2 - 1)),
        d / 2,
    )
    return Proof(
        id="ridge",
        given=HEADS,
        steps=(
            gain,
            row,
            follows(
                "The value of the fit is the product of a row and of the weights:",
                Le(score, sqrt(d / 2) * points / (2 * sqrt(rho))),
                Le(score, sqrt(row.formula.rhs) * points * (gain.formula.lhs + sigma / (sigma**2 + rho))),
            ),
        ),
    )
