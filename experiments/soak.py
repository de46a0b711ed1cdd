"""Kills commands at random moments, fills their disk and starts them twice, and holds what they give in the end
against what an undisturbed command gives: to the last bit, weights included.

The model is random and tiny, so that a few minutes hold many kills. Commands are forks of a process that has imported
everything, so that the kills hit the work and not the imports. The disk is a tmpfs of a few megabytes; where mounting
one is not allowed, that part is left out and said to be.
"""

import hashlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pi_theory.console import counted, exit_code, put, script_parser, whole

TMPFS_MEGABYTES = 4
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["pi_model.training.loop", "pi_model.evaluation.summarization", "pi_model.cli.main"])


class Lost(Exception):
    """Something was lost or changed: what, and after what."""


@dataclass(frozen=True)
class Case:
    """A command line under test.

    Attributes:
        words: the command line; PLACE stands for the folder that it may write to.
        processes: how many run it together, as under torchrun.
        reports: whether its answer depends on what earlier commands did, so that only what it wrote is compared.
    """

    words: tuple[str, ...]
    processes: int = 1
    reports: bool = False

    def __str__(self) -> str:
        return self.words[0] if self.processes == 1 else f"{self.words[0]}, {self.processes} processes"


def cases(model: Path, data: Path) -> list[Case]:
    """The commands that keep progress, on the processes that can share them."""
    finetune = (
        *("finetune", "tiny_1024_pi", f"model={model}", "window_tokens=64", "factor=2", f"data={data}", "device=cpu"),
        *("steps=24", "checkpoint_every=3", "keep=1", "global_batch=4", "micro_batch=2", "warmup_steps=2"),
        *("evaluation.steps=0,12,24", f"evaluation.data={data}", "evaluation.windows=64", "evaluation.stride=16"),
        *("evaluation.samples=2", "--out", "PLACE/run", "--quiet"),
    )
    common = ("--model", str(model), "--device", "cpu", "--quiet", "--json")
    perplexity = ("perplexity", *common, "--data", str(data), "--windows", "32", "64", "--stride", "8")
    summarize = ("summarize", *common, "--data", str(data), "--column", "text", "--context", "1500")
    return [
        Case(finetune, reports=True),
        Case(finetune, processes=2, reports=True),
        Case((*perplexity, "--batch-tokens", "128")),
        Case((*perplexity, "--batch-tokens", "128"), processes=2),
        Case(("passkey", *common, "--max-context", "512", "--positions", "8", "--trials", "8")),
        Case((*summarize, "--max-tokens", "16", "--batch-tokens", "1000", "--out", "PLACE/summaries.jsonl")),
    ]


class Running:
    """A command that has been started.

    Args:
        case: the command.
        place: the folder that it may write to, the cache included.
    """

    def __init__(self, case: Case, place: Path) -> None:
        self.case, self.place = case, place
        self.output = Path(tempfile.mkdtemp())
        words = [word.replace("PLACE", str(place)) for word in case.words]
        shared = {"PI_MODEL_CACHE": str(place / "cache"), "WORLD_SIZE": str(case.processes), "MASTER_ADDR": "127.0.0.1"}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            shared["MASTER_PORT"] = str(free.getsockname()[1])
        self.ranks = []
        for rank in range(case.processes):
            own = shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)} if case.processes > 1 else shared
            self.ranks.append(_FORKS.Process(target=_command, args=(words, own, self.output / str(rank))))
            self.ranks[-1].start()

    def kill(self) -> bool:
        """End all processes at once; whether there was one left to end."""
        alive = [one for one in self.ranks if one.is_alive()]
        for one in alive:
            one.kill()
        self.end()
        return bool(alive)

    def end(self) -> int:
        """The exit code of the command when it has ended: the first that is no success, as torchrun has it."""
        while any(one.is_alive() for one in self.ranks):
            time.sleep(0.02)
            if any(one.exitcode for one in self.ranks):  # torchrun ends the other ranks, too
                for one in self.ranks:
                    one.terminate()
        return next((one.exitcode for one in self.ranks if one.exitcode), 0)

    def said(self) -> str:
        """What rank 0 wrote on standard error."""
        return self.output.joinpath("0.err").read_text(errors="replace")

    def result(self) -> dict[str, Any]:
        """What the command gave: its answer, the hashes of the weights, and the logs without their timings."""
        found: dict[str, Any] = {}
        if not self.case.reports:
            found["answer"] = json.loads(self.output.joinpath("0.out").read_text())
        for path in sorted(self.place.rglob("model/*.safetensors")):
            found[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(self.place.glob("run/*.jsonl")) + sorted(self.place.glob("*.jsonl")):
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            timed = {"tokens_per_second", "tflops", "peak_gib", "flop_utilisation"}
            found[path.name] = [{key: value for key, value in line.items() if key not in timed} for line in lines]
        return found


def _command(words: list[str], environment: dict[str, str], output: Path) -> None:
    """Run a command line in this process, its output in files."""
    os.environ.update(environment)
    for descriptor, name in ((1, "out"), (2, "err")):
        with output.with_suffix(f".{name}").open("wb") as file:
            os.dup2(file.fileno(), descriptor)
    import torch

    from pi_model.cli.main import main as command

    torch.set_num_threads(1)
    sys.exit(command(words))


@contextmanager
def fresh(where: Path) -> Iterator[Path]:
    """An empty folder for one command and those that continue it."""
    place = where / "place"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    yield place
    shutil.rmtree(place, ignore_errors=True)


def finished(case: Case, place: Path, expected: dict[str, Any], after: str) -> None:
    """Let a command end undisturbed and compare what it gives.

    Raises:
        Lost: it fails, gives something else, or leaves its progress behind.
    """
    running = Running(case, place)
    if code := running.end():
        raise Lost(f"{case}: exit code {code} after {after}: {running.said()}")
    if (found := running.result()) != expected:
        names = [name for name in expected if found.get(name) != expected[name]]
        raise Lost(f"{case}: another {', '.join(names)} after {after}")
    if left := list(place.glob("cache/runs/*")):
        raise Lost(f"{case}: {left[0]} left behind after {after}")


def killed(case: Case, where: Path, expected: dict[str, Any], seconds: float, draw: random.Random) -> int:
    """Kill a command one to four times at random moments, then let it end; the number of kills that hit it."""
    hits = 0
    with fresh(where) as place:
        for _ in range(draw.randint(1, 4)):
            running = Running(case, place)
            time.sleep(draw.uniform(0, seconds))
            hits += running.kill()
        finished(case, place, expected, counted(hits, "kill"))
    return hits


def twice(case: Case, where: Path, expected: dict[str, Any], draw: random.Random) -> bool:
    """Start a command twice; whether the second was refused.

    Raises:
        Lost: both failed, or one failed without naming the other.
    """
    with fresh(where) as place:
        both = [Running(case, place)]
        time.sleep(draw.uniform(0, 0.5))
        both.append(Running(case, place))
        codes = [one.end() for one in both]
        for one, code in zip(both, codes, strict=True):
            if code and "in use by process" not in one.said():
                raise Lost(f"{case}: exit code {code} of two at once: {one.said()}")
        if all(codes):
            raise Lost(f"{case}: two at once, and both were refused")
        if case.reports:
            finished(case, place, expected, "two at once")
        elif both[codes.index(0)].result() != expected:
            raise Lost(f"{case}: another answer of two at once")
    return any(codes)


def filled(case: Case, where: Path, expected: dict[str, Any], seconds: float, draw: random.Random) -> bool:
    """Fill the disk of a command at a random moment, make room again and let it end; whether the command was hit.

    Raises:
        Lost: it failed without saying that the disk is full.
    """
    with fresh(where) as place:
        running = Running(case, place)
        time.sleep(draw.uniform(0, seconds))
        with (where / "filler").open("wb", buffering=0) as filler, suppress(OSError):
            while True:
                filler.write(bytes(4096))
        code = running.end()
        if code and "No space left on device" not in running.said():
            raise Lost(f"{case}: exit code {code} on a full disk: {running.said()}")
        (where / "filler").unlink()
        finished(case, place, expected, "a full disk")
    return bool(code)


@contextmanager
def small_disk(folder: Path) -> Iterator[bool]:
    """A folder on a tmpfs of a few megabytes; False where mounting is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={TMPFS_MEGABYTES}m", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def make_inputs(folder: Path) -> tuple[Path, Path]:
    """A random model with a tokenizer of one token a byte, and documents of random words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    from pi_model.models.loading import random_llama

    alphabet = ["<s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={token: number for number, token in enumerate(alphabet)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    random_llama(vocab_size=260).save_pretrained(folder / "model")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>").save_pretrained(folder / "model")
    draw = random.Random(0)
    texts = [draw.choices(("grass", "sky", "sun", "green", "blue"), k=120) for _ in range(12)]
    rows = [{"text": " ".join(words), "summary": " ".join(words[:9])} for words in texts]
    (folder / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "model", folder / "documents.jsonl"


def soak(kills: int, seed: int) -> dict[str, Any]:
    """Disturb every command in every way until there were so many kills; the counts of what was done.

    Raises:
        Lost: a command gave something else than an undisturbed one.
    """
    draw = random.Random(seed)
    counts: dict[str, Any] = {"kills": {}, "two at once": {}, "full disk": {}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        expected: dict[Case, dict[str, Any]] = {}
        seconds: dict[Case, float] = {}
        chosen = cases(*make_inputs(folder))
        for case in chosen:
            for _ in range(2):  # The first starts the server of the forks and is no measure of time.
                with fresh(folder) as place:
                    start = time.monotonic()
                    running = Running(case, place)
                    if code := running.end():
                        raise Lost(f"{case}: exit code {code} undisturbed: {running.said()}")
                    seconds[case] = time.monotonic() - start
                    _say(f"{case}: {seconds[case]:.1f} s undisturbed")
                    again, expected[case] = expected.get(case), running.result()
                    if again not in (None, expected[case]):
                        raise Lost(f"{case}: not the same twice, undisturbed")
        done = 0
        while done < kills:
            for case in chosen:
                hits = killed(case, folder, expected[case], seconds[case], draw)
                counts["kills"][str(case)] = counts["kills"].get(str(case), 0) + hits
                done += hits
                _say(f"{done} of {kills} kills")
        for case in chosen:
            refused = sum(twice(case, folder, expected[case], draw) for _ in range(3))
            counts["two at once"][str(case)] = f"{refused} of 3 refused"
            _say(f"{case}: two at once")
        with small_disk(folder / "disk") as mounted:
            for case in chosen if mounted else ():
                hit = sum(filled(case, folder / "disk", expected[case], seconds[case], draw) for _ in range(3))
                counts["full disk"][str(case)] = f"{hit} of 3 stopped"
                _say(f"{case}: on a full disk")
            if not mounted:
                counts["full disk"] = "left out: mounting a tmpfs is not allowed here"
    return counts


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> int:
    parser = script_parser("experiments.soak", __doc__, "--kills 50")
    parser.add_argument("--kills", type=whole(1), default=50, metavar="N", help="How many kills.")
    parser.add_argument("--seed", type=whole(0), default=0, metavar="N", help="Seed of their moments.")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the tmpfs does not stay mounted
    start = time.monotonic()
    counts = soak(asked.kills, asked.seed)
    put(json.dumps(counts, indent=1))
    put(f"nothing lost, all results and weights equal to the last bit, {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code("python -m experiments.soak", main, failures=(Lost,)))
