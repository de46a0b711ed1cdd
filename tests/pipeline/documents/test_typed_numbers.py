"""Numbers typed into README and guide are those of today's records, so that a new record asks for new prose.

Of the README's findings that is every number, of the guide those of the tables and of what to expect.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from experiments.records.record import ROOT, read, reading
from paper.generate import value_of
from paper.numbers import NUMBERS

GPU, CPU = "smollm2_finetune@gpu", "smollm2_finetune"  # eight documents of each corpus, and one
MACROS = {number.macro: number for number in NUMBERS}


def quoted(macro: str) -> str:
    """A number as the report has it."""
    return value_of(MACROS[macro], read)


def zero_shot(method: str, corpus: str, window: int) -> float:
    rows = read("smollm2_perplexity")["metrics"]["perplexity"][method][corpus]["whole"]
    return next(row["perplexity"] for row in rows if row["window"] == window)


def tuned(record: str, method: str, window: int, part: str = "perplexity", corpus: str = "books") -> float:
    """SmolLM2-135M at the end of its fine-tuning."""
    runs = read(record)["metrics"]["runs"]
    return next(run for run in runs if run["method"] == method)["curve"][-1][part][corpus][str(window)]["perplexity"]


def untuned(record: str, method: str, window: int, part: str = "perplexity") -> float:
    cases = read(record)["metrics"]["zero_shot"]
    return next(case for case in cases if case["method"] == method)[part]["books"][str(window)]["perplexity"]


def worst_case(method: str, side: str) -> float:
    """A hundred times the largest score of a head that has at most 1 in the trained window, or a bound on it."""
    curves = read("amplification")["metrics"]["curves"]
    return 100 * next(max(c[side]) for c in curves if c["method"] == method and c["hmax"] == 1)


def mended(study: str) -> float:
    losses = {name: row["over_within"] for name, row in read(study)["metrics"]["losses"].items()}
    return 100 * (1 - losses["clamp"] / losses["none"])


def spared(study: str, heads: int, factors: tuple[int, ...]) -> tuple[float, float]:
    """The least and the most that goes, in per cent, when so many of the sharpest heads or groups are left unscaled."""
    cases = [case for case in read(study)["metrics"]["interpolated"] if case["factor"] in factors]
    shares = [100 * case["sharpest"][heads - 1]["share"] for case in cases]
    return min(shares), max(shares)


def choices() -> int:
    """From how many settings one is chosen, at any factor."""
    (number,) = {
        *Counter(one["factor"] for one in read("tiny_choice")["metrics"]["settings"] if one["factor"] > 1).values()
    }
    return number


def over_whole_windows() -> tuple[float, float]:
    """By how much direct fine-tuning is above PI over whole windows, in per cent, on books and code."""
    above = [
        100 * (tuned(GPU, "none", 16384, corpus=one) / tuned(GPU, "linear", 16384, corpus=one) - 1)
        for one in ("books", "code")
    ]
    return min(above), max(above)


def named(method: str) -> str:
    return "untouched" if method == "none" else method


def tiny_methods() -> Iterator[tuple[str, ...]]:
    methods = read("tiny_methods")["metrics"]["methods"]
    for name in methods:
        values = [
            methods[name][when]["perplexity"]["books"][window]["perplexity"]
            for when in ("zero_shot", "fine_tuned")
            for window in ("256", "1024")
        ]
        yield named(name), *(f"{value:.1f}" for value in values)


def zero_shot_rows() -> Iterator[tuple[str, ...]]:
    for name in ("none", "linear", "ntk", "yarn"):
        values = [zero_shot(name, corpus, w) for corpus in ("books", "code") for w in (2048, 8192, 16384)]
        yield named(name), *(f"{value:.1f}" for value in values)


NAMES = ("Theorem 2.1", "SmolLM2", "135M")  # numbers that are no results

# A sentence, and what stands in its gaps.
SAID: list[tuple[str, str, Callable[[], Any]]] = [
    ("README.md", "where some head exceeds it {} times", lambda: [quoted("MarginLlama")]),
    ("README.md", "by at most {:.2f}%", lambda: [100 * (1 / math.cos(0.5) - 1)]),
    ("README.md", "by (L'-1)/(L-1) none exceeds {:.2f}", lambda: [math.ceil(worst_case("whole", "upper_bound")) / 100]),
    (
        "README.md",
        "leaves the window, and {:.2f} is reached there",
        lambda: [math.floor(worst_case("linear", "attained")) / 100],
    ),
    ("README.md", "as the largest trained one, {:.0f}% of what a tiny LLaMA", lambda: [mended("tiny_jump")]),
    ("README.md", "is gone, and {:.1f}% in SmolLM2-135M", lambda: [mended("smollm2_jump")]),
    ("README.md", "one head of {} takes away", lambda: [len(read("tiny_bends")["metrics"]["heads"])]),
    ("README.md", "{:.0f} to {:.0f}% of what it costs a tiny LLaMA", lambda: spared("tiny_bends", 1, (2, 4))),
    ("README.md", "three groups of heads {:.0f} to {:.0f}% of what PI by 2", lambda: spared("smollm2_bends", 2, (2,))),
    (
        "README.md",
        "perplexity {:.1f} on a book of 8192 tokens, for {:.1f} by PI",
        lambda: [untuned(CPU, "yarn", 8192), untuned(CPU, "linear", 8192)],
    ),
    ("README.md", "(rank correlation {} on a tiny LLaMA", lambda: [quoted("ReachTinyRank")]),
    (
        "README.md",
        "the best of {} settings in {} of {} cases, else within {:.2f} nats, where YaRN by its defaults loses {}.",
        lambda: [
            choices(),
            *map(quoted, ("ChoiceBest", "ChoiceCells")),
            float(quoted("ChoiceLargest")),
            quoted("ChoiceYarn"),
        ],
    ),
    (
        "README.md",
        "At the end of 16384 tokens of books, SmolLM2-135M then has perplexity {:.1f} by PI, {:.1f} by direct "
        "fine-tuning and {:.1f} by untrained YaRN",
        lambda: [
            *(tuned(GPU, method, 16384, "last") for method in ("linear", "none")),
            untuned(GPU, "yarn", 16384, "last"),
        ],
    ),
    (
        "README.md",
        "finds a passkey {} tokens back by PI, {} directly",
        lambda: map(quoted, ("SmolGpuPIKey", "SmolGpuDirectKey")),
    ),
    ("README.md", "Over whole windows the two are {:.0f} to {:.0f}% apart", over_whole_windows),
    (
        "docs/guide.md",
        "For SmolLM2 this prints {:.1f}, {:.1f} and {:.1f}",
        lambda: [untuned(CPU, "none", n) for n in (2048, 8192, 16384)],
    ),
    ("docs/guide.md", "{}", lambda: [rows(zero_shot_rows())]),
    ("docs/guide.md", "{}", lambda: [rows(tiny_methods())]),
    (
        "docs/guide.md",
        "take PI on the book from {:.1f} to {:.1f} at 8192 tokens and from {:.1f} to {:.1f} at 16384",
        lambda: [side for n in (8192, 16384) for side in (untuned(CPU, "linear", n), tuned(CPU, "linear", n))],
    ),
    (
        "docs/guide.md",
        "bring PI to {:.1f} on books at 16384 tokens, below the untouched model's {:.1f} at 8192",
        lambda: [tuned(GPU, "linear", 16384), untuned(GPU, "none", 8192)],
    ),
    ("docs/guide.md", "passkeys found up to {} tokens back", lambda: [quoted("SmolGpuPIKey")]),
]


def rows(cells: Iterable[tuple[str, ...]]) -> str:
    """Rows of a table in Markdown."""
    return " ".join(f"| {' | '.join(row)} |" for row in cells)


def words(document: str) -> str:
    return re.sub(r"\s+", " ", (ROOT / document).read_text(encoding="utf-8"))


def filled(says: str, numbers: Callable[[], Iterable[Any]]) -> str:
    with reading(committed=True):
        return says.format(*numbers())


@pytest.mark.parametrize(("document", "says", "numbers"), SAID, ids=range(len(SAID)))
def test_a_number_in_the_prose_is_that_of_its_record(document, says, numbers):
    assert filled(says, numbers) in words(document)


def test_what_the_readme_found_has_no_number_that_no_record_is_asked_for():
    found = words("README.md").partition("## What was found")[2].partition("## Choose your path")[0]
    for document, says, numbers in SAID:
        if document == "README.md":
            found = found.replace(filled(says, numbers), "")
    for name in NAMES:
        found = found.replace(name, "")
    neither = r" \d\. |\]\([^)]*\)"  # the number of an item, the target of a link
    assert not re.search(r"\d", re.sub(neither, " ", found)), found
