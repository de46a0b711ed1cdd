"""SmolLM2 fine-tuned beyond its window, beside the paper's 7B: perplexity by window and by step, and passkey."""

from collections.abc import Callable
from typing import Any

from experiments.records.record import Record, read
from figures.verdicts import fine_tuning_runs as runs
from figures.tables.paper_cells import METHODS, Cells, multiple, named, paper_numbers, shown
from figures.verdicts.experiments import EXPERIMENTS
from figures.tables.table import Block, Table

_PAPER = {"books": ("PG-19", "table1_pg19"), "code": ("Proof-pile", "table2_proofpile")}
_WAYS = {"none": "direct", "linear": "PI"}

Entry = dict[str, Any]


def finetune_smollm2() -> Table:
    record = read("smollm2_finetune")
    window = record["metrics"]["model"]["window_tokens"]
    blocks: list[Block] = []
    for corpus in record["metrics"]["base"]["perplexity"]:
        blocks += _theirs_by_window(corpus)
        blocks.append(_by_window(record, corpus, "perplexity", f"Here, {corpus}, whole windows"))
        last = f"Here, {corpus}, last {record['config']['last_tokens']} tokens of each window"
        blocks.append(_by_window(record, corpus, "last", last))
        if corpus == "books":
            blocks.append(_theirs_by_step())
        title = f"Here, {corpus}, by steps, whole windows of L'"
        blocks.append(_by_step(record, "perplexity at L'", title, _at_extended(corpus, window)))
    blocks += [_theirs_k_max(), _by_step(record, "k_max", "Here, k_max by steps", lambda entry, _: entry["k_max"])]
    return Table("SmolLM2-135M fine-tuned beyond its window", _caption(record), tuple(blocks))


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


def _by_window(record: Record, corpus: str, part: str, title: str) -> Block:
    """The untouched model, every method before fine-tuning, and what was fine-tuned after its last measured step."""
    metrics = record["metrics"]
    window, base = metrics["model"]["window_tokens"], metrics["base"]
    columns = runs.windows([base], corpus)
    measured = {"untouched": base}
    for entry in metrics["zero_shot"]:
        if entry["method"] != "none":
            name = _WAYS.get(entry["method"]) or METHODS[entry["method"]]
            measured[f"{name} ×{entry['factor']:g}, not tuned"] = entry
    for run in metrics["runs"]:
        if (end := run["curve"][-1])["step"]:
            measured[f"{_WAYS[run['method']]} ×{run['factor']:g}, {end['step']} steps"] = end
    rows = [(name, *(shown(runs.value([entry], corpus, n, part)) for n in columns)) for name, entry in measured.items()]
    tuned = {(run["method"], run["factor"]) for run in metrics["runs"] if run["curve"][-1]["step"]}
    for gap in metrics["not_measured"]:
        if (gap["method"], gap["factor"]) not in tuned:
            name = f"{_WAYS[gap['method']]} ×{gap['factor']:g}, tuned"
            rows.append((name, *("–" if n > gap["factor"] * window else "not measured" for n in columns)))
    title += f", windows in multiples of L = {window}"
    return Block(title, ("perplexity at", *(multiple(n / window) for n in columns)), tuple(rows))


def _by_step(record: Record, head: str, title: str, value: Callable[[Entry, int], Any]) -> Block:
    """A row a method and factor, a column a step; what the study has and its record lacks is "not measured"."""
    metrics, steps = record["metrics"], (0, *record["config"]["steps"])
    found: dict[tuple[str, int], dict[int, Entry]] = {}
    for entry in metrics["zero_shot"]:
        found.setdefault((entry["method"], entry["factor"]), {})[0] = entry
    for run in metrics["runs"]:
        found.setdefault((run["method"], run["factor"]), {}).update({entry["step"]: entry for entry in run["curve"]})
    gaps = {(gap["method"], gap["factor"]): set(gap["steps"]) for gap in metrics["not_measured"]}
    rows = []
    for method, factor in sorted(found.keys() | gaps.keys(), key=lambda row: (row[1], list(METHODS).index(row[0]))):
        measured, gap = found.get((method, factor), {}), gaps.get((method, factor), set())
        cells: Cells = tuple(
            shown(value(measured[step], factor)) if step in measured else "not measured" if step in gap else "–"
            for step in steps
        )
        name = _WAYS.get(method) or METHODS[method]
        rows.append((f"{name} ×{factor:g} to {factor * metrics['model']['window_tokens']}", *cells))
    if head == "k_max":
        rows.insert(0, ("untouched, in its own window", shown(metrics["base"]["k_max"]), *["–"] * (len(steps) - 1)))
    return Block(title, (head, *map(str, steps)), tuple(rows))


def _at_extended(corpus: str, window: int) -> Callable[[Entry, int], Any]:
    return lambda entry, factor: runs.value([entry], corpus, factor * window)


def _caption(record: Record) -> str:
    config, metrics = record["config"], record["metrics"]
    documents = "; ".join(
        f"{corpus}: {', '.join(found['documents'])}" for corpus, found in metrics["measured_on"].items()
    )
    said = [
        runs.scale(record),
        f"Measured on {documents}. A window is a document's first tokens, so that other windows hold other text: "
        "compare columns with care, rows freely. The last tokens are what a step of the paper's sliding window scores",
        f"k_max from {config['positions']} distances, {config['trials']} key{'s' * (config['trials'] > 1)} at each",
    ]
    if metrics["stopped_early"]:
        said.append("The study was stopped by its time limit")
    for name in ("finetune_smollm2", "finetune_smollm2_kmax"):
        outcome = EXPERIMENTS[name].outcome()
        said.append(f"{outcome.experiment.source}: {outcome.verdict}. {outcome.evidence()}")
    return ". ".join(said) + "."
