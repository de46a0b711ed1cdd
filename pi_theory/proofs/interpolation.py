"""The proofs about interpolation: the bounds of |a - a_lin|, and where Theorem 2.1 of the paper holds."""

from collections.abc import Callable
from functools import cache

import sympy as sp
from sympy import Abs, Eq, Ge, I, Integer, Le, Lt, Rational, Sum, cos, cosh, exp, factorial, log, sin, sinh, sqrt

from pi_theory.proofs.steps import Proof, Step, equal, follows, nonnegative_from_zero, true
from pi_theory.statements import LargestError, Margin, Theta, c, d, error, hmax, j, published, s, s1, s2

lam = sp.Symbol("lambda", positive=True)
mu, t, x, y, a, n, m = sp.symbols("mu t x y a n m", positive=True)
more = sp.Symbol("p", positive=True)  # c = 1 + p, by which SymPy sees that c > 1
k = sp.Symbol("k", integer=True, positive=True)
i = sp.Symbol("i", integer=True, nonnegative=True)
u, alpha = sp.symbols("u alpha", real=True)

HEADS = (c > 1,)
INTERVAL = (*HEADS, s1 < s2, s1 <= s, s <= s2)


@cache
def frequencies() -> Proof:
    """No frequency exceeds 1."""
    exponent = -2 * j / d
    return Proof(
        id="frequencies",
        given=HEADS,
        steps=(
            equal(r"The logarithm of $\theta_j$ is", log(Theta(j, d, c)), exponent * log(c)),
            true(r"It is not positive, because $\ln c > 0$ for $c = 1 + p$:", Le(exponent * log(1 + more), 0)),
            follows("So every frequency is at most", Le(Theta(j, d, c), 1), Le(Theta(j, d, c), exp(Integer(0)))),
        ),
    )


@cache
def sharp() -> Proof:
    """The sharp interpolation bound, by the triangle inequality and the head that attains it."""
    angles = sp.symbols("phi phi_1 phi_2", real=True)
    at = {angle: place * Theta(j, d, c) for angle, place in zip(angles, (s, s1, s2), strict=True)}

    def combined(f: Callable[[sp.Expr], sp.Expr]) -> sp.Expr:
        """f at the three angles with the weights of the interpolation error."""
        first, second, third = map(f, angles)
        return first - (1 - lam) * second - lam * third

    attained = aligned(
        r"That $|\sum_j h_j D_j|$ is at most $\sum_j |D_j|$ for $|h_j| \le 1$ is the triangle inequality. Equality "
        r"holds for $h_j = \bar D_j/|D_j|$, because then each term is"
    )
    parts = combined(cos) ** 2 + combined(sin) ** 2
    modulus = equal(
        r"With $D_j = e^{i\varphi} - (1-\lambda) e^{i\varphi_1} - \lambda e^{i\varphi_2}$, where $\varphi = s\theta_j$ "
        "and so on, its squared modulus is",
        combined(lambda x: exp(I * x)) * combined(lambda x: exp(-I * x)),
        parts,
    )
    weight = {lam: (s - s1) / (s2 - s1)}
    return Proof(
        id="sharp",
        given=INTERVAL,
        steps=(
            attained,
            modulus,
            follows(
                r"So the largest $|a - a_{\rm lin}|$ is",
                Eq(LargestError(s, s1, s2, d, c), Sum(sqrt(parts.subs(weight).subs(at)), (j, 0, d / 2 - 1))),
                Eq(
                    LargestError(s, s1, s2, d, c),
                    Sum(
                        attained.formula.rhs.subs(x, sqrt(modulus.formula.rhs)).subs(weight).subs(at), (j, 0, d / 2 - 1)
                    ),
                ),
            ),
        ),
    )


def aligned(says: str) -> Step:
    """A step whose formula is z conj(z)/|z| = |z|, for z = x exp(i alpha) with x > 0."""
    z = x * exp(I * alpha)
    return equal(says, sp.Mul(sp.conjugate(z) / x, z, evaluate=False), x)


@cache
def taylor() -> Proof:
    """The Taylor bound, which repairs Theorem 2.1: a kernel for each frequency, and the sum over frequencies."""
    kernel_left, kernel_right = u * (1 - lam), lam * (1 - u)
    defect = exp(I * lam * x) - (1 - lam) - lam * exp(I * x)
    second = sp.diff(exp(I * x * u), u, 2)
    integral = sp.integrate(kernel_left * second, (u, 0, lam)) + sp.integrate(kernel_right * second, (u, lam, 1))
    modulus = equal(
        "The second derivative has the constant modulus",
        Abs(sp.Derivative(exp(I * x * u), (u, 2)), evaluate=False),
        x**2,
    )
    kernel = equal(
        "The kernel of that integral is non-negative and integrates to",
        sp.integrate(kernel_left, (u, 0, lam)) + sp.integrate(kernel_right, (u, lam, 1)),
        lam * (1 - lam) / 2,
    )
    weight = (s - s1) / (s2 - s1)
    ends = equal(
        r"For $\lambda = (s-s_1)/(s_2-s_1)$ one has $\lambda(1-\lambda)(s_2-s_1)^2 =$",
        weight * (1 - weight) * (s2 - s1) ** 2,
        (s - s1) * (s2 - s),
    )
    # The bound of one wave with x = (s2 - s1) theta_j, in which the step above removes lambda.
    wave = kernel.formula.rhs / (lam * (1 - lam)) * ends.formula.rhs * modulus.formula.rhs / x**2 * Theta(j, d, c) ** 2
    return Proof(
        id="taylor",
        given=INTERVAL,
        steps=(
            equal(
                "The distance of a single wave from its chord is an integral of its second derivative.",
                defect,
                -integral,
            ),
            kernel,
            modulus,
            ends,
            follows(
                r"So the wave of frequency $\theta_j$, where $x = (s_2-s_1)\theta_j$, is at most the product of these "
                "from its chord. The triangle inequality sums over the frequencies:",
                Le(error, hmax / 2 * (s - s1) * (s2 - s) * Sum(Theta(j, d, c) ** 2, (j, 0, d / 2 - 1))),
                Le(error, hmax * sp.simplify(wave / Theta(j, d, c) ** 2) * Sum(Theta(j, d, c) ** 2, (j, 0, d / 2 - 1))),
            ),
        ),
    )


@cache
def closed_form() -> Proof:
    """The closed form that repairs Theorem 2.1: 1/4 + ln c/(6 d) is added to its constant."""
    ratio = c ** (-4 / d)
    square = equal(
        r"The squared frequencies form a geometric series. With $t = 4\ln c/d$ its ratio is",
        exp(-t).subs(t, 4 * log(c) / d),
        ratio,
    )
    inequality = Le(1 / (1 - exp(-t)), 1 / t + Rational(1, 2) + t / 12)
    return Proof(
        id="closed_form",
        given=INTERVAL,
        needs=(taylor(),),
        steps=(
            square,
            equal(
                "Its sum follows by induction: the closed form grows by one term at a time.",
                sp.Add((1 - y ** (n + 1)) / (1 - y), -(1 - y**n) / (1 - y), evaluate=False),
                y**n,
            ),
            true(r"The sum is less than $1/(1-e^{-t})$, because the terms left out are positive:", ratio > 0),
            nonnegative_from_zero(
                r"Moreover $1/(1-e^{-t}) \le 1/t + 1/2 + t/12$, because $e^t(12-6t+t^2) - (12+6t+t^2) \ge 0$:",
                t,
                exp(t) * (12 - 6 * t + t**2) - (12 + 6 * t + t**2),
                2,
                t**2 * exp(t),
            ),
            equal(
                "This is that inequality with its denominators cleared.",
                (inequality.rhs - inequality.lhs) * 12 * t * (exp(t) - 1),
                exp(t) * (12 - 6 * t + t**2) - (12 + 6 * t + t**2),
            ),
            follows(
                "Put into the Taylor bound it gives",
                Le(error, hmax * (s - s1) * (s2 - s) * (d / (8 * log(c)) + Rational(1, 4) + log(c) / (6 * d))),
                taylor()
                .at({}, INTERVAL)
                .subs(Sum(Theta(j, d, c) ** 2, (j, 0, d / 2 - 1)), inequality.rhs.subs(t, 4 * log(c) / d)),
            ),
        ),
    )


@cache
def eq14_is_reversed() -> Proof:
    """The inequality of Eq. 14 points the wrong way, because c^x lies above its tangent at 0."""
    real = sp.Symbol("x", real=True)
    gap = c**u - 1 - u * log(c)
    convex = equal("It is strictly convex:", sp.Derivative(gap, (u, 2)), c**u * log(c) ** 2)
    return Proof(
        id="eq14_is_reversed",
        given=(c > 1, sp.Ne(real, 0)),
        steps=(
            equal(r"The function $f(x) = c^x - 1 - x\ln c$ vanishes at 0.", sp.Subs(gap, u, 0), Integer(0)),
            equal("So does its derivative.", sp.Subs(sp.Derivative(gap, u), u, 0), Integer(0)),
            convex,
            true(
                "Here is why, for $c = 1 + p$: the second derivative is positive.",
                convex.formula.rhs.subs(c, 1 + more) > 0,
            ),
            nonnegative_from_zero(
                r"So for $t = 4\ln c/d$ the published step $1/(1-e^{-t}) \le 1/t$ is false, as $e^t - 1 - t > 0$.",
                t,
                exp(t) - 1 - t,
                1,
                exp(t),
            ),
            follows(
                "Hence the function is positive away from 0:",
                c**real > 1 + real * log(c),
                c**real > c**real - gap.subs(u, real),
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
    top = sp.Symbol(r"\max_\lambda|\delta(\lambda,x)|/(\lambda(1-\lambda))", nonnegative=True)

    def q(order: int) -> sp.Expr:
        """Returns (1 - lam^m - (1-lam)^m) / mu with m = 2 order - 1, as a polynomial in mu."""
        power_sums = [Integer(2), Integer(1)]
        while len(power_sums) < 2 * order:
            power_sums.append(sp.expand(power_sums[-1] - mu * power_sums[-2]))
        return sp.factor((1 - power_sums[2 * order - 1]) / mu)

    root = 1 - 2 * lam  # (1 - lambda) - lambda
    third = sp.Symbol("q_3")
    value = equal(
        r"So $N/\mu^2$ increases with $\mu$, which is largest at $\lambda = 1/2$. Its value there is",
        squared.subs(lam, Rational(1, 2)) / Rational(1, 4) ** 2,
        (8 * sin(x / 4) ** 2) ** 2,
    )
    positive = equal(
        r"The term $k = 3$ contributes to $d(N/\mu^2)/d\mu$ a positive part, $2x^6$ times",
        -sp.Derivative(5 * (1 - mu), mu) / factorial(6),
        Rational(1, 144),
    )
    tail = (cosh(1) - 1 - Rational(1, 2) - Rational(1, 24)) / 2
    return Proof(
        id="midpoint",
        given=(x > 0, x <= 1),
        steps=(
            equal(
                r"The squared modulus $N$ of the defect, where $\mu = \lambda(1-\lambda)$, is",
                real**2 + imag**2,
                squared,
            ),
            equal(
                r"The coefficients of its power series in $x$ are $(-1)^k/(2k)!$ times",
                -2 * (1 - lam) * lam ** (2 * k) - 2 * lam * (1 - lam) ** (2 * k) + 2 * product,
                2 * product * (1 - lam ** (2 * k - 1) - (1 - lam) ** (2 * k - 1)),
            ),
            equal(
                r"Here $p_m = \lambda^m + (1-\lambda)^m$ is a polynomial in $\mu$: "
                r"it satisfies $p_m = p_{m-1} - \mu p_{m-2}$.",
                lam ** (n + 2) + (1 - lam) ** (n + 2),
                lam ** (n + 1) + (1 - lam) ** (n + 1) - product * (lam**n + (1 - lam) ** n),
            ),
            follows(
                r"So $N/\mu^2 = 2\sum_{k\ge2} (-1)^k x^{2k} q_k(\mu)/(2k)!$ with $q_k = (1 - p_{2k-1})/\mu$, of which "
                r"$q_2$ is constant and $q_3$ is",
                Eq(third, 5 * (1 - mu), evaluate=False),
                Eq(third, q(3) + sp.diff(q(2), mu), evaluate=False),
            ),
            equal(
                r"Its derivative is $dp_m/d\mu = -m U_{m-2}$, where $U_m = \sum_{i \le m} \lambda^i(1-\lambda)^{m-i}$.",
                sp.diff(lam**n + (1 - lam) ** n, lam) / sp.diff(product, lam),
                -n * ((1 - lam) ** (n - 1) - lam ** (n - 1)) / root,
            ),
            equal(
                r"The closed form in it is that sum, since multiplied by $(1-\lambda) - \lambda$ the sum telescopes: "
                r"each term gives, for $m$ and $i$,",
                lam**i * (1 - lam) ** (m - i) * (1 - 2 * lam),
                lam**i * (1 - lam) ** (m - i + 1) - lam ** (i + 1) * (1 - lam) ** (m - i),
            ),
            equal(
                r"As no binomial coefficient is below 1, $U_m$ is at most the $m$-th power of",
                sp.Add(lam, 1 - lam, evaluate=False),
                Integer(1),
            ),
            equal(
                r"$U_m$ is the coefficient of $z^m$ in the product of $1/(1-\lambda z)$ and $1/(1-(1-\lambda)z)$, "
                "whose denominators have the product",
                (1 - lam * t) * (1 - (1 - lam) * t),
                1 - t + product * t**2,
            ),
            equal(
                r"Hence $dU_m/d\mu = -\sum_{i+j=m-2} U_i U_j$, because",
                sp.Derivative(1 / (1 - t + mu * t**2), mu),
                -(t**2) * (1 / (1 - t + mu * t**2)) ** 2,
            ),
            equal(
                r"Each product in this sum lies in $[0, 1]$. For $m = 2k-3$ there are",
                Sum(1, (i, 0, 2 * k - 5)),
                2 * k - 4,
            ),
            equal(
                r"of them. Since $q_k(\mu) = (2k-1)\int_0^1 U_{2k-3}(v\mu)\,dv$, for every $k$ $|q_k'|$ is at most",
                (2 * k - 1) * sp.Integral(u * (2 * k - 4), (u, 0, 1)),
                (2 * k - 1) * (k - 2),
            ),
            positive,
            equal(
                r"The rest, for $x \le 1$, is at most $\sum_{k\ge4} (2k-1)(k-2)/(2k)!$. A term of it is less than "
                r"$\tfrac12/(2k-2)!$, by",
                Rational(1, 2) / factorial(2 * k - 2) - (2 * k - 1) * (k - 2) / factorial(2 * k),
                1 / (k * factorial(2 * k - 2)),
            ),
            equal(
                r"These sum to $\tfrac12(\cosh 1 - 1 - \tfrac12 - \tfrac1{24})$, as the three terms left out "
                r"of the series of $\cosh 1$ show:",
                Sum(1 / factorial(2 * i), (i, 0, 2)),
                1 + Rational(1, 2) + Rational(1, 24),
            ),
            true("The rest is smaller than the positive part:", Lt(tail, positive.formula.rhs, evaluate=False)),
            value,
            follows(
                "The root of it is the largest value:",
                Eq(top, 8 * sin(x / 4) ** 2),
                Eq(top, sp.sqrtdenest(sqrt(value.formula.rhs))),
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
    slope, fall, size, steep = sp.symbols("A' B A B'", positive=True)
    coefficient = 32 / (2 ** (2 * k + 1) * factorial(2 * k))
    negative = sp.Mul(4 * k, coefficient.subs(k, 2 * k), evaluate=False)  # 2m c_m at m = 2k
    ratio = (k + 1) / (16 * k * (4 * k + 1) * (4 * k + 2) * (4 * k + 3) * (4 * k + 4))
    total = equal(
        r"$G(1)$ gets the weight $1/(n+1)$. Since $G(1) \le L_n$, in all $(n+1) L_{n+1}$ is at most $(n+1) L_n$, by",
        sp.Mul((n + 2) / (n + 1), n, evaluate=False) + 1 / (n + 1),
        n + 1,
    )
    first = equal("In it the first coefficient is", sp.Subs(coefficient, k, 1), Integer(2))

    def riemann(terms: sp.Expr) -> sp.Expr:
        """The left Riemann sum with so many terms."""
        return Sum(sin(exp(-log(c) * j / terms) / 4) ** 2, (j, 0, terms - 1)) / terms

    change = sp.Symbol(r"\partial F/\partial c", real=True)
    return Proof(
        id="monotonicity",
        given=HEADS,
        steps=(
            equal(
                r"With $n = d/2$, $F = 32 \ln c\, L_n$ for the left Riemann sums $L_n$ of $G(u) = \sin^2(c^{-u}/4)$:",
                Margin(d, c),
                32 * log(c) * riemann(d / 2),
            ),
            equal(
                r"$G$ decreases, because with $a = \ln c$ its derivative is",
                sp.Derivative(curve, u),
                -a * frequency * sin(frequency / 2) / 4,
            ),
            equal(
                "It is convex, because",
                sp.Derivative(curve, (u, 2)),
                a**2 * frequency * (sin(frequency / 2) + frequency / 2 * cos(frequency / 2)) / 4,
            ),
            equal(
                r"The point $j/(n+1)$ is a mean of $(j-1)/n$, with the weight $j/(n+1)$, and of $j/n$, with the rest:",
                j / (n + 1) * (j - 1) / n + (n + 1 - j) / (n + 1) * j / n,
                j / (n + 1),
            ),
            equal(
                r"So by convexity, summing over $j \le n$ gives each $G(i/n)$ with $i < n$ the weight",
                (j + 1) / (n + 1) + (n + 1 - j) / (n + 1),
                (n + 2) / (n + 1),
            ),
            total,
            equal(
                r"For the dependence on $c$ put $y = 2\ln c/d$ and $n = d/2$. The series of $\sin^2$ and the geometric "
                r"sums over $j$ make $F = \sum_k (-1)^{k+1} c_k \varphi(ky)/k$ with $c_k = 32/(2^{2k+1}(2k)!)$ and "
                r"$\varphi(y) = A(y) B(y)$, $A = y/(1-e^{-2y})$, $B = 1 - e^{-2ny}$. The $k$-th terms agree:",
                32 * y / (2 * 4**k * factorial(2 * k)) * (1 - exp(-2 * n * k * y)) / (1 - exp(-2 * k * y)),
                coefficient * growth.subs(y, k * y) * (1 - exp(-2 * n * k * y)) / k,
            ),
            equal(
                r"Here $A' \ge 1/2$, since $\sinh 2y \ge 2y$:",
                sp.Derivative(growth, y) - Rational(1, 2),
                (sinh(2 * y) - 2 * y) / (4 * sinh(y) ** 2),
            ),
            equal(
                r"Also $A' \le 1$, since $1 - e^{-2y} \le 2y$:",
                1 - sp.Derivative(growth, y),
                (2 * y - (1 - exp(-2 * y))) / (4 * sinh(y) ** 2),
            ),
            equal(
                r"$A(y)/y$ decreases, so that $A(ky) \le k A(y)$:",
                sp.Derivative(growth / y, y),
                -2 * exp(-2 * y) / (1 - exp(-2 * y)) ** 2,
            ),
            equal(
                r"$B$ vanishes at 0 and is concave, so that $B(ky) \le k B(y)$ and $B'(ky) \le B'(y)$:",
                sp.Derivative(1 - exp(-2 * n * y), (y, 2)),
                -4 * n**2 * exp(-2 * n * y),
            ),
            equal(
                r"Hence $0 < \varphi'(ky) = A'(ky) B(ky) + A(ky) B'(ky) \le k B(y) + k A(y) B'(y)$, and this is at "
                r"most $2k\varphi'(y) = 2k(A'(y) B(y) + A(y) B'(y))$, because $2A' \ge 1$ makes positive",
                2 * k * (slope * fall + size * steep) - (k * fall + k * size * steep),
                k * (2 * slope - 1) * fall + k * size * steep,
            ),
            first,
            equal(
                r"The even terms together, $\sum 2k c_k$ over even $k$, have falling ratios of neighbours:",
                sp.combsimp(negative.subs(k, k + 1) / negative),
                ratio,
            ),
            true("The first ratio is less than a quarter, and so are all:", Lt(ratio.subs(k, 1), Rational(1, 4))),
            true(
                r"So a geometric series bounds them, and $dF/dy \ge \varphi'(y)(c_1 - \sum 2k c_k) > 0$:",
                Lt(sp.Mul(negative.subs(k, 1), Rational(4, 3), evaluate=False), first.formula.rhs, evaluate=False),
            ),
            true(r"And $y$ grows with $c$:", sp.Gt(sp.diff(2 * log(c) / d, c), 0, evaluate=False)),
            follows(
                "In all, neither growing the head nor shrinking the base makes $F$ larger:",
                sp.And(Le(Margin(d + 2, c), Margin(d, c)), Ge(change, 0)),
                sp.And(
                    Le(32 * log(c) * riemann(d / 2 + 1), total.formula.rhs / (n + 1) * 32 * log(c) * riemann(d / 2)),
                    Ge(change, 0),
                ),
            ),
        ),
    )


@cache
def region() -> Proof:
    """F(d, c) is the largest interpolation error on a unit interval over what Theorem 2.1 allows."""
    top = sp.Symbol(r"\max_{s_1\le s\le s_1+1}\,\max_h|a-a_{\rm lin}|\,/\,\text{Thm 2.1}", nonnegative=True)
    at_most_one = frequencies().at({}, HEADS)
    wave = midpoint().at({x: Theta(j, d, c)}, (at_most_one,)).rhs
    summand = LargestError(Rational(1, 2), Integer(0), Integer(1), d, c).definition().function
    half = equal(
        r"At the midpoint of a unit interval the squared modulus of $D_j$, with $x = \theta_j$, is the square of",
        (summand**2).subs(Theta(j, d, c), x),
        (1 - cos(x / 2)) ** 2,
    )
    error_of_one = half.formula.rhs.base.subs(x, Theta(j, d, c))
    # At every lambda the error is at most lambda (1 - lambda) times the sum of `wave`, with equality at the midpoint.
    return Proof(
        id="region",
        given=HEADS,
        needs=(sharp(), midpoint(), frequencies(), monotonicity()),
        steps=(
            half,
            equal(
                r"There $1 - \cos\tfrac{\theta_j}2$ is what the midpoint lemma gives for $x = \theta_j \le 1$:",
                error_of_one,
                wave / 4,
            ),
            follows(
                r"At other $s$ the sharp bound is at most $4\lambda(1-\lambda)$ times that, and the published bound is "
                "exactly so much of its own midpoint value. So their ratio is largest at the midpoint:",
                Eq(top, 64 * log(c) / d * Sum(sin(Theta(j, d, c) / 4) ** 2, (j, 0, d / 2 - 1))),
                Eq(top, Sum(error_of_one, (j, 0, d / 2 - 1)) / published(Rational(1, 2), Integer(0), Integer(1))),
            ),
        ),
    )
