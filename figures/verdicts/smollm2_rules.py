"""Rules for the paper's tables on a released model, SmolLM2-135M: without fine-tuning, and after it."""

from experiments.records.record import NoRecord, read
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Group, Runs, read_runs
from figures.verdicts.tiny_rules import at, by_method, falls, kept, less, passkey_everywhere
from figures.verdicts.verdict import Check, Decided, NotTested, experiment

# how far above the untouched model's PI starts in the paper's Table 3, extended by 4: 16.10 against 7.20
AT_ONCE = 16.10 / 7.20
NO_GPU_RUN = "Not measured: it needs a CUDA GPU (python -m experiments.gpu)."


@experiment(
    id="zero_shot", study="smollm2_perplexity", source="Table 3, step 0, on a released model", group="SmolLM2",
    says="Beyond the trained window perplexity explodes; PI largely prevents it even without fine-tuning.",
)  # fmt: skip
def prevents_the_explosion(study: str) -> Decided:
    """Perplexity of the last tokens of each window, without fine-tuning."""
    record = read(study)
    config, checks = record["config"], []
    window = record["metrics"].get("trained_window_tokens", 8192)  # SmolLM2's; older records do not hold it
    longest, last = round(window * config["factor"]), config["last_tokens"]
    if not {window, longest} <= set(config["windows"]):
        raise NotTested(f"The record has no windows of {window} and {longest} tokens.")
    for corpus in config["corpora"]:
        found = {
            (method, case["window"]): case["perplexity"]
            for method, parts in record["metrics"]["perplexity"].items()
            for case in parts[corpus]["last"]
        }
        alone, own, interpolated = found["none", longest], found["none", window], found["linear", longest]
        checks += [
            Check(
                f"Extrapolated to {longest} tokens, perplexity of the last {last} tokens more than doubles",
                alone > 2 * own, f"from {own:.3g} at {window} tokens to {alone:.3g}", corpus,
            ),
            Check(
                f"In the last {last} of {longest} tokens, PI without fine-tuning has a lower perplexity than "
                "extrapolation",
                interpolated < alone, f"{interpolated:.3g} by PI, {alone:.3g} by extrapolation", corpus,
            ),
            Check(
                f"In the last {last} of {longest} tokens, PI without fine-tuning has at most {AT_ONCE:.1f} times the "
                f"untouched model's perplexity in the last of {window}, as in the paper",
                interpolated <= AT_ONCE * own, f"{interpolated / own:.1f} times", corpus,
            ),
        ]  # fmt: skip
    documents = runs.documents(config["corpora"])
    scale = f"{config['model']}, trained window {window} tokens, no fine-tuning; {documents}"
    return Decided(f"{scale}; {runs.measured_on(record)}", tuple(checks))


@experiment(
    id="finetune_smollm2_gpu", study="smollm2_finetune@gpu", group="SmolLM2",
    source="Tables 1 to 3, on a released model, on a GPU",
    says="Fine-tuned by PI for two hundred steps on a GPU, a model uses its longer window, keeps its quality in the "
    "old one, and does better than by direct fine-tuning.",
)  # fmt: skip
@experiment(
    id="finetune_smollm2", study="smollm2_finetune", source="Tables 1 to 3, on a released model", group="SmolLM2",
    says="Fine-tuned by PI, a model soon uses its longer window and keeps its quality in the old one.",
)  # fmt: skip
def uses_its_window_and_keeps_quality(study: str) -> Decided:
    """Perplexity by window and step; what is compared is measured on the same tokens, unless it says so."""
    tuned, best = _fine_tuned(study)
    base, window, checks = [tuned.base], tuned.window, []
    for corpus in tuned.corpora:
        for group in by_method(best, "linear"):
            context, case = group.context_tokens, f"{group.name}, {corpus}"
            alone, own = (at(base, corpus, n, "last") for n in (context, window))
            states = "The untouched model has more than twice the perplexity at the end of the new window as of its own"
            measured = f"{own} at the end of {window} tokens, {alone} at the end of {context}"
            checks.append(Check(states, alone.perplexity > 2 * own.perplexity, measured, corpus))
            start = at(group.at(0), corpus, context, "last")
            states = "Before fine-tuning, PI has at most half extrapolation's perplexity at the end of the new window"
            holds = start.perplexity <= alone.perplexity / 2
            checks.append(Check(states, holds, f"{start} by PI, {alone} by extrapolation", case))
            values = [at(group.at(step), corpus, context) for step in group.steps]
            checks.append(falls(group, values, "in the new window", corpus))
            short = at(base, corpus, window)
            states = (
                "Fine-tuned by PI, the model has a lower perplexity in its new window than before in its old one, "
                "whose text is shorter and so not the same"
            )
            checks.append(less(states, case, values[-1], short, f"at {context} tokens", f"untouched at {window}"))
            checks.append(kept(case, at(group.last(), corpus, window).perplexity / short.perplexity))
            for direct in by_method(best, "none"):
                # A study that was stopped may have one of them further than the other.
                step = max({*group.steps} & {*direct.steps})
                if direct.factor == group.factor and step:
                    ours, theirs = (at(one.at(step), corpus, context) for one in (group, direct))
                    states = "After as many steps, PI has a lower perplexity in the new window than direct fine-tuning"
                    checks.append(less(states, f"{case}, step {step}", ours, theirs, "by PI", "directly"))
    return Decided(tuned.scale, tuple(checks))


@experiment(
    id="finetune_smollm2_kmax_gpu", study="smollm2_finetune@gpu", group="SmolLM2",
    source="Table 4, on a released model, on a GPU",
    says="Fine-tuned by PI for two hundred steps on a GPU, a model finds a passkey anywhere in its longer window; "
    "by direct fine-tuning, hardly beyond the old one.",
)  # fmt: skip
@experiment(
    id="finetune_smollm2_kmax", study="smollm2_finetune", source="Table 4, on a released model", group="SmolLM2",
    says="Fine-tuned by PI, a model soon finds a passkey anywhere in its longer window.",
)  # fmt: skip
def passkey_after_fine_tuning(study: str) -> Decided:
    """How far back a passkey is found, where training windows were as long as those searched."""
    tuned, found = _fine_tuned(study)
    trained = tuned.record["config"].get("sequence_tokens")
    asked = min(group.context_tokens for group in found)
    if trained and trained < asked:
        raise NotTested(
            f"Fine-tuned here on windows of {trained} tokens; the paper speaks of fine-tuning on windows of the new "
            f"length, {asked}."
        )
    return passkey_everywhere(study)


def _fine_tuned(study: str) -> tuple[Runs, list[Group]]:
    """The runs of a record, and the best of them that were measured after fine-tuning.

    Raises:
        NotTested: none by PI was, or the record is one that only a GPU makes and is not there.
        RecordError: there is no record.
    """
    try:
        tuned = read_runs(study)
    except NoRecord:
        if study.endswith("@gpu"):
            raise NotTested(NO_GPU_RUN) from None
        raise
    found = [group for group in tuned.best() if group.steps[-1] > 0]
    if not by_method(found, "linear"):
        raise NotTested("The record has no measurement after fine-tuning by PI.")
    return tuned, found
