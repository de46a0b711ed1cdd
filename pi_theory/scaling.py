"""RoPE scaling methods: how each one turns the trained frequencies into those of a longer window.

A method is a frozen dataclass; together they are the tagged union `Scaling`. `scaled_frequencies` is the one place
that knows what each does. Everything is float64 NumPy, written from the papers and independent of any model library,
so that it can serve as the check of one.

Throughout, ``factor`` = L'/L: extended window over trained window (papers that invert it call it a scale).
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pi_theory.arguments import check_base, check_count, check_factor, check_head_dim


@dataclass(frozen=True)
class NoScaling:
    """Positions beyond the window are used as they are: extrapolation."""


@dataclass(frozen=True)
class _ByFactor:
    factor: float

    def __post_init__(self) -> None:
        check_factor(self.factor)


@dataclass(frozen=True)
class LinearPI(_ByFactor):
    """Position Interpolation: every frequency, equivalently every position, divided by ``factor``.

    Source: Chen et al. 2023, arXiv:2306.15595, Eq. 4.
    """


@dataclass(frozen=True)
class NTKAware(_ByFactor):
    """Base raised to c * factor^(d/(d-2)): theta_0 keeps its value, the slowest frequency is divided by ``factor``.

    Source: bloc97, "NTK-Aware Scaled RoPE", 2023; arXiv:2309.00071, Definition 1.
    """


@dataclass(frozen=True)
class DynamicNTK(_ByFactor):
    """NTK-aware with a factor that grows with the context in use, ``factor * context / window - (factor - 1)``.

    Up to the trained window it changes nothing. Source: emozilla, "Dynamically Scaled RoPE", 2023;
    arXiv:2309.00071, Section 3.3, in the form that Hugging Face transformers computes.
    """


@dataclass(frozen=True)
class Yarn(_ByFactor):
    """Frequencies blended by how often they turn in the trained window, and attention made sharper.

    More than ``beta_fast`` turns: kept. Fewer than ``beta_slow``: divided by ``factor``. Between: a linear ramp in
    the index j, its ends rounded outward to whole indices when ``truncate``. Queries and keys are both multiplied by
    0.1 ln(factor) + 1, hence scores by its square.

    Source: Peng et al. 2023, arXiv:2309.00071, Section 3.2-3.4.
    """

    beta_fast: float = 32.0
    beta_slow: float = 1.0
    truncate: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.beta_slow < self.beta_fast < math.inf:
            raise ValueError(f"beta_slow and beta_fast: need 0 < slow < fast, got {self.beta_slow}, {self.beta_fast}")


@dataclass(frozen=True)
class Llama3(_ByFactor):
    """Frequencies kept, divided by ``factor`` or blended, by wavelength against the trained window.

    Wavelengths below window / ``high_freq_factor`` are kept, above window / ``low_freq_factor`` divided, and in
    between the frequency is a linear blend in window / wavelength. Source: the Llama 3.1 reference code.
    """

    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.low_freq_factor < self.high_freq_factor < math.inf:
            raise ValueError(
                "low_freq_factor and high_freq_factor: need 0 < low < high, got "
                f"{self.low_freq_factor}, {self.high_freq_factor}"
            )


Scaling = NoScaling | LinearPI | NTKAware | DynamicNTK | Yarn | Llama3

METHODS: dict[str, type[Scaling]] = {
    "none": NoScaling,
    "linear": LinearPI,
    "ntk": NTKAware,
    "dynamic": DynamicNTK,
    "yarn": Yarn,
    "llama3": Llama3,
}


def scaling_by_name(method: str, factor: float) -> Scaling:
    """The method called ``method`` (a key of `METHODS`) with its default settings.

    Raises:
        ValueError: an unknown name, or a factor that is not a finite number >= 1.
    """
    check_factor(factor)
    if method not in METHODS:
        raise ValueError(f"method: unknown {method!r}, choose from {', '.join(METHODS)}")
    cls = METHODS[method]
    return cls() if cls is NoScaling else cls(factor)  # type: ignore[call-arg]


def scaled_frequencies(
    scaling: Scaling, *, head_dim: int, base: float, window: int, context: int | None = None
) -> Float[np.ndarray, " half"]:
    """Angular frequencies theta'_j in radians a position, shape (head_dim / 2,), float64.

    Args:
        scaling: the method.
        head_dim: d, even, >= 2.
        base: c > 1.
        window: the trained window L in tokens, >= 1.
        context: tokens in use; only `DynamicNTK` depends on it. Default: ``factor * window``.

    Raises:
        ValueError: an argument outside its domain.

    >>> scaled_frequencies(LinearPI(4.0), head_dim=4, base=10000, window=2048).tolist()
    [0.25, 0.0025]
    """
    check_head_dim(head_dim)
    check_base(base)
    check_count(window)
    exponents = np.arange(0, head_dim, 2) / head_dim
    theta = float(base) ** -exponents
    match scaling:
        case NoScaling():
            return theta
        case LinearPI(factor=factor):
            return theta / factor
        case NTKAware(factor=factor):
            return theta * _ntk_multiplier(factor, head_dim)
        case DynamicNTK(factor=factor):
            used = factor * window if context is None else max(check_count(context, "context"), window)
            return theta * _ntk_multiplier(factor * used / window - (factor - 1), head_dim)
        case Yarn(factor=factor):
            kept = 1 - _yarn_ramp(scaling, head_dim, float(base), window)
            return theta * (kept + (1 - kept) / factor)
        case Llama3(factor=factor, low_freq_factor=low, high_freq_factor=high):
            turns = window * theta / (2 * math.pi)
            kept = np.clip((turns - low) / (high - low), 0.0, 1.0)
            return theta * (kept + (1 - kept) / factor)


def attention_factor(scaling: Scaling) -> float:
    """What the method multiplies queries and keys by, each; scores are multiplied by its square."""
    return 0.1 * math.log(scaling.factor) + 1.0 if isinstance(scaling, Yarn) else 1.0


def _ntk_multiplier(factor: float, head_dim: int) -> np.ndarray:
    # (c k)^(-2j/d) / c^(-2j/d) with k = factor^(d/(d-2)); at d = 2 only j = 0 exists, and it never changes.
    index = np.arange(head_dim // 2)
    return factor ** (-2.0 * index / max(head_dim - 2, 1))


def _yarn_ramp(scaling: Yarn, head_dim: int, base: float, window: int) -> np.ndarray:
    def index_with_turns(turns: float) -> float:
        return head_dim * math.log(window / (2 * math.pi * turns)) / (2 * math.log(base))

    first, last = index_with_turns(scaling.beta_fast), index_with_turns(scaling.beta_slow)
    if scaling.truncate:
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, head_dim - 1)
    if first == last:
        last += 0.001  # the published code's way round a ramp of no width
    return np.clip((np.arange(head_dim // 2) - first) / (last - first), 0.0, 1.0)
