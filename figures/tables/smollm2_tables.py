"""SmolLM2 beyond its window, without fine-tuning and after it, beside the paper's 7B."""

from collections.abc import Callable
from typing import Any

from experiments.records.record import read
from figures.tables.paper_cells import Cells, multiple, named, paper_numbers, shown
from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import WAYS, Evaluation, Part, Runs, read_runs
from figures.verdicts.method_names import METHODS, NOT_TUNED

_PAPER = {"books": ("PG-19", "table1_pg19"), "code": ("Proof-pile", "table2_proofpile")}


def finetune_smollm2() -> Table:
    """The paper's numbers and ours by window and by step, then passkey."""
    tuned = read_runs("smollm2_finetune")
    blocks: list[Block] = []
    for corpus in tuned.corpora:
        blocks += _theirs_by_window(corpus)
        blocks.append(_by_window(tuned, corpus, "whole", f"Here, {corpus}, whole windows"))
        last = f"Here, {corpus}, last {tuned.record['config']['last_tokens']} tokens of each window"
        blocks.append(_by_window(tuned, corpus, "last", last))
        if corpus == "books":
            blocks.append(_theirs_by_step())
        title = f"Here, {corpus}, by steps, whole windows of L'"
        blocks.append(_by_step(tuned, "perplexity at L'", title, _at_extended(corpus, tuned.window)))
    blocks += [_theirs_k_max(), _by_step(tuned, "k_max", "Here, k_max by steps", lambda one, _: one.k_max)]
    return Table("SmolLM2-135M fine-tuned beyond its window", _caption(tuned), tuple(blocks))


def smollm2_windows() -> Table:
    """Perplexity by window and method, without fine-tuning."""
    record = read("smollm2_perplexity")
    config, found = record["config"], record["metrics"]["perplexity"]
    blocks = tuple(
        Block(
            f"{corpus}, {scored}",
            ("perplexity at", *map(str, config["windows"])),
            tuple(
                (
                    NOT_TUNED[method],
                    *(shown(case["perplexity"]) for case in found[method][corpus][part]),
                )
                for method in config["methods"]
            ),
        )
        for corpus in config["corpora"]
        for part, scored in (("whole", "all tokens"), ("last", f"last {config['last_tokens']} tokens of each window"))
    )
    outcome = EXPERIMENTS["zero_shot"].outcome()
    caption = (
        f"The window is extended by {config['factor']:g}. On the paper's Table 3, step 0: {outcome.sentence} "
        f"Tested here on {outcome.scale}."
    )
    return Table("SmolLM2-135M by evaluation window, without fine-tuning", caption, blocks)


def _theirs_by_window(corpus: str) -> list[Block]:
    if corpus not in _PAPER:
        return []
    paper, (data, key) = paper_numbers(), _PAPER[corpus]
    rows = tuple((named(row), *map(shown, values)) for row, values in paper[key].items() if row.startswith("7B/"))
    columns = ("perplexity at", *(multiple(n / 2048) for n in paper["columns_ppl"]))
    return [Block(f"Paper, {data}, windows in multiples of L = 2048", columns, rows)]


def _theirs_by_step() -> Block:
    paper = paper_numbers()["table3_pg19_by_step_7B_PI"]
    rows = tuple((f"7B, PI to {n}", *map(shown, paper[n])) for n in ("8192", "16384"))
    return Block("Paper, PG-19, by steps", ("perplexity at L'", *map(str, paper["steps"])), rows)


def _theirs_k_max() -> Block:
    paper = paper_numbers()["table4_kmax"]
    rows = tuple((named(key), *map(shown, row)) for key, row in paper.items() if key.startswith("7B/"))
    return Block("Paper, k_max by steps", ("k_max", *map(str, paper["steps"])), rows)


def _by_window(tuned: Runs, corpus: str, part: Part, title: str) -> Block:
    """The untouched model, every method before fine-tuning, and what was fine-tuned after its last measured step."""
    window, columns = tuned.window, runs.windows([tuned.base], corpus)
    measured = {"untouched": tuned.base}
    for group in tuned.untuned:
        if group.method != "none":
            measured[f"{group.name}, not tuned"] = group.curves[0][0]
    fine_tuned = [(group, curve[-1]) for group in tuned.groups for curve in group.curves if curve[-1].step]
    measured |= {f"{group.name}, {end.step} steps": end for group, end in fine_tuned}
    rows = [(name, *(shown(runs.value([one], corpus, n, part)) for n in columns)) for name, one in measured.items()]
    for method, factor in tuned.gaps:
        if (method, factor) in {(group.method, group.factor) for group, _ in fine_tuned}:
            continue
        name = f"{WAYS[method]} ×{factor:g}, tuned"
        rows.append((name, *("–" if n > factor * window else "not measured" for n in columns)))
    title += f", windows in multiples of L = {window}"
    return Block(title, ("perplexity at", *(multiple(n / window) for n in columns)), tuple(rows))


def _by_step(tuned: Runs, head: str, title: str, value: Callable[[Evaluation, float], Any]) -> Block:
    """A row for each method and factor, a column for each step; what the record lacks is "not measured"."""
    steps = (0, *tuned.record["config"]["steps"])
    found: dict[tuple[str, float], dict[int, Evaluation]] = {}
    for group in (*tuned.untuned, *tuned.groups):
        by_step = {one.step: one for curve in group.curves for one in curve}
        found.setdefault((group.method, group.factor), {}).update(by_step)
    rows = []
    for method, factor in sorted(
        found.keys() | tuned.gaps.keys(), key=lambda row: (row[1], list(METHODS).index(row[0]))
    ):
        measured, gap = found.get((method, factor), {}), tuned.gaps.get((method, factor), ())
        cells: Cells = tuple(
            shown(value(measured[step], factor)) if step in measured else "not measured" if step in gap else "–"
            for step in steps
        )
        rows.append((f"{runs.way(method)} ×{factor:g} to {round(factor * tuned.window)}", *cells))
    if head == "k_max":
        rows.insert(0, ("untouched, in its own window", shown(tuned.base.k_max), *["–"] * (len(steps) - 1)))
    return Block(title, (head, *map(str, steps)), tuple(rows))


def _at_extended(corpus: str, window: int) -> Callable[[Evaluation, float], Any]:
    return lambda one, factor: runs.value([one], corpus, round(factor * window))


def _caption(tuned: Runs) -> str:
    config, metrics = tuned.record["config"], tuned.record["metrics"]
    documents = "; ".join(
        f"{corpus}: {', '.join(found['documents'])}" for corpus, found in metrics["measured_on"].items()
    )
    outcomes = [EXPERIMENTS[name].outcome() for name in ("finetune_smollm2", "finetune_smollm2_kmax")]
    said = [f"{outcome.experiment.source}. {outcome.sentence}" for outcome in outcomes]
    said.append(
        f"Measured on {documents}. A window is a document's first tokens, so windows of another length hold other "
        "text: compare rows freely and columns with care. The last tokens are what a step of the paper's sliding "
        f"window scores. k_max is searched at {config['positions']} distances, with {config['trials']} "
        f"key{'s' * (config['trials'] > 1)} at each."
    )
    if metrics["stopped_early"]:
        said.append("The study was stopped by its time limit.")
    return " ".join([*said, f"Tested here on {tuned.scale}."])
