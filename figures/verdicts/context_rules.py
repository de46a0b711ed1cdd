"""Rules on what context is worth: the loss of the same last tokens of each text, by how much was read before them.

The paper's tables compare windows that score other tokens. Where the tokens are the same, a gain is a difference within
each text, and its interval is that over texts.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from experiments.records.record import Record, read
from figures.verdicts import fine_tuning_runs as runs
from figures.verdicts.fine_tuning_runs import by_text
from figures.verdicts.intervals import Interval, Loss, difference, every, nats
from figures.verdicts.verdict import Check, Decided, NotTested, experiment

_FOLDER = "folder"  # the method of a folder of weights, which does not say how they came about
_WAYS = {"linear": "PI", "ntk": "NTK-aware scaling", "dynamic": "dynamic NTK", "yarn": "YaRN"}


@dataclass(frozen=True)
class Reader:
    """A model of the record.

    Attributes:
        name: what rows call it.
        how: how a statement begins that is about it.
        method: how it was extended; "none" if not, "folder" where only its weights say.
        tuned: whether it was fine-tuned.
        context_tokens: what it serves.
        losses: by corpus and context.
    """

    name: str
    how: str
    method: str
    tuned: bool
    context_tokens: int
    losses: dict[str, dict[int, Loss]]

    def change(self, corpus: str, to: int, of: int, other: "Reader | None" = None) -> Interval:
        """By how many nats the loss from one context is above that from another, of this model or of another one.

        Raises:
            NotTested: one of the two was not measured.
        """
        ours, theirs = self.losses.get(corpus, {}).get(to), (other or self).losses.get(corpus, {}).get(of)
        if ours is None or theirs is None:
            raise NotTested(f"The record has no loss on {corpus} from contexts of {to} and of {of} tokens.")
        return difference([ours], [theirs])


@experiment(
    id="context_tiny", study="tiny_context", group="tiny",
    source="Section 3.2, on the same tokens",
    says="The more of a long text a model sees, the better it predicts, and a model extended by PI and fine-tuned "
    "gains from tokens beyond its old window.",
)  # fmt: skip
@experiment(
    id="context_smollm2", study="smollm2_context", group="SmolLM2",
    source="Section 3.2, on the same tokens, without fine-tuning",
    says="The more of a long text a model sees, the better it predicts, and a model extended by PI gains from tokens "
    "beyond its old window.",
)  # fmt: skip
def context_lowers_the_loss(study: str) -> Decided:
    """Inside the old window for the untouched model, beyond it for what the claim is about; the table has the others.

    That is PI: fine-tuned where the record has such a model, beside direct fine-tuning if it has that too.
    """
    record = read(study)
    window, (untouched, *extended) = record["metrics"]["window_tokens"], readers(record)
    tuned = [one for one in extended if one.tuned]
    by_pi = [one for one in tuned or extended if one.method in ("linear", _FOLDER)]
    direct = [one for one in tuned if one.method == "none"]
    checks = []
    for corpus, settings in record["config"]["corpora"].items():
        repeats = settings.get("repeats")
        if repeats != "far":  # of which the old window holds nothing
            checks.append(_inside(untouched, corpus, window, near=repeats == "near"))
        if repeats != "near":  # which the old window holds already
            for reader in by_pi:
                checks += _beyond(reader, untouched, corpus, window)
                checks += [_more(reader, other, corpus, window) for other in direct]
    return Decided(f"{scale(record)}; {runs.measured_on(record)}", tuple(checks))


def _inside(untouched: Reader, corpus: str, window: int, *, near: bool) -> Check:
    """Whether the loss falls with every step of context up to the window; with the step to near passages alone."""
    contexts = [context for context in sorted(untouched.losses[corpus]) if context <= window]
    states = "Untouched, the model predicts better the more of its window it sees"
    if near:
        contexts = [window // 2, window]
        states = "Untouched, the model predicts passages better where its window holds them once before"
    falls = every(untouched.change(corpus, more, less).below() for less, more in pairwise(contexts))
    total = untouched.change(corpus, contexts[-1], contexts[0])
    measured = f"from {contexts[0]} to {contexts[-1]} tokens of context {nats(total)}"
    return Check(states, falls, measured, corpus)


def _beyond(reader: Reader, untouched: Reader, corpus: str, window: int) -> list[Check]:
    """Whether tokens beyond the old window lower the loss, of the same model and below the untouched one's."""
    longest, case = max(reader.losses[corpus]), f"{reader.name}, {corpus}"
    gain, net = reader.change(corpus, longest, window), reader.change(corpus, longest, window, untouched)
    return [
        Check(
            f"{reader.how}, tokens beyond the old window lower the loss",
            gain.below(), f"from {window} to {longest} tokens of context {nats(gain)}", case, brief=nats(gain),
        ),
        Check(
            f"{reader.how}, the model predicts better from its new window than untouched from its old one",
            net.below(), f"from {longest} tokens against {window} untouched {nats(net)}", case, brief=nats(net),
        ),
    ]  # fmt: skip


def _more(reader: Reader, direct: Reader, corpus: str, window: int) -> Check:
    """Whether the loss from the longest context is below that after direct fine-tuning."""
    longest = max(reader.losses[corpus])
    ahead = reader.change(corpus, longest, longest, direct)
    return Check(
        f"{reader.how}, the model predicts better from its new window than fine-tuned directly",
        ahead.below(), f"from {longest} tokens against as many, directly, {nats(ahead)}", f"{reader.name}, {corpus}",
        brief=nats(ahead),
    )  # fmt: skip


def readers(record: Record) -> list[Reader]:
    """The untouched model of a record first, then those that serve more than its window.

    Raises:
        NotTested: the record has no untouched model, or nothing that is extended.
    """
    window = record["metrics"]["window_tokens"]
    texts = record["metrics"]["texts"]
    found = [_reader(one, record["config"]["model"], texts) for one in record["metrics"]["models"]]
    untouched = [one for one in found if one.context_tokens == window][:1]
    extended = [one for one in found if one.context_tokens > window]
    if not untouched or not extended:
        raise NotTested(f"The record does not hold both a model with a window of {window} tokens and an extended one.")
    return [*untouched, *extended]


def _reader(one: dict[str, Any], trained: str, texts: dict[str, list[str]]) -> Reader:
    losses = {
        corpus: {int(context): _loss(nats, texts[corpus]) for context, nats in by_context.items()}
        for corpus, by_context in one["document_loss_nats"].items()
    }
    method = one["method"] if one.get("model", trained) == trained else _FOLDER
    tuned = "steps" in one or method == _FOLDER
    return Reader(one["name"], _how(method, tuned=tuned), method, tuned, one["context_tokens"], losses)


def _how(method: str, *, tuned: bool) -> str:
    way = _WAYS.get(method, method)
    if method == _FOLDER:
        return "Extended and fine-tuned"
    if not tuned:
        return f"Extended by {way} without training"
    return "Fine-tuned directly" if method == "none" else f"Extended by {way} and fine-tuned"


def _loss(nats: Sequence[float], texts: Sequence[str]) -> Loss:
    return Loss(statistics.fmean(nats), documents=len(nats), by_text=by_text(nats, texts))


def training(record: Record) -> str:
    """Whether a model of a comparison was fine-tuned: one whose weights are not those of the untouched model."""
    trained, models = record["config"]["model"], record["metrics"]["models"]
    if steps := [one["steps"] for one in models if "steps" in one]:
        return f"fine-tuned for {steps[0]} steps of {record['config']['steps_tokens']} tokens (1 seed), and not"
    own = any(one.get("model", trained) != trained for one in models)
    return "fine-tuned models beside untrained ones" if own else "no fine-tuning"


def scale(record: Record) -> str:
    """At what scale it was measured: model, window, training and texts."""
    config, metrics = record["config"], record["metrics"]
    documents = runs.documents({corpus: len(names) for corpus, names in metrics["texts"].items()})
    return (
        f"{config['model']}, trained window {metrics['window_tokens']} tokens, {training(record)}; the last "
        f"{config['last_tokens']} tokens of {documents}"
    )
