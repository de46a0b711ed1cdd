"""Rules for the paper's tables on a released model, SmolLM2-135M: without fine-tuning, and after it."""

import math

from experiments.records.record import NoRecord, read
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import Group, Runs, read_runs
from figures.verdicts.intervals import difference
from figures.verdicts.tiny_rules import at, by_method, changed, falls, kept, kept_beside, less, passkey_everywhere
from figures.verdicts.verdict import Check, Decided, NotTested, experiment

# how far above the untouched model's PI starts in the paper's Table 3, extended by 4 and over whole windows: 16.10
# against 7.20; the paper has no start at a smaller factor
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
    texts = runs.texts_of(record["metrics"])
    longest, last = round(window * config["factor"]), config["last_tokens"]
    if not {window, longest} <= set(config["windows"]):
        raise NotTested(f"The record has no windows of {window} and {longest} tokens.")
    for corpus in config["corpora"]:
        found = {
            (method, case["window"]): case
            for method, parts in record["metrics"]["perplexity"].items()
            for case in parts[corpus]["last"]
        }
        cases = [found["none", longest], found["none", window], found["linear", longest]]
        alone, own, interpolated = (runs.recorded_loss(case, texts.get(corpus, ())) for case in cases)
        rises, starts, costs = (
            difference([one], [other]) for one, other in ((alone, own), (interpolated, alone), (interpolated, own))
        )
        checks += [
            Check(
                f"Extrapolated to {longest} tokens, perplexity of the last {last} tokens more than doubles",
                rises.above(math.log(2)), str(rises), corpus,
            ),
            Check(
                f"In the last {last} of {longest} tokens, PI without fine-tuning has a lower perplexity than "
                "extrapolation",
                starts.below(), str(starts), corpus,
            ),
            Check(
                f"In the last {last} of {longest} tokens, PI without fine-tuning has at most {AT_ONCE:.1f} times the "
                f"untouched model's perplexity in the last of {window}",
                costs.below(math.log(AT_ONCE)), str(costs), corpus,
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
    larger="finetune_smollm2_gpu",
    says="Fine-tuned by PI, a model soon uses its longer window and keeps its quality in the old one.",
)  # fmt: skip
def uses_its_window_and_keeps_quality(study: str) -> Decided:
    """Perplexity by window and step; what is compared is measured on the same tokens, unless it says so."""
    tuned, best = _fine_tuned(study)
    base, window, checks = [tuned.base], tuned.window, []
    for corpus in tuned.corpora:
        for group in by_method(best, "linear"):
            context, factor = group.context_tokens, group.factor
            jump = changed((base, context), (base, window), corpus, "last")
            alone, own = (at(base, corpus, n, "last") for n in (context, window))
            states = "The untouched model has more than twice the perplexity at the end of the new window as of its own"
            measured = f"{own} at the end of {window} tokens, {alone} at the end of {context}: {jump}"
            checks.append(Check(states, jump.above(math.log(2)), measured, corpus, factor, str(jump)))
            start = changed((group.at(0), context), (base, context), corpus, "last")
            states = "Before fine-tuning, PI has at most half extrapolation's perplexity at the end of the new window"
            measured = f"{at(group.at(0), corpus, context, 'last')} by PI, {alone} by extrapolation: {start}"
            checks.append(Check(states, start.below(-math.log(2)), measured, corpus, factor, str(start)))
            checks.append(falls(group, corpus, "in the new window"))
            states = (
                "Fine-tuned by PI, the model has a lower perplexity in its new window than in one of the old length, "
                "whose text is shorter and so not the same"
            )
            sides = (group.last(), context, f"at {context} tokens"), (group.last(), window, f"at {window}")
            checks.append(less(states, group, corpus, *sides))
            direct = next((one for one in by_method(best, "none") if one.factor == factor), None)
            # A study that was stopped may have one of them further than the other.
            step = max({*group.steps} & {*direct.steps}) if direct else 0
            if not direct or not step:
                checks.append(kept(tuned, group, corpus))
                continue
            # Fine-tuning on texts of the same kind lowers the perplexity by itself.
            checks.append(kept_beside(group.at(step), direct.at(step), window, corpus, factor))
            states = "After as many steps, PI has a lower perplexity in the new window than direct fine-tuning"
            sides = (group.at(step), context, "by PI"), (direct.at(step), context, "directly")
            checks.append(less(states, group, corpus, *sides, f"{corpus}, step {step}"))
    return Decided(tuned.scale, tuple(checks))


@experiment(
    id="finetune_smollm2_kmax_gpu", study="smollm2_finetune@gpu", group="SmolLM2",
    source="Table 4, on a released model, on a GPU",
    says="Fine-tuned by PI for two hundred steps on a GPU, a model finds a passkey anywhere in its longer window; "
    "by direct fine-tuning, hardly beyond the old one.",
)  # fmt: skip
@experiment(
    id="finetune_smollm2_kmax", study="smollm2_finetune", source="Table 4, on a released model", group="SmolLM2",
    larger="finetune_smollm2_kmax_gpu",
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
