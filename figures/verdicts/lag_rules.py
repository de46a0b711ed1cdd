"""The rule for how long direct fine-tuning lags behind PI, by how long a model was pretrained."""

from itertools import combinations

from experiments.records.record import Record, read
from figures.verdicts.adaptation import WITHIN, caught_up
from figures.verdicts.fine_tuning_runs import Runs, runs_in
from figures.verdicts.verdict import Check, Decided, NotTested, experiment


@experiment(
    id="lag", study="tiny_lag", source="beyond Section 3: by pretraining", group="tiny",
    says="The more a model was pretrained, the longer direct fine-tuning lags behind PI.",
)  # fmt: skip
def lags_the_more(study: str) -> Decided:
    """When direct fine-tuning has caught up, from models of one pretraining; each against those that had less of it."""
    models = by_tokens(read(study))
    lags = {
        tokens: caught_up(*pair, tuned.corpora[0]) for tokens, tuned in models.items() for pair in tuned.best_pairs()
    }
    if len(lags) < 2:
        raise NotTested("The record has fewer than two models that were extended both ways.")
    states = f"The more a model was pretrained, the later direct fine-tuning is within {WITHIN - 1:.0%} of PI"
    checks = [
        Check(
            states,
            lags[many].later_than(lags[few]),
            f"after {millions(few)} tokens {lags[few]}, after {millions(many)} {lags[many]}",
            f"{millions(many)} tokens against {millions(few)}",
            brief=str(lags[many]),
        )
        for few, many in combinations(lags, 2)
    ]
    scale = f"pretrained on {', '.join(map(millions, models))} tokens; {[*models.values()][-1].scale}"
    return Decided(scale, tuple(checks))


def by_tokens(record: Record) -> dict[int, Runs]:
    """The runs from each model, by how many tokens it was pretrained on, rising."""
    models = sorted(record["metrics"]["models"], key=lambda model: model["tokens"])
    return {model["tokens"]: runs_in(record | {"metrics": model}) for model in models}


def millions(tokens: int) -> str:
    """As in "19.7M"."""
    return f"{tokens / 1e6:.3g}M"
