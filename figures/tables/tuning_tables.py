"""Tables of fine-tuning the tiny LLaMA that the paper does not have: at several rates and by other methods."""

from collections.abc import Callable
from functools import partial

from experiments.records.record import read
from figures.tables.paper_cells import k_max, shown
from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.adaptation import WITHIN, caught_up, reached
from figures.verdicts.fine_tuning_runs import Evaluation, Group, Runs, Value, read_runs
from figures.verdicts.lag_rules import by_tokens, millions
from figures.verdicts.method_names import METHODS
from figures.verdicts.short_window_rules import LONG, mean_accuracy, pairs


def rates_steps() -> Table:
    """Perplexity at the extended window by step, at every factor and rate."""
    tuned = read_runs("tiny_sweep")
    blocks = []
    for corpus in tuned.corpora:
        own = runs.value([tuned.base], corpus, tuned.window)
        title = f"{corpus}: perplexity at L' by steps (untouched, at {tuned.window}: {own})"
        blocks.append(_by_step(tuned, title, partial(_at_extended, corpus)))
    return Table("Perplexity by fine-tuning steps, factor and rate", _caption(tuned), tuple(blocks))


def rates_kmax() -> Table:
    """k_max by step, at every factor and rate."""
    tuned = read_runs("tiny_sweep")
    block = _by_step(tuned, f"k_max in tokens by steps (untouched: {tuned.base.k_max})", k_max)
    return Table("k_max by fine-tuning steps, factor and rate", _caption(tuned), (block,))


def rates_ends() -> Table:
    """Where each run of the paper's length ends, at every factor and rate: in its new window and in the old one."""
    tuned = read_runs("tiny_tables")
    rows = [_ends("untouched", [tuned.base], tuned, tuned.window)]
    rows += [_ends(tuned.label(group), group.last(), tuned, group.context_tokens) for group in _by_factor(tuned)]
    columns = ("run", *(f"{corpus} at {where}" for corpus in tuned.corpora for where in ("L'", "L")))
    block = Block("Perplexity at the end", columns, tuple(rows))
    return Table("Where runs of the paper's length end, by learning rate", _caption(tuned), (block,))


def adaptation() -> Table:
    """When each way has adapted, and how far it then retrieves."""
    tuned = read_runs("tiny_tables")
    ways = ("linear", "none")
    steps = tuple(
        (f"×{factor:g}, rate {rate:g}", *(str(found[way]) for way in ways))
        for (factor, rate), found in reached(tuned).items()
    )
    block = Block(
        f"Within {WITHIN - 1:.0%} of the lowest final perplexity at L' on {tuned.corpora[0]}",
        ("", "PI", "direct"),
        steps,
    )
    rule = (
        "A cell has the first measured step at which the interval allows it, and the first at which all of the "
        "interval does. "
    )
    caption = f"{EXPERIMENTS['adaptation'].outcome().sentence} {rule}Tested here on {tuned.scale}."
    return Table("When PI and direct fine-tuning have adapted", caption, (block,))


def lag() -> Table:
    """When direct fine-tuning has caught up with PI, by how long the model was pretrained before."""
    record = read("tiny_lag")
    models, corpus = by_tokens(record), next(iter(record["config"]["corpora"]))
    blocks = []
    for tokens, tuned in models.items():
        own, beyond = (
            shown(runs.value([tuned.base], corpus, window)) for window in (tuned.window, tuned.groups[0].context_tokens)
        )
        title = f"{millions(tokens)} tokens: untouched {own} at L and {beyond} at L', by steps"
        blocks.append(_by_step(tuned, title, partial(_at_extended, corpus)))
    pairs = {millions(tokens): pair for tokens, tuned in models.items() for pair in tuned.best_pairs()}
    blocks.append(
        Block(
            f"Direct fine-tuning within {WITHIN - 1:.0%} of PI after as many steps, from then on",
            ("pretrained on", *pairs),
            (("", *(str(caught_up(*pair, corpus)) for pair in pairs.values())),),
        )
    )
    outcome = EXPERIMENTS["lag"].outcome()
    caption = f"Perplexity on {corpus}. {outcome.sentence} Tested here on {outcome.scale}."
    return Table("How long direct fine-tuning lags, by pretraining", caption, tuple(blocks))


def methods() -> Table:
    """Every scaling method before fine-tuning and after the same number of steps."""
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


def short_windows() -> Table:
    """PI trained on windows of the old length, and on windows of the new one."""
    short, long = read_runs(EXPERIMENTS["short_windows"].study), read_runs(LONG)
    found = pairs(short, long)
    rows = tuple(
        (
            f"×{group.factor:g} to {group.context_tokens}, trained on windows of {trained_on}",
            k_max(group, pair.step),
            f"{mean_accuracy(group.at(pair.step)):.0%}",
            *(shown(_at_extended(corpus, group, pair.step)) for corpus in short.corpora),
        )
        for pair in found
        for group, trained_on in ((pair.short, short.window), (pair.long, pair.long.context_tokens))
    )
    columns = ("PI", "k_max", "passkeys found", *(f"{corpus} at L'" for corpus in short.corpora))
    block = Block(f"After {', '.join(map(str, sorted({pair.step for pair in found})))} steps", columns, rows)
    caption = (
        f"{EXPERIMENTS['short_windows'].outcome().sentence} Passkeys found are the share of trials at all distances "
        f"up to L'. {short.how()}Short windows are tested here on {short.scale}; windows as long as L' were "
        f"{runs.measured_on(long.record)}."
    )
    return Table("PI trained on short windows", caption, (block,))


def _ends(name: str, found: list[Evaluation], tuned: Runs, context: int) -> tuple[str, ...]:
    """A row with the perplexity on each corpus in the new window and in the old one; the untouched model has one."""
    windows = (context if context > tuned.window else None, tuned.window)
    values = [runs.value(found, corpus, n) if n else None for corpus in tuned.corpora for n in windows]
    return (name, *map(shown, values))


def _by_step(tuned: Runs, title: str, measured: Callable[[Group, int], object]) -> Block:
    """A row for each factor, method and rate, and a column for each step at which some of them were measured."""
    found = _by_factor(tuned)
    cells = {
        step: [shown(measured(group, step)) for group in found]
        for step in sorted({step for group in found for step in group.steps})
    }
    cells = {step: column for step, column in cells.items() if set(column) != {shown(None)}}
    labels = [tuned.label(group) for group in found]
    return Block(title, ("run", *map(str, cells)), tuple(zip(labels, *cells.values(), strict=True)))


def _by_factor(tuned: Runs) -> list[Group]:
    return sorted(tuned.groups, key=lambda group: (group.factor, group.method, group.peak_lr))


def _at_extended(corpus: str, group: Group, step: int) -> Value | None:
    return runs.value(group.at(step), corpus, group.context_tokens)


def _caption(tuned: Runs) -> str:
    return f"The paper has one rate and no such table. {tuned.how()}Tested here on {tuned.scale}."
