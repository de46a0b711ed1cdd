r"""The infimum of B(s) over all real s, enclosed: how small the paper's extrapolation bound becomes far enough out.

**Free phases.** If frequencies are linearly independent over the rationals, then by Kronecker's theorem some s brings
all phases s theta_j near any given ones at once. The infimum of B is then its minimum over free phases: with 0 and pi
in turn the partial sums have the sizes 1, 0, 1, 0, ..., which `pi_theory.proofs.extrapolation.pairs` shows to be least.
So it is d/4 where d/2 is even, and d/4 + 1/2 where it is odd.

**Whole bases.** Let c be whole, n = d/2, and c = b^e with the largest e. With m = gcd(n, e), a = b^(e/m) and r = n/m,
theta_j = a^(-j/r). No prime divides both r and e/m, so that a is a p-th power for no prime p that divides r; since also
a > 0, x^r - a is irreducible (Lang, Algebra, Theorem VI.9.1). Hence theta_0 .. theta_(r-1) are independent, and
theta_(j+r) = theta_j/a: the phases of the r slowest pairs are free, and the others are these times a, a^2, ...,
a^(m-1). For m = 1 all are free. Otherwise the infimum is the minimum over r phases, which any choice bounds from above.
"""

import math
from fractions import Fraction

from flint import arb, ctx

from pi_theory.arguments import check_head_dim
from pi_theory.certified.balls import exact

# For d = 128 and c = 10^4: phases of the 16 slowest pairs in units of pi/100000, found by a search from 40 starts.
_LLAMA_PHASES = (199997, 109097, 0, 90908, 161627, 90910, 0, 90907, 2, 89101, 3, 128902, 0, 90901, 20000, 109092)


def infimum(head_dim: int, base: int) -> arb:
    """Returns a ball that holds the infimum of B(s) over all real s.

    Args:
        head_dim: d, even, at least 2.
        base: c, a whole number above 1.

    Raises:
        ValueError: an argument is outside its domain.
        ArithmeticError: some phases are bound to others, and no choice of the free ones is known here.
    """
    half = check_head_dim(head_dim) // 2
    if base < 2:
        raise ValueError(f"base: must be a whole number above 1, got {base}")
    root, power = _root(base, half)
    if power == 1:
        free = [Fraction(j % 2) for j in range(half)]
    elif (head_dim, base) == (128, 10_000):
        slowest = [Fraction(phase, 100_000) for phase in _LLAMA_PHASES]
        free = [phase * root**k for k in reversed(range(power)) for phase in slowest]
    else:
        raise ArithmeticError(f"base: {base} is a power, and no phases that make B small are known for d = {head_dim}")
    with ctx.workprec(128):
        least = exact((half + 1) // 2)
        return least.union(_bound(free))


def _root(base: int, half: int) -> tuple[int, int]:
    """Returns a and m of the module's docstring: c = a^m with the largest m that divides d/2."""
    powers = (power for power in range(half, 0, -1) if half % power == 0)
    roots = ((round(math.exp(math.log(base) / power)), power) for power in powers)
    return next((root, power) for root, power in roots if root**power == base)


def _bound(phases: list[Fraction]) -> arb:
    """Returns sum_k |A_k| for phases in units of pi."""
    real = imag = total = arb(0)
    for phase in phases:
        sine, cosine = exact(phase).sin_cos_pi()  # exactly 0 and 1 or -1 where the phase is whole
        real, imag = real + cosine, imag + sine
        total += (real * real + imag * imag).nonnegative_part().sqrt()
    return total
