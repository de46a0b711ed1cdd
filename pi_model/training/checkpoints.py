"""Training checkpoints, written in the background by torch.distributed.checkpoint, completely or not at all.

A checkpoint is a folder such as ``step-00000100``. It holds the shards of every rank and ``checkpoint.json``, which
says what run they belong to and has each file's SHA-256. The folder is filled under another name and renamed when it is
complete, so a process that is killed at any moment leaves the earlier checkpoints as they were. Any number of processes
can read a checkpoint, whatever number wrote it. Files and folders of other names beside the checkpoints are somebody
else's, and are left alone.
"""

import itertools
import json
import os
import re
import shutil
import typing
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save
from torch.optim import Optimizer

from pi_model.distributed import ranks
from pi_model.errors import RunError
from pi_model.files import not_written, sha256_file, write_text, written
from pi_model.training.loss import CausalLoss
from pi_model.training.run_folder import first_difference

SCHEMA = 1
MANIFEST = "checkpoint.json"
_PARTIAL = ".partial-"


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: where they are.
        identity: everything that the run's result depends on, as JSON values. The checkpoint of a run with another
            identity is refused.
        keep: how many checkpoints are kept, the newest.

    Attributes:
        group: the process group in which they are written.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], keep: int) -> None:
        self.folder, self.identity, self.keep = folder, identity, keep
        self._rank = dist.get_rank()
        # The threads that write talk to each other while training goes on, so they need a group of their own.
        # A disk may be slow, and a rank that dies ends its connections at once: their waiting has no limit of use.
        self.group = dist.new_group(backend="gloo", timeout=timedelta(days=1))
        self._thread = ThreadPoolExecutor(1)
        self._pending: Future | None = None
        if self._rank == 0:
            with written(folder):
                folder.mkdir(parents=True, exist_ok=True)
                for step in self._numbered(_PARTIAL):
                    shutil.rmtree(self._partial(step))  # of a process that was killed

    def __enter__(self) -> "Checkpoints":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Let a checkpoint that is being written be complete before a run fails over something else."""
        if isinstance(error, Exception):
            with suppress(Exception, CheckpointException):
                self.wait()

    def path(self, step: int) -> Path:
        """The folder of the checkpoint after `step` steps."""
        return self.folder / f"step-{step:08}"

    def _partial(self, step: int) -> Path:
        """The folder in which that checkpoint is written."""
        return self.folder / f"{_PARTIAL}{step:08}"

    def steps(self) -> list[int]:
        """After which steps there are checkpoints, ascending. The checkpoints are not read or checked."""
        return self._numbered("step-")

    def _numbered(self, prefix: str) -> list[int]:
        """The numbers of our own folders whose names begin so, ascending."""
        numbered = re.compile(rf"{re.escape(prefix)}(\d{{8}}|[1-9]\d{{8,}})", re.ASCII)
        found = [(numbered.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return sorted(int(match[1]) for match, path in found if match and path.is_dir())

    def save(self, step: int, model: CausalLoss, optimizer: Optimizer) -> None:
        """Write the state after `step` steps. It is copied at once and written in the background, one at a time."""
        self.wait()
        written = async_save(_state(model, optimizer), checkpoint_id=self._partial(step), process_group=self.group)
        self._pending = self._thread.submit(self._finish, typing.cast(Future, written), step)

    def failed(self) -> bool:
        """Whether this rank knows by now that the last checkpoint could not be written; `wait` says why."""
        pending = self._pending
        return pending is not None and pending.done() and pending.exception() is not None

    def wait(self) -> None:
        """Return when the last checkpoint has been written.

        Raises:
            RunError: it could not be written. Nothing of it is left, and the earlier ones are as they were.
        """
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def _finish(self, written: Future, step: int) -> None:
        """Wait for the shards, then add the manifest, give the folder its name and remove old checkpoints.

        Each rank reads its own shards again for their hashes. All ranks fail if one does.
        """
        partial, path = self._partial(step), self.path(step)
        fault, own = None, {}
        try:
            written.result()
            own = {path.name: sha256_file(path) for path in sorted(partial.glob(f"__{self._rank}_*"))}
        except (Exception, CheckpointException) as error:  # which is no Exception
            fault = self._fault_of(error, path)
        hashes = self._gathered((fault, own))
        fault = next((one for one, _ in hashes if one is not None), None)
        if fault is None and self._rank == 0:
            try:
                self._name(partial, step, {name: sha256 for _, files in hashes for name, sha256 in files.items()})
            except Exception as error:
                fault = self._fault_of(error, path)
        if fault is not None and self._rank == 0:
            shutil.rmtree(partial, ignore_errors=True)
        fault = self._gathered(fault)[0] or fault
        if fault is not None:
            raise RunError(fault)

    def _gathered(self, own: Any) -> list[Any]:
        """What every rank has, by rank, over the group of the threads that write."""
        found: list[Any] = [None] * dist.get_world_size(self.group)
        dist.all_gather_object(found, own, group=self.group)
        return found

    def _fault_of(self, error: BaseException, path: Path) -> str:
        """Why a checkpoint was not written, in one line."""
        told = not_written(path, error)
        if told is not error:
            return str(told)
        reasons = [str(inner) or repr(inner) for inner, _ in getattr(error, "failures", {}).values()]
        return f"{path}: not written: {' '.join((reasons or [repr(error)])[0].split())}"

    def _name(self, partial: Path, step: int, hashes: dict[str, str]) -> None:
        """Complete a checkpoint whose shards have been written and hashed."""
        # torch's metadata file is written last, by rank 0, when all ranks are done.
        others = [path for path in sorted(partial.iterdir()) if path.name not in hashes]
        manifest = {
            "schema": SCHEMA,
            "step": step,
            "world_size": dist.get_world_size(),
            "torch": torch.__version__,
            "run": self.identity,
            "files": dict(sorted((hashes | {path.name: sha256_file(path) for path in others}).items())),
        }
        write_text(partial / MANIFEST, json.dumps(manifest, indent=1) + "\n")
        self._set_aside(step)
        os.replace(partial, self.path(step))
        for old in self.steps()[: -self.keep]:
            shutil.rmtree(self.path(old), ignore_errors=True)

    def _set_aside(self, step: int) -> None:
        """Give what has the name of a checkpoint another one, under which it can be looked at."""
        if (path := self.path(step)).exists():
            names = (f"broken-{step:08}" + f"-{again}" * (again > 1) for again in itertools.count(1))
            os.replace(path, next(free for name in names if not (free := self.folder / name).exists()))

    def load_newest(self, model: CausalLoss, optimizer: Optimizer, *, fall_back: bool = False) -> int:
        """Load the newest checkpoint into a model and its optimiser.

        Args:
            model: the model in training.
            optimizer: its optimiser.
            fall_back: set checkpoints that are not intact aside and take the next older one, instead of refusing.

        Returns:
            The number of steps that the run has done; 0 if there is no checkpoint.

        Raises:
            RunError: the newest checkpoint is corrupt, incomplete or of another run; every rank raises the same.
        """
        step = self._newest(fall_back)
        if step:
            state = _state(model, optimizer)
            load(state, checkpoint_id=self.path(step))
            partly = StateDictOptions(strict=False)  # frozen weights are not in a checkpoint
            weights, moments = state["model"], state["optimizer"]
            set_state_dict(model, optimizer, model_state_dict=weights, optim_state_dict=moments, options=partly)
        return step

    def _newest(self, fall_back: bool) -> int:
        """The step to go on from; raises RunError if the newest checkpoint is not intact."""
        while True:
            # Rank 0 alone looks, because other hosts may not see yet what it has just renamed.
            seen: list[Any] = [self._looked_at() if self._rank == 0 else None]
            dist.broadcast_object_list(seen, src=0)
            step, fault, files = seen[0]
            own = dict(list(files.items())[self._rank :: dist.get_world_size()])
            fault = fault or next((one for one in ranks.everyone(self._damage(step, own)) if one), None)
            if fault is None:
                return step
            if not fall_back:
                raise RunError(
                    f"{self.path(step)}: {fault}; remove it, or go on from the one before it with --fall-back"
                )
            if self._rank == 0:
                self._set_aside(step)
            ranks.wait_for_all()

    def _looked_at(self) -> tuple[int, str | None, dict[str, str]]:
        """The newest checkpoint, 0 for none, what is wrong with its manifest, and the hashes of its files."""
        step = next(reversed(self.steps()), 0)
        return (step, *self._manifest(step)) if step else (0, None, {})

    def _manifest(self, step: int) -> tuple[str | None, dict[str, str]]:
        """What is wrong with a checkpoint's manifest, None if it is whole and of this run; and the files in it."""
        folder = self.path(step)
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            schema, run, files = manifest["schema"], manifest["run"], manifest["files"]
        except FileNotFoundError:
            return f"incomplete, it has no {MANIFEST}", {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            return f"{MANIFEST} is not readable: {error!r}", {}
        if schema != SCHEMA or manifest["step"] != step:
            return f"{MANIFEST} is of schema {schema} and step {manifest['step']}", {}
        if difference := first_difference(run, self.identity):
            return f"of another run, {difference}", {}
        return None, files

    def _damage(self, step: int, files: dict[str, str]) -> str | None:
        """What is wrong with files of a checkpoint, by their hashes; None if they are as they were written."""
        for name, sha256 in files.items():
            path = self.path(step) / name
            if not path.is_file():
                return f"incomplete, {name} is missing"
            if sha256_file(path) != sha256:
                return f"corrupt, {name} is not what was written"
        return None


def _state(model: CausalLoss, optimizer: Optimizer) -> dict[str, Any]:
    """The weights that training changes, and the optimiser's state.

    Frozen weights are those of the base model, and a tied head is the embedding, so neither is stored.
    """
    weights, moments = get_state_dict(model, optimizer)
    trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    return {"model": {name: weights[name] for name in sorted(trained)}, "optimizer": moments}
