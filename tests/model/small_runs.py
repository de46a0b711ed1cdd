"""Training runs in processes of their own, started fast: what the tests of the loop share."""

import json
import os
import signal
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from pi_model.training.config import Config, MixturePart
from pi_model.training.run_log import read_log
from tests.forks import FORKS, ranks

WORDS = ("grass", "sky", "sun", "green", "blue", "yellow", "here", "go", "again", "there", "and", "back", "the", "is")


def write_documents(path: Path, documents: int = 12, words: int = 120) -> Path:
    """A .jsonl of documents that a model can learn something from."""
    draw = np.random.default_rng(0)
    texts = [" ".join(draw.choice(WORDS, words)) for _ in range(documents)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def small_config(model: Path, data: Path, **changes: Any) -> Config:
    """Position Interpolation x2 of the tiny random model, from 64 tokens to 128."""
    defaults: dict[str, Any] = {
        "model": str(model),
        "window_tokens": 64,
        "factor": 2.0,
        "method": "linear",
        "data": (MixturePart(name=str(data)),),
        "steps": 6,
        "global_batch": 4,
        "peak_lr": 3e-3,
        "warmup_steps": 2,
        "checkpoint_every": 2,
        "device": "cpu",
    }
    return Config(**(defaults | changes))


def _process(
    config: Config, out: Path, environment: dict[str, str], kill_at: int | None, by: signal.Signals, report: Any
) -> None:
    os.environ.update(environment)
    import torch

    from pi_model.training import loop as train

    torch.set_num_threads(1)
    if not config.compile:  # torch's compiler uses parts of torch that torch deprecates
        warnings.simplefilter("error")  # as pytest has it in its own process
    if kill_at is not None:
        original = train.optimizer_step
        done = iter(range(10**6))

        def step_or_die(*arguments: Any) -> Any:
            if next(done) == kill_at:
                os.kill(os.getpid(), by)
            return original(*arguments)

        train.optimizer_step = step_or_die
    try:
        report.put(("done", train.train(config, out)))
    except (Exception, KeyboardInterrupt) as error:
        report.put((type(error).__name__, str(error)))


def run(
    config: Config,
    out: Path,
    *,
    processes: int = 1,
    kill_at: int | None = None,
    by: signal.Signals = signal.SIGKILL,
) -> tuple[str, Any]:
    """Train in new processes: ("done", outcome), (name of the error, its message), or ("killed", None).

    Args:
        kill_at: a signal before this optimiser step of the process, counted from 0.
        by: which.
    """
    environment = {"PI_MODEL_CACHE": os.environ["PI_MODEL_CACHE"]}
    report = FORKS.Queue()
    started = []
    for ranked in ranks(processes) if processes > 1 else [{}]:
        one = FORKS.Process(target=_process, args=(config, out, environment | ranked, kill_at, by, report))
        one.start()
        started.append(one)
    results = [report.get(timeout=300) for _ in started] if kill_at is None or by != signal.SIGKILL else []
    for one in started:
        one.join(300)
    if kill_at is not None and started[0].exitcode == -signal.SIGKILL:
        return "killed", None
    return results[0] if results else report.get(timeout=300)


def losses(out: Path) -> list[float]:
    """The loss of every step, in order."""
    lines = read_log(out / "steps.jsonl")
    assert [line["step"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["loss_nats"] for line in lines]


def trained(config: Config, out: Path, **how: Any) -> list[float]:
    """The losses of a run that must end well."""
    result = run(config, out, **how)
    assert result[0] == "done", result
    return losses(out)
