"""The paper's tables beside ours, and all tables by name: from records, into tables."""

from collections.abc import Callable
from statistics import fmean
from typing import Any

from experiments.records.record import Record, read
from figures.verdicts import fine_tuning_runs as runs
from figures.tables import study_tables
from figures.tables.paper_cells import k_max, multiple, named, paper_numbers, shown
from figures.tables.pretrain_table import tiny_pretrain
from figures.verdicts.experiments import EXPERIMENTS
from figures.tables.smollm2_tables import finetune_smollm2
from figures.tables.table import Block, Table


def table1_books() -> Table:
    return _by_window("table1_books", "Perplexity by evaluation window, books", "books")


def table2_code() -> Table:
    return _by_window("table2_code", "Perplexity by evaluation window, code", "code")


def longer_books() -> Table:
    return _by_window("longer_books", "Perplexity by evaluation window after longer tuning, books", "books")


def longer_code() -> Table:
    return _by_window("longer_code", "Perplexity by evaluation window after longer tuning, code", "code")


def table3_steps() -> Table:
    paper, record = paper_numbers()["table3_pg19_by_step_7B_PI"], read("tiny_tables")
    theirs = tuple((f"7B, PI to {n}", *map(shown, paper[n])) for n in ("8192", "16384"))
    found = [group for group in runs.groups(record) if group.method == "linear"]
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple(
        (
            runs.label(group, record),
            *(shown(runs.value(group.at(step), "books", group.context_tokens)) for step in steps),
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
    found = runs.groups(record, best="k_max")
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple((runs.label(group, record), *(k_max(group, step) for step in steps)) for group in found)
    base = ("untouched", shown(record["metrics"]["base"]["k_max"]), *["–"] * (len(steps) - 1))
    blocks = (
        Block("Paper, by steps", ("k_max", *map(str, paper["steps"])), theirs),
        Block("Here, by steps", ("k_max", *map(str, steps)), (base, *ours)),
    )
    caption = _caption("table4_kmax", record, best="k_max")
    return Table("Effective context k_max (tokens) by fine-tuning steps", caption, blocks)


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


def table6_summaries() -> Table:
    paper, record = paper_numbers()["table6_govreport"], read("smollm2_summaries")
    scores = {"R1": "rouge1", "R2": "rouge2", "RL": "rougeL"}
    theirs = tuple((name, *(shown(score, 1) for score in row)) for name, row in paper.items() if name != "cols")
    ours = tuple(
        (
            case["model"],
            *(f"{case['rouge'][key]['mean']:.1f} ± {case['rouge'][key]['stderr']:.1f}" for key in scores.values()),
        )
        for case in record["metrics"]["cases"]
    )
    config, outcome = record["config"], EXPERIMENTS["table6_summaries"].outcome()
    settings = dict(setting.split("=", 1) for setting in config["overrides"])
    caption = (
        f"{record['says']}: {len(record['metrics']['documents'])} documents. Fine-tuning: {settings['steps']} steps of "
        f"{settings['global_batch']} windows of {settings['sequence_tokens']} tokens, 1 seed; {record['device']}. "
        f"± is the standard error over documents. {outcome.sentence}"
    )
    blocks = (
        Block("Paper, GovReport", ("ROUGE F1", *paper["cols"]), theirs),
        Block("Here, docstrings of Python modules", ("ROUGE F1", *scores), ours),
    )
    return Table("Summaries", caption, blocks)


# in the order of the paper, then ours
TABLES: dict[str, Callable[[], Table]] = {
    "table1_books": table1_books,
    "table2_code": table2_code,
    "table3_steps": table3_steps,
    "table4_kmax": table4_kmax,
    "table5_original_window": table5_original_window,
    "table6_summaries": table6_summaries,
    "longer_books": longer_books,
    "longer_code": longer_code,
    **study_tables.TABLES,
    "finetune_smollm2": finetune_smollm2,
    "tiny_pretrain": tiny_pretrain,
}


def _by_window(name: str, title: str, corpus: str) -> Table:
    """Both with windows as multiples of L, so that the same column asks the same of both."""
    paper, record = paper_numbers(), read(EXPERIMENTS[name].study)
    key, theirs = {"books": ("table1_pg19", "PG-19"), "code": ("table2_proofpile", "Proof-pile")}[corpus]
    base, window = record["metrics"]["base"], record["metrics"]["model"]["window_tokens"]
    found = runs.groups(record)
    measured = [base, *(entry for group in found for entry in group.last())]
    multiples = sorted({n / window for n in runs.windows(measured, corpus)})
    entries = {"untouched": [base]} | {runs.label(group, record): group.last() for group in found}
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


def _caption(name: str, record: Record, *, best: runs.Best = "perplexity") -> str:
    """Scale and verdict; what differs from the paper is said in full."""
    outcome = EXPERIMENTS[name].outcome()
    return f"{runs.scale(record)}. {runs.how(record, best)}{outcome.sentence}"


def _change(entries: list[dict[str, Any]], base: dict[str, Any], corpus: str, window: int) -> str:
    after, before = runs.losses(entries, corpus, window), runs.losses([base], corpus, window)
    if not after or not before:
        return "–"
    changes = [loss - before[0] for loss in after]
    return runs.over_seeds(fmean(changes), runs.deviation(changes), "+.3f")
