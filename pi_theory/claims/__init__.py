"""Every claim the package settles: those of the paper first, then those found here, then those of others.

Each is a function that settles the claim which decorates it, by `pi_theory.evidence`. Importing this package registers
them all, and `CLAIMS` holds them by id: ``CLAIMS["chen2023.thm2_1"].settle()`` computes a verdict with its evidence.
"""

from pi_theory.claims import published  # noqa: I001  the order of the registry
from pi_theory.claims import bounds, stability, prediction, others
from pi_theory.verdicts import REGISTRY

__all__ = ["CLAIMS", "bounds", "others", "prediction", "published", "settings", "stability"]

CLAIMS = REGISTRY
"""All claims by id, in the order of the modules of this package."""
