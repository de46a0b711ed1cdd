"""The paper's tables beside ours, and all tables by name: from records, into tables."""

from collections.abc import Callable
from statistics import fmean

from experiments.records.record import read
from figures.tables import context_tables, head_tables, tuning_tables
from figures.tables.decisions import decisions
from figures.tables.paper_cells import k_max, multiple, named, paper_numbers, shown
from figures.tables.pretrain_table import tiny_pretrain
from figures.tables.smollm2_tables import finetune_smollm2, smollm2_windows
from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Evaluation, Runs, read_runs

SUMMARIES = "smollm2_summaries"  # the study of Table 6


def table1_books() -> Table:
    """Perplexity on books by window, after fine-tuning."""
    return _by_window("table1_books", "Perplexity by evaluation window, books", "books")


def table2_code() -> Table:
    """Perplexity on code by window, after fine-tuning."""
    return _by_window("table2_code", "Perplexity by evaluation window, code", "code")


def table3_steps() -> Table:
    """Perplexity at the extended window by fine-tuning step."""
    paper, tuned = paper_numbers()["table3_pg19_by_step_7B_PI"], read_runs("tiny_tables")
    theirs = tuple((f"7B, PI to {n}", *map(shown, paper[n])) for n in ("8192", "16384"))
    found = [group for group in tuned.best() if group.method == "linear"]
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple(
        (
            tuned.label(group),
            *(shown(runs.value(group.at(step), "books", group.context_tokens)) for step in steps),
        )
        for group in found
    )
    blocks = (
        Block("Paper, PG-19, by steps", ("perplexity at L'", *map(str, paper["steps"])), theirs),
        Block("Here, books, by steps", ("perplexity at L'", *map(str, steps)), ours),
    )
    return Table("Perplexity at the extended window by fine-tuning steps", _caption("table3_steps", tuned), blocks)


def table4_kmax() -> Table:
    """How far back a passkey is found by fine-tuning step."""
    paper, tuned = paper_numbers()["table4_kmax"], read_runs("tiny_tables")
    theirs = tuple((named(key), *map(shown, row)) for key, row in paper.items() if key != "steps")
    found = tuned.best()
    steps = sorted({step for group in found for step in group.steps})
    ours = tuple((tuned.label(group), *(k_max(group, step) for step in steps)) for group in found)
    base = ("untouched", shown(tuned.base.k_max), *["–"] * (len(steps) - 1))
    blocks = (
        Block("Paper, by steps", ("k_max", *map(str, paper["steps"])), theirs),
        Block("Here, by steps", ("k_max", *map(str, steps)), (base, *ours)),
    )
    return Table("Effective context k_max (tokens) by fine-tuning steps", _caption("table4_kmax", tuned), blocks)


def table5_original_window() -> Table:
    """What an extension costs inside the original window."""
    paper, tuned = paper_numbers()["table5_zero_shot"], read_runs("tiny_tables")
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
    for corpus in tuned.corpora:
        windows = [n for n in runs.windows([tuned.base], corpus) if n <= tuned.window]
        rows = tuple(
            (f"{group.name}, {when}", *(_change(found, tuned.base, corpus, n) for n in windows))
            for group in tuned.best()
            for when, found in (("before", group.at(group.steps[0])), ("after", group.last()))
        )
        title = f"Here, {corpus}: loss in nats above the untouched model's, by window"
        blocks.append(Block(title, ("run", *map(str, windows)), rows))
    return Table("Quality inside the original window", _caption("table5_original_window", tuned), tuple(blocks))


def table6_summaries() -> Table:
    """ROUGE of summaries before and after fine-tuning."""
    paper, record = paper_numbers()["table6_govreport"], read(SUMMARIES)
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
        f"{settings['global_batch']} windows of {settings['sequence_tokens']} tokens, 1 seed; "
        f"{runs.measured_on(record)}. ± is the standard error over documents. {outcome.sentence}"
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
    "decisions": decisions,
    "rates_ends": tuning_tables.rates_ends,
    "rates_steps": tuning_tables.rates_steps,
    "rates_kmax": tuning_tables.rates_kmax,
    "adaptation": tuning_tables.adaptation,
    "lag": tuning_tables.lag,
    "methods": tuning_tables.methods,
    "short_windows": tuning_tables.short_windows,
    "smollm2_windows": smollm2_windows,
    "heads_tiny": head_tables.heads_tiny,
    "heads_smollm2": head_tables.heads_smollm2,
    "heads_tuned": head_tables.heads_tuned,
    "jump_tiny": head_tables.jump_tiny,
    "jump_smollm2": head_tables.jump_smollm2,
    "finetune_smollm2": finetune_smollm2,
    "context_tiny": context_tables.context_tiny,
    "context_smollm2": context_tables.context_smollm2,
    "ruler_smollm2": context_tables.ruler_smollm2,
    "tiny_pretrain": tiny_pretrain,
}


def _by_window(name: str, title: str, corpus: str) -> Table:
    """Both with windows as multiples of L, so that the same column asks the same of both."""
    paper, tuned = paper_numbers(), read_runs(EXPERIMENTS[name].study)
    key, theirs = {"books": ("table1_pg19", "PG-19"), "code": ("table2_proofpile", "Proof-pile")}[corpus]
    base, window, found = tuned.base, tuned.window, tuned.best()
    measured = [base, *(one for group in found for one in group.last())]
    multiples = sorted({n / window for n in runs.windows(measured, corpus)})
    evaluations = {"untouched": [base]} | {tuned.label(group): group.last() for group in found}
    rows = [
        (name, *(shown(runs.value(measured, corpus, round(m * window))) for m in multiples))
        for name, measured in evaluations.items()
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
    return Table(title, _caption(name, tuned), blocks)


def _caption(name: str, tuned: Runs) -> str:
    """What was found, then at what scale and how it was measured."""
    return f"{EXPERIMENTS[name].outcome().sentence} {tuned.how(chosen=True)}Tested here on {tuned.scale}."


def _change(found: list[Evaluation], base: Evaluation, corpus: str, window: int) -> str:
    """By how many nats the loss differs from the untouched model's."""
    after, before = runs.losses(found, corpus, window), runs.losses([base], corpus, window)
    if not after or not before:
        return "–"
    changes = [loss - before[0] for loss in after]
    return runs.over_seeds(fmean(changes), runs.deviation(changes), "+.3f")
