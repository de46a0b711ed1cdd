"""Tables that the paper does not have: longer tuning, other methods, trained heads; from records, into tables."""

from collections.abc import Callable
from functools import partial
from statistics import fmean, median
from typing import Any

from experiments.records.record import read
from figures.tables.paper_cells import METHODS, k_max, shown
from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Group, Runs, Value, read_runs

_BOUNDS = {
    "published": "Theorem 2.1 as published",
    "taylor": "its Taylor repair",
    "sharp": "the sharp constant",
    "eq8_first": "Eq. 8, first form",
    "eq8_last": "Eq. 8, last form",
    "trivial": "(d/2) max|h|",
    "sum": "sum|h|",
}
_ORDERS = {
    "excess": "by excess of score",
    "amplification": "by size of score",
    "displaced": "by attention displaced",
}


def longer_steps() -> Table:
    """Perplexity at the extended window by step, at every factor and rate."""
    tuned = read_runs("tiny_sweep")
    blocks = []
    for corpus in tuned.corpora:
        own = runs.value([tuned.base], corpus, tuned.window)
        title = f"{corpus}: perplexity at L' by steps (untouched, at {tuned.window}: {own})"
        blocks.append(_by_step(tuned, title, partial(_at_extended, corpus)))
    return Table("Perplexity by fine-tuning steps, factor and rate", _caption("longer_steps", tuned), tuple(blocks))


def longer_kmax() -> Table:
    """k_max by step, at every factor and rate."""
    tuned = read_runs("tiny_sweep")
    block = _by_step(tuned, f"k_max in tokens by steps (untouched: {tuned.base.k_max})", k_max)
    return Table("k_max by fine-tuning steps, factor and rate", _caption("longer_kmax", tuned), (block,))


def adaptation() -> Table:
    """Where PI adapts at once and direct fine-tuning lags."""
    tuned = read_runs("tiny_sweep")
    rows = tuned.record["metrics"]["adaptation"]
    columns = ("", "PI", "direct", "verdict")
    methods = ("linear", "none")
    perplexity = tuple(
        (_where(row), *(", ".join(map(runs.step, row[way]["steps"])) for way in methods), row["perplexity"]["verdict"])
        for row in rows
    )
    retrieval = tuple(
        (
            _where(row),
            *(", ".join(str(reach[-1]) for reach in row[way]["k_max"]) for way in methods),
            row["retrieval"]["verdict"],
        )
        for row in rows
    )
    blocks = (
        Block("First step measured within 5% of the lowest perplexity at L'", columns, perplexity),
        Block("k_max (tokens) at the end", columns, retrieval),
    )
    rule = (
        "A cell has a value for each seed. Perplexity is reproduced where PI is there in the first fifth of the steps "
        "and direct fine-tuning later or never; retrieval where PI's k_max is L' from the first fifth on and direct "
        "fine-tuning's is shorter at the end; partly where a half of that holds, or some seeds show it; else refuted. "
    )
    caption = f"{EXPERIMENTS['adaptation'].outcome().sentence} {rule}Tested here on {tuned.scale}."
    return Table("Where PI adapts at once and direct fine-tuning lags", caption, blocks)


def methods() -> Table:
    record, tuned = read("tiny_methods"), read_runs("tiny_methods")
    metrics, rows = record["metrics"], record["metrics"]["methods"]
    blocks = []
    for corpus in tuned.corpora:
        windows = runs.windows([runs.evaluation(row["zero_shot"]) for row in rows.values()], corpus)
        for when, says in (("zero_shot", "without fine-tuning"), ("fine_tuned", "fine-tuned")):
            body = tuple(
                (
                    METHODS[name],
                    *(shown(runs.value([runs.evaluation(row[when])], corpus, window)) for window in windows),
                    shown(row[when].get("k_max")),
                )
                for name, row in rows.items()
            )
            blocks.append(Block(f"{corpus}, {says}", ("perplexity at", *map(str, windows), "k_max"), body))
    any_row = next(iter(rows.values()))
    caption = (
        f"All extended by {any_row['factor']:g}; {any_row['steps']} steps of {metrics['steps_tokens']} tokens, 1 seed. "
        f"The paper has no such table. Tested here on {tuned.scale}."
    )
    return Table("Scaling methods at equal steps", caption, tuple(blocks))


def smollm2_windows() -> Table:
    record = read("smollm2_perplexity")
    config, found = record["config"], record["metrics"]["perplexity"]
    blocks = tuple(
        Block(
            f"{corpus}, {scored}",
            ("perplexity at", *map(str, config["windows"])),
            tuple(
                (
                    "as trained" if method == "none" else METHODS[method],
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


def heads_tiny() -> Table:
    return _heads("heads_tiny")


def heads_smollm2() -> Table:
    return _heads("heads_smollm2")


def heads_tuned() -> Table:
    record = read("tiny_heads_tuned")
    config, (before, after) = record["config"], record["metrics"]["loss_nats"]
    layers: dict[int, list[dict[str, Any]]] = {}
    for head in record["metrics"]["heads"]:
        layers.setdefault(head["layer"], []).append(head)
    names = ("all", "fastest quarter", "slowest quarter")
    rows = {"change of h over h": ("moved", "before"), "size of h, after over before": ("after", "before")}
    quarter = len(record["metrics"]["heads"][0]["before"]) // 4
    parts = (slice(None), slice(quarter), slice(-quarter, None))
    blocks = tuple(
        Block(
            f"{says}, median over heads",
            ("frequencies", *names),
            tuple(
                (
                    f"layer {layer}",
                    *(f"{median(_norm(h[over][part]) / _norm(h[under][part]) for h in heads):.2f}" for part in parts),
                )
                for layer, heads in sorted(layers.items())
            ),
        )
        for says, (over, under) in rows.items()
    )
    training = f"{config['steps']} steps of {config['batch']} windows of {config['tokens']} tokens"
    caption = (
        f"{config['model']} extended by {config['factor']} with PI; {training}, 1 seed, peak learning rate "
        f"{config['peak_lr']:g}; root mean squares over {config['pairs']} pairs of tokens in each of "
        f"{runs.documents(config['corpora'])}, whose loss falls from {before:.2f} to "
        f"{after:.2f} nats; {runs.measured_on(record)}. The paper has no such table."
    )
    return Table("What fine-tuning by PI changes in the coefficients h", caption, blocks)


def jump_tiny() -> Table:
    return _jump("jump_tiny")


def jump_smollm2() -> Table:
    return _jump("jump_smollm2")


TABLES: dict[str, Callable[[], Table]] = {
    "longer_steps": longer_steps,
    "longer_kmax": longer_kmax,
    "adaptation": adaptation,
    "methods": methods,
    "smollm2_windows": smollm2_windows,
    "heads_tiny": heads_tiny,
    "heads_smollm2": heads_smollm2,
    "heads_tuned": heads_tuned,
    "jump_tiny": jump_tiny,
    "jump_smollm2": jump_smollm2,
}


def _by_step(tuned: Runs, title: str, measured: Callable[[Group, int], object]) -> Block:
    """A row for each factor, method and rate, and a column for each step at which some of them were measured."""
    found = sorted(tuned.groups, key=lambda group: (group.factor, group.method, group.peak_lr))
    cells = {
        step: [shown(measured(group, step)) for group in found]
        for step in sorted({step for group in found for step in group.steps})
    }
    cells = {step: column for step, column in cells.items() if set(column) != {shown(None)}}
    labels = [tuned.label(group) for group in found]
    return Block(title, ("run", *map(str, cells)), tuple(zip(labels, *cells.values(), strict=True)))


def _at_extended(corpus: str, group: Group, step: int) -> Value | None:
    return runs.value(group.at(step), corpus, group.context_tokens)


def _caption(name: str, tuned: Runs) -> str:
    return f"{EXPERIMENTS[name].outcome().sentence} {tuned.how()}Tested here on {tuned.scale}."


def _heads(name: str) -> Table:
    """Scores of trained heads against each bound, beyond the window, and beside the linear program."""
    record = read(EXPERIMENTS[name].study)
    config, metrics = record["config"], record["metrics"]
    heads = metrics["heads"]

    def largest(head: dict[str, Any], quantity: str) -> float:
        return max(head[draw][quantity]["max"] for draw in ("uniform", "attended"))

    def spread(says: str, values: list[float], *more: str) -> tuple[str, ...]:
        return (says, f"{median(values):.3f}", f"{max(values):.3f}", *more)

    bounds = []
    for bound, says in _BOUNDS.items():
        ratios = [largest(head, bound) for head in heads]
        bounds.append(spread(says, ratios, f"{sum(ratio > 1 for ratio in ratios)}"))
    sizes = [spread("|a| between trained positions, over trained", [largest(head, "interpolated") for head in heads])]
    for multiple in config["beyond"]:
        says = f"|a| up to {multiple} L, over trained"
        sizes.append(spread(says, [largest(head, f"amplification_{multiple}") for head in heads]))
    for multiple in config["beyond"]:
        says = f"a up to {multiple} L, above the highest trained, median pair (logits)"
        sizes.append(spread(says, [head["uniform"][f"excess_{multiple}"]["median"] for head in heads]))
    sizes.append(spread("sum|h| over trained |a|", [largest(head, "condition") for head in heads]))
    programs = metrics["programs"][:6]
    rows = tuple(
        (
            f"layer {one['layer']}, head {one['head']}, s = {one['position']:g}",
            f"{one['relative_hmax']:.2f}",
            f"{one['measured']:.2f}",
            f"{one['upper_bound']:.1f}",
        )
        for one in programs
    )
    blocks = (
        Block(
            "Largest score or error over its bound",
            ("bound", "median head", "worst head", "heads above"),
            tuple(bounds),
        ),
        Block("Scores beyond what was trained", ("", "median head", "worst head"), tuple(sizes)),
        Block(
            f"The {len(programs)} heads that amplify most, beside the worst head with such max|h| (linear program)",
            ("|a| over trained |a|", "max|h|", "measured", "worst possible"),
            rows,
        ),
    )
    outcome = EXPERIMENTS[name].outcome()
    drawn = f"{config['pairs']} pairs of a query and a key are drawn twice from each head and document"
    return Table(
        f"Trained heads of {config['model']} against the bounds",
        f"{outcome.sentence} {drawn}. Tested here on {outcome.scale}.",
        blocks,
    )


def _jump(name: str) -> Table:
    """What is left of the loss beyond the window when some heads are kept from unseen distances."""
    record = read(EXPERIMENTS[name].study)
    config, metrics = record["config"], record["metrics"]
    losses, number = metrics["losses"], len(metrics["heads"])
    jump = losses["none"]["over_within"]

    def row(says: str, over: float, error: float | None) -> tuple[str, ...]:
        return says, f"{over:.3f}" + ("" if error is None else f" ± {error:.3f}"), f"{over / jump:.0%}"

    treatments = {
        "none": "as it is",
        "clamp": "all heads: unseen distances clamped",
        "local": "all heads: nothing read at unseen distances",
        "linear": "all heads: PI",
    }
    whole = [
        row(says, losses[key]["over_within"], losses[key]["stderr"])
        for key, says in treatments.items()
        if key in losses
    ]
    orders: dict[str, list[dict[str, Any]]] = {}
    for curve in metrics["worst_first"]:
        if curve["treatment"] == "clamp":
            orders.setdefault("at random" if curve["order"].startswith("random") else curve["order"], []).append(curve)
    counts = next(iter(orders.values()))[0]["counts"]
    some = tuple(
        (
            _ORDERS.get(order, order) + (f", mean of {len(curves)}" if len(curves) > 1 else ""),
            *(f"{fmean(curve['over_within'][n] for curve in curves):.3f}" for n in range(len(counts))),
        )
        for order, curves in orders.items()
    )
    blocks: tuple[Block, ...] = (
        Block("Loss above that within the window", ("", "nats", "of the jump"), tuple(whole)),
        Block(
            f"Loss above that within the window (nats), the first so many of {number} heads clamped",
            ("order", *map(str, counts)),
            some,
        ),
    )
    if ranks := metrics.get("rank_correlation"):
        correlations = tuple(
            (_ORDERS.get(rank, "by attention on unseen distances"), shown(value)) for rank, value in ranks.items()
        )
        title = "Order of heads, and of the loss that each saves clamped alone: rank correlation (Spearman)"
        blocks += (Block(title, ("order", "correlation"), correlations),)
    outcome = EXPERIMENTS[name].outcome()
    scored = f"last {config['last_tokens']} of {config['tokens']} tokens of {runs.documents(config['corpora'])}"
    scale = (
        f"{config['model']}, window {metrics['model']['window_tokens']} tokens; {scored}; {runs.measured_on(record)}"
    )
    errors = (
        "± is the standard error over documents. " if losses["none"]["stderr"] is not None else "One document: no ±. "
    )
    return Table(
        f"Where the loss beyond the window comes from, {config['model']}",
        f"{outcome.sentence} {errors}Tested here on {scale}.",
        blocks,
    )


def _where(row: dict[str, Any]) -> str:
    return f"×{row['factor']}, rate {row['peak_lr']:g}"


def _norm(values: list[float]) -> float:
    return sum(value**2 for value in values) ** 0.5
