"""The pages of docs/ that are written from committed records: the same on every machine."""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.records.record import ROOT, read, reading, write_atomically
from figures.tables import plans, speed
from figures.tables.table import cell
from figures.verdicts import GROUPS, Outcome, counted, outcomes

DOCS = ROOT / "docs"
_RECORDS = "../experiments/results/recorded"
_WRITTEN = "<!-- Written by `{}`: change what it is made from, not this page. -->"


def write(folder: Path = DOCS) -> None:
    """Writes those of the four pages that differ from what the committed records say."""
    folder.mkdir(exist_ok=True)
    with reading(committed=True):
        pages = {
            "claims.md": claims_page(),
            "experiments.md": experiments_page(),
            "plans.md": plans_page(),
            "speed.md": speed_page(),
        }
    for name, text in pages.items():
        path = folder / name
        if not path.exists() or path.read_text() != text:
            write_atomically(path, text.encode())


def claims_page() -> str:
    """The claims about attention scores: the paper's, ours, and others'; in each group the decided ones first."""
    groups: dict[str, list[dict[str, Any]]] = {"the paper": [], "this package": [], "others": []}
    for claim in read("claims")["metrics"]["claims"]:
        named = re.match(r"[a-z]+\d+\.", claim["id"])  # after its author and year
        groups["this package" if not named else "the paper" if named[0] == "chen2023." else "others"].append(claim)
    parts = [
        _WRITTEN.format("make figures"),
        "# Claims about attention scores",
        "A claim *holds* or is *refuted* by a proof or by certified arithmetic; a sample never settles one, and what "
        "neither decides is *undecided*. Each claim is a function in [pi_theory/claims](../pi_theory/claims), "
        f"whose results are kept in the [record]({_RECORDS}/claims.json); `pi-theory claims` settles all of them anew "
        "in about half a minute. The notation: a(s) is the attention score of a head at relative position s, a "
        "sum of d/2 waves with coefficients h_j and frequencies theta_j = c^(-2j/d); d is the head dimension, c the "
        "base of RoPE, and L the trained window.",
    ]
    for whose, group in groups.items():
        decided_first = sorted(group, key=lambda claim: claim["verdict"] == "undecided")
        parts += [
            f"## Claims of {whose}",
            counted([claim["verdict"] for claim in group], "claim"),
            _table(("verdict", "claim", "for", "what was found", "source", "evidence"), map(claim_row, decided_first)),
        ]
    return "\n\n".join(parts) + "\n"


def claim_row(claim: dict[str, Any]) -> str:
    """One Markdown row of docs/claims.md."""
    evidence = f"[code](../pi_theory/claims), [record]({_RECORDS}/claims.json)"
    return _row(f"**{claim['verdict']}**", claim["says"], claim["domain"], claim["evidence"], claim["source"], evidence)


def experiments_page() -> str:
    """The paper's experiments by group; in each the ones that were tested first."""
    found = outcomes()
    parts = [
        _WRITTEN.format("make figures"),
        "# The paper's experiments",
        "Each experiment is broken into statements, and a record decides each by its 95% interval, or by the largest "
        "score where it speaks of all heads, by the rules in [figures/verdicts](../figures/verdicts): a statement "
        "*holds*, *fails*, or is *open* where the interval "
        "contains the limit. An experiment is *reproduced* when all of its statements hold, *refuted* when all fail, "
        "*split* when some hold and some fail, *open* otherwise, and *not tested* where no record can decide. Where a "
        "record has the loss of each text, two models are compared text by text; where it has not, intervals are wide. "
        "In brackets stand the numbers of the first case that fails, or else is open, or else holds; `make figures` "
        "writes figures/index.html, which has all of them. PI ×2 is a model whose window PI doubles. What is found on "
        "a tiny model is known at that size only.",
        counted([one.verdict for one in found], "experiment"),
    ]
    for group, title in GROUPS.items():
        rows = [experiment_row(one) for one in found if one.experiment.group == group]
        columns = ("verdict", "what the paper says", "what was found here", "tested on", "evidence")
        parts += [f"## {title}", _table(columns, rows)]
    return "\n\n".join(parts) + "\n"


def experiment_row(outcome: Outcome) -> str:
    """One Markdown row of docs/experiments.md."""
    one = outcome.experiment
    study = one.study.partition("@")[0]
    evidence = [f"[study](../experiments/studies/{study}.py)"] if study else []
    if outcome.checks:
        evidence.insert(0, f"[record]({_RECORDS}/{one.study}.json)")
    found = "<br>".join([f"{outcome.count}.", *map(str, outcome.findings)]) if outcome.checks else outcome.reason
    says = f"{one.says} *({one.source})*"
    return _row(f"**{outcome.verdict}**", says, found, outcome.scale or "–", ", ".join(evidence) or "–")


def plans_page() -> str:
    """The memory of the paper's runs, planned and simulated."""
    table = plans.table()
    [block] = table.blocks
    parts = [
        _WRITTEN.format("make figures"),
        "# What a run of the paper takes, and how that is known",
        "`pi-model plan` computes the memory of a run by formulas. Here each run was also simulated at its own size: "
        "one of its ranks did a whole step with tensors that have shapes and no values, in a process group that does "
        "not communicate, and every storage was counted as it came and went. No GPU is needed for that: `pi-model "
        "plan RECIPE --gpus N --verify` does it for any run, `python -m experiments plans_simulated` for these, in a "
        f"quarter of an hour of one core, which makes the [record]({_RECORDS}/plans_simulated.json). {table.caption}",
        _table(block.columns, (_row(*row) for row in block.rows)),
    ]
    return "\n\n".join(parts) + "\n"


def speed_page() -> str:
    """The benchmarks."""
    table = speed.table()
    parts = [
        _WRITTEN.format("make bench"),
        "# Speed and memory",
        "What is measured here is compared with what it replaces, side by side on one machine. "
        f"`make bench` measures anew; the numbers are from the [record]({_RECORDS}/bench.json), made by "
        f"[experiments/bench](../experiments/bench). {table.caption}",
    ]
    for block in table.blocks:
        parts += [f"## {block.title}", _table(block.columns, (_row(*row) for row in block.rows))]
    return "\n\n".join(parts) + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(map(cell, cells)) + " |"


def _table(columns: tuple[str, ...], rows: Iterable[str]) -> str:
    return "\n".join([_row(*columns), "|---" * len(columns) + "|", *rows])


if __name__ == "__main__":
    write()
