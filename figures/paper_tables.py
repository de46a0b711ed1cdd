"""The paper's Tables 1 to 5 beside ours, and scaling methods beside PI: from records, into tables."""

import math
from collections.abc import Callable
from typing import Any

from experiments.record import Record, read
from figures import runs
from figures.cells import METHODS, k_max, multiple, named, paper_numbers, shown
from figures.reproduction import EXPERIMENTS
from figures.smollm2_tables import finetune_smollm2
from figures.table import Block, Table


def table1_books() -> Table:
    return _by_window("table1_books", "Perplexity by evaluation window, books", "books", "table1_pg19", "PG-19")


def table2_code() -> Table:
    return _by_window("table2_code", "Perplexity by evaluation window, code", "code", "table2_proofpile", "Proof-pile")


def table3_steps() -> Table:
    paper, record = paper_numbers()["table3_pg19_by_step_7B_PI"], read("tiny_tables")
    theirs = tuple((f"7B, PI to {n}", *map(shown, paper[n])) for n in ("8192", "16384"))
    found = [group for group in runs.groups(record) if group.method == "linear"]
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple(
        (
            f"{group.name} to {group.context_tokens}",
            *(
                shown(runs.value(group.at(s), "books", group.context_tokens) if s in group.steps else None)
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
    paper, record = paper_numbers()["table4_kmax"], read("tiny_tables")
    theirs = tuple((named(key), *map(shown, row)) for key, row in paper.items() if key != "steps")
    found = runs.groups(record)
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple(
        (f"{group.name} to {group.context_tokens}", *(k_max(group, step) for step in steps)) for group in found
    )
    base = ("untouched", shown(record["metrics"]["base"]["k_max"]), *["–"] * (len(steps) - 1))
    blocks = (
        Block("Paper, by steps", ("k_max", *map(str, paper["steps"])), theirs),
        Block("Here, by steps", ("k_max", *map(str, steps)), (base, *ours)),
    )
    return Table("Effective context k_max (tokens) by fine-tuning steps", _caption("table4_kmax", record), blocks)


def table5_original_window() -> Table:
    paper, record = paper_numbers()["table5_zero_shot"], read("tiny_tables")
    base, window = record["metrics"]["base"], record["metrics"]["model"]["window_tokens"]
    theirs = tuple(
        (
            f"{size}, {'untouched' if data == 'None' else f'PI to {context}, {data}'}",
            *(shown(share, 1) for share in row),
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
                    METHODS.get(name, name),
                    *(shown(runs.value([row[when]], corpus, n)) for n in windows),
                    shown(row[when].get("k_max")),
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
    "finetune_smollm2": finetune_smollm2,
}


def _by_window(name: str, title: str, corpus: str, key: str, theirs: str) -> Table:
    """Both with windows as multiples of L, so that the same column asks the same of both."""
    paper, record = paper_numbers(), read("tiny_tables")
    base, window = record["metrics"]["base"], record["metrics"]["model"]["window_tokens"]
    found = runs.groups(record)
    measured = [base, *(entry for group in found for entry in group.last())]
    multiples = sorted({n / window for n in runs.windows(measured, corpus)})
    entries = {"untouched": [base]} | {f"{group.name} to {group.context_tokens}": group.last() for group in found}
    rows = [
        (name, *(shown(runs.value(measured, corpus, round(m * window))) for m in multiples))
        for name, measured in entries.items()
    ]
    theirs_at = [n / 2048 for n in paper["columns_ppl"]]
    blocks = (
        Block(
            f"Paper, {theirs}, windows in multiples of L = 2048",
            ("perplexity at", *map(multiple, theirs_at)),
            tuple((named(row), *map(shown, values)) for row, values in paper[key].items()),
        ),
        Block(
            f"Here, {corpus}, windows in multiples of L = {window}",
            ("perplexity at", *map(multiple, multiples)),
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


def _change(entries: list[dict[str, Any]], base: dict[str, Any], corpus: str, window: int) -> str:
    after, before = runs.value(entries, corpus, window), runs.value([base], corpus, window)
    return "–" if after is None or before is None else f"{math.log(after.perplexity / before.perplexity):+.3f}"
