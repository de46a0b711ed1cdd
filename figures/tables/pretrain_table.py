"""The tiny LLaMA pretrained on more tokens, beside the one that is shipped."""

from typing import Any

from experiments.records.record import read
from figures.tables.paper_cells import shown
from figures.tables.table import Block, Table
from figures.verdicts import fine_tuning_runs as runs


def tiny_pretrain() -> Table:
    """Perplexity of the candidates and of the shipped model, and which is better."""
    record = read("tiny_pretrain")
    metrics, window = record["metrics"], record["metrics"]["model"]["window_tokens"]
    shipped, candidates = metrics["shipped"], metrics["candidates"]
    corpora = list(shipped["test"])

    def at(one: dict[str, Any], part: str, windows: list[int]) -> list[str]:
        measured = [runs.evaluation({"perplexity": one[part]})]
        return [shown(runs.value(measured, corpus, n)) for corpus in corpora for n in windows]

    def named(one: dict[str, Any]) -> str:
        return _tokens(one["tokens"]) + (", chosen" if one["tokens"] == metrics["chosen"] else "")

    rows = {"shipped": shipped} | {named(one): one for one in candidates}
    columns = ("model", *(f"{corpus}, {part}" for part in ("validation", "test") for corpus in corpora), "k_max")
    body = [
        (name, *at(one, "validation", [window]), *at(one, "test", [window]), shown(one["k_max"]))
        for name, one in rows.items()
    ]
    body += [(_tokens(tokens), *["not measured"] * (len(columns) - 1)) for tokens in metrics["not_measured"]]
    windows = sorted(int(n) for n in shipped["test"][corpora[0]])
    by_window = (
        "perplexity at",
        *(f"{corpus}, {n}" for corpus in corpora for n in windows),
    )
    chosen = [(name, one) for name, one in rows.items() if one is shipped or one["tokens"] == metrics["chosen"]]
    blocks = (
        Block(f"Perplexity at the trained window of {window}, and passkey in it", columns, tuple(body)),
        Block("Test works by window", by_window, tuple((name, *at(one, "test", windows)) for name, one in chosen)),
    )
    verdict = "The candidate is the better one" if metrics["better"] else "The shipped model is the better one"
    model, config = metrics["model"], record["config"]
    trained_on = ", ".join(sorted({one["device"] for one in candidates}))
    caption = (
        f"{verdict} ({metrics['rule']}). The best candidate on the validation works is chosen. Tested here on "
        f"{model['name']}, {model['parameters'] / 1e6:.1f}M parameters, window {window} tokens; candidates of seed "
        f"{config['seed']}, trained on {trained_on}; {runs.measured_on(record)}."
    )
    return Table("The tiny LLaMA on more tokens", caption, blocks)


def _tokens(tokens: int) -> str:
    return f"{tokens / 1e6:.3g}M tokens"
