"""Rules for Tables 1 to 5 and Section 3 of the paper, on the fine-tuning runs of a tiny LLaMA.

Perplexities are compared by their mean over seeds. A statement with a number of its own (half, twice, 2%) takes it from
what the paper's tables show; the constants say which.
"""

from itertools import pairwise

from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Evaluation, Group, Part, Value, read_runs
from figures.verdicts.verdict import Check, Decided, NotTested, experiment

# how far above the untouched model's a perplexity may be to count as kept; the paper's Tables 1 and 2 show up to 2%
KEPT = 1.02
# direct fine-tuning ends at 2560 of 2048 in the paper's Table 4
HARDLY_MORE = 1.25


@experiment(
    id="longer_code", study="tiny_sweep", source="Table 2, more steps and rates", group="tiny, longer", corpus="code",
    says="On program code, after longer fine-tuning and each at its best learning rate, a model extended by PI gains "
    "from windows longer than its old one, and more than a model fine-tuned directly.",
)  # fmt: skip
@experiment(
    id="longer_books", study="tiny_sweep", source="Table 1, more steps and rates", group="tiny, longer", corpus="books",
    says="On books, after longer fine-tuning and each at its best learning rate, a model extended by PI gains from "
    "windows longer than its old one, and more than a model fine-tuned directly.",
)  # fmt: skip
@experiment(
    id="table2_code", study="tiny_tables", source="Table 2", group="tiny", corpus="code",
    says="On technical text (here: program code), a model extended by PI and fine-tuned gains from windows longer than "
    "its old one, and more than a model fine-tuned directly.",
)  # fmt: skip
@experiment(
    id="table1_books", study="tiny_tables", source="Table 1", group="tiny", corpus="books",
    says="On books, a model extended by PI and fine-tuned gains from windows longer than its old one, and more than a "
    "model fine-tuned directly.",
)  # fmt: skip
def longer_windows_help(study: str, corpus: str) -> Decided:
    """Perplexity by window after fine-tuning: long against short, against the untouched model, PI against direct."""
    tuned = read_runs(study)
    base, window = [tuned.base], tuned.window
    best = tuned.best()
    checks = []
    if (twice := runs.value(base, corpus, 2 * window)) is not None:
        own = at(base, corpus, window)
        states = "Untouched, the model has more than twice the perplexity in windows twice as long as its own"
        measured = f"{own} in windows of {window} tokens, {twice} in windows of {2 * window}"
        checks.append(Check(states, twice.perplexity > 2 * own.perplexity, measured))
    for group in by_method(best, "linear"):
        context = group.context_tokens
        long, short = (at(group.last(), corpus, n) for n in (context, window))
        states = "Fine-tuned by PI, the model has a lower perplexity in its new window than in one of the old length"
        checks.append(less(states, group.name, long, short, f"at {context} tokens", f"at {window}"))
        states = "Fine-tuned by PI, the model has a lower perplexity in its new window than before in its old one"
        own = at(base, corpus, window)
        checks.append(less(states, group.name, long, own, f"at {context} tokens", f"untouched at {window}"))
    for direct in by_method(best, "none"):
        for group in by_method(best, "linear"):
            if group.factor == direct.factor:
                context = group.context_tokens
                ours, theirs = (at(one.last(), corpus, context) for one in (group, direct))
                states = "In the new window PI ends with a lower perplexity than direct fine-tuning"
                checks.append(less(states, f"×{group.factor:g}, {context} tokens", ours, theirs, "by PI", "directly"))
    return Decided(tuned.scale, tuple(checks))


@experiment(
    id="longer_steps", study="tiny_sweep", source="Table 3, more steps and rates", group="tiny, longer",
    says="At its best learning rate, PI starts far below extrapolation, improves with every evaluation, and after "
    "longer fine-tuning surpasses what the untouched model reaches in its own window.",
)  # fmt: skip
@experiment(
    id="table3_steps", study="tiny_tables", source="Table 3", group="tiny",
    says="PI starts far below extrapolation, improves with every evaluation, and soon surpasses what the untouched "
    "model reaches in its own window.",
)  # fmt: skip
def improves_with_every_step(study: str) -> Decided:
    """Perplexity on books at the extended window, by fine-tuning step."""
    tuned = read_runs(study)
    base, window = [tuned.base], tuned.window
    checks = []
    for group in by_method(tuned.best(), "linear"):
        context = group.context_tokens
        curve = [at(group.at(step), "books", context) for step in group.steps]
        if (alone := runs.value(base, "books", context)) is not None:
            states = "Before any fine-tuning, PI has at most half the perplexity of extrapolation in the new window"
            holds = curve[0].perplexity <= alone.perplexity / 2
            measured = f"{curve[0]} by PI, {alone} by extrapolation at {context} tokens"
            checks.append(Check(states, holds, measured, group.name))
        checks.append(falls(group, curve, "in the new window"))
        states = "PI ends with a lower perplexity in its new window than the untouched model has in its own"
        own = at(base, "books", window)
        checks.append(less(states, group.name, curve[-1], own, f"at {context} tokens", f"untouched at {window}"))
    return Decided(tuned.scale, tuple(checks))


@experiment(
    id="longer_kmax", study="tiny_sweep", source="Table 4, more steps and rates", group="tiny, longer",
    says="After longer fine-tuning and each at its best learning rate, PI lets a model find a passkey anywhere in its "
    "new window; direct fine-tuning hardly reaches beyond the old one.",
)  # fmt: skip
@experiment(
    id="table4_kmax", study="tiny_tables", source="Table 4", group="tiny",
    says="PI lets a model find a passkey anywhere in its new window; direct fine-tuning hardly reaches beyond the old "
    "one.",
)  # fmt: skip
def passkey_everywhere(study: str) -> Decided:
    """How far back a passkey is found at the end, k_max."""
    tuned = read_runs(study)
    base, window = tuned.base, tuned.window
    if (base.k_max or 0) < window / 2:
        raise NotTested(
            f"The untouched model finds a passkey only up to {base.k_max} tokens back in its own window of {window}, "
            "so it cannot show what an extension changes."
        )
    checks = []
    for group in tuned.best("k_max"):
        found = [one.k_max or 0 for one in group.last()]
        measured = f"found up to {', '.join(map(str, found))} tokens back, of {group.context_tokens}"
        if group.method == "linear":
            states = "Fine-tuned by PI, the model finds a passkey at every distance in its new window"
            checks.append(Check(states, min(found) >= group.context_tokens, measured, group.name))
        else:
            states = f"Fine-tuned directly, the model finds a passkey hardly beyond its old window of {window} tokens"
            checks.append(Check(states, max(found) <= HARDLY_MORE * window, measured, group.name))
    return Decided(tuned.scale, tuple(checks))


@experiment(
    id="table5_original_window", study="tiny_tables", source="Section 3.4, in its spirit", group="tiny",
    says="Extended models lose little quality inside the original window, and the more the larger the factor.",
)  # fmt: skip
def quality_is_kept(study: str) -> Decided:
    """Perplexity in the original window after fine-tuning by PI, beside the untouched model's."""
    tuned = read_runs(study)
    base, window = [tuned.base], tuned.window
    extended, checks = by_method(tuned.best(), "linear"), []
    for corpus in tuned.corpora:
        own = at(base, corpus, window).perplexity
        ratios = [at(group.last(), corpus, window).perplexity / own for group in extended]
        checks += [kept(f"{group.name}, {corpus}", ratio) for group, ratio in zip(extended, ratios, strict=True)]
        states = "The larger the factor, the more perplexity is lost in the original window"
        grows = all(after > before for before, after in pairwise(ratios))
        changes = [f"{ratio - 1:+.1%} at ×{group.factor:g}" for group, ratio in zip(extended, ratios, strict=True)]
        checks.append(Check(states, grows, ", ".join(changes), corpus))
    return Decided(tuned.scale, tuple(checks))


@experiment(
    id="adaptation", study="tiny_sweep", source="Section 3", group="tiny, longer",
    says="A model adapts to PI within few fine-tuning steps; direct fine-tuning needs far more.",
)  # fmt: skip
def adapts_at_once(study: str) -> Decided:
    """Four statements at every factor and learning rate; the study's record holds what decides them.

    `experiments.measurement.adaptation` computed it, by the rule that the caption of the table ``adaptation`` states.
    """
    tuned = read_runs(study)
    checks = []
    for row in tuned.record["metrics"].get("adaptation", []):
        case = f"×{row['factor']} at rate {row['peak_lr']:g}"
        pi, direct = (
            ", ".join("never" if step is None else f"at step {step}" for step in row[method]["steps"])
            for method in ("linear", "none")
        )
        seen = f"first measured there, by seed: PI {pi}; direct fine-tuning {direct}"
        halves = [
            ("perplexity", "at_once", "PI gets within 5% of the best perplexity in the first fifth of the steps", seen),
            ("perplexity", "lags", "Direct fine-tuning gets within 5% of the best later than PI or never", seen),
        ]
        if row["retrieval"]["verdict"] != "not tested":
            pi, direct = (", ".join(str(k[-1]) for k in row[method]["k_max"]) for method in ("linear", "none"))
            seen = f"at the end, by seed: PI up to {pi} tokens back; direct fine-tuning up to {direct}"
            halves += [
                (
                    "retrieval",
                    "at_once",
                    "PI finds a passkey anywhere in its window from a fifth of the steps",
                    seen,
                ),
                ("retrieval", "lags", "At the end direct fine-tuning finds a passkey less far back than PI", seen),
            ]
        checks += [Check(states, all(row[what][half]), seen, case) for what, half, states, seen in halves]
    return Decided(tuned.scale, tuple(checks))


@experiment(
    id="table6_summaries", study="", source="Table 6", group="other data",
    says="A model extended to 16384 tokens summarises government reports competitively.",
    why="No study here has GovReport or a model of that size; pi-model summarize measures it where they are.",
)  # fmt: skip
@experiment(
    id="table5_benchmarks", study="", source="Table 5", group="other data",
    says="Extended models lose little accuracy on standard benchmarks.",
    why="No study here has the benchmarks' data; pi-model benchmark runs them where it is.",
)  # fmt: skip
def without_data(study: str, why: str) -> Decided:
    """What no record here can decide."""
    raise NotTested(why)


def by_method(found: list[Group], method: str) -> list[Group]:
    """Those of one method."""
    return [group for group in found if group.method == method]


def at(found: list[Evaluation], corpus: str, window: int, part: Part = "whole") -> Value:
    """Perplexity over seeds. Raises NotTested: no seed was measured there."""
    value = runs.value(found, corpus, window, part)
    if value is None:
        raise NotTested(f"The record has no perplexity on {corpus} in windows of {window} tokens.")
    return value


def less(states: str, case: str, one: Value, other: Value, called: str, other_called: str) -> Check:
    """Whether one perplexity is below another."""
    measured = f"perplexity {one} {called}, {other} {other_called}"
    return Check(states, one.perplexity < other.perplexity, measured, case)


def falls(group: Group, curve: list[Value], where: str, corpus: str = "") -> Check:
    """Whether a perplexity is lower at every evaluation than at the one before."""
    states = f"With PI the perplexity {where} falls from each evaluation to the next"
    holds = all(after.perplexity < before.perplexity for before, after in pairwise(curve))
    measured = ", ".join(f"{one} at step {step}" for step, one in zip(group.steps, curve, strict=True))
    return Check(states, holds, measured, f"{group.name}, {corpus}" if corpus else group.name)


def kept(case: str, ratio: float) -> Check:
    """Whether a perplexity in the original window, over the untouched model's, counts as kept."""
    states = f"In the original window the perplexity is at most {KEPT - 1:.0%} above the untouched model's"
    return Check(states, ratio <= KEPT, f"{ratio - 1:+.1%}", case)
