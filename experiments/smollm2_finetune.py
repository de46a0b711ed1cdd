"""A short fine-tuning of SmolLM2-135M to twice its window, by PI and directly, and other methods zero-shot beside it.

    python -m experiments.smollm2_finetune --minutes 60     # as far as an hour takes it; again: goes on from there
    python -m experiments.smollm2_finetune --profile gpu    # on a CUDA device

PI and direct fine-tuning take turns from one evaluation to the next, so that a run that stops early compares them at
equal steps, and says in its record that it stopped.
"""

import argparse
import shutil
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from experiments.record import digest
from experiments.study import Study
from experiments.tuning import kept, mixture, row
from pi_model.config import Config
from pi_model.corpora import CORPORA
from pi_model.data import Selection, Source, load_documents
from pi_model.evaluation.perplexity import truncated_perplexity
from pi_model.extension import extend_checkpoint
from pi_model.files import cache_dir, sha256_file
from pi_model.model import EMBEDDED, load_checkpoint, local_folder
from pi_model.recipes import smollm2
from pi_model.train import train
from pi_theory.scaling import scaling_by_name

_MARGIN = 1.2  # a turn is begun when 1.2 times the time it should take is left


def run(config: dict[str, Any]) -> dict[str, Any]:
    """Curves of perplexity by step, as far as ``config["minutes"]`` allows.

    Returns:
        ``runs``, a list of {method, factor, peak_lr, seed, curve} over PI and direct fine-tuning; ``zero_shot``, by
        method; each measurement {step, perplexity[corpus][window], last[corpus][window], seconds}: all tokens of each
        cut and its last ones, truncated; ``stopped_early``, whether steps or methods are left to do; ``resumed``; and
        the checkpoint's hash.
    """
    deadline = time.monotonic() + 60 * config["minutes"]
    recipe = _recipe(config)
    weights = sha256_file(local_folder(config["model"]) / "model.safetensors")
    asked = {name: value for name, value in config.items() if name != "minutes"}
    folder = cache_dir() / "runs" / f"smollm2_finetune-{digest([asked, weights])[:16]}"
    resumed = folder.exists()
    zero_shot: dict[str, Any] = {}
    curves: dict[str, list] = {method: [] for method in config["methods"]}
    stopped = False

    # Step 0 of every method, then the methods that are trained, from one evaluation to the next.
    turns = [(0, [method]) for method in [*config["methods"], *config["beside"]]]
    turns += [(step, config["methods"]) for step in config["steps"]]
    done, seconds = 0, {"measuring": 0.0, "a_step": 0.0}
    for step, methods in turns:
        paths = {method: folder / method / f"step-{step}.json" for method in methods}
        missing = sum(not path.exists() for path in paths.values())
        expected = missing * (seconds["measuring"] + (step - done) * seconds["a_step"])
        if missing and time.monotonic() + _MARGIN * expected > deadline:
            stopped = True
            break
        for method, path in paths.items():
            make = partial(_measured, config, recipe, method, step, step - done, folder)
            entry = kept(path, make)
            seconds = {name: max(value, entry["seconds"][name]) for name, value in seconds.items()}
            if method in curves:
                curves[method].append(entry)
            if step == 0:
                zero_shot[method] = entry
        done = step
    if not stopped:
        shutil.rmtree(folder)
    about = {"factor": config["factor"], "peak_lr": recipe.peak_lr, "seed": recipe.seed}
    return {
        "runs": [{"method": method, **about, "curve": curve} for method, curve in curves.items()],
        "zero_shot": zero_shot,
        "stopped_early": stopped,
        "resumed": resumed,
        "checkpoint_sha256": weights,
    }


def _recipe(config: dict[str, Any]) -> Config:
    return replace(
        smollm2(16384),
        model=str(config["model"]),
        window_tokens=config["window_tokens"],
        data=mixture(config),
        factor=config["factor"],
        sequence_tokens=config["sequence_tokens"],
        global_batch=config["global_batch"],
        peak_lr=config["peak_lr"],
        warmup_steps=config["warmup_steps"],
        dtype=config["dtype"],
        device=config["device"],
        checkpoint_every=1 if config["device"] == "cpu" else 20,
        keep=1,
    )


def _measured(
    config: dict[str, Any], recipe: Config, method: str, step: int, new_steps: int, folder: Path
) -> dict[str, Any]:
    start = time.perf_counter()
    with TemporaryDirectory() as temporary:
        if step:
            model = train(replace(recipe, method=method, steps=step), folder / method / "run", progress=True).model
        elif method == "none":
            model = local_folder(config["model"])
        else:
            model = Path(temporary) / "model"
            extend_checkpoint(config["model"], scaling_by_name(method, config["factor"]), model)
        trained = time.perf_counter()
        whole, last = _perplexity(model, config)
    seconds = {"measuring": time.perf_counter() - trained, "a_step": (trained - start) / max(1, new_steps)}
    return {"step": step, "perplexity": whole, "last": last, "seconds": seconds if step else {**seconds, "a_step": 0.0}}


def _perplexity(model: Path, config: dict[str, Any]) -> tuple[dict[str, Any], ...]:
    """By corpus and window, over whole cuts and over their last tokens, both from the same passes."""
    checkpoint = load_checkpoint(model, dtype=config["dtype"], device=config["device"])
    longest = max(config["windows"])
    found: tuple[dict[str, Any], ...] = ({}, {})
    with TemporaryDirectory() as passes:
        for number, (corpus, samples) in enumerate(config["corpora"].items()):
            selection = Selection(longest, longest, samples, config["documents_seed"])
            documents = load_documents(Source(corpus, split=config["split"]), checkpoint.tokenizer, selection)
            for part, last_tokens in zip(found, (None, config["last_tokens"]), strict=True):
                results = truncated_perplexity(
                    checkpoint.model,
                    documents.tokens,
                    windows=config["windows"],
                    last_tokens=last_tokens,
                    bos_id=checkpoint.bos_id,
                    names=documents.names,
                    progress_folder=Path(passes) / str(number),
                )
                part[corpus] = {str(result.window): row(result) for result in results}
    return found


def inputs() -> dict[str, str]:
    """The pinned archives that checkpoint and documents come from."""
    archives = [EMBEDDED["smollm2-135m"][0], *(package for corpus in CORPORA.values() for package in corpus.packages)]
    return {package.requirement: package.sha256 for package in archives}


CPU: dict[str, Any] = {
    "model": "smollm2-135m",
    "window_tokens": 8192,
    "factor": 2.0,
    "methods": ["linear", "none"],
    "beside": ["ntk", "yarn"],  # zero-shot only
    "sequence_tokens": None,  # L', the paper's way
    "mixture": {corpus.name: corpus.weight for corpus in smollm2(16384).data},  # what is trained on, by weight
    "steps": [1, 2, 4, 6, 8, 10],
    "global_batch": 1,
    "peak_lr": 2e-5,
    "warmup_steps": 2,  # the paper warms up over 20 of 1000
    "dtype": "bfloat16",
    "device": "cpu",
    "windows": [2048, 4096, 8192, 12288, 16384],
    "corpora": {"books": 1, "code": 1},  # documents of each, to measure on
    "split": "test",
    "documents_seed": 0,
    "last_tokens": 256,
    "minutes": 180,
}
GPU = {
    "steps": [5, 10, 25, 50, 100, 200],
    "global_batch": 8,
    "warmup_steps": 20,
    "device": "cuda",
    "corpora": {"books": 4, "code": 8},
    "minutes": 25,
}
PROFILES: dict[str, dict[str, Any]] = {"cpu": {}, "gpu": GPU}

STUDY = Study(
    name="smollm2_finetune",
    says="SmolLM2-135M fine-tuned to twice its window for a few steps, by PI and directly",
    config=CPU,
    run=run,
    inputs=inputs,
    live=False,
    minutes=180,
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.smollm2_finetune", description=__doc__)
    parser.add_argument("--profile", choices=PROFILES, default="cpu", help="settings and device (default: cpu)")
    parser.add_argument("--minutes", type=float, help="stop before this long (default: as the profile says)")
    asked = parser.parse_args()
    config = STUDY.config | PROFILES[asked.profile]
    if asked.minutes is not None:
        config |= {"minutes": asked.minutes}
    replace(STUDY, config=config).measure()


if __name__ == "__main__":
    main()
