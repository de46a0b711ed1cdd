"""What the paper's experiments come to here: each is broken into checks, and records decide each check.

The verdict follows: *reproduced* when every check holds, *refuted* when none does, *partly* otherwise, and *not tested*
when there is no record, or nothing in it to check. Perplexities are compared by their mean over seeds.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from experiments.records.record import NoRecord, Record, RecordError, read
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Group, Value

# how far above the untouched model's a perplexity may be to count as kept; the paper's Tables 1 and 2 show up to 2 %
KEPT = 1.02
# direct fine-tuning ends at 2560 of 2048 in the paper's Table 4
HARDLY_MORE = 1.25
# how far above the untouched model's PI starts in the paper's Table 3, extended by 4: 16.10 against 7.20
AT_ONCE = 16.10 / 7.20


@dataclass(frozen=True)
class Check:
    """One statement that a record decides, and the numbers that decided it."""

    says: str
    holds: bool
    evidence: str


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment of the paper; ``scale`` and ``checks`` are empty when it was not tested."""

    experiment: "Experiment"
    scale: str
    checks: tuple[Check, ...]
    reason: str  # why it was not tested

    @property
    def verdict(self) -> str:
        """ "reproduced" when every check holds, "partly" when some do, else "refuted"; or "not tested"."""
        if not self.checks:
            return "not tested"
        held = sum(check.holds for check in self.checks)
        return "reproduced" if held == len(self.checks) else "partly" if held else "refuted"

    @property
    def count(self) -> str:
        """As in "7 of 10 checks hold"."""
        return f"{sum(check.holds for check in self.checks)} of {len(self.checks)} checks hold"

    @property
    def sentence(self) -> str:
        """The verdict with its evidence, for a caption."""
        return f"Verdict: {self.verdict}: {self.evidence()}."

    def evidence(self, failures: int | None = None) -> str:
        """One line: how many checks hold, and which do not, or the first so many of these."""
        if not self.checks:
            return self.reason
        failed = [f"not so: {check.says} ({check.evidence})" for check in self.checks if not check.holds]
        return "; ".join([self.count, *failed[:failures]])


# reads records: the scale, and the checks
Decide = Callable[[], tuple[str, list[Check]]]


class NotTested(Exception):
    """There is a record, and it cannot decide; the message says why."""


@dataclass(frozen=True)
class Experiment:
    """One of the paper's, and the study whose record decides it here."""

    name: str
    study: str
    source: str
    says: str
    decide: Decide

    def outcome(self) -> Outcome:
        """What its record says; not tested where there is none or it cannot decide."""
        try:
            scale, checks = self.decide()
        except (RecordError, NotTested) as error:
            return Outcome(self, "", (), str(error))
        return Outcome(self, scale, tuple(checks), "")


def outcomes() -> list[Outcome]:
    """Every experiment's, in the order of the paper."""
    return [experiment.outcome() for experiment in EXPERIMENTS.values()]


def _perplexity(corpus: str, study: str) -> Decide:
    def decide() -> tuple[str, list[Check]]:
        record = read(study)
        base, window = [record["metrics"]["base"]], record["metrics"]["model"]["window_tokens"]
        found = runs.groups(record)
        checks = list(_explodes(base, corpus, window))
        for group in _of(found, "linear"):
            long, short = _at(group.last(), corpus, group.context_tokens), _at(group.last(), corpus, window)
            says = f"{group.name}: a window of {group.context_tokens} gives lower perplexity than one of {window}"
            checks.append(_less(says, long, short))
            says = f"{group.name}: at {group.context_tokens} lower than the untouched model at {window}"
            checks.append(_less(says, long, _at(base, corpus, window)))
        for direct in _of(found, "none"):
            for group in _of(found, "linear"):
                if group.factor == direct.factor:
                    ours = _at(group.last(), corpus, group.context_tokens)
                    theirs = _at(direct.last(), corpus, group.context_tokens)
                    says = f"×{group.factor:g} at {group.context_tokens}: PI ends lower than direct fine-tuning"
                    checks.append(_less(says, ours, theirs))
        return runs.scale(record), checks

    return decide


def _steps(study: str) -> tuple[str, list[Check]]:
    record = read(study)
    base, window = [record["metrics"]["base"]], record["metrics"]["model"]["window_tokens"]
    checks = []
    for group in _of(runs.groups(record), "linear"):
        context = group.context_tokens
        curve = [_at(group.at(step), "books", context) for step in group.steps]
        if (alone := runs.value(base, "books", context)) is not None:
            says = f"{group.name}, step 0: at {context} at most half of what extrapolation gives"
            checks.append(Check(says, curve[0].perplexity <= alone.perplexity / 2, f"{curve[0]} against {alone}"))
        falls = all(after.perplexity < before.perplexity for before, after in pairwise(curve))
        says = f"{group.name}: perplexity at {context} falls with every evaluation"
        checks.append(Check(says, falls, ", ".join(map(str, curve))))
        says = f"{group.name}: ends at {context} below the untouched model at {window}"
        checks.append(_less(says, curve[-1], _at(base, "books", window)))
    return runs.scale(record), checks


def _passkey(study: str) -> tuple[str, list[Check]]:
    record = read(study)
    base, window = record["metrics"]["base"], record["metrics"]["model"]["window_tokens"]
    if base["k_max"] < window / 2:
        raise NotTested(f"even in its own window of {window} the untouched model's k_max is only {base['k_max']}")
    checks = []
    for group in runs.groups(record, best="k_max"):
        found = [entry["k_max"] for entry in group.last()]
        evidence = f"k_max {', '.join(map(str, found))}"
        if group.method == "linear":
            says = f"{group.name}: found at every distance to {group.context_tokens}"
            checks.append(Check(says, min(found) >= group.context_tokens, evidence))
        else:
            says = f"{group.name}: hardly beyond the trained {window}, or not even so far"
            checks.append(Check(says, max(found) <= HARDLY_MORE * window, evidence))
    return runs.scale(record), checks


def _original_window(study: str) -> tuple[str, list[Check]]:
    record = read(study)
    base, window = [record["metrics"]["base"]], record["metrics"]["model"]["window_tokens"]
    extended, checks = _of(runs.groups(record), "linear"), []
    for corpus in base[0]["perplexity"]:
        own = _at(base, corpus, window).perplexity
        ratios = [_at(group.last(), corpus, window).perplexity / own for group in extended]
        for group, ratio in zip(extended, ratios, strict=True):
            says = f"{group.name}, {corpus}: perplexity at {window} at most {KEPT - 1:.0%} above the untouched model's"
            checks.append(Check(says, ratio <= KEPT, f"{ratio - 1:+.1%}"))
        grows = all(after > before for before, after in pairwise(ratios))
        evidence = ", ".join(f"{ratio - 1:+.1%}" for ratio in ratios)
        checks.append(Check(f"{corpus}: the loss of quality grows with the factor", grows, evidence))
    return runs.scale(record), checks


def _adaptation(study: str) -> Decide:
    """By factor and rate, each half of what `experiments.measurement.adaptation` decides; the table ``adaptation`` states how."""

    def decide() -> tuple[str, list[Check]]:
        record = read(study)
        checks = []
        for row in record["metrics"].get("adaptation", []):
            where = f"×{row['factor']} at rate {row['peak_lr']:g}"
            pi, direct = (", ".join(map(runs.step, row[method]["steps"])) for method in ("linear", "none"))
            halves = [
                ("perplexity", "at_once", "PI's perplexity is there at once", f"from step {pi}"),
                ("perplexity", "lags", "that of direct fine-tuning later than it", f"from step {direct}, PI {pi}"),
            ]
            if row["retrieval"]["verdict"] != "not tested":
                pi, direct = (", ".join(str(k[-1]) for k in row[method]["k_max"]) for method in ("linear", "none"))
                halves += [
                    ("retrieval", "at_once", "PI retrieves from its whole window at once", f"k_max {pi} at the end"),
                    ("retrieval", "lags", "direct fine-tuning from less at the end", f"{direct}, PI {pi}"),
                ]
            checks += [Check(f"{where}: {says}", all(row[what][half]), seen) for what, half, says, seen in halves]
        return runs.scale(record), checks

    return decide


def _zero_shot() -> tuple[str, list[Check]]:
    record = read("smollm2_perplexity")
    config, checks = record["config"], []
    window = record["metrics"].get("trained_window_tokens", 8192)  # SmolLM2's; older records do not hold it
    longest = round(window * config["factor"])
    if not {window, longest} <= set(config["windows"]):
        raise NotTested(f"the record has no windows of {window} and {longest}")
    for corpus in config["corpora"]:
        at = {
            (method, case["window"]): case["perplexity"]
            for method, parts in record["metrics"]["perplexity"].items()
            for case in parts[corpus]["last"]
        }
        alone, own, interpolated = at["none", longest], at["none", window], at["linear", longest]
        says = f"{corpus}: extrapolated to {longest}, perplexity more than doubles"
        checks.append(Check(says, alone > 2 * own, f"{own:.3g} to {alone:.3g}"))
        says = f"{corpus}: PI, untrained, is below extrapolation"
        checks.append(Check(says, interpolated < alone, f"{interpolated:.3g}"))
        says = f"{corpus}: PI, untrained, is at most {AT_ONCE:.1f} times the untouched model at {window}"
        checks.append(Check(says, interpolated <= AT_ONCE * own, f"{interpolated / own:.1f} times"))
    documents = runs.documents(config["corpora"])
    return f"{config['model']}, window {window}, no fine-tuning; {documents}; {record['device']}", checks


def _finetuned(study: str) -> tuple[str, list[Check]]:
    """Only what is measured on the same tokens is compared, but for the two checks that say otherwise."""
    record = read(study)
    base, window = [record["metrics"]["base"]], record["metrics"]["model"]["window_tokens"]
    found, checks = _with_steps(record), []
    for corpus in base[0]["perplexity"]:
        for group in _of(found, "linear"):
            context, curve = group.context_tokens, group.steps
            where = f"{corpus}, {group.name}"
            alone, own = (_at(base, corpus, n, "last") for n in (context, window))
            says = (
                f"{corpus}: untouched, the last tokens of {context} have more than twice the perplexity of {window}'s"
            )
            checks.append(Check(says, alone.perplexity > 2 * own.perplexity, f"{own} to {alone}"))
            start = _at(group.at(0), corpus, context, "last")
            says = f"{where}, step 0: at the last tokens of {context} at most half of what extrapolation gives"
            checks.append(Check(says, start.perplexity <= alone.perplexity / 2, f"{start} against {alone}"))
            values = [_at(group.at(step), corpus, context) for step in curve]
            falls = all(after.perplexity < before.perplexity for before, after in pairwise(values))
            says = f"{where}: perplexity at {context} falls with every evaluation"
            checks.append(Check(says, falls, ", ".join(map(str, values))))
            short = _at(base, corpus, window)
            says = f"{where}: ends at {context} below the untouched model at {window} (shorter, so other text)"
            checks.append(_less(says, values[-1], short))
            ratio = _at(group.last(), corpus, window).perplexity / short.perplexity
            says = f"{where}: perplexity at {window} at most {KEPT - 1:.0%} above the untouched model's"
            checks.append(Check(says, ratio <= KEPT, f"{ratio - 1:+.1%}"))
            for direct in _of(found, "none"):
                # A study that was stopped may have one of them further than the other.
                step = max({*group.steps} & {*direct.steps})
                if direct.factor == group.factor and step:
                    ours, theirs = (_at(one.at(step), corpus, context) for one in (group, direct))
                    says = f"{where} at {context}, step {step}: lower than direct fine-tuning"
                    checks.append(_less(says, ours, theirs))
    return runs.scale(record), checks


def _with_steps(record: Record) -> list[Group]:
    """The runs that were measured after fine-tuning, and not before it alone."""
    tuned = [group for group in runs.groups(record) if group.steps[-1] > 0]
    if not _of(tuned, "linear"):
        raise NotTested("the record has no measurement after fine-tuning by PI")
    return tuned


def _finetuned_passkey(study: str) -> tuple[str, list[Check]]:
    record = read(study)
    found = _with_steps(record)
    trained, asked = record["config"].get("sequence_tokens"), min(group.context_tokens for group in found)
    if trained and trained < asked:
        raise NotTested(f"fine-tuned on windows of {trained} tokens, where the claim is of windows of L' = {asked}")
    return _passkey(study)


def _on_gpu(decide: Callable[[str], tuple[str, list[Check]]], study: str) -> Decide:
    def on_gpu() -> tuple[str, list[Check]]:
        try:
            return decide(f"{study}@gpu")
        except NoRecord:
            raise NotTested("not measured: it needs a CUDA GPU (python -m experiments.gpu)") from None

    return on_gpu


def _heads(study: str) -> Decide:
    """A study of trained heads settles its own claims, each by the rule that stands beside it in the record."""

    def decide() -> tuple[str, list[Check]]:
        record = read(study)
        settled = [one for one in record["metrics"].get("verdicts", []) if one["verdict"] != "not tested"]
        if not settled:
            raise NotTested(f"the record of {study} settles no claim")
        config = record["config"]
        documents = f"{config['tokens']} tokens of each of {runs.documents(config['corpora'])}"
        scale = f"{config['model']}, every head; {documents}; {record['device']}"
        return scale, [
            Check(one["claim"], one["verdict"] == "reproduced", _measured(one["measured"])) for one in settled
        ]

    return decide


def _measured(values: dict[str, float]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in values.items())


def _no_data(what: str) -> Decide:
    def decide() -> tuple[str, list[Check]]:
        raise NotTested(f"no study here has {what}")

    return decide


def _explodes(base: list[dict], corpus: str, window: int) -> Iterator[Check]:
    twice = runs.value(base, corpus, 2 * window)
    if twice is not None:
        own = _at(base, corpus, window)
        says = f"untouched, perplexity at {2 * window} is more than twice that at {window}"
        yield Check(says, twice.perplexity > 2 * own.perplexity, f"{own} to {twice}")


def _less(says: str, one: Value, other: Value) -> Check:
    return Check(says, one.perplexity < other.perplexity, f"{one} against {other}")


def _at(entries: list[dict], corpus: str, window: int, part: str = "perplexity") -> Value:
    found = runs.value(entries, corpus, window, part)
    if found is None:
        raise NotTested(f"no {corpus} perplexity at window {window} in the record")
    return found


def _of(found: list[Group], method: str) -> list[Group]:
    return [group for group in found if group.method == method]


EXPERIMENTS = {
    "table1_books": Experiment(
        "table1_books", "tiny_tables", "Table 1",
        "On books, a model extended by PI gains from longer windows; by direct fine-tuning it gains less.",
        _perplexity("books", "tiny_tables"),
    ),
    "table2_code": Experiment(
        "table2_code", "tiny_tables", "Table 2",
        "The same on technical text (here: program code).",
        _perplexity("code", "tiny_tables"),
    ),
    "table3_steps": Experiment(
        "table3_steps", "tiny_tables", "Table 3",
        "PI starts far below extrapolation, improves with every evaluation and soon surpasses the untouched model.",
        partial(_steps, "tiny_tables"),
    ),
    "table4_kmax": Experiment(
        "table4_kmax", "tiny_tables", "Table 4",
        "PI lets a model find a passkey anywhere in its new window; direct fine-tuning, hardly beyond the old one.",
        partial(_passkey, "tiny_tables"),
    ),
    "table5_benchmarks": Experiment(
        "table5_benchmarks", "", "Table 5", "Extended models lose little on standard benchmarks.",
        _no_data("the benchmarks' data (pi-model benchmark runs them where it is)"),
    ),
    "table5_original_window": Experiment(
        "table5_original_window", "tiny_tables", "Section 3.4, in its spirit",
        "Extended models lose little inside the original window, and the more the larger the factor.",
        partial(_original_window, "tiny_tables"),
    ),
    "table6_summaries": Experiment(
        "table6_summaries", "", "Table 6", "A model extended to 16384 summarises government reports competitively.",
        _no_data("GovReport or a model of that size (pi-model summarize does it where they are)"),
    ),
    "longer_books": Experiment(
        "longer_books", "tiny_sweep", "Table 1, more steps and rates",
        "The same as Table 1, each way at its best rate.",
        _perplexity("books", "tiny_sweep"),
    ),
    "longer_code": Experiment(
        "longer_code", "tiny_sweep", "Table 2, more steps and rates",
        "The same as Table 2, each way at its best rate.",
        _perplexity("code", "tiny_sweep"),
    ),
    "longer_steps": Experiment(
        "longer_steps", "tiny_sweep", "Table 3, more steps and rates",
        "The same as Table 3, at its best rate.",
        partial(_steps, "tiny_sweep"),
    ),
    "longer_kmax": Experiment(
        "longer_kmax", "tiny_sweep", "Table 4, more steps and rates",
        "The same as Table 4, each way at its best rate.",
        partial(_passkey, "tiny_sweep"),
    ),
    "adaptation": Experiment(
        "adaptation", "tiny_sweep", "Section 3",
        "A model adapts to PI within few steps; direct fine-tuning needs far more.",
        _adaptation("tiny_sweep"),
    ),
    "zero_shot": Experiment(
        "zero_shot", "smollm2_perplexity", "Table 3, step 0, on a released model",
        "Beyond the trained window perplexity explodes; PI largely prevents it even without fine-tuning.",
        _zero_shot,
    ),
    "finetune_smollm2": Experiment(
        "finetune_smollm2", "smollm2_finetune", "Tables 1 to 3, on a released model",
        "Fine-tuned by PI, a model soon uses its longer window and keeps its quality in the old one.",
        partial(_finetuned, "smollm2_finetune"),
    ),
    "finetune_smollm2_kmax": Experiment(
        "finetune_smollm2_kmax", "smollm2_finetune", "Table 4, on a released model",
        "Fine-tuned by PI, a model soon finds a passkey anywhere in its longer window.",
        partial(_finetuned_passkey, "smollm2_finetune"),
    ),
    "finetune_smollm2_gpu": Experiment(
        "finetune_smollm2_gpu", "smollm2_finetune@gpu", "Tables 1 to 3, on a released model, to 32768",
        "The same with the steps that a GPU allows, beside direct fine-tuning.",
        _on_gpu(_finetuned, "smollm2_finetune"),
    ),
    "finetune_smollm2_kmax_gpu": Experiment(
        "finetune_smollm2_kmax_gpu", "smollm2_finetune@gpu", "Table 4, on a released model, to 32768",
        "The same with the steps that a GPU allows, beside direct fine-tuning.",
        _on_gpu(_finetuned_passkey, "smollm2_finetune"),
    ),
    "heads_tiny": Experiment(
        "heads_tiny", "tiny_heads", "Sections 2.3 and 2.4, on trained heads",
        "The bounds and the catastrophe of Fig. 2 describe what trained heads do.",
        _heads("tiny_heads"),
    ),
    "heads_smollm2": Experiment(
        "heads_smollm2", "smollm2_heads", "Sections 2.3 and 2.4, on a released model",
        "The same.",
        _heads("smollm2_heads"),
    ),
    "jump_tiny": Experiment(
        "jump_tiny", "tiny_jump", "Section 2.2",
        "Extrapolation fails because of relative positions that training has not seen.",
        _heads("tiny_jump"),
    ),
    "jump_smollm2": Experiment(
        "jump_smollm2", "smollm2_jump", "Section 2.2, on a released model", "The same.", _heads("smollm2_jump")
    ),
}  # fmt: skip
