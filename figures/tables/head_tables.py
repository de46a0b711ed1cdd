"""Tables of what trained heads do: scores against bounds, what fine-tuning changes, where the loss comes from."""

from statistics import fmean, median
from typing import Any

from experiments.records.record import read
from figures.tables.paper_cells import shown
from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS
from figures.verdicts import fine_tuning_runs as runs

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


def heads_tiny() -> Table:
    """Scores of the tiny LLaMA's heads against each bound."""
    return _heads("heads_tiny")


def heads_smollm2() -> Table:
    """Scores of SmolLM2's heads against each bound."""
    return _heads("heads_smollm2")


def heads_tuned() -> Table:
    """How far fine-tuning by PI moves the coefficients h, by layer."""
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
    """Where the tiny LLaMA's loss beyond the window comes from."""
    return _jump("jump_tiny")


def jump_smollm2() -> Table:
    """Where SmolLM2's loss beyond the window comes from."""
    return _jump("jump_smollm2")


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


def _norm(values: list[float]) -> float:
    return sum(value**2 for value in values) ** 0.5
