"""The proofs of what predicts a loss, step by step: bends, reach and displacement.

They are written as those of `pi_theory.proofs`: each step is a sentence with a formula that SymPy verifies.
"""

from collections.abc import Callable
from functools import cache

import sympy as sp
from sympy import I, Integer, Rational, cos, exp, log, pi, sin, sqrt, tanh

from pi_theory.proofs import Proof, Step, _equal, _is_zero

theta, kappa, o, p, q, r, t, w, v = sp.symbols("theta kappa o p q r t w v", positive=True)
s, x, phi, psi, alpha, beta = sp.symbols("s x phi psi alpha beta", real=True)
L, W, d, j = sp.symbols("L W d j", positive=True)
tau = sp.Symbol("tau", positive=True)
c = sp.Symbol("c", positive=True)


@cache
def bend() -> Proof:
    """The bend of a score: what it is of each frequency, its cap, and the log-odds it stands for."""
    wave = exp(I * s * theta)
    here, left, right = sp.symbols("a_s a_{s-1} a_{s+1}", real=True)
    total = sp.Symbol("Z", positive=True)

    def probability(score: sp.Expr) -> sp.Expr:
        return exp(score / sqrt(d)) / total

    return Proof(
        id="bend",
        theorem=r"|a(s) - \tfrac12(a(s-1) + a(s+1))| \le \sum_j |h_j| (1 - \cos\theta_j)",
        steps=(
            _equal(
                r"A single wave lies above the mean of its two neighbours by $1 - \cos\theta$ times itself:",
                wave - (wave.subs(s, s - 1) + wave.subs(s, s + 1)) / 2,
                (1 - cos(theta)) * wave,
            ),
            _equal(
                r"This factor is not negative, and the triangle inequality gives the cap:",
                1 - cos(theta),
                2 * sin(theta / 2) ** 2,
            ),
            _equal(
                r"The cap is attained by $h_j = |h_j| e^{-is\theta_j}$, whose every term is",
                sp.Mul(r * exp(-I * s * theta), (1 - cos(theta)) * wave, evaluate=False),
                r * (1 - cos(theta)),
            ),
            _equal(
                r"Keys of the same content at $s$, $s-1$ and $s+1$ have the probabilities $e^{a/\sqrt d}/Z$. The "
                r"log-odds of the first over the geometric mean of the others is the bend divided by $\sqrt d$:",
                log(probability(here)) - (log(probability(left)) + log(probability(right))) / 2,
                (here - (left + right) / 2) / sqrt(d),
            ),
        ),
    )


@cache
def bend_of_bounded_scores() -> Proof:
    """The sharp inequality of Nikol'skii and Stechkin for second differences, from that of Bernstein and Szego."""
    top = sp.Symbol("M", positive=True)
    f = sp.Function("f")(x)
    half = Rational(1, 2)
    return Proof(
        id="bend_of_bounded_scores",
        theorem=r"|\beta(s)| \le (1 - \cos\theta_0) \sup_{\mathbb R}|a| \text{ if } \theta_0 \le \pi",
        steps=(
            _equal(
                r"A real $f$ of type $\tau$ bounded by $M$ has $f'^2 \le \tau^2(M^2 - f^2)$ (Bernstein and Szego; "
                r"proved for the stability theorem). So $f = M\cos\varphi$ with $|\varphi'| \le \tau$, since",
                sp.Derivative(sp.acos(f / top), x) ** 2,
                sp.Derivative(f, x) ** 2 / (top**2 - f**2),
            ),
            _equal(
                r"Over a distance of 1, $\varphi$ changes by at most $\tau$, and $f$ by at most $2M\sin(\tau/2)$. "
                r"For",
                cos(phi) - cos(psi),
                -2 * sin((phi + psi) / 2) * sin((phi - psi) / 2),
            ),
            Step(
                r"and $|\sin u|$ grows with $|u| \le \tau/2 \le \pi/2$, where its slope is not negative:",
                sp.Eq(sp.Derivative(sin(x), x), cos(x), evaluate=False),
                lambda: (
                    _is_zero(sp.diff(sin(x), x) - cos(x))
                    and sp.solveset(cos(x) < 0, x, sp.Interval(0, pi / 2)) is sp.S.EmptySet
                ),
            ),
            _equal(
                r"The difference $g(x) = f(x + \frac12) - f(x - \frac12)$ is of type $\tau$ too. Its own difference is "
                r"$-2\beta$; on each wave of frequency $\theta$ it is",
                (exp(I * theta / 2) - exp(-I * theta / 2)) ** 2,
                -2 * (1 - cos(theta)),
            ),
            _equal(
                r"So $2|\beta| \le 2\sin(\tau/2)\sup|g| \le 4 M \sin^2(\tau/2)$, which is the theorem for "
                r"$\tau = \theta_0$:",
                (2 * sin(tau / 2)) ** 2 * half,
                1 - cos(tau),
            ),
            _equal(
                r"It is sharp: the bend of $\cos(\tau s)$, whose supremum is 1, is at $s = 0$",
                sp.Subs(cos(tau * s) - (cos(tau * (s - 1)) + cos(tau * (s + 1))) / 2, s, 0),
                1 - cos(tau),
            ),
        ),
    )


@cache
def linear_cap() -> Proof:
    """What linear interpolation leaves of the cap of any head's bends."""
    ratio = (1 - cos(theta / kappa)) / (1 - cos(theta))
    root = sin(theta / (2 * kappa)) / sin(theta / 2)

    def u_cot_u(u: sp.Expr) -> sp.Expr:
        return u * cos(u) / sin(u)

    return Proof(
        id="linear_cap",
        theorem=r"\kappa^{-2} \le \sum_j |h_j|(1 - \cos\tfrac{\theta_j}\kappa) \Big/ \sum_j |h_j|(1 - \cos\theta_j) "
        r"\le \frac{1 - \cos(1/\kappa)}{1 - \cos 1},\quad \theta_j \le 1,\ \kappa \ge 1",
        steps=(
            _equal(
                r"The ratio of the two sums is a mean of the ratios of their terms, which are",
                ratio,
                root**2,
            ),
            _equal(
                r"Such a ratio has the logarithmic slope",
                theta * sp.Derivative(log(root), theta),
                u_cot_u(theta / (2 * kappa)) - u_cot_u(theta / 2),
            ),
            _equal(
                r"It is not negative, because $u\cot u$ falls where $\sin 2u < 2u$:",
                sp.Derivative(u_cot_u(v), v),
                (sin(2 * v) - 2 * v) / (2 * sin(v) ** 2),
            ),
            _sine_below_its_argument(),
            _equal(
                r"So the ratio grows with $\theta$, and is largest at $\theta = 1$:",
                sp.Subs(ratio, theta, 1),
                (1 - cos(1 / kappa)) / (1 - cos(1)),
            ),
            _equal(r"It is above its limit for slow frequencies:", sp.Limit(ratio, theta, 0), kappa**-2),
        ),
    )


def _sine_below_its_argument() -> Step:
    """A step that proves t - sin t >= 0 for t >= 0: it vanishes at 0, and its slope is a square."""
    difference, slope = t - sin(t), 2 * sin(t / 2) ** 2
    return Step(
        r"That is so for every positive $u$, because $t - \sin t$ vanishes at 0 and its slope is not negative:",
        sp.Eq(sp.Derivative(difference, t), slope, evaluate=False),
        lambda: (
            difference.subs(t, 0) == 0 and _is_zero(sp.diff(difference, t) - slope) and slope.is_nonnegative is True
        ),
    )


@cache
def reach() -> Proof:
    """How far each method keeps the phases of slow pairs within their trained arcs."""
    exponent = sp.Symbol("p", positive=True)
    grown = kappa * W / L - (kappa - 1)
    room = (L - 1) * grown**exponent - (W - 1)
    kept = sp.Symbol("k", nonnegative=True)
    slowed = kept + (1 - kept) / kappa
    scaled = sp.Symbol("theta'", positive=True)
    return Proof(
        id="reach",
        theorem=r"s\,\theta'_j \le (L-1)\,\theta_j \text{ for every slow } j \iff "
        r"s \le (L-1) \min\{\theta_j/\theta'_j : L\theta_j < 2\pi\}",
        steps=(
            _equal(
                r"The phases $0, \theta, \dots, (L-1)\theta$ leave an unseen arc. If $L\theta < 2\pi$, it is wider "
                r"than the step $\theta$ between seen ones, by",
                (2 * pi - (L - 1) * theta) - theta,
                2 * pi - L * theta,
            ),
            _equal(
                r"A phase $s\theta'$ is at the end of the arc where $s$ is $(L-1)\theta/\theta'$:",
                sp.Subs(s * scaled, s, (L - 1) * theta / scaled),
                (L - 1) * theta,
            ),
            _equal(
                r"With linear interpolation, $\theta' = \theta/\kappa$, that is at $\kappa(L-1)$:",
                sp.Subs((L - 1) * theta / scaled, scaled, theta / kappa),
                kappa * (L - 1),
            ),
            _equal(
                r"A window of $\kappa L$ tokens has $\kappa - 1$ distances more:",
                (kappa * L - 1) - kappa * (L - 1),
                kappa - 1,
            ),
            _equal(
                r"YaRN and Llama 3 multiply a frequency of which they keep the share $k$ by $k + (1-k)/\kappa$. If "
                r"they divide in full what turns less than once in the window, slow pairs have $k = 0$ and the stretch",
                sp.Subs(1 / slowed, kept, 0),
                kappa,
            ),
            _equal(
                r"NTK-aware scaling raises the base to $c\,\kappa^{d/(d-2)}$, which divides frequency $j$ by "
                r"$\kappa^{2j/(d-2)}$; in logarithms,",
                -2 * j / d * (log(c) + d / (d - 2) * log(kappa)),
                -2 * j / d * log(c) - 2 * j / (d - 2) * log(kappa),
            ),
            _equal(
                r"For $\kappa \ge 1$ this grows with $j$, so that the first slow pair decides:",
                sp.Derivative(kappa ** (2 * j / (d - 2)), j),
                2 * log(kappa) * kappa ** (2 * j / (d - 2)) / (d - 2),
            ),
            _equal(
                r"Dynamic NTK on $W$ tokens has $\kappa W/L - (\kappa-1)$ in place of $\kappa$. With "
                r"$p = 2j/(d-2) \le 1$ the room $(L-1)(\kappa W/L - (\kappa-1))^p - (W-1)$ is concave in $W$:",
                sp.Derivative(room, (W, 2)),
                -exponent * (1 - exponent) * (L - 1) * (kappa / L) ** 2 * grown ** (exponent - 2),
            ),
            _equal(
                r"It is zero at $W = L$. So it is positive up to one number of tokens and never again:",
                sp.Subs(room, W, L),
                Integer(0),
            ),
        ),
    )


@cache
def divergence() -> Proof:
    """The largest Kullback-Leibler divergence of a row whose logits change within a given oscillation."""
    before, change, total = sp.symbols("p_n Delta_n Z", positive=True)
    share = sp.Symbol("x", positive=True)
    chord = 1 + change * (exp(o) - 1) / o
    bound = log(1 - share + share * exp(o)) - share * o
    best = 1 / o - 1 / (exp(o) - 1)
    weight = share * exp(o) / (1 - share + share * exp(o))
    return Proof(
        id="divergence",
        theorem=r"\mathrm{KL}(p\|p') \le \frac{o}{e^o-1} - 1 + \ln\frac{e^o-1}{o} \le \frac{o^2}8,\quad "
        r"o = \max\Delta - \min\Delta",
        steps=(
            _equal(
                r"With $p'_n = p_n e^{\Delta_n}/Z$ and $Z = \mathrm E_p e^\Delta$, KL is $\ln Z - \mathrm E_p\Delta$, "
                r"because",
                log(before / (before * exp(change) / total)),
                log(total) - change,
            ),
            Step(
                r"A constant in $\Delta$ changes nothing, so let it lie in $[0, o]$. There the convex $e^\Delta$ is "
                r"below its chord $1 + \Delta(e^o - 1)/o$, which it meets at both ends:",
                sp.Eq(sp.Derivative(exp(change) - chord, (change, 2)), exp(change), evaluate=False),
                lambda: (
                    _is_zero(sp.diff(exp(change) - chord, change, 2) - exp(change))
                    and exp(change).is_positive is True
                    and all(_is_zero((exp(change) - chord).subs(change, end)) for end in (Integer(0), o))
                ),
            ),
            _equal(
                r"With $x = \mathrm E_p\Delta/o$ in $[0, 1]$ this gives KL at most $\ln(1 - x + xe^o) - xo$, which two "
                r"keys with $\Delta = (0, o)$ and probabilities $(1-x, x)$ attain, as their $\mathrm E_p e^\Delta$ is",
                (1 - share) * exp(Integer(0)) + share * exp(o),
                chord.subs(change, share * o),
            ),
            _equal(
                r"This is concave in $x$:",
                sp.Derivative(bound, (share, 2)),
                -(((exp(o) - 1) / (1 - share + share * exp(o))) ** 2),
            ),
            _equal(
                r"Its slope vanishes at $x = 1/o - 1/(e^o-1)$:",
                sp.diff(bound, share).subs(share, best),
                Integer(0),
            ),
            _equal(
                r"Its value there is the first bound:",
                bound.subs(share, best),
                o / (exp(o) - 1) - 1 + log((exp(o) - 1) / o),
            ),
            _equal(
                r"For fixed $x$ it vanishes at $o = 0$ with its slope. Its second derivative there is, with "
                r"$w = xe^o/(1 - x + xe^o)$,",
                sp.Derivative(bound, (o, 2)),
                weight * (1 - weight),
            ),
            Step(
                r"So it is at most $o^2/8$ (Hoeffding's lemma), because $w(1-w) \le 1/4$:",
                sp.Eq(Rational(1, 4) - w * (1 - w), (w - Rational(1, 2)) ** 2, evaluate=False),
                lambda: (
                    _is_zero(Rational(1, 4) - w * (1 - w) - (w - Rational(1, 2)) ** 2)
                    and _is_zero(bound.subs(o, 0))
                    and _is_zero(sp.diff(bound, o).subs(o, 0))
                    and _is_zero(sp.diff(o**2 / 8, o, 2) - Rational(1, 4))
                ),
            ),
        ),
    )


@cache
def total_variation() -> Proof:
    """The largest total variation of a row whose logits change within a given oscillation."""
    share = sp.Symbol("x", positive=True)
    inside, outside = sp.symbols("a b", positive=True)
    after = share * exp(o) / (share * exp(o) + 1 - share)
    best = 1 / (1 + exp(o / 2))
    return Proof(
        id="total_variation",
        theorem=r"\mathrm{TV}(p, p') \le \tanh(o/4),\quad o = \max\Delta - \min\Delta",
        steps=(
            _equal(
                r"TV is the largest $p'(A) - p(A)$ of a set $A$ of keys, where $p'(A) = a/(a+b)$ with the sums $a$ and "
                r"$b$ of $p_n e^{\Delta_n}$ inside and outside of $A$. It grows with $a$:",
                sp.Derivative(inside / (inside + outside), inside),
                outside / (inside + outside) ** 2,
            ),
            _equal(
                r"and falls with $b$, so that with $x = p(A)$ it is at most $xe^o/(xe^o + 1 - x)$:",
                sp.Derivative(inside / (inside + outside), outside),
                -inside / (inside + outside) ** 2,
            ),
            _equal(
                r"This is concave in $x$:",
                sp.Derivative(after, (share, 2)),
                -2 * exp(o) * (exp(o) - 1) / (share * exp(o) + 1 - share) ** 3,
            ),
            _equal(
                r"and steeper than $x$ up to $x = 1/(1 + e^{o/2})$, where its slope is",
                sp.diff(after, share).subs(share, best),
                Integer(1),
            ),
            _equal(r"There the difference is", (after - share).subs(share, best), tanh(o / 4)),
            _equal(
                r"Two keys with $\Delta = (o, 0)$ and probabilities $(x, 1-x)$ attain it, as the first has afterwards",
                1 / (1 + (1 - share) / (share * exp(o))),
                after,
            ),
        ),
    )


@cache
def shift() -> Proof:
    """How far a logit can move, from the sizes of its coefficients, and what that says of a row."""
    return Proof(
        id="shift",
        theorem=r"|\Delta_n| \le \frac1{\sqrt d} \sum_j |h_{nj}| \sqrt{(t-1)^2 + 4t\sin^2\tfrac{\varphi_j - \psi_j}2},"
        r"\quad \varphi_j = s\theta'_j,\ \psi_j = \min(s, L-1)\,\theta_j",
        steps=(
            _equal(
                r"Pair $j$ contributes to $\sqrt d\,\Delta_n$ the real part of $h_{nj}(te^{i\varphi} - e^{i\psi})$, "
                r"and the triangle inequality leaves the size of the bracket. Its square is",
                (t * cos(phi) - cos(psi)) ** 2 + (t * sin(phi) - sin(psi)) ** 2,
                (t - 1) ** 2 + 4 * t * sin((phi - psi) / 2) ** 2,
            ),
            _equal(
                r"Where the temperature stays, $t = 1$, this is the chord of the angle between the phases:",
                sp.Subs((t - 1) ** 2 + 4 * t * sin((phi - psi) / 2) ** 2, t, 1),
                (2 * sin((phi - psi) / 2)) ** 2,
            ),
        ),
    )


PROOFS: tuple[Callable[[], Proof], ...] = (
    bend,
    bend_of_bounded_scores,
    linear_cap,
    reach,
    divergence,
    total_variation,
    shift,
)
"""The proofs of this module, as functions that build them."""
