"""Every claim the package settles: those of the paper first, then those found here.

Each is a function that returns its evidence, decorated with the claim. Importing this module registers them all, and
`CLAIMS` holds them by id: ``CLAIMS["chen2023.thm2_1"].settle()`` computes a verdict with its evidence.
"""

from functools import cache

from pi_theory import proofs
from pi_theory.amplification import FiniteWindow, stability_constant
from pi_theory.certified.balls import enclosure, exact
from pi_theory.certified.envelope import first_below, integer_scan, minimum
from pi_theory.certified.interpolation import (
    certify_smallest_valid_head_dim,
    published_interpolation_ball,
    published_margin_ball,
    sharp_interpolation_ball,
    taylor_interpolation_ball,
)
from pi_theory.certified.least_squares import ExactFit, exact_least_squares
from pi_theory.interpolation import smallest_valid_head_dim
from pi_theory.leastsquares import random_points, ridge_bound
from pi_theory.scaling import METHODS, NoScaling, scaling_by_name
from pi_theory.verdicts import REGISTRY, Certificate, Evidence, claim, holds, refuted, undecided

PAPER = "arXiv:2306.15595v2"
HERE = "this package"
LLAMA = "d = 128, c = 10^4"

CLAIMS = REGISTRY
"""All claims by id, in the order of this module."""

# The head dimension and RoPE base of released models, from their configuration files.
MODELS: dict[str, tuple[int, int]] = {
    "LLaMA 1 and 2": (128, 10_000),
    "Llama 3": (128, 500_000),
    "Mistral 7B v0.3": (128, 1_000_000),
    "Qwen 2.5 7B": (128, 1_000_000),
    "SmolLM2 135M": (64, 100_000),
}


@claim(
    id="chen2023.thm2_1",
    says="Theorem 2.1: at a position s between two positions s1 and s2, a score differs from the straight line through "
    "its values there by at most d max|h| (s - s1)(s2 - s) / (8 ln c).",
    statement=r"|a(s) - a_{\rm lin}(s)| \le d \max_j|h_j| \frac{(s-s_1)(s_2-s)}{8\ln c}",
    source=f"{PAPER}, Thm 2.1",
    domain=f"{LLAMA}, intervals of length 1",
)
def theorem_2_1() -> Evidence:
    left, right = sharp_interpolation_ball(128, 10_000), published_interpolation_ball(128, 10_000)
    return refuted(
        f"for h_j = -exp(-i theta_j/2), s1 = 0, s2 = 1 and s = 1/2 the difference is {float(left):.5f}, "
        f"which exceeds the bound {float(right):.5f}",
        certificates=[Certificate("sharp > published", left > right)],
    )


@claim(
    id="chen2023.thm2_1.models",
    says="Theorem 2.1 is true at the head dimension and base of some released model: LLaMA 1 to 3, Mistral, Qwen 2.5 "
    "or SmolLM2.",
    statement=r"\text{Thm 2.1 at } (d, c) \text{ of LLaMA 1-3, Mistral, Qwen or SmolLM2}",
    source=f"{PAPER}, Thm 2.1",
    domain="; ".join(f"{name} (d = {d}, c = {c:g})" for name, (d, c) in MODELS.items()) + "; intervals of length 1",
)
def theorem_2_1_at_models() -> Evidence:
    margins = {name: published_margin_ball(*pair) for name, pair in MODELS.items()}
    return refuted(
        "some head exceeds the bound at each of them, by the factor "
        + ", ".join(f"{float(m):.3f} ({name})" for name, m in margins.items()),
        certificates=[Certificate(f"F > 1 for {name}", margin > 1) for name, margin in margins.items()],
    )


@claim(
    id="chen2023.eq14",
    says="The published proof of Theorem 2.1 rests on a true inequality: c^x <= 1 + x ln c for x < 0 and c > 1.",
    statement=r"c^x \le 1 + x\ln c \quad (x < 0,\ c > 1)",
    source=f"{PAPER}, Eq. 14",
    domain="every x < 0, every c > 1",
)
def equation_14() -> Evidence:
    return refuted(
        "c^x is convex in x, so that the inequality points the other way for every x < 0",
        proofs=[proofs.eq14_is_reversed()],
    )


@claim(
    id="chen2023.eq8",
    says="At every relative position s a score is at most max|h_j - h_(j+1)| B(s), and so at most 2 max|h| B(s).",
    statement=r"|a(s)| \le \max_j|h_j - h_{j+1}|\,B(s) \le 2\max_j|h_j|\,B(s)",
    source=f"{PAPER}, Eq. 8",
    domain="every even d, base c > 1, head h and real s",
)
def equation_8() -> Evidence:
    return holds(
        "the proof is summation by parts; at every s some head attains the first bound", proofs=[proofs.abel()]
    )


@claim(
    id="chen2023.fig5",
    says="B(s) is at least d at every relative position up to 4096, the range that the paper draws.",
    statement=r"B(s) \ge d,\quad 0 \le s \le 4096",
    source=f"{PAPER}, Fig. 5",
    domain=f"{LLAMA}, real s in [0, 4096]",
)
def figure_5() -> Evidence:
    found = minimum(0, 4096, head_dim=128, base=10_000)
    return holds(
        f"the minimum of B/d lies in [{found.value.lower:.6f}, {found.value.upper:.6f}], near s = {found.argmin:.4f}",
        certificates=[Certificate("min B/d >= 1", found.value.lower >= 1)],
    )


@claim(
    id="chen2023.fig5.beyond",
    says="B(s) is at least d at every relative position up to 32768, the longest window of the paper.",
    statement=r"B(s) \ge d,\quad 0 \le s \le 32768",
    source=f'{PAPER}, Section 2.3 ("numerically B(s) is at least larger than d")',
    domain=f"{LLAMA}, real s in [0, 32768]",
)
def figure_5_beyond() -> Evidence:
    crossing = first_below(0, 32768, head_dim=128, base=10_000)
    scan = integer_scan(32768, head_dim=128, base=10_000)
    if crossing is None or scan.first_below is None:
        return undecided("no position was found at which B(s) falls below d")
    return refuted(
        f"B falls below d at s = {crossing.upper:.6f}; the first integer below is {scan.first_below}, and the smallest "
        f"value at an integer is {scan.minimum.upper:.4f} d at s = {scan.argmin}",
        certificates=[Certificate("min B/d < 1", scan.minimum.upper < 1)],
    )


def _ratio(upto: int, interpolation: str) -> tuple[float, float]:
    """Encloses the smallest 2 B(s) for s in [0, upto], divided by an interpolation bound at a unit interval's midpoint.

    Returns:
        The lower and the upper end, for LLaMA's d and c and max|h| = 1.
    """
    found = minimum(0, upto, head_dim=128, base=10_000)
    ball = {"published": published_interpolation_ball, "sharp": sharp_interpolation_ball}[interpolation](128, 10_000)
    below = enclosure(2 * 128 * exact(found.value.lower) / ball)
    above = enclosure(2 * 128 * exact(found.value.upper) / ball)
    return below.lower, above.upper


@claim(
    id="chen2023.600x",
    says="For s up to 4096, the range that the paper draws, the extrapolation bound 2 B(s) is at least 600 times the "
    "interpolation bound d / (32 ln c), both as published.",
    statement=r"2 B(s) \ge 600 \cdot \frac{d}{32\ln c},\quad 0 \le s \le 4096",
    source=f"{PAPER}, Section 2.3",
    domain=f"{LLAMA}, s in [0, 4096]; this compares two formulas, of which the second is not a bound",
)
def six_hundred() -> Evidence:
    lower, _ = _ratio(4096, "published")
    return holds(f"it is at least {lower:.1f} times as large", certificates=[Certificate("ratio >= 600", lower >= 600)])


@claim(
    id="chen2023.600x.repaired",
    says="For s up to 4096, the extrapolation bound 2 B(s) is at least 600 times the sharp interpolation bound, the "
    "smallest one that is true.",
    statement=r"2 B(s) \ge 600 \sum_j (1-\cos\tfrac{\theta_j}{2}),\quad 0 \le s \le 4096",
    source=f"{PAPER}, Section 2.3, repaired",
    domain=f"{LLAMA}, s in [0, 4096]",
)
def six_hundred_repaired() -> Evidence:
    _, upper = _ratio(4096, "sharp")
    return refuted(
        f"at the worst s it is {upper:.1f} times as large", certificates=[Certificate("ratio < 600", upper < 600)]
    )


@claim(
    id="chen2023.600x.beyond",
    says="For s up to 32768, the longest window of the paper, the extrapolation bound 2 B(s) is at least 600 times the "
    "interpolation bound d / (32 ln c), both as published.",
    statement=r"2 B(s) \ge 600 \cdot \frac{d}{32\ln c},\quad 0 \le s \le 32768",
    source=f"{PAPER}, Section 2.3",
    domain=f"{LLAMA}, s in [0, 32768]",
)
def six_hundred_beyond() -> Evidence:
    _, upper = _ratio(32768, "published")
    return refuted(
        f"at the worst s it is {upper:.1f} times as large", certificates=[Certificate("ratio < 600", upper < 600)]
    )


@claim(
    id="chen2023.600x.suprema",
    says="The largest possible score is at least 600 times the largest possible error of linear interpolation.",
    statement=r"\sup|a| \ge 600\,\sup|a - a_{\rm lin}|,\quad |h_j| \le 1",
    source=f"{PAPER}, Section 2.3, like compared with like",
    domain=f"{LLAMA}, |h_j| <= 1, intervals of length 1",
)
def six_hundred_suprema() -> Evidence:
    ratio = 64 / sharp_interpolation_ball(128, 10_000)
    return refuted(
        f"the largest possible score is d/2 = 64, and the ratio is {float(ratio):.1f}",
        proofs=[proofs.sharp(), proofs.midpoint()],
        certificates=[Certificate("ratio < 600", ratio < 600)],
    )


@cache
def _exact_figure_2() -> ExactFit:
    """Returns the exact fit of the points of seed 0, at the last position of the window after the fitted one."""
    return exact_least_squares(random_points(2048, 0), [4095], head_dim=128, base=10_000, digits=6)


@claim(
    id="chen2023.fig2.8000",
    says="Beyond the window, the exact least-squares curve of Fig. 2, for which the paper shows thousands, stays below "
    "a million.",
    statement=r"\max_{L \le s < 2L}|a(s)| \le 10^6",
    source=f"{PAPER}, Fig. 2",
    domain=f"{LLAMA}, L = 2048, exact least-squares fit of N(0, 1) points drawn with seed 0",
)
def figure_2_size() -> Evidence:
    size = abs(_exact_figure_2().values[0])
    return refuted(
        f"the exact curve reaches {float(size):.4e} at s = 4095; the thousands are what float32 rounding leaves of it",
        certificates=[Certificate("|a(4095)| > 10^6", size > 10**6)],
    )


@claim(
    id="chen2023.fig2.almost_every",
    says="Almost every least-squares curve through random points exceeds 8000 beyond the window: all but one in 10^50.",
    statement=r"P\left(\max_{L \le s < 2L}|a(s)| > 8000\right) \ge 1 - 10^{-50},\quad y_n \sim N(0, 1)",
    source=f"{PAPER}, Section 2.4",
    domain=f"{LLAMA}, L = 2048, exact least-squares fit of independent N(0, 1) points",
)
def figure_2_almost_every() -> Evidence:
    deviation = _exact_figure_2().standard_deviations[0]
    # For a normal variable of standard deviation s, P(|X| <= x) <= x sqrt(2/pi) / s.
    miss = 8000 * (2 / exact(0).pi()).sqrt() / deviation
    return holds(
        f"a(4095) is normally distributed with standard deviation {float(deviation):.3e}, so that it stays within 8000 "
        f"with a probability below {float(miss.upper()):.0e}",
        certificates=[Certificate("probability < 10^-50", miss < exact(10) ** -50)],
    )


@claim(
    id="chen2023.fig2.ridge",
    says="A curve fitted with ridge regularisation is bounded at every real position: |a(s)| is at most sqrt(d/2) "
    "times the norm of the points, divided by 2 sqrt(rho).",
    statement=proofs.ridge().theorem,
    source=f"{PAPER}, Section 2.4",
    domain="every d, c, L, points y and ridge rho > 0",
)
def figure_2_ridge() -> Evidence:
    example = ridge_bound(random_points(2048, 0), 1.0, 128)
    return holds(f"for the points of Fig. 2 and rho = 1 the bound is {example:.0f}", proofs=[proofs.ridge()])


@claim(
    id="taylor",
    says="Theorem 2.1 becomes true on every interval if sum_j theta_j^2 / 2 replaces the constant d / (8 ln c).",
    statement=proofs.taylor().theorem,
    source=HERE,
    domain="every even d, base c > 1, head h and interval",
)
def taylor() -> Evidence:
    value = taylor_interpolation_ball(128, 10_000)
    return holds(
        f"for {LLAMA} the bound is {float(value):.5f} halfway between neighbouring positions", proofs=[proofs.taylor()]
    )


@claim(
    id="closed_form",
    says="Theorem 2.1 becomes true on every interval if 1/4 + ln c / (6 d) is added to the constant d / (8 ln c).",
    statement=r"|a - a_{\rm lin}| \le \max|h| (s-s_1)(s_2-s) "
    r"\left(\frac{d}{8\ln c} + \frac14 + \frac{\ln c}{6d}\right)",
    source=HERE,
    domain="every even d, base c > 1, head h and interval",
)
def closed_form() -> Evidence:
    return holds(
        "the proof uses 1/(1 - e^-t) <= 1/t + 1/2 + t/12 at t = 4 ln c / d",
        proofs=[proofs.taylor(), proofs.eq14_is_reversed()],
    )


@claim(
    id="thm2_1.region",
    says="On intervals of length 1, Theorem 2.1 is true exactly when F(d, c) = (64 ln c / d) sum_j sin^2(theta_j/4) <= "
    "1; for each base this is so from one head dimension on.",
    statement=r"F(d, c) = \frac{64\ln c}{d}\sum_j \sin^2\frac{\theta_j}{4} \le 1",
    source=HERE,
    domain="every even d, every c > 1",
)
def region() -> Evidence:
    head_dim = smallest_valid_head_dim(10_000)
    return holds(
        f"the smallest such d is {head_dim} at c = 10^4 and {certify_smallest_valid_head_dim(500_000)} at c = 5x10^5; "
        "it grows as 190 ln c",
        proofs=[proofs.sharp(), proofs.midpoint(), proofs.monotonicity()],
        certificates=[
            Certificate(f"F <= 1 at d = {head_dim}", published_margin_ball(head_dim, 10_000) <= 1),
            Certificate(f"F > 1 at d = {head_dim - 2}", published_margin_ball(head_dim - 2, 10_000) > 1),
        ],
    )


@claim(
    id="eq8.never_better",
    says="The bound 2 max|h| B(s) of Eq. 8 is never below the trivial bound (d/2) max|h|.",
    statement=proofs.pairs().theorem,
    source=HERE,
    domain="every even d, base c > 1 and real s",
)
def equation_8_never_better() -> Evidence:
    return holds("neighbouring partial sums differ by a unit vector, so that B(s) >= d/4", proofs=[proofs.pairs()])


@claim(
    id="half_d",
    says="B(s) never falls below d/2, at any relative position.",
    statement=r"B(s) \ge d/2,\quad s \ge 0",
    source=HERE,
    domain=f"{LLAMA}, every real s >= 0",
)
def half_d() -> Evidence:
    found = minimum(0, 100_000, head_dim=128, base=10_000)
    return undecided(
        f"it is true on [0, 100000], where the certified minimum is {found.value.lower:.4f} d; "
        "beyond, only B(s) >= d/4 is proved"
    )


@claim(
    id="stability",
    says="If all integer positions are trained, the absolute score at any real position is at most sec(1/2) = 1.1395 "
    "times its largest value at them.",
    statement=proofs.stability().theorem,
    source=HERE + "; after M. Riesz, Bernstein-Szego, Duffin and Schaeffer",
    domain="every even d, base c > 1 and head h; all integers are trained",
)
def stability() -> Evidence:
    return holds(f"sec(1/2) = {stability_constant():.6f}", proofs=[proofs.stability()])


@claim(
    id="stability.window",
    says="If |a(n)| <= 1 at the trained positions n = 0 to L, then |a(s)| <= sec(1/2 + e ceil(ln S)/(2 D)) at every "
    "real s between them, where S = sum|h| and D - 1 is the distance of s from the nearer end of the window.",
    statement=r"|a(s)| \le \sec\left(\frac12 + \frac{e\lceil\ln S\rceil}{2D}\right),\quad D = \min(s, L-s)+1",
    source=HERE,
    domain="every even d, base c > 1, window L and head h with S >= e, where the argument of sec is below pi/2",
)
def stability_window() -> Evidence:
    return holds("the proof stands in pi_theory.amplification", proofs=[proofs.stability()])


@claim(
    id="stability.edge",
    says="If the positions 0 to L are trained, the absolute score at any real position between them is at most "
    "sec(1/2) = 1.1395 times its largest value at them.",
    statement=r"|a(s)| \le \sec(1/2)\max_{0\le n\le L}|a(n)|,\quad 0 \le s \le L",
    source=HERE,
    domain=f"{LLAMA}, L = 512, |Re h|, |Im h| <= 100",
)
def stability_edge() -> Evidence:
    worst = FiniteWindow(head_dim=128, base=10_000, window=512, scaling=NoScaling()).worst_case(0.5, 100.0)
    constant = 1 / (exact(1) / 2).cos()
    return refuted(
        f"some head with |a(n)| <= 1 for n = 0..512 has a(1/2) = {worst.value:.5f} > {float(constant):.5f}",
        certificates=[Certificate("a(1/2) > sec(1/2)", exact(worst.value) > constant)],
    )


@claim(
    id="extrapolation.thousandfold",
    says="At twice the trained window, an absolute score is at most 1000 times its largest value inside the window.",
    statement=r"|a(2L)| \le 1000 \max_{0\le n\le L}|a(n)|",
    source=HERE,
    domain=f"{LLAMA}, L = 512, |Re h|, |Im h| <= 100",
)
def extrapolation_thousandfold() -> Evidence:
    program = FiniteWindow(head_dim=128, base=10_000, window=512, scaling=NoScaling())
    values = {hmax: program.worst_case(1024, hmax).value for hmax in (1.0, 10.0, 100.0)}
    return refuted(
        "with |a(n)| <= 1 for n = 0..512 and |Re h|, |Im h| <= H, a(1024) reaches "
        + ", ".join(f"{value:.1f} (H = {hmax:g})" for hmax, value in values.items()),
        certificates=[Certificate("a(1024) > 1000 at H = 100", values[100.0] > 1000)],
    )


@claim(
    id="methods.share_stability",
    says="One of NTK-aware, dynamic NTK, YaRN and Llama-3 scaling, extending the window twofold, keeps all scores "
    "within twice their largest value at trained positions, as linear interpolation does.",
    statement=r"|a'(s)| \le 2 \max_{0\le n\le L}|a(n)| \text{ for one of them, } s \le 2L",
    source=HERE,
    domain="d = 64, c = 10^4, L = 512, factor 2, |Re h|, |Im h| <= 1; the worst heads, not trained ones",
)
def methods_share_stability() -> Evidence:
    worst: dict[str, float] = {}
    for name in METHODS:
        program = FiniteWindow(head_dim=64, base=10_000, window=512, scaling=scaling_by_name(name, 2.0))
        worst[name] = max(program.worst_case(position, 1.0).value for position in (935.0, 979.0, 1023.0))
    others = {name: value for name, value in worst.items() if name not in ("none", "linear")}
    return refuted(
        f"with |a(n)| <= 1 for n = 0..512 some head reaches {', '.join(f'{v:.1f} ({n})' for n, v in others.items())}; "
        f"with linear interpolation {worst['linear']:.3f}, without scaling {worst['none']:.1f}",
        certificates=[Certificate(f"{name} > 2", value > 2) for name, value in others.items()],
    )
