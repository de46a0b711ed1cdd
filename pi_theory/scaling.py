"""RoPE scaling methods: how each turns the frequencies of the trained window into those of a longer one.

A method is a frozen dataclass that holds its settings; together they form the union `Scaling`. What each does to the
frequencies is written in one place, `scaled_frequencies`. Everything is computed in float64 NumPy from the published
formulas and independently of any model library, so that a library can be checked against it.

Throughout, ``factor`` is L'/L, the extended window over the trained one.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from pi_theory.arguments import check_base, check_count, check_factor, check_head_dim


@dataclass(frozen=True)
class NoScaling:
    """No scaling: positions beyond the trained window are used as they are, which is extrapolation."""


@dataclass(frozen=True)
class _ByFactor:
    factor: float

    def __post_init__(self) -> None:
        check_factor(self.factor)


@dataclass(frozen=True)
class LinearPI(_ByFactor):
    """Position Interpolation, which divides every frequency (equivalently every position) by ``factor``.

    Source: Chen et al. 2023, arXiv:2306.15595, Eq. 4.
    """


@dataclass(frozen=True)
class NTKAware(_ByFactor):
    """NTK-aware scaling, which raises the base c to c * factor^(d/(d-2)).

    The fastest frequency keeps its value and the slowest is divided by ``factor``; those between follow a power law.

    Source: bloc97, "NTK-Aware Scaled RoPE", 2023; arXiv:2309.00071, Definition 1.
    """


@dataclass(frozen=True)
class DynamicNTK(_ByFactor):
    """NTK-aware scaling by ``factor * context / window - (factor - 1)``, which grows with the context in use.

    As long as the context fits in the trained window, nothing changes.

    Source: emozilla, "Dynamically Scaled RoPE", 2023; arXiv:2309.00071, Section 3.3, in the form that Hugging Face
    transformers computes.
    """


@dataclass(frozen=True)
class Yarn(_ByFactor):
    """YaRN, which scales each frequency by how often it turns in the trained window, and sharpens attention.

    A frequency of more than ``beta_fast`` turns is kept, and one of fewer than ``beta_slow`` turns is divided by
    ``factor``. Between them, the share that is divided rises linearly with the index j; with ``truncate``, the ends of
    this ramp are rounded outwards to whole indices. Queries and keys are both multiplied by 0.1 ln(factor) + 1
    (`attention_factor`), so that scores are multiplied by its square.

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
    """Llama-3 scaling, which compares each frequency's wavelength with the trained window.

    A frequency is kept if its wavelength is below window / ``high_freq_factor`` and divided by ``factor`` if it is
    above window / ``low_freq_factor``. In between the result is a blend of the two, linear in window / wavelength.

    Source: the Llama 3.1 reference code.
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
"""Any of the methods."""

METHODS: dict[str, type[Scaling]] = {
    "none": NoScaling,
    "linear": LinearPI,
    "ntk": NTKAware,
    "dynamic": DynamicNTK,
    "yarn": Yarn,
    "llama3": Llama3,
}
"""The methods by the names that the command lines use."""


def scaling_by_name(method: str, factor: float) -> Scaling:
    """Returns the method of that name, a key of `METHODS`, with its default settings.

    Raises:
        ValueError: the name is unknown, or ``factor`` is not a finite number of at least 1.
    """
    check_factor(factor)
    if method not in METHODS:
        raise ValueError(f"method: unknown {method!r}, choose from {', '.join(METHODS)}")
    cls = METHODS[method]
    return cls() if cls is NoScaling else cls(factor)  # type: ignore[call-arg]


def scaled_frequencies(
    scaling: Scaling, *, head_dim: int, base: float, window: int, context: int | None = None
) -> Float[np.ndarray, " half"]:
    """Returns the frequencies theta'_j of the extended window in radians per position, float64, shape (head_dim / 2,).

    Args:
        scaling: the method.
        head_dim: d, even, at least 2.
        base: c > 1, the base of the trained frequencies.
        window: L, the trained window in tokens, at least 1.
        context: the tokens in use, on which only `DynamicNTK` depends; ``factor * window`` if it is not given.

    Raises:
        ValueError: an argument is outside its domain.

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
    """Returns the number by which the method multiplies queries and keys; scores are multiplied by its square."""
    return 0.1 * math.log(scaling.factor) + 1.0 if isinstance(scaling, Yarn) else 1.0


def _ntk_multiplier(factor: float, head_dim: int) -> np.ndarray:
    # This is (c k)^(-2j/d) / c^(-2j/d) with k = factor^(d/(d-2)). At d = 2 there is only j = 0, which never changes.
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
        last += 0.001  # as the published code does, so that the ramp is not of zero width
    return np.clip((np.arange(head_dim // 2) - first) / (last - first), 0.0, 1.0)
