"""The proofs, step by step: each step is a sentence with a formula that SymPy verifies.

What a computer algebra system cannot check, such as an appeal to convexity or the choice of a nearest integer, is said
in the sentence of the step. What it can check is verified whenever `Step.verify` runs, and never assumed.
`Proof.latex` prints both.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

import sympy as sp
from sympy import I, Integer, Rational, cos, cosh, exp, log, pi, sin, sinh, sqrt

lam = sp.Symbol("lambda", positive=True)
mu, t, x, y, a, d, n, sigma, rho = sp.symbols("mu t x y a d n sigma rho", positive=True)
c = sp.Symbol("c", positive=True)
alpha = sp.Symbol("alpha", real=True)
k, j = sp.symbols("k j", integer=True, positive=True)
u = sp.Symbol("u", real=True)


@dataclass(frozen=True)
class Step:
    """A sentence, the formula that carries it, and the check that the formula is true."""

    says: str
    formula: sp.Basic
    check: Callable[[], bool] = field(repr=False)

    def verify(self) -> bool:
        """Returns whether the formula is true."""
        return bool(self.check())


@dataclass(frozen=True)
class Proof:
    """A theorem and the steps that prove it."""

    id: str
    theorem: str  # in LaTeX
    steps: tuple[Step, ...]

    def verify(self) -> bool:
        """Returns whether every step verifies."""
        return all(step.verify() for step in self.steps)

    def latex(self) -> str:
        """Returns the proof as a LaTeX enumeration of its sentences and formulas."""
        items = "\n".join(rf"  \item {step.says} \[ {sp.latex(step.formula)} \]" for step in self.steps)
        return "\\begin{enumerate}\n" + items + "\n\\end{enumerate}"


def _equal(says: str, left: sp.Expr, right: sp.Expr) -> Step:
    """A step whose formula is left = right, checked by simplifying the difference to zero."""
    return Step(says, sp.Eq(left, right, evaluate=False), lambda: _is_zero((left - right).doit()))


def _is_zero(expression: sp.Expr) -> bool:
    return any(
        rewrite(expression) == 0
        for rewrite in (
            sp.simplify,
            lambda e: sp.simplify(sp.expand(e)),
            lambda e: sp.simplify(sp.expand(e.rewrite(exp))),
            lambda e: sp.simplify(sp.expand_trig(sp.expand(e))),
        )
    )


def _vanishing_start(says: str, function: sp.Expr, order: int, derivative: sp.Expr) -> Step:
    """A step that proves function >= 0 for t >= 0.

    The check is that the function and its first ``order`` derivatives vanish at t = 0, and that the next derivative is
    ``derivative``, which SymPy sees to be non-negative.
    """

    def check() -> bool:
        start = all(sp.simplify(sp.diff(function, t, i).subs(t, 0)) == 0 for i in range(order + 1))
        return start and _is_zero(sp.diff(function, t, order + 1) - derivative) and derivative.is_nonnegative is True

    return Step(says, sp.Eq(sp.Derivative(function, (t, order + 1)), derivative, evaluate=False), check)


@cache
def taylor() -> Proof:
    """The Taylor bound, which repairs Theorem 2.1: a kernel for each frequency, and the sum over frequencies."""
    kernel_left, kernel_right = u * (1 - lam), lam * (1 - u)
    defect = exp(I * lam * x) - (1 - lam) - lam * exp(I * x)
    second = sp.diff(exp(I * x * u), u, 2)
    integral = sp.integrate(kernel_left * second, (u, 0, lam)) + sp.integrate(kernel_right * second, (u, lam, 1))
    ratio = c ** (-4 / d)
    return Proof(
        id="taylor",
        theorem=r"|a - a_{\rm lin}| \le \tfrac12 \max|h| (s-s_1)(s_2-s) \sum_j \theta_j^2",
        steps=(
            _equal(
                "The distance of a single wave from its chord is an integral of its second derivative.",
                defect,
                -integral,
            ),
            _equal(
                "The kernel of that integral is non-negative and integrates to",
                sp.integrate(kernel_left, (u, 0, lam)) + sp.integrate(kernel_right, (u, lam, 1)),
                lam * (1 - lam) / 2,
            ),
            _equal(
                "The second derivative has the constant modulus",
                sp.Abs(sp.Derivative(exp(I * x * u), (u, 2)), evaluate=False),
                x**2,
            ),
            _equal(
                "The squared frequencies form a geometric series, whose ratio to the power d/2 is",
                sp.Pow(ratio, d / 2, evaluate=False),
                c ** Integer(-2),
            ),
            _equal(
                "Its sum follows by induction: the closed form grows by one term at a time.",
                sp.Add((1 - t ** (n + 1)) / (1 - t), -(1 - t**n) / (1 - t), evaluate=False),
                t**n,
            ),
        ),
    )


@cache
def eq14_is_reversed() -> Proof:
    """The inequality of Eq. 14 points the wrong way, because c^x lies above its tangent at 0."""
    return Proof(
        id="eq14_is_reversed",
        theorem=r"c^x \ge 1 + x \ln c \text{ for every real } x,\text{ strictly for } x \ne 0",
        steps=(
            _equal(
                r"The function $f(x) = c^x - 1 - x\ln c$ vanishes at 0.",
                sp.Subs(c**u - 1 - u * log(c), u, 0),
                Integer(0),
            ),
            _equal("So does its derivative.", sp.Subs(sp.Derivative(c**u - 1 - u * log(c), u), u, 0), Integer(0)),
            Step(
                "It is strictly convex, hence positive everywhere else.",
                sp.Eq(sp.Derivative(c**u - 1 - u * log(c), (u, 2)), c**u * log(c) ** 2, evaluate=False),
                lambda: (
                    _is_zero(sp.diff(c**u - 1 - u * log(c), u, 2) - c**u * log(c) ** 2)
                    and (c**u * log(c) ** 2).subs(c, 1 + x).is_positive is True
                ),
            ),
            _vanishing_start(
                r"So for $t = 4\ln c/d$ the published step $1/(1-e^{-t}) \le 1/t$ is false, as $e^t - 1 - t > 0$.",
                exp(t) - 1 - t,
                1,
                exp(t),
            ),
            _vanishing_start(
                r"What is true is $1/(1-e^{-t}) \le 1/t + 1/2 + t/12$, because $e^t(12-6t+t^2) - (12+6t+t^2) \ge 0$. "
                r"It repairs the theorem in closed form: $d/(8\ln c) + 1/4 + \ln c/(6d)$ replaces $d/(8\ln c)$.",
                exp(t) * (12 - 6 * t + t**2) - (12 + 6 * t + t**2),
                2,
                t**2 * exp(t),
            ),
            _equal(
                "This is that inequality with its denominators cleared.",
                (1 / t + Rational(1, 2) + t / 12 - 1 / (1 - exp(-t))) * 12 * t * (exp(t) - 1),
                exp(t) * (12 - 6 * t + t**2) - (12 + 6 * t + t**2),
            ),
        ),
    )


@cache
def midpoint() -> Proof:
    """On a unit interval, the sharp bound over the published one is largest at the midpoint."""
    squared = (
        1 + (1 - lam) ** 2 + lam**2
        - 2 * (1 - lam) * cos(lam * x) - 2 * lam * cos((1 - lam) * x) + 2 * lam * (1 - lam) * cos(x)
    )  # fmt: skip
    real = cos(lam * x) - (1 - lam) - lam * cos(x)
    imag = sin(lam * x) - lam * sin(x)
    product = lam * (1 - lam)

    def q(order: int) -> sp.Expr:
        """Returns (1 - lam^m - (1-lam)^m) / mu with m = 2 order - 1, as a polynomial in mu."""
        power_sums = [Integer(2), Integer(1)]
        while len(power_sums) < 2 * order:
            power_sums.append(sp.expand(power_sums[-1] - mu * power_sums[-2]))
        return sp.factor((1 - power_sums[2 * order - 1]) / mu)

    root = 1 - 2 * lam  # (1 - lambda) - lambda
    return Proof(
        id="midpoint",
        theorem=r"0 < x \le 1:\quad |e^{i\lambda x} - (1-\lambda) - \lambda e^{ix}| / (\lambda(1-\lambda))"
        r"\text{ is largest at } \lambda = \tfrac12",
        steps=(
            _equal(
                r"The squared modulus $N$ of the defect, where $\mu = \lambda(1-\lambda)$, is",
                real**2 + imag**2,
                squared,
            ),
            _equal(
                r"The coefficients of its power series in $x$ are $(-1)^k/(2k)!$ times",
                -2 * (1 - lam) * lam ** (2 * k) - 2 * lam * (1 - lam) ** (2 * k) + 2 * product,
                2 * product * (1 - lam ** (2 * k - 1) - (1 - lam) ** (2 * k - 1)),
            ),
            _equal(
                r"Here $p_m = \lambda^m + (1-\lambda)^m$ is a polynomial in $\mu$: "
                r"it satisfies $p_m = p_{m-1} - \mu p_{m-2}$.",
                lam ** (n + 2) + (1 - lam) ** (n + 2),
                lam ** (n + 1) + (1 - lam) ** (n + 1) - product * (lam**n + (1 - lam) ** n),
            ),
            Step(
                r"So $N/\mu^2 = 2\sum_{k\ge2} (-1)^k x^{2k} q_k(\mu)/(2k)!$ with $q_k = (1 - p_{2k-1})/\mu$, of which "
                r"$q_2 = 3$ is constant and $q_3 = 5(1-\mu)$.",
                sp.Eq(sp.Symbol("q_3"), 5 * (1 - mu), evaluate=False),
                lambda: q(2) == 3 and _is_zero(q(3) - 5 * (1 - mu)) and _is_zero(q(4) - 7 * (1 - mu) ** 2),
            ),
            _equal(
                r"Its derivative is $dp_m/d\mu = -m U_{m-2}$, where "
                r"$U_m = \sum_{i \le m} \lambda^i(1-\lambda)^{m-i} \le 1$.",
                sp.diff(lam**n + (1 - lam) ** n, lam) / sp.diff(product, lam),
                -n * ((1 - lam) ** (n - 1) - lam ** (n - 1)) / root,
            ),
            Step(
                r"Since $U_m$ is the coefficient of $z^m$ in $1/(1-z+\mu z^2)$, $dU_m/d\mu = -\sum_{i+j=m-2} U_i U_j "
                r"\in [-(m-1), 0]$ and, averaging, $|q_k'| \le (2k-1)(k-2)$.",
                sp.Eq(sp.Derivative(1 / (1 - t + mu * t**2), mu), -(t**2) / (1 - t + mu * t**2) ** 2, evaluate=False),
                lambda: (
                    _is_zero(sp.diff(1 / (1 - t + mu * t**2), mu) + t**2 / (1 - t + mu * t**2) ** 2)
                    and all(
                        abs(sp.diff(q(i), mu).subs(mu, value)) <= (2 * i - 1) * (i - 2)
                        for i in range(3, 9)
                        for value in (0, Rational(1, 8), Rational(1, 4))
                    )
                ),
            ),
            _equal(
                r"The term $k = 3$ contributes to $d(N/\mu^2)/d\mu$ a positive part, $2x^6$ times",
                -sp.Derivative(5 * (1 - mu), mu) / sp.factorial(6),
                Rational(1, 144),
            ),
            Step(
                r"The rest is smaller if $x \le 1$, because $\sum_{k\ge4} (2k-1)(k-2)/(2k)! \le "
                r"\tfrac12\sum_{k\ge4} 1/(2k-2)! = \tfrac12(\cosh 1 - 1 - \tfrac12 - \tfrac1{24})$.",
                sp.StrictLessThan(
                    (cosh(1) - 1 - Rational(1, 2) - Rational(1, 24)) / 2, Rational(1, 144), evaluate=False
                ),
                lambda: (
                    _is_zero((2 * k - 1) * (k - 2) * 2 / (2 * k * (2 * k - 1)) - (k - 2) / k)
                    and bool((cosh(1) - 1 - Rational(1, 2) - Rational(1, 24)) / 2 < Rational(1, 144))
                ),
            ),
            _equal(
                r"So $N/\mu^2$ increases with $\mu$, which is largest at $\lambda = 1/2$. Its value there is",
                squared.subs(lam, Rational(1, 2)) / Rational(1, 4) ** 2,
                (8 * sin(x / 4) ** 2) ** 2,
            ),
        ),
    )


@cache
def monotonicity() -> Proof:
    """F(d, c) decreases in d and increases in c, so that Theorem 2.1 holds from one head dimension on."""
    g = sin(x / 4) ** 2
    frequency = exp(-a * u)
    curve = g.subs(x, frequency)
    growth = y / (1 - exp(-2 * y))
    negative = 4 * k * 32 / (2 ** (4 * k + 1) * sp.factorial(4 * k))  # 2m c_m at m = 2k
    ratio = (k + 1) / (16 * k * (4 * k + 1) * (4 * k + 2) * (4 * k + 3) * (4 * k + 4))
    return Proof(
        id="monotonicity",
        theorem=r"F(d, c) = \frac{64 \ln c}{d}\sum_{j<d/2} \sin^2(\theta_j/4)"
        r"\text{ decreases in } d \text{ and increases in } c",
        steps=(
            _equal(
                r"With $a = \ln c$, $F = 32 a L_{d/2}$ for the left Riemann sums $L_n$ of "
                r"$G(u) = \sin^2(e^{-au}/4)$ on $[0, 1]$. $G$ decreases, because",
                sp.Derivative(curve, u),
                -a * frequency * sin(frequency / 2) / 4,
            ),
            _equal(
                "It is convex, because",
                sp.Derivative(curve, (u, 2)),
                a**2 * frequency * (sin(frequency / 2) + frequency / 2 * cos(frequency / 2)) / 4,
            ),
            _equal(
                r"The point $j/(n+1)$ is a mean of $(j-1)/n$, with the weight $j/(n+1)$, and of $j/n$, with the rest:",
                j / (n + 1) * (j - 1) / n + (n + 1 - j) / (n + 1) * j / n,
                j / (n + 1),
            ),
            _equal(
                r"So by convexity, summing over $j \le n$ gives each $G(i/n)$ with $i < n$ the weight",
                (j + 1) / (n + 1) + (n + 1 - j) / (n + 1),
                (n + 2) / (n + 1),
            ),
            _equal(
                r"$G(1)$ gets the weight $1/(n+1)$. Since $G(1) \le L_n$, it follows that $L_{n+1} \le L_n$.",
                (n * (n + 2) + 1) / (n + 1) ** 2,
                Integer(1),
            ),
            _equal(
                r"For the dependence on $c$ put $y = 2\ln c/d$ and $n = d/2$. Then "
                r"$F = 32 y \sum_j \sin^2(e^{-yj}/4)$ is a series of $\varphi(ky)/k$ "
                r"with $\varphi(y) = A(y) B(y)$, where $B = 1 - e^{-2ny}$ and $A$ is",
                growth,
                y / 2 * (1 + cosh(y) / sinh(y)),
            ),
            _equal(
                r"Here $A' \ge 1/2$, since $\sinh 2y \ge 2y$:",
                sp.Derivative(growth, y) - Rational(1, 2),
                (sinh(2 * y) - 2 * y) / (4 * sinh(y) ** 2),
            ),
            _equal(
                r"Also $A' \le 1$, since $1 - e^{-2y} \le 2y$:",
                1 - sp.Derivative(growth, y),
                (2 * y - (1 - exp(-2 * y))) / (4 * sinh(y) ** 2),
            ),
            _equal(
                r"$A(y)/y$ decreases and $B$ is concave, so that $B'$ decreases; "
                r"hence $0 < \varphi'(ky) \le 2k\,\varphi'(y)$:",
                sp.Derivative(1 - exp(-2 * n * y), (y, 2)),
                -4 * n**2 * exp(-2 * n * y),
            ),
            Step(
                r"In $dF/dy = \sum_k (-1)^{k+1} c_k \varphi'(ky)$, $c_k = 32/(2^{2k+1}(2k)!)$, the first coefficient "
                r"exceeds all negative ones together: $\sum_{k\text{ even}} 2k c_k < c_1 = 2$.",
                sp.StrictLessThan(sp.Sum(negative, (k, 1, sp.oo)), 2, evaluate=False),
                # A geometric series bounds it: the ratio of successive terms falls with k and is below 1/4 at k = 1.
                lambda: (
                    _is_zero(sp.combsimp(negative.subs(k, k + 1) / negative) - ratio)
                    and bool(ratio.subs(k, 1) < Rational(1, 4))
                    and bool(negative.subs(k, 1) * Rational(4, 3) < 2)
                ),
            ),
        ),
    )


@cache
def abel() -> Proof:
    """Eq. 8, by summation by parts."""
    before, here = sp.symbols("A_n A_{n+1}")
    h_last, h_next = sp.symbols("h_{n-1} h_n")
    e = sp.symbols("e_0:5")
    h = (*sp.symbols("h_0:5"), Integer(0))
    return Proof(
        id="abel",
        theorem=r"\sum_{j<n} h_j e_j = \sum_{k=1}^{n} A_k (h_{k-1} - h_k),\ h_n = 0,\ A_k = \sum_{j<k} e_j",
        steps=(
            _equal(
                "For five terms the identity is",
                sum((sum(e[:i], Integer(0)) * (h[i - 1] - h[i]) for i in range(1, 6)), Integer(0)),
                sum((h[i] * e[i] for i in range(5)), Integer(0)),
            ),
            _equal(
                r"For any number of terms it follows by induction: one more term $h_n e_n$, where "
                r"$e_n = A_{n+1} - A_n$, changes the right side by",
                before * (h_last - h_next) + here * h_next - before * h_last,
                h_next * (here - before),
            ),
            _aligned(
                r"The last form follows from $|h_{k-1} - h_k| \le 2\max|h|$. The first form is attained if "
                r"$h_{k-1} - h_k = \bar A_k/|A_k|$, because then each term is $|A_k|$:"
            ),
        ),
    )


@cache
def sharp() -> Proof:
    """The sharp interpolation bound, by the triangle inequality and the head that attains it."""
    return Proof(
        id="sharp",
        theorem=r"\max_{|h_j|\le1}|a - a_{\rm lin}| = \sum_j |e^{is\theta_j} - (1-\lambda)e^{is_1\theta_j} "
        r"- \lambda e^{is_2\theta_j}|",
        steps=(
            _aligned(
                r"That the left side is at most the right is the triangle inequality. With $D_j$ the $j$-th term, "
                r"equality holds for $h_j = \bar D_j/|D_j|$:"
            ),
        ),
    )


def _aligned(says: str) -> Step:
    """A step whose formula is z conj(z)/|z| = |z|, for z = x exp(i alpha) with x > 0."""
    z = x * exp(I * alpha)
    return _equal(says, sp.Mul(sp.conjugate(z) / x, z, evaluate=False), x)


@cache
def pairs() -> Proof:
    """B(s) >= d/4, so the last form of Eq. 8 is never better than the trivial bound."""
    return Proof(
        id="pairs",
        theorem=r"B(s) \ge d/4 \text{ for every real } s,\text{ so } 2\max|h|\,B(s) \ge \tfrac d2 \max|h|",
        steps=(
            _equal(
                r"Neighbouring partial sums differ by a unit vector. So $|A_k| + |A_{k+1}|$ is at least",
                sp.Abs(exp(I * u * t), evaluate=False),
                Integer(1),
            ),
            _equal(
                r"If $d/2$ is even, the pairs $(1, 2), (3, 4), \dots$ give in all",
                sp.Mul(Rational(1, 2), d / 2, evaluate=False),
                d / 4,
            ),
            _equal(
                r"If $d/2$ is odd, $|A_1| = 1$ and the pairs $(2, 3), (4, 5), \dots$ give a little more:",
                sp.Add(1, sp.Mul(Rational(1, 2), d / 2 - 1, evaluate=False), evaluate=False),
                d / 4 + Rational(1, 2),
            ),
        ),
    )


@cache
def stability() -> Proof:
    """The algebra of the stability theorem, whose proof stands in `pi_theory.amplification`."""
    beta = sp.Symbol("beta", real=True, nonzero=True)
    cosine = sp.Integral(exp(I * u * beta), (u, -1, 1)) / 2
    first_moment = sp.Integral(u * exp(I * u * beta), (u, -1, 1)) / 2
    target = exp(I * u * alpha) * (cos(alpha) - I * u * sin(alpha))
    sign = sp.Symbol("epsilon", real=True)  # (-1)^k: sin(alpha - k pi) = epsilon sin(alpha), and so for the cosine
    slope, top, angle = sp.symbols("r M psi", real=True)
    f = sp.Function("f")(u)
    return Proof(
        id="stability",
        theorem=r"\sup_{\mathbb R}|f| \le \sec(\tau/2)\sup_{\mathbb Z}|f|,\quad f \text{ of type } \tau < \pi",
        steps=(
            _equal(
                r"The Fourier coefficients of $e^{iv\alpha}(\cos\alpha - iv\sin\alpha)$ on $|v| \le 1$ are made of two "
                r"integrals. With $\beta = \alpha - k\pi$, the first is",
                cosine,
                sin(beta) / beta,
            ),
            _equal("The second is", first_moment, I * (sin(beta) / beta**2 - cos(beta) / beta)),
            _equal(
                r"Since $\sin\beta = \epsilon\sin\alpha$ and $\cos\beta = \epsilon\cos\alpha$ with "
                r"$\epsilon = (-1)^k$, the coefficients are",
                cos(alpha) * sign * sin(alpha) / beta
                - I * sin(alpha) * I * (sign * sin(alpha) / beta**2 - sign * cos(alpha) / beta),
                sign * sin(alpha) ** 2 / beta**2,
            ),
            _equal(
                "The function is 1 at both ends, so that its periodic extension is continuous:",
                target.subs(u, 1),
                Integer(1),
            ),
            _equal(
                r"Hence the series converges absolutely to it, and its value at the ends gives "
                r"$\sum_k \sin^2\alpha/(\alpha-k\pi)^2 = 1$. The interpolation formula follows by putting "
                r"$v = \omega/\tau$, multiplying by $e^{i\omega x}$ and integrating. The value at the other end:",
                target.subs(u, -1),
                Integer(1),
            ),
            _equal(
                r"So $|f'\sin\alpha - \tau f\cos\alpha| \le \tau M$ for every $\alpha$. Writing "
                r"$(f', \tau f) = r(\cos\psi, \sin\psi)$, the best choice is $\alpha = \psi - \pi/2$:",
                sp.Abs(slope * cos(angle) * sin(angle - pi / 2) - slope * sin(angle) * cos(angle - pi / 2)),
                sp.Abs(slope),
            ),
            _equal(
                r"Hence $f'^2 + \tau^2 f^2 \le \tau^2 M^2$, which bounds the slope of $\arccos(f/M)$ by $\tau$:",
                sp.Derivative(sp.acos(f / top), u) ** 2,
                sp.Derivative(f, u) ** 2 / (top**2 - f**2),
            ),
            _equal(
                r"At most half a unit from a near-maximum lies an integer $n$ with $f(n) \ge M\cos(\tau/2 + o(1))$. "
                r"In a finite window, with $m = \lceil\ln S\rceil$ and $r = e m/D$, the factor $(\sin y/y)^m$ is at "
                r"most $e^{-m} \le 1/S$ at unseen integers, where $|y|$ is at least $r/m$ times $D$:",
                sp.Mul(sp.E * n / d, d / n, evaluate=False),
                sp.E,
            ),
        ),
    )


@cache
def ridge() -> Proof:
    """A least-squares fit with ridge regularisation is bounded on the whole line."""
    return Proof(
        id="ridge",
        theorem=r"|a(s)| \le \sqrt{d/2}\,\|y\| / (2\sqrt\rho) \text{ for every real } s",
        steps=(
            _equal(
                r"Each singular value $\sigma$ is inverted with the gain $\sigma/(\sigma^2+\rho) \le 1/(2\sqrt\rho)$:",
                1 / (2 * sqrt(rho)) - sigma / (sigma**2 + rho),
                (sigma - sqrt(rho)) ** 2 / (2 * sqrt(rho) * (sigma**2 + rho)),
            ),
            _equal(
                "A row of the design matrix has the squared norm $d/2$, of which each frequency contributes",
                cos(x) ** 2 + sin(x) ** 2,
                Integer(1),
            ),
        ),
    )


PROOFS: tuple[Callable[[], Proof], ...] = (
    taylor,
    eq14_is_reversed,
    midpoint,
    monotonicity,
    sharp,
    abel,
    pairs,
    stability,
    ridge,
)
"""All proofs, as functions that build them."""
