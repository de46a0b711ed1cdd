"""Fine-tuning runs of the tiny LLaMA, measured on the way: what the studies of training share.

A run is trained to each of its evaluation steps, exported as anybody would, and measured by the code that measures
finished models. Each measurement is kept as soon as it is there and training goes on from its newest checkpoint, so
that a killed study loses a minute at most.
"""

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from experiments.measurement.excerpts import excerpts
from experiments.measurement.extended_model import extended_model
from experiments.measurement.kept import Measured, brought, kept, study_folder
from experiments.measurement.processes import in_processes
from pi_model.data.documents import Source
from pi_model.evaluation.passkey import passkey
from pi_model.evaluation.perplexity import WindowResult, sliding_perplexity
from pi_model.models.loading import load_checkpoint
from pi_model.models.sources import local_folder
from pi_model.training.config import Config, MixturePart
from pi_model.training.loop import train
from pi_model.training.recipes import pretrain_tiny, tiny

CHECKPOINT_STEPS = 25
_DECIMALS = 6  # of a document's loss: a hundredth of the smallest difference that an interval tells from zero

# How every study of training measures; its own config adds what it varies.
MEASURED: dict[str, Any] = {
    "model": "tiny-llama",
    "window_tokens": 256,  # L, the model's own
    "steps_tokens": 4096,  # of one optimiser step, whatever the window
    "warmup_steps": 20,
    "mixture": {corpus.name: corpus.weight for corpus in pretrain_tiny().data},  # what is trained on, by weight
    "corpora": {"books": 3, "code": 3},  # documents of each, to measure on
    "split": "test",
    "document_tokens": 2048,  # what is scored of each document, the same at every window
    "windows": [64, 128, 256, 512, 1024, 2048],
    "strides_a_window": 2,  # the paper's stride of 256 is 8 to 128 strides a window, which would cost 4 to 64 times
    "positions": 8,
    "trials": 5,
    "documents_seed": 0,
}

# Of these, what is a length in tokens and grows with a model's window.
LENGTHS = ("window_tokens", "steps_tokens", "document_tokens", "windows")

# A minute's worth of it, at factor 2: what `experiments.records.carry` compares two versions of the code by.
TOY: dict[str, Any] = {
    "corpora": {"books": 1, "code": 1},
    "document_tokens": 512,
    "windows": [64, 256, 512],
    "positions": 2,
    "trials": 1,
    "steps_tokens": 512,
    "warmup_steps": 1,
    "steps": [1, 2],
}


@dataclass(frozen=True)
class Run:
    """One fine-tuning; ``none`` is direct fine-tuning. The seed is that of the data's order."""

    method: str
    factor: int
    peak_lr: float
    seed: int

    @property
    def name(self) -> str:
        return f"{self.method}-{self.factor}-{self.peak_lr:g}-{self.seed}"


def base_measured(config: dict[str, Any], folder: Path) -> Measured:
    """The model as it is: perplexity at every window, passkey in its own."""

    def measured() -> Measured:
        model = local_folder(config["model"])
        perplexity = perplexities(model, config, config["corpora"], config["windows"])
        return {"step": 0, "perplexity": perplexity, **retrieval(model, config, config["window_tokens"])}

    return kept(folder / "base.json", measured)


def zero_shot(config: dict[str, Any], method: str, factor: int, folder: Path) -> Measured:
    """The first entry of a curve: extended, not trained."""
    context = factor * config["window_tokens"]
    windows = [window for window in config["windows"] if window <= context]

    def measured() -> Measured:
        with extended_model(config["model"], method, factor) as model:
            if method == "none":  # the model as it is, but for the length of the passkey prompts
                of_base = base_measured(config, folder)["perplexity"]
                perplexity = {corpus: {str(w): rows[str(w)] for w in windows} for corpus, rows in of_base.items()}
            else:
                perplexity = perplexities(model, config, config["corpora"], windows)
            return {"step": 0, "perplexity": perplexity, **retrieval(model, config, context)}

    return kept(folder / f"{method}-{factor}.json", measured)


def curve(config: dict[str, Any], run: Run, folder: Path) -> list[Measured]:
    """A run, measured before training and after each of ``config["steps"]``.

    Before and at the end perplexity is measured on every corpus at every window; on the way, to save time, on the first
    corpus at the trained and the extended window.
    """
    later = [
        kept(folder / run.name / f"step-{steps}.json", partial(_after, config, run, steps, folder / run.name / "run"))
        for steps in config["steps"]
    ]
    return [zero_shot(config, run.method, run.factor, folder), *later]


def _after(config: dict[str, Any], run: Run, steps: int, out: Path) -> Measured:
    context = run.factor * config["window_tokens"]
    model = fine_tuned(config, run, steps, out)
    corpora, windows = config["corpora"], [window for window in config["windows"] if window <= context]
    if steps < config["steps"][-1]:
        corpora, windows = dict(list(corpora.items())[:1]), [config["window_tokens"], context]
    perplexity = perplexities(model, config, corpora, windows)
    return {"step": steps, "perplexity": perplexity, **retrieval(model, config, context)}


def fine_tuned(config: dict[str, Any], run: Run, steps: int, out: Path) -> Path:
    """Trains config["model"] as a run says up to a step, from the newest checkpoint in ``out``; the model's folder."""
    return train(recipe(config, run, steps), out).model


def recipe(config: dict[str, Any], run: Run, steps: int) -> Config:
    """How a run trains config["model"] up to a step, with the keys of `MEASURED` that are about training."""
    shorter = config.get("sequence_tokens")  # where training windows are shorter than the new window
    batch = config["steps_tokens"] // (shorter or run.factor * config["window_tokens"])
    return replace(
        tiny(run.factor, direct=run.method == "none"),
        model=str(config["model"]),
        window_tokens=config["window_tokens"],
        sequence_tokens=shorter,
        data=mixture(config),
        method=run.method,
        peak_lr=run.peak_lr,
        seed=run.seed,
        warmup_steps=config["warmup_steps"],
        global_batch=batch,
        micro_batch=batch,
        steps=steps,
        device="cpu",
        checkpoint_every=CHECKPOINT_STEPS,
        keep=1,
    )


def mixture(config: dict[str, Any]) -> tuple[MixturePart, ...]:
    """What a recipe trains on, from config["mixture"], the weight of each corpus."""
    return tuple(MixturePart(name=name, weight=weight) for name, weight in config["mixture"].items())


def perplexities(
    model: Path, config: dict[str, Any], corpora: dict[str, int], windows: Sequence[int]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Sliding perplexity of a checkpoint's folder: by corpus and window (as a string, in tokens), a `row` each.

    Args:
        model: the folder.
        config: document_tokens, strides_a_window, split and documents_seed are read.
        corpora: how many documents of each corpus.
        windows: in tokens.
    """
    checkpoint = load_checkpoint(model)
    tokens, strides = config["document_tokens"], config["strides_a_window"]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for corpus, samples in corpora.items():
        source = Source(corpus, split=config["split"])
        documents = excerpts(source, checkpoint.tokenizer, tokens, samples, config["documents_seed"])
        found[corpus] = {}
        for window in windows:
            (result,) = sliding_perplexity(
                checkpoint.model,
                documents.tokens,
                windows=[window],
                stride=window // strides,
                bos_id=checkpoint.bos_id,
                names=documents.names,
            )
            found[corpus][str(window)] = row(result)
    return found


def retrieval(model: Path, config: dict[str, Any], context: int) -> dict[str, Any]:
    """Passkey retrieval of a checkpoint's folder from prompts of so many tokens: {k_max, accuracy[k]}, k in tokens."""
    checkpoint = load_checkpoint(model)
    found = passkey(
        checkpoint.model,
        checkpoint.tokenizer,
        context_tokens=context,
        positions=config["positions"],
        trials=config["trials"],
        bos_id=checkpoint.bos_id,
    )
    return {"k_max": found.k_max, "accuracy": {str(k): share for k, share in found.accuracy.items()}}


def row(result: WindowResult) -> dict[str, Any]:
    """What a record keeps of the perplexity at one window.

    ``document_loss_nats`` is the mean loss of each document in order, so that two models can be compared on each text.
    """
    return {
        "loss_nats": result.loss_nats,
        "loss_nats_stderr": result.loss_nats_stderr,
        "perplexity": result.perplexity,
        "tokens": result.tokens,
        "documents": len(result.document_loss_nats),
        "document_loss_nats": [round(loss, _DECIMALS) for loss in result.document_loss_nats],
    }


def about(config: dict[str, Any]) -> dict[str, Any]:
    """The model of a study, as captions name it."""
    parameters = load_checkpoint(config["model"]).model.num_parameters()
    return {"name": Path(config["model"]).name, "parameters": parameters, "window_tokens": config["window_tokens"]}


def texts(config: dict[str, Any]) -> dict[str, list[str]]:
    """By corpus, the name of the text that each document which is scored was cut from."""
    tokenizer = load_checkpoint(config["model"]).tokenizer
    tokens, seed, split = config["document_tokens"], config["documents_seed"], config["split"]
    return {
        corpus: list(excerpts(Source(corpus, split=split), tokenizer, tokens, samples, seed).names)
        for corpus, samples in config["corpora"].items()
    }


def measured_runs(
    config: dict[str, Any], runs: Sequence[Run], name: str, *, processes: int, progress: bool
) -> Measured:
    """The metrics of a study that consists of runs; what is finished is kept, so that a killed study goes on.

    Args:
        config: as `runs_kept_in` takes it.
        runs: what is trained and measured.
        name: the study's, after which the folder of finished measurements is named.
        processes: how many runs at a time.
        progress: whether to show a bar.

    Returns:
        What `runs_kept_in` gives, and ``resumed``, whether part of it was kept from an earlier start, which the wall
        time then leaves out.
    """
    folder = brought(study_folder(name, config))
    resumed = folder.exists()
    made = runs_kept_in(folder, config, runs, processes=processes, progress=progress)
    shutil.rmtree(folder)
    return made | {"resumed": resumed}


def runs_kept_in(
    folder: Path, config: dict[str, Any], runs: Sequence[Run], *, processes: int, progress: bool
) -> Measured:
    """Runs that start from one model, measured; what is finished is kept in a folder, which stays.

    Args:
        folder: of this model alone.
        config: the study's, with the keys of `MEASURED` and ``steps``. With ``sequence_tokens`` training windows are
            that long, and otherwise as long as the new window.
        runs: what is trained and measured.
        processes: how many runs at a time.
        progress: whether to show a bar.

    Returns:
        ``model``, see `about`; ``steps_tokens``; ``texts``, by corpus the name of the text that each document is an
        excerpt of; ``base``, the unextended model; and ``runs``, each with its ``curve``, whose entries are {step,
        perplexity[corpus][window], k_max, accuracy[k]}.
    """
    zero_shots = sorted({(run.method, run.factor) for run in runs})
    base = base_measured(config, folder)
    side_by_side = partial(in_processes, processes=processes, preload=__name__, progress=progress)
    side_by_side([(zero_shot, config, *pair, folder) for pair in zero_shots])
    curves = side_by_side([(curve, config, run, folder) for run in runs])
    return {
        "model": about(config),
        "steps_tokens": config["steps_tokens"],
        "texts": texts(config),
        "base": base,
        "runs": [asdict(run) | {"curve": entries} for run, entries in zip(runs, curves, strict=True)],
    }
