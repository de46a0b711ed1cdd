"""What can be proved about extending the context of a language model with rotary position embedding (RoPE).

A model trained on windows of L tokens is asked to read L' > L tokens. Position Interpolation (Chen et al. 2023,
arXiv:2306.15595) divides all positions by L'/L, so that they stay in the range the model knows; the alternative is to
let it extrapolate. The paper argues with bounds of the attention score a(s) of a query and a key at distance s. This
package recomputes each bound, says whether it really is one, and gives what is true in its place:

* How far can a score stray from the line between two trained positions? `published_bound` is the paper's Theorem 2.1,
  `taylor_bound` repairs it, and `sharp_bound` is the best possible.
* How large can a score be anywhere? `B_on_grid` computes the paper's B(s), `minimum` certifies its smallest value, and
  `bound_ratios` gives the paper's "about 600 times" under each reading.
* How large can a score become between or beyond the trained positions if it is at most 1 at all of them?
  `stability_constant` answers for every head at once, `FiniteWindow` finds the worst head of one window.
* What do PI, NTK-aware, YaRN and Llama-3 scaling do to the frequencies? `scaled_frequencies` knows them all.
* Which of them costs a model what? `resolution` says how sharply its heads can still point at one place, `reach` how
  many tokens they read before they meet unseen phases, and `displacement` how far their attention moves.
* Which claims hold? `CLAIMS` has each with its evidence: a proof or a computation in ball arithmetic, never a sample.

Start with `bound_ratios(128, 10000)` for LLaMA's head dimension and RoPE base, or `CLAIMS["chen2023.thm2_1"].settle()`.
The same answers are printed by the command ``pi-theory``. The names above are loaded when they are first used, so that
importing the package costs nothing.

>>> import pi_theory
>>> print(f"{pi_theory.sharp_bound(0.5, 0, 1, head_dim=128, base=10000):.4f}")
0.4939
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pi_theory.amplification import FiniteWindow, stability_constant, window_bound
    from pi_theory.certified.envelope import first_below, minimum
    from pi_theory.claims import CLAIMS
    from pi_theory.extrapolation import B, B_on_grid
    from pi_theory.interpolation import published_bound, sharp_bound, taylor_bound
    from pi_theory.ratios import bound_ratios
    from pi_theory.rope import coefficients, frequencies, score
    from pi_theory.scaling import (
        DynamicNTK,
        LinearPI,
        Llama3,
        NoScaling,
        NTKAware,
        Yarn,
        scaled_frequencies,
        scaling_by_name,
    )

__all__ = [
    "CLAIMS",
    "B",
    "B_on_grid",
    "DynamicNTK",
    "FiniteWindow",
    "LinearPI",
    "Llama3",
    "NTKAware",
    "NoScaling",
    "Yarn",
    "bound_ratios",
    "coefficients",
    "first_below",
    "frequencies",
    "minimum",
    "published_bound",
    "scaled_frequencies",
    "scaling_by_name",
    "score",
    "sharp_bound",
    "stability_constant",
    "taylor_bound",
    "window_bound",
]
# The modules are named too, because pdoc writes pages only for those that `__all__` names.
__all__ += sorted(name.removesuffix(".py") for name in os.listdir(__path__[0]) if name[0] not in "_.")

_MODULE_OF = {
    "CLAIMS": "claims",
    "B": "extrapolation",
    "B_on_grid": "extrapolation",
    "DynamicNTK": "scaling",
    "FiniteWindow": "amplification",
    "LinearPI": "scaling",
    "Llama3": "scaling",
    "NTKAware": "scaling",
    "NoScaling": "scaling",
    "Yarn": "scaling",
    "bound_ratios": "ratios",
    "coefficients": "rope",
    "first_below": "certified.envelope",
    "frequencies": "rope",
    "minimum": "certified.envelope",
    "published_bound": "interpolation",
    "scaled_frequencies": "scaling",
    "scaling_by_name": "scaling",
    "score": "rope",
    "sharp_bound": "interpolation",
    "stability_constant": "amplification",
    "taylor_bound": "interpolation",
    "window_bound": "amplification",
}


def __getattr__(name: str) -> Any:
    """Loads an exported name, or a module of this package, when it is first used."""
    if name in _MODULE_OF:
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    elif name in __all__:
        value = import_module(f"{__name__}.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
