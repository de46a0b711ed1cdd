"""What context is worth to a model, and what an extension costs it inside the old window."""

from statistics import fmean

from experiments.records.record import read
from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS, context_rules, ruler_rules
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.context_rules import Reader


def context_tiny() -> Table:
    """What context is worth to the tiny LLaMA, fine-tuned and not."""
    return _context("context_tiny")


def context_smollm2() -> Table:
    """What context is worth to SmolLM2-135M."""
    return _context("context_smollm2")


def _context(experiment: str) -> Table:
    """By corpus, how much lower the loss of the same tokens is the more is read before them; a row for each model."""
    record = read(EXPERIMENTS[experiment].study)
    contexts, found = sorted(record["config"]["contexts"]), context_rules.readers(record)
    columns = ("model", f"loss at {contexts[0]}", *map(str, contexts[1:]))
    blocks = tuple(
        Block(
            f"{corpus}: gain in nats over {contexts[0]} tokens of context",
            columns,
            tuple(_gains(reader, corpus, contexts) for reader in found),
        )
        for corpus in record["config"]["corpora"]
    )
    repeated = "Near and far repeats end with passages that stand once before, in the old window or beyond it. "
    if not any("repeats" in settings for settings in record["config"]["corpora"].values()):
        repeated = ""
    outcome = EXPERIMENTS[experiment].outcome()
    caption = (
        f"{outcome.sentence} Every column scores the same tokens. {repeated}± is half of the 95% interval over texts. "
        f"Tested here on {context_rules.scale(record)}; {runs.measured_on(record)}."
    )
    return Table("What tokens farther back are worth", caption, blocks)


def _gains(reader: Reader, corpus: str, contexts: list[int]) -> tuple[str, ...]:
    """The loss at the shortest context, and the gain at every other; a dash where the model serves no such context."""
    shortest, *longer = contexts
    losses = reader.losses[corpus]
    cells = []
    for context in longer:
        if context not in losses:
            cells.append("–")
            continue
        change = reader.change(corpus, context, shortest)
        spread = "" if len(losses[context].by_text) < 2 else f" ± {change.high - change.mean:.3f}"
        cells.append(f"{0.0 + round(-change.mean, 3):+.3f}{spread}")  # no gain is +0.000, not -0.000
    return (reader.name, f"{losses[shortest].nats:.3f}", *cells)


def ruler_smollm2() -> Table:
    """The score of each model by task and length, and what each extension changes."""
    record = read("smollm2_ruler")
    untouched, *extended = record["metrics"]["models"]
    changes = {(cost.model, cost.task, cost.length): cost for cost in ruler_rules.costs(record)}
    lengths = record["config"]["item_tokens"]
    blocks = tuple(
        Block(
            f"{task}: score in %, and the change in points with its 95% interval",
            ("model", *(f"{length} tokens" for length in lengths)),
            (
                (untouched["name"], *(f"{100 * fmean(untouched['scores'][task][str(n)]):.1f}" for n in lengths)),
                *((one["name"], *(_cost(changes[one["name"], task, n]) for n in lengths)) for one in extended),
            ),
        )
        for task in record["config"]["tasks"]
    )
    outcome = EXPERIMENTS["ruler_smollm2"].outcome()
    caption = (
        f"{outcome.sentence} All models get the same items, cut to the old window where they are longer. "
        f"Tested here on {ruler_rules.scale(record)}; {runs.measured_on(record)}."
    )
    return Table("Tasks of RULER inside the old window", caption, blocks)


def _cost(cost: ruler_rules.Cost) -> str:
    return f"{100 * cost.after:.1f}: {ruler_rules.points(cost.change)}"
