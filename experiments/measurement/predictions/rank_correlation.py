"""Spearman's rank correlation with the interval that a bootstrap over documents gives it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.stats import rankdata


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation, where ties share their mean rank; None where all of a sequence is alike."""
    ranks = [rankdata(x) - (len(x) + 1) / 2 for x in (first, second)]
    size = float(np.sqrt((ranks[0] @ ranks[0]) * (ranks[1] @ ranks[1])))
    return float(ranks[0] @ ranks[1]) / size if size else None


def over_documents(
    correlation: Callable[[np.ndarray], float | None], documents: int, *, draws: int, seed: int
) -> dict[str, Any]:
    """A correlation with its 95% interval: that of the same computation on documents drawn with replacement.

    Args:
        correlation: from the indices of documents, which may repeat, to a rank correlation, None where there is none.
        documents: how many there are.
        draws: how often they are drawn.
        seed: of the draws.

    Returns:
        ``value`` of all documents, and ``interval``, the 2.5% and 97.5% quantiles over draws; None where there is none.
    """
    rng = np.random.default_rng(seed)
    drawn = [correlation(rng.integers(0, documents, documents)) for _ in range(draws)]
    found = [one for one in drawn if one is not None]
    return {
        "value": correlation(np.arange(documents)),
        "interval": np.quantile(found, [0.025, 0.975]).tolist() if found else None,
    }
