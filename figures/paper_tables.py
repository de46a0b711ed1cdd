"""The paper's Tables 1 to 5 beside ours, and scaling methods beside PI: from records, into tables."""

import json
import math
from collections.abc import Callable
from typing import Any

from experiments.record import ROOT, Record, read
from figures import runs
from figures.reproduction import EXPERIMENTS
from figures.table import Block, Table

Cells = tuple[str, ...]
PAPER = ROOT / "experiments" / "paper_tables.json"
_METHODS = {"none": "none", "linear": "linear (PI)", "ntk": "NTK-aware", "dynamic": "dynamic NTK", "yarn": "YaRN"}
_WAYS = {"None": "untouched", "FT": "direct", "PI": "PI"}


def table1_books() -> Table:
    return _by_window("table1_books", "Perplexity by evaluation window, books", "books", "table1_pg19", "PG-19")


def table2_code() -> Table:
    return _by_window("table2_code", "Perplexity by evaluation window, code", "code", "table2_proofpile", "Proof-pile")


def table3_steps() -> Table:
    paper, record = _paper()["table3_pg19_by_step_7B_PI"], read("tiny_tables")
    theirs = tuple((f"7B, PI to {n}", *map(_cell, paper[n])) for n in ("8192", "16384"))
    found = [group for group in runs.groups(record) if group.method == "linear"]
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple(
        (
            f"{group.name} to {group.context_tokens}",
            *(
                _cell(runs.value(group.at(s), "books", group.context_tokens) if s in group.steps else None)
                for s in steps
            ),
        )
        for group in found
    )
    blocks = (
        Block("Paper, PG-19, by steps", ("perplexity at L'", *map(str, paper["steps"])), theirs),
        Block("Here, books, by steps", ("perplexity at L'", *map(str, steps)), ours),
    )
    return Table("Perplexity at the extended window by fine-tuning steps", _caption("table3_steps", record), blocks)


def table4_kmax() -> Table:
    paper, record = _paper()["table4_kmax"], read("tiny_tables")
    theirs = tuple((_named(key), *map(_cell, row)) for key, row in paper.items() if key != "steps")
    found = runs.groups(record)
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple(
        (f"{group.name} to {group.context_tokens}", *(_k_max(group, step) for step in steps)) for group in found
    )
    base = ("untouched", _cell(record["metrics"]["base"]["k_max"]), *["–"] * (len(steps) - 1))
    blocks = (
        Block("Paper, by steps", ("k_max", *map(str, paper["steps"])), theirs),
        Block("Here, by steps", ("k_max", *map(str, steps)), (base, *ours)),
    )
    return Table("Effective context k_max (tokens) by fine-tuning steps", _caption("table4_kmax", record), blocks)


def table5_original_window() -> Table:
    paper, record = _paper()["table5_zero_shot"], read("tiny_tables")
    base, window = record["metrics"]["base"], record["metrics"]["model"]["window_tokens"]
    theirs = tuple(
        (
            f"{size}, {'untouched' if data == 'None' else f'PI to {context}, {data}'}",
            *(_cell(share, 1) for share in row),
        )
        for key, row in paper.items()
        if key != "cols"
        for size, context, data in [key.split("/")]
    )
    blocks = [Block("Paper, zero-shot accuracy on benchmarks, %", ("model", *paper["cols"]), theirs)]
    for corpus in base["perplexity"]:
        windows = [n for n in runs.windows([base], corpus) if n <= window]
        rows = tuple(
            (f"{group.name}, {when}", *(_change(entries, base, corpus, n) for n in windows))
            for group in runs.groups(record)
            for when, entries in (("before", group.at(group.steps[0])), ("after", group.last()))
        )
        title = f"Here, {corpus}: loss in nats above the untouched model's, by window"
        blocks.append(Block(title, ("run", *map(str, windows)), rows))
    return Table("Quality inside the original window", _caption("table5_original_window", record), tuple(blocks))


def methods() -> Table:
    record = read("tiny_methods")
    rows = record["metrics"]["methods"]
    blocks = []
    for corpus in next(iter(rows.values()))["zero_shot"]["perplexity"]:
        windows = runs.windows([row["zero_shot"] for row in rows.values()], corpus)
        for when, says in (("zero_shot", "without fine-tuning"), ("fine_tuned", "fine-tuned")):
            body = tuple(
                (
                    _METHODS.get(name, name),
                    *(_cell(runs.value([row[when]], corpus, n)) for n in windows),
                    _cell(row[when].get("k_max")),
                )
                for name, row in rows.items()
            )
            blocks.append(Block(f"{corpus}, {says}", ("perplexity at", *map(str, windows), "k_max"), body))
    any_row = next(iter(rows.values()))
    caption = (
        f"All extended by {any_row['factor']:g}, {any_row['steps']} steps, seed {record['config'].get('seed', 0)}; "
        f"the paper has no such table. {runs.scale(record)}."
    )
    return Table("Scaling methods at equal steps", caption, tuple(blocks))


# in the order of the paper
TABLES: dict[str, Callable[[], Table]] = {
    "table1_books": table1_books,
    "table2_code": table2_code,
    "table3_steps": table3_steps,
    "table4_kmax": table4_kmax,
    "table5_original_window": table5_original_window,
    "methods": methods,
}


def _by_window(name: str, title: str, corpus: str, key: str, theirs: str) -> Table:
    """Both with windows as multiples of L, so that the same column asks the same of both."""
    paper, record = _paper(), read("tiny_tables")
    base, window = record["metrics"]["base"], record["metrics"]["model"]["window_tokens"]
    found = runs.groups(record)
    measured = [base, *(entry for group in found for entry in group.last())]
    multiples = sorted({n / window for n in runs.windows(measured, corpus)})
    entries = {"untouched": [base]} | {f"{group.name} to {group.context_tokens}": group.last() for group in found}
    rows = [
        (name, *(_cell(runs.value(measured, corpus, round(m * window))) for m in multiples))
        for name, measured in entries.items()
    ]
    theirs_at = [n / 2048 for n in paper["columns_ppl"]]
    blocks = (
        Block(
            f"Paper, {theirs}, windows in multiples of L = 2048",
            ("perplexity at", *map(_multiple, theirs_at)),
            tuple((_named(row), *map(_cell, values)) for row, values in paper[key].items()),
        ),
        Block(
            f"Here, {corpus}, windows in multiples of L = {window}",
            ("perplexity at", *map(_multiple, multiples)),
            tuple(rows),
        ),
    )
    return Table(title, _caption(name, record), blocks)


def _caption(name: str, record: Record) -> str:
    """Scale and verdict; what differs from the paper is said in full."""
    outcome = EXPERIMENTS[name].outcome()
    several = any(len(group.curves) > 1 for group in runs.groups(record))
    spread = "± is the standard deviation over seeds. " if several else ""
    return f"{runs.scale(record)}. {spread}Verdict: {outcome.verdict}. {outcome.evidence()}."


def _k_max(group: runs.Group, step: int) -> str:
    found = sorted({entry["k_max"] for entry in group.at(step) if entry.get("k_max") is not None})
    return "–" if not found else str(found[0]) if len(found) == 1 else f"{found[0]} to {found[-1]}"


def _change(entries: list[dict[str, Any]], base: dict[str, Any], corpus: str, window: int) -> str:
    after, before = runs.value(entries, corpus, window), runs.value([base], corpus, window)
    return "–" if after is None or before is None else f"{math.log(after.perplexity / before.perplexity):+.3f}"


def _named(key: str) -> str:
    size, context, way = key.split("/")
    return f"{size}, {_WAYS[way]}" + ("" if way == "None" else f" to {context}")


def _cell(value: Any, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}" if isinstance(value, float) else str(value)


def _multiple(multiple: float) -> str:
    return {0.25: "¼ L", 0.5: "½ L", 1: "L"}.get(multiple, f"{multiple:g} L")


def _paper() -> dict[str, Any]:
    return json.loads(PAPER.read_text())
