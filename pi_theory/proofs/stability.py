"""The proofs of the stability theorem, on the line and in a window, and of what Position Interpolation asks for.

The arguments that join the steps stand in `pi_theory.amplification`.
"""

from functools import cache

import sympy as sp
from sympy import E, Eq, Gt, I, Integer, Le, Rational, ceiling, cos, exp, log, pi, sec, sin

from pi_theory.proofs.interpolation import HEADS, alpha, i, u
from pi_theory.proofs.steps import Proof, equal, follows, true
from pi_theory.statements import L, S, at_integers, everywhere, kappa, s, score, tau

beta = sp.Symbol("beta", real=True, nonzero=True)
reach = sp.Symbol("D", positive=True)  # the distance to the nearest unseen integer


@cache
def stability() -> Proof:
    """The stability theorem for functions of type tau."""
    cosine = sp.Integral(exp(I * u * beta), (u, -1, 1)) / 2
    first_moment = sp.Integral(u * exp(I * u * beta), (u, -1, 1)) / 2
    target = exp(I * u * alpha) * (cos(alpha) - I * u * sin(alpha))
    sign = sp.Symbol("epsilon", real=True)  # (-1)^k: sin(alpha - k pi) = epsilon sin(alpha), and so for the cosine
    slope, top, angle = sp.symbols("r M psi", real=True)
    drop = sp.Symbol("epsilon", positive=True)
    f = sp.Function("f")(u)
    nearest = equal(
        r"At most half a unit from a place where $f \ge M - \epsilon$ lies an integer $n$, and "
        r"$f(n) \ge M\cos(\tau/2 + \arccos(1 - \epsilon/M))$. As $\epsilon \to 0$ the cosine tends to",
        sp.Limit(cos(tau / 2 + sp.acos(1 - drop)), drop, 0),
        1 / sec(tau / 2),
    )
    return Proof(
        id="stability",
        given=(tau > 0, tau < pi),
        steps=(
            equal(
                r"The Fourier coefficients of $e^{iv\alpha}(\cos\alpha - iv\sin\alpha)$ on $|v| \le 1$ are made of two "
                r"integrals. With $\beta = \alpha - k\pi$, the first is",
                cosine,
                sin(beta) / beta,
            ),
            equal("The second is", first_moment, I * (sin(beta) / beta**2 - cos(beta) / beta)),
            equal(
                r"Since $\sin\beta = \epsilon\sin\alpha$ and $\cos\beta = \epsilon\cos\alpha$ with "
                r"$\epsilon = (-1)^k$, the coefficients are",
                cos(alpha) * sign * sin(alpha) / beta
                - I * sin(alpha) * I * (sign * sin(alpha) / beta**2 - sign * cos(alpha) / beta),
                sign * sin(alpha) ** 2 / beta**2,
            ),
            equal(
                "The function is 1 at both ends, so that its periodic extension is continuous:",
                target.subs(u, 1),
                Integer(1),
            ),
            equal(
                r"Hence the series converges absolutely to it, and its value at the ends gives "
                r"$\sum_k \sin^2\alpha/(\alpha-k\pi)^2 = 1$. The interpolation formula follows by putting "
                r"$v = \omega/\tau$, multiplying by $e^{i\omega x}$ and integrating. The value at the other end:",
                target.subs(u, -1),
                Integer(1),
            ),
            equal(
                r"So $|f'\sin\alpha - \tau f\cos\alpha| \le \tau M$ for every $\alpha$. Writing "
                r"$(f', \tau f) = r(\cos\psi, \sin\psi)$, the best choice is $\alpha = \psi - \pi/2$:",
                sp.Abs(slope * cos(angle) * sin(angle - pi / 2) - slope * sin(angle) * cos(angle - pi / 2)),
                sp.Abs(slope),
            ),
            equal(
                r"Hence $f'^2 + \tau^2 f^2 \le \tau^2 M^2$, which bounds the slope of $\arccos(f/M)$ by $\tau$:",
                sp.Derivative(sp.acos(f / top), u) ** 2,
                sp.Derivative(f, u) ** 2 / (top**2 - f**2),
            ),
            nearest,
            follows(
                r"So $\sup|f(n)| \ge M\cos(\tau/2)$, where $\tau/2 < \pi/2$:",
                Le(everywhere, sec(tau / 2) * at_integers),
                Le(everywhere, at_integers / nearest.formula.rhs),
            ),
        ),
    )


@cache
def score_stability() -> Proof:
    """The stability theorem for scores, whose fastest frequency is 1."""
    return Proof(
        id="score_stability",
        given=HEADS,
        needs=(stability(),),
        steps=(
            equal(
                r"The fastest frequency is $\theta_0 =$",
                sp.Subs(sp.Symbol("c", positive=True) ** (-2 * i), i, 0),
                Integer(1),
            ),
            follows(
                r"A score is a function of that type:",
                Le(everywhere, sec(Rational(1, 2)) * at_integers),
                stability().at({tau: Integer(1)}),
            ),
        ),
    )


@cache
def window_stability() -> Proof:
    """The stability theorem in a window of L tokens, which holds the distances 0 .. L - 1."""
    size = ceiling(log(S))
    m = sp.Symbol("m", positive=True)
    r = sp.Symbol("r", positive=True)
    spread = E * m / reach
    argument = equal(
        r"Let $m = \lceil\ln S\rceil$ and $r = e m/D$. At an unseen integer, at least $D$ from $s$, the size of "
        r"$y = r(x - s)/m$ is at least",
        sp.Subs(r / m * reach, r, spread),
        E,
    )
    small = equal(
        r"There $|\sin y/y|^m \le e^{-m}$, which is at most $1/S$, because $m \ge \ln S$ and",
        sp.Subs(exp(-m), m, log(S)),
        1 / S,
    )
    kind = equal(
        r"The product $g(x) = a(x)(\sin y/y)^m$ is of type",
        1 + m * sp.Subs(r / m, r, spread),
        1 + spread,
    )
    nearest = sp.Min(s, L - 1 - s) + 1
    return Proof(
        id="window_stability",
        given=(*HEADS, s >= 0, s <= L - 1, S >= E, 1 + E * size / nearest < pi),
        needs=(stability(),),
        steps=(
            argument,
            small,
            kind,
            equal(
                r"The nearest unseen integers are $-1$ and $L$. So $D =$",
                sp.Min(s - (-1), L - s),
                nearest,
            ),
            follows(
                r"With $|g(n)| \le 1$ at all integers and $g(s) = a(s)$:",
                Le(score, sec(Rational(1, 2) + E * size / (2 * nearest))),
                Le(
                    score,
                    stability()
                    .at({tau: kind.formula.rhs}, (kind.formula.rhs < pi,))
                    .rhs.subs({at_integers: 1, m: size, reach: nearest}),
                ),
            ),
        ),
    )


@cache
def published_reach() -> Proof:
    """Position Interpolation by L'/L asks for distances that training did not show."""
    last = equal(
        r"A window of $\kappa L$ tokens has distances up to $\kappa L - 1$, which PI divides by $\kappa$:",
        (kappa * L - 1) / kappa,
        L - 1 / kappa,
    )
    asked = sp.Symbol("s_{\\max}", positive=True)
    return Proof(
        id="published_reach",
        given=(kappa > 1,),
        steps=(
            last,
            true(
                r"The last trained distance is $L - 1$. For $\kappa = 1 + p$ the other is larger:",
                Gt((last.formula.rhs - (L - 1)).subs(kappa, 1 + sp.Symbol("p", positive=True)), 0),
            ),
            follows(
                "So it asks for more than it was trained on:",
                sp.And(Eq(asked, L - 1 / kappa), Gt(L - 1 / kappa, L - 1, evaluate=False)),
                sp.And(Eq(asked, last.formula.rhs), Gt(last.formula.rhs, L - 1, evaluate=False)),
            ),
        ),
    )


@cache
def whole_reach() -> Proof:
    """Dividing positions by (L' - 1)/(L - 1) keeps all distances of the longer window in the trained range."""
    longer = sp.Symbol("L'", positive=True)
    last = equal(
        r"The largest distance $L' - 1$ of the longer window is divided by $(L'-1)/(L-1)$:",
        sp.Subs((longer - 1) / kappa, kappa, (longer - 1) / (L - 1)),
        L - 1,
    )
    asked = sp.Symbol("s_{\\max}", positive=True)
    return Proof(
        id="whole_reach",
        given=(longer > 1, L > 1),
        steps=(last, follows("That is the last trained distance:", Eq(asked, L - 1), Eq(asked, last.formula.rhs))),
    )
