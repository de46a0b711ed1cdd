"""The proofs of what predicts a loss: how large a bend can be, how far a method reaches, how far attention moves.

The arguments that join the steps stand in `pi_theory.resolution`, `pi_theory.reach` and `pi_theory.displacement`.
"""

from functools import cache

import sympy as sp
from sympy import And, Eq, Ge, I, Integer, Le, Rational, Sum, cos, exp, log, pi, sin, sqrt, tan, tanh

from pi_theory.proofs.amplification import stability
from pi_theory.proofs.interpolation import HEADS, more, t, u, x
from pi_theory.proofs.steps import Proof, equal, follows, nonnegative_from_zero, true
from pi_theory.statements import L, Quantity, Theta, c, d, everywhere, j, kappa, s, tau

o, v, w = sp.symbols("o v w", positive=True)
theta = sp.Symbol("theta", positive=True)
bend = sp.Symbol(r"|\beta(s)|", nonnegative=True)
cap_ratio = sp.Symbol(r"\sum_j|h_j|(1-\cos\tfrac{\theta_j}{\kappa})\Big/\sum_j|h_j|(1-\cos\theta_j)", nonnegative=True)
largest_bend = sp.Symbol(r"\max_h|\beta(s)|", nonnegative=True)
divergence = sp.Symbol(r"\mathrm{KL}(p\,\|\,p')", nonnegative=True)
variation = sp.Symbol(r"\mathrm{TV}(p,p')", nonnegative=True)
pair_shift = sp.Symbol(r"\sqrt{d}\,|\Delta_{nj}|", nonnegative=True)
last_seen = sp.Symbol(r"s_{\max}", positive=True)
temperature = sp.Symbol("t", positive=True)


class Size(Quantity):
    """The size |h_j| of a head's coefficient, of argument (j)."""

    is_nonnegative = True

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return rf"\left|h_{{{printer._print(self.args[0])}}}\right|"


class ScaledTheta(Quantity):
    """The frequency theta'_j that a scaling method puts in the place of theta_j, of argument (j)."""

    is_positive = True

    def _latex(self, printer: sp.printing.printer.Printer) -> str:
        return rf"\theta'_{{{printer._print(self.args[0])}}}"


@cache
def bend_cap() -> Proof:
    """The largest bend of heads with given |h_j|."""
    wave = exp(I * s * theta)
    here, left, right = sp.symbols("a_s a_{s-1} a_{s+1}", real=True)
    total = sp.Symbol("Z", positive=True)
    above = equal(
        r"A wave is above the mean of its two neighbours by itself times",
        (wave - (wave.subs(s, s - 1) + wave.subs(s, s + 1)) / 2) / wave,
        1 - cos(theta),
    )
    attained = equal(
        r"The triangle inequality bounds the sum. It is attained by $h_j = |h_j| e^{-is\theta_j}$, as then a term is",
        sp.Mul(x * exp(-I * s * theta), above.formula.rhs * wave, evaluate=False),
        x * above.formula.rhs,
    )
    return Proof(
        id="bend_cap",
        given=HEADS,
        steps=(
            above,
            equal("This is not negative:", above.formula.rhs, 2 * sin(theta / 2) ** 2),
            attained,
            equal(
                r"Keys of the same content at $s$ and beside it have the probabilities $e^{a/\sqrt d}/Z$. The log-odds "
                r"of the first over the geometric mean of the others is the bend divided by $\sqrt d$:",
                log(exp(here / sqrt(d)) / total)
                - (log(exp(left / sqrt(d)) / total) + log(exp(right / sqrt(d)) / total)) / 2,
                (here - (left + right) / 2) / sqrt(d),
            ),
            follows(
                "So the largest bend is",
                Eq(largest_bend, Sum(Size(j) * (1 - cos(Theta(j, d, c))), (j, 0, d / 2 - 1))),
                Eq(
                    largest_bend,
                    Sum(attained.formula.rhs.subs({x: Size(j), theta: Theta(j, d, c)}), (j, 0, d / 2 - 1)),
                ),
            ),
        ),
    )


@cache
def bounded_bend() -> Proof:
    """The sharp inequality of Nikol'skii and Stechkin for second differences of functions of type tau."""
    phi, psi = sp.symbols("varphi psi", real=True)
    top = sp.Symbol("M", positive=True)
    f = sp.Function("f")(u)
    once = equal(
        r"$|\sin v|$ grows with $|v| \le \pi/2$. So over a distance of 1, where $|\varphi - \psi| \le \tau \le \pi$, "
        r"$f$ changes by at most $M$ times",
        sp.Subs(2 * sin(v), v, tau / 2),
        2 * sin(tau / 2),
    )
    return Proof(
        id="bounded_bend",
        given=(tau <= pi,),
        needs=(stability(),),
        steps=(
            equal(
                r"For a real $f$ of type $\tau$ with $|f| \le M$, $f'^2 + \tau^2 f^2 \le \tau^2 M^2$, as the stability "
                r"theorem's proof shows. So $f = M\cos\varphi$ with $|\varphi'| \le \tau$:",
                sp.Derivative(sp.acos(f / top), u) ** 2,
                sp.Derivative(f, u) ** 2 / (top**2 - f**2),
            ),
            equal(
                r"At two places this gives the difference, over $M$,",
                cos(phi) - cos(psi),
                -2 * sin((phi + psi) / 2) * sin((phi - psi) / 2),
            ),
            once,
            equal(
                r"The difference $g(x) = f(x + \frac12) - f(x - \frac12)$ is of type $\tau$ too. Its own difference is "
                r"$-2\beta$; of a wave of frequency $\theta$ it is",
                (exp(I * theta / 2) - exp(-I * theta / 2)) ** 2,
                -2 * (1 - cos(theta)),
            ),
            equal(
                r"The wave $\cos(\tau s)$, of supremum 1, has at $s = 0$ the bend",
                sp.Subs(cos(tau * s) - (cos(tau * (s - 1)) + cos(tau * (s + 1))) / 2, s, 0),
                1 - cos(tau),
            ),
            follows(
                r"Twice applied, the change of $f$ gives $2|\beta| \le (2\sin\frac\tau2)^2 \sup|f|$, which that wave "
                "attains:",
                Le(bend, (1 - cos(tau)) * everywhere),
                Le(bend, once.formula.rhs**2 / 2 * everywhere),
            ),
        ),
    )


@cache
def interpolated_bend() -> Proof:
    """Under linear interpolation a bend needs a large score."""
    return Proof(
        id="interpolated_bend",
        given=(*HEADS, kappa >= 1),
        needs=(bounded_bend(),),
        steps=(
            true(r"For $\kappa = 1 + p$ the fastest frequency is at most 1:", Le(1 / (1 + more), 1)),
            follows(
                r"An interpolated score is of the type $1/\kappa$, which is below $\pi$:",
                Le(bend, (1 - cos(1 / kappa)) * everywhere),
                bounded_bend().at({tau: 1 / kappa}, (1 / kappa <= pi,)),
            ),
        ),
    )


@cache
def linear_cap() -> Proof:
    """What linear interpolation leaves of the cap of any head's bends."""
    ratio = (1 - cos(theta / kappa)) / (1 - cos(theta))
    root = sin(theta / (2 * kappa)) / sin(theta / 2)
    fastest = equal(
        r"So the ratio does not fall as $\theta$ grows, and is largest at $\theta = 1$:",
        sp.Subs(ratio, theta, 1),
        (1 - cos(1 / kappa)) / (1 - cos(1)),
    )
    slowest = equal(r"It is never below its limit for slow frequencies:", sp.Limit(ratio, theta, 0), kappa**-2)
    return Proof(
        id="linear_cap",
        given=(*HEADS, kappa >= 1),
        steps=(
            equal(r"Of one frequency $\theta \le 1$ the cap is multiplied by", ratio, root**2),
            equal(
                r"This ratio has the logarithmic slope, times $\theta/2$,",
                theta * sp.Derivative(log(root), theta),
                theta / (2 * kappa) / tan(theta / (2 * kappa)) - theta / 2 / tan(theta / 2),
            ),
            equal(
                r"It is not negative, because $v\cot v$ falls where $\sin 2v < 2v$:",
                sp.Derivative(v / tan(v), v),
                (sin(2 * v) - 2 * v) / (2 * sin(v) ** 2),
            ),
            nonnegative_from_zero(
                r"That is so for $v > 0$, as $t - \sin t$ vanishes at 0 and does not fall:",
                t,
                t - sin(t),
                0,
                2 * sin(t / 2) ** 2,
            ),
            fastest,
            slowest,
            follows(
                "The cap of a head is a sum over frequencies, so that it is multiplied by a mean of such ratios:",
                And(Ge(cap_ratio, kappa**-2), Le(cap_ratio, (1 - cos(1 / kappa)) / (1 - cos(1)))),
                And(Ge(cap_ratio, slowest.formula.rhs), Le(cap_ratio, fastest.formula.rhs)),
            ),
        ),
    )


SLOW = L * Theta(j, d, c) < 2 * pi


@cache
def trained_arc() -> Proof:
    """Up to which distance a slow pair's phase stays within its trained arc."""
    arc = equal(
        r"The phases $0, \theta_j, \dots, (L-1)\theta_j$ leave an arc of the circle unseen, which is wider than the "
        r"step between seen ones where $L\theta_j < 2\pi$. It exceeds the step by",
        (2 * pi - (L - 1) * theta) - theta,
        2 * pi - L * theta,
    )
    end = equal(
        r"The phase $s\theta'_j$ is at the end of the seen arc, $(L-1)\theta_j$, where $s$ is",
        sp.Subs(s * x, s, (L - 1) * theta / x) / x,
        (L - 1) * theta / x,
    )
    return Proof(
        id="trained_arc",
        given=(*HEADS, L > 1, SLOW),
        steps=(
            arc,
            end,
            follows(
                "So the last distance before the unseen arc is",
                Eq(last_seen, (L - 1) * Theta(j, d, c) / ScaledTheta(j)),
                Eq(last_seen, end.formula.rhs.subs({theta: Theta(j, d, c), x: ScaledTheta(j)})),
            ),
        ),
    )


@cache
def linear_reach() -> Proof:
    """The last distance that linear interpolation reads, and all methods that divide slow frequencies by kappa."""
    given = (*HEADS, L > 1, SLOW)
    end = trained_arc().at({ScaledTheta(j): Theta(j, d, c) / kappa}, given)
    return Proof(
        id="linear_reach",
        given=given,
        needs=(trained_arc(),),
        steps=(
            equal(
                r"A window of $\kappa L$ tokens has distances beyond $\kappa(L-1)$, as many as",
                (kappa * L - 1) - kappa * (L - 1),
                kappa - 1,
            ),
            follows(r"With $\theta'_j = \theta_j/\kappa$:", Eq(last_seen, kappa * (L - 1)), end),
        ),
    )


@cache
def ntk_reach() -> Proof:
    """The last distance that NTK-aware scaling reads, and that dynamic NTK has one too."""
    given = (*HEADS, L > 1, SLOW)
    power = sp.Symbol("p", positive=True)
    tokens = sp.Symbol("W", positive=True)
    grown = kappa * tokens / L - (kappa - 1)
    room = (L - 1) * grown**power - (tokens - 1)
    divided = equal(
        r"Raising the base to $c\,\kappa^{d/(d-2)}$ changes the logarithm of $\theta_j$ by",
        -2 * j / d * (log(c) + d / (d - 2) * log(kappa)) - (-2 * j / d * log(c)),
        -2 * j / (d - 2) * log(kappa),
    )
    scaled = Theta(j, d, c) * kappa ** (divided.formula.rhs / log(kappa))
    return Proof(
        id="ntk_reach",
        given=given,
        needs=(trained_arc(),),
        steps=(
            divided,
            equal(
                r"For $\kappa \ge 1$ the divisor does not fall as $j$ grows, so that the first slow pair decides:",
                sp.Derivative(kappa ** (2 * v / (d - 2)), v),
                2 * log(kappa) * kappa ** (2 * v / (d - 2)) / (d - 2),
            ),
            equal(
                r"Dynamic NTK on $W$ tokens has $\kappa W/L - (\kappa-1)$ in place of $\kappa$. With "
                r"$p = 2j/(d-2) \le 1$, its room $R = (L-1)(\kappa W/L - (\kappa-1))^p - (W-1)$ is concave in $W$:",
                sp.Derivative(room, (tokens, 2)),
                -power * (1 - power) * (L - 1) * (kappa / L) ** 2 * grown ** (power - 2),
            ),
            equal(
                r"At $W = L$ it is 0. So it is positive up to one number of tokens and negative beyond:",
                sp.Subs(room, tokens, L),
                Integer(0),
            ),
            follows(
                "At the first slow pair,",
                Eq(last_seen, (L - 1) * kappa ** (2 * j / (d - 2))),
                trained_arc().at({ScaledTheta(j): scaled}, given),
            ),
        ),
    )


@cache
def row_divergence() -> Proof:
    """The largest KL of a row of attention whose logits change within a given oscillation."""
    before, change, total = sp.symbols("p_n Delta_n Z", positive=True)
    share = sp.Symbol("x", positive=True)
    bound = log(1 - share + share * exp(o)) - share * o
    best = 1 / o - 1 / (exp(o) - 1)
    weight = share * exp(o) / (1 - share + share * exp(o))
    chord = 1 + change * (exp(o) - 1) / o
    value = equal("Its value there is", bound.subs(share, best), o / (exp(o) - 1) - 1 + log((exp(o) - 1) / o))
    quarter = equal(
        r"It is at most its value at $w = \frac12$, because it is",
        w * (1 - w),
        Rational(1, 4) - (w - Rational(1, 2)) ** 2,
    )
    return Proof(
        id="row_divergence",
        steps=(
            equal(
                r"With $p'_n = p_n e^{\Delta_n}/Z$ and $Z = \mathrm E_p e^\Delta$, KL is $\ln Z - \mathrm E_p\Delta$:",
                log(before / (before * exp(change) / total)),
                log(total) - change,
            ),
            equal(
                r"A constant in $\Delta$ changes nothing, so let it lie in $[0, o]$. There the convex $e^\Delta$ is "
                r"below its chord $1 + \Delta(e^o-1)/o$, which it meets at both ends:",
                sp.Subs(exp(change) - chord, change, 0) + sp.Subs(exp(change) - chord, change, o) ** 2,
                Integer(0),
            ),
            equal(
                r"With $x = \mathrm E_p\Delta/o$ this gives KL at most $\ln(1 - x + xe^o) - xo$, which two keys with "
                r"$\Delta = (0, o)$ and probabilities $(1-x, x)$ attain, as then $\mathrm E_p e^\Delta$ is",
                (1 - share) * exp(Integer(0)) + share * exp(o),
                chord.subs(change, share * o),
            ),
            equal(
                "This is concave in $x$:",
                sp.Derivative(bound, (share, 2)),
                -(((exp(o) - 1) / (1 - share + share * exp(o))) ** 2),
            ),
            equal(
                r"Its slope vanishes at $x = 1/o - 1/(e^o-1)$:",
                sp.diff(bound, share).subs(share, best),
                Integer(0),
            ),
            value,
            equal(
                r"At fixed $x$ it vanishes for $o = 0$, and so does its slope in $o$:",
                sp.Subs(bound, o, 0) ** 2 + sp.Subs(sp.diff(bound, o), o, 0) ** 2,
                Integer(0),
            ),
            equal(
                r"Its second derivative in $o$ is, with $w = xe^o/(1 - x + xe^o)$, $w(1-w)$:",
                sp.Derivative(bound, (o, 2)),
                weight * (1 - weight),
            ),
            quarter,
            follows(
                "Integrated twice, this is Hoeffding's lemma. In all",
                And(Le(divergence, o / (exp(o) - 1) - 1 + log((exp(o) - 1) / o)), Le(divergence, o**2 / 8)),
                And(
                    Le(divergence, value.formula.rhs),
                    Le(divergence, sp.integrate(quarter.formula.rhs.subs(w, Rational(1, 2)) * u, (u, 0, o))),
                ),
            ),
        ),
    )


@cache
def row_variation() -> Proof:
    """The largest total variation of a row of attention whose logits change within a given oscillation."""
    share, inside, outside = sp.symbols("x a b", positive=True)
    after = share * exp(o) / (share * exp(o) + 1 - share)
    best = 1 / (1 + exp(o / 2))
    top = equal("There the difference is", (after - share).subs(share, best), tanh(o / 4))
    return Proof(
        id="row_variation",
        steps=(
            equal(
                r"TV is the largest $p'(A) - p(A)$ of a set $A$ of keys, where $p'(A) = a/(a+b)$ with the sums $a$ and "
                r"$b$ of $p_n e^{\Delta_n}$ inside and outside. It grows with $a$:",
                sp.Derivative(inside / (inside + outside), inside),
                outside / (inside + outside) ** 2,
            ),
            equal(
                r"and falls with $b$. So with $x = p(A)$ it is at most $xe^o/(xe^o + 1 - x)$, which two keys with "
                r"$\Delta = (o, 0)$ attain:",
                sp.Derivative(inside / (inside + outside), outside),
                -inside / (inside + outside) ** 2,
            ),
            equal(
                "This is concave in $x$:",
                sp.Derivative(after, (share, 2)),
                -2 * exp(o) * (exp(o) - 1) / (share * exp(o) + 1 - share) ** 3,
            ),
            equal(
                r"It is steeper than $x$ up to $x = 1/(1 + e^{o/2})$, where its slope is",
                sp.diff(after, share).subs(share, best),
                Integer(1),
            ),
            top,
            follows("So the largest total variation is", Le(variation, tanh(o / 4)), Le(variation, top.formula.rhs)),
        ),
    )


@cache
def logit_shifts() -> Proof:
    """How far one pair of components can move a logit, from the size of its coefficient."""
    size = sp.Symbol("|h_j|", nonnegative=True)
    phi, psi = sp.symbols("varphi psi", real=True)
    chord = equal(
        r"Pair $j$ adds to $\sqrt d\,\Delta_n$ the real part of $h_j(te^{i\varphi} - e^{i\psi})$, where $t$ is the "
        r"temperature, and $\varphi = s\theta'_j$ and $\psi = \min(s, L-1)\theta_j$ are the phases. The bracket has "
        "the squared size",
        (temperature * cos(phi) - cos(psi)) ** 2 + (temperature * sin(phi) - sin(psi)) ** 2,
        (temperature - 1) ** 2 + 4 * temperature * sin((phi - psi) / 2) ** 2,
    )
    return Proof(
        id="logit_shifts",
        given=HEADS,
        steps=(
            chord,
            follows(
                "The triangle inequality adds over the pairs what is at most",
                Le(pair_shift**2, size**2 * ((temperature - 1) ** 2 + 4 * temperature * sin((phi - psi) / 2) ** 2)),
                Le(pair_shift**2, size**2 * chord.formula.rhs),
            ),
        ),
    )
