"""Fine-tuning runs of the tiny LLaMA, measured on the way: what the studies of training share.

A run is trained to each of its evaluation steps, exported as anybody would, and measured by the code that measures
finished models. Each measurement is kept as soon as it is there and training goes on from its newest checkpoint, so
that a killed study loses a minute at most.
"""

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from tqdm import tqdm

from experiments.records.record import digest, write_atomically
from pi_model.data.corpora import CORPORA
from pi_model.data.documents import Selection, Source, load_documents
from pi_model.evaluation.passkey import passkey
from pi_model.evaluation.perplexity import WindowResult, sliding_perplexity
from pi_model.files import cache_dir, sha256_file
from pi_model.models.extension import extend_checkpoint
from pi_model.models.loading import load_checkpoint, local_folder
from pi_model.training.config import MixturePart
from pi_model.training.loop import train
from pi_model.training.recipes import pretrain_tiny, tiny
from pi_theory.scaling import scaling_by_name

CHECKPOINT_STEPS = 25

Measured = dict[str, Any]

# How every study of training measures: its own config adds what it varies.
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


def study_folder(name: str, config: dict[str, Any]) -> Path:
    """Where a study keeps what it has so far; another one for another config or other weights."""
    weights = sha256_file(local_folder(config["model"]) / "model.safetensors")
    return cache_dir() / "runs" / f"{name}-{digest([config, weights])[:16]}"


def tiny_inputs() -> dict[str, str]:
    """Hashes of the checkpoint and of the archives that the documents come from."""
    folder = local_folder(MEASURED["model"])
    files = [sha256_file(folder / name) for name in ("config.json", "model.safetensors", "tokenizer.json")]
    archives = {package for corpus in CORPORA.values() for package in corpus.packages}
    return {"checkpoint": digest(files)} | {package.requirement: package.sha256 for package in archives}


def unextended(config: dict[str, Any], folder: Path) -> Measured:
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
        if method == "none":  # the model as it is, but for the length of the passkey prompts
            model, of_base = local_folder(config["model"]), unextended(config, folder)["perplexity"]
            perplexity = {corpus: {str(w): rows[str(w)] for w in windows} for corpus, rows in of_base.items()}
            return {"step": 0, "perplexity": perplexity, **retrieval(model, config, context)}
        with TemporaryDirectory() as temporary:
            model = Path(temporary) / "model"
            extend_checkpoint(config["model"], scaling_by_name(method, float(factor)), model)
            perplexity = perplexities(model, config, config["corpora"], windows)
            return {"step": 0, "perplexity": perplexity, **retrieval(model, config, context)}

    return kept(folder / f"{method}-{factor}.json", measured)


def curve(config: dict[str, Any], run: Run, folder: Path) -> list[Measured]:
    """A run, measured before it and after each of ``config["steps"]``.

    Every window and corpus at both ends; on the way, to save time, the first corpus at the trained and the extended
    window.
    """
    later = [
        kept(folder / run.name / f"step-{steps}.json", partial(_after, config, run, steps, folder / run.name / "run"))
        for steps in config["steps"]
    ]
    return [zero_shot(config, run.method, run.factor, folder), *later]


def _after(config: dict[str, Any], run: Run, steps: int, out: Path) -> Measured:
    context = run.factor * config["window_tokens"]
    batch = config["steps_tokens"] // context
    recipe = replace(
        tiny(run.factor, direct=run.method == "none"),
        model=str(config["model"]),
        window_tokens=config["window_tokens"],
        data=mixture(config),
        method=run.method,
        peak_lr=run.peak_lr,
        seed=run.seed,
        warmup_steps=config["warmup_steps"],
        global_batch=batch,
        micro_batch=batch,
        steps=steps,
        checkpoint_every=CHECKPOINT_STEPS,
        keep=1,
    )
    model = train(recipe, out).model
    corpora, windows = config["corpora"], [window for window in config["windows"] if window <= context]
    if steps < config["steps"][-1]:
        corpora, windows = dict(list(corpora.items())[:1]), [config["window_tokens"], context]
    perplexity = perplexities(model, config, corpora, windows)
    return {"step": steps, "perplexity": perplexity, **retrieval(model, config, context)}


def mixture(config: dict[str, Any]) -> tuple[MixturePart, ...]:
    return tuple(MixturePart(name=name, weight=weight) for name, weight in config["mixture"].items())


def perplexities(
    model: Path, config: dict[str, Any], corpora: dict[str, int], windows: Sequence[int]
) -> dict[str, dict[str, dict[str, Any]]]:
    """Perplexity of a folder by corpus and window."""
    checkpoint = load_checkpoint(model)
    tokens, strides = config["document_tokens"], config["strides_a_window"]
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for corpus, samples in corpora.items():
        selection = Selection(tokens, tokens, samples, config["documents_seed"])
        documents = load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)
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
    """Passkey of a folder in one window: {k_max, accuracy[k]}."""
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
    return {
        "loss_nats": result.loss_nats,
        "loss_nats_stderr": result.loss_nats_stderr,
        "perplexity": result.perplexity,
        "tokens": result.tokens,
        "documents": len(result.document_loss_nats),
    }


def about(config: dict[str, Any]) -> dict[str, Any]:
    """The model of a study, for captions."""
    parameters = load_checkpoint(config["model"]).model.num_parameters()
    return {"name": Path(config["model"]).name, "parameters": parameters, "window_tokens": config["window_tokens"]}


def measured_runs(
    config: dict[str, Any], runs: Sequence[Run], name: str, *, processes: int, progress: bool
) -> Measured:
    """The metrics of a study that is a set of runs.

    Returns:
        ``model``, see `about`; ``steps_tokens``; ``base``, the unextended model; ``runs``, each with its ``curve``,
        whose entries are {step, perplexity[corpus][window], k_max, accuracy[k]}; and ``resumed``, whether part of it
        was kept from an earlier start, which the wall time then leaves out.
    """
    folder = study_folder(name, config)
    resumed = folder.exists()
    zero_shots = sorted({(run.method, run.factor) for run in runs})
    base = unextended(config, folder)
    in_processes([(zero_shot, config, *pair, folder) for pair in zero_shots], processes, progress=progress)
    curves = in_processes([(curve, config, run, folder) for run in runs], processes, progress=progress)
    made = {
        "model": about(config),
        "steps_tokens": config["steps_tokens"],
        "base": base,
        "runs": [asdict(run) | {"curve": entries} for run, entries in zip(runs, curves, strict=True)],
        "resumed": resumed,
    }
    shutil.rmtree(folder)
    return made


def kept(path: Path, make: Callable[[], Measured]) -> Measured:
    """What is in the file, or what is made and then put there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(make()).encode())
    content: Measured = json.loads(path.read_text())
    return content


def in_processes(calls: Sequence[tuple[Any, ...]], processes: int, *, progress: bool) -> list[Any]:
    """Results of ``(function, *arguments)``, in order; each process has one thread."""
    bar = tqdm(total=len(calls), unit="run", leave=False, disable=None if progress else True)
    if processes == 1:
        with bar:
            return [_call(bar, function, *arguments) for function, *arguments in calls]
    # Forks of a process that has imported torch and used none of its threads: after that a fork may hang.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload([__name__])
    # The server may be older than this process's choice of cache.
    prepare = partial(_prepare_worker, str(cache_dir()))
    with bar, ProcessPoolExecutor(processes, mp_context=server, initializer=prepare) as pool:
        futures = [pool.submit(*call) for call in calls]
        try:
            for future in as_completed(futures):
                future.result()
                bar.update()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _call(bar: tqdm, function: Callable[..., Any], *arguments: Any) -> Any:
    result = function(*arguments)
    bar.update()
    return result


def cores() -> int:
    """As many runs at a time: each needs about a gigabyte."""
    return min(4, os.cpu_count() or 1)


def _prepare_worker(cache: str) -> None:
    os.environ["PI_MODEL_CACHE"] = cache
    torch.set_num_threads(1)
    # A killed study takes its workers with it.
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)
