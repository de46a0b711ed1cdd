"""Whose a run's folder is: one run's, by what the run is made of, and one process's at a time."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import safe_open

from pi_model.data.documents import tokenizer_sha256
from pi_model.distributed import ranks
from pi_model.errors import RunError, UsageError
from pi_model.files import refuse_related, sha256_file, written
from pi_model.locks import NAME, locked
from pi_model.models.config_file import read_config
from pi_model.models.weights import weight_files
from pi_model.training.config import Config
from pi_model.training.run_log import TRACEBACKS

if TYPE_CHECKING:
    from pi_model.training.preparation import Preparation
else:
    Preparation = Any  # whose module imports torch

MANIFEST = "run.json"


@contextmanager
def alone(out: Path) -> Iterator[None]:
    """Within the block, no other run can use this folder. To be called on every rank of the run.

    Raises:
        RunError: another process uses it, or it cannot be written; every rank raises the same.
    """
    import torch.distributed as dist  # here, so that a folder can be refused before seconds go into importing torch

    with ExitStack() as stack:
        fault = None
        if dist.get_rank() == 0:
            try:
                with written(out):
                    stack.enter_context(locked(out / NAME, f"out: {out}"))
            except RunError as error:
                fault = str(error)
        ranks.agree(fault)
        yield


def refuse_other_run(config: Config, out: Path) -> None:
    """Refuse a folder that cannot be this run's, before anything is read.

    Raises:
        UsageError: the folder holds another run, or anything that is not a run, or files that the run reads, or is
            inside them.
        RunError: its record of the run cannot be read.
    """
    if out.exists() and not out.is_dir():
        raise UsageError(f"out: {out} is a file; give a folder")
    if config.model is not None:
        refuse_related(out, model=Path(config.model))
    for name in [*(part.name for part in config.data), config.evaluation.data]:
        if name is not None:
            refuse_related(out, data=Path(name))
    path = out / MANIFEST
    if not path.exists():
        ours = ("origin", "checkpoints", TRACEBACKS)  # what a run that ended at once may leave
        if out.exists() and any(entry.name not in ours and not entry.name.startswith(".") for entry in out.iterdir()):
            raise UsageError(f"out: {out} is not empty and holds no run; give another folder")
        return
    refuse_difference(config.identity(), out)


def refuse_difference(ours: dict[str, Any], out: Path) -> None:
    """Raise UsageError if a folder's run differs from another in any of the other's fields."""
    path = out / MANIFEST
    try:
        theirs: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))["run"]
        difference = first_difference({name: value for name, value in theirs.items() if name in ours}, ours)
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: not readable: {error}; remove it, or give another folder") from error
    if difference:
        raise UsageError(f"out: {out} holds a run {difference}; give another folder, or the same config")


def identity(config: Config, start: Preparation) -> dict[str, Any]:
    """Everything that a run's result depends on, as JSON values; the weights of a model with adapters are left out."""
    # All weights are in a checkpoint; of the model that they came from, only its shape and its tokenizer still matter.
    weights = weight_files(start.origin) if config.architecture is None else []
    model = [read_config(start.origin), tokenizer_sha256(start.tokenizer), sorted(map(_tensors, weights))]
    digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode()).hexdigest()
    return config.identity() | {"data_sha256": start.data_sha256, "model_sha256": digest}


def base_identity(start: Preparation) -> dict[str, Any]:
    """What the result of a run depends on besides, whose checkpoints hold adapters alone: these very weights."""
    return {"base_sha256": [sha256_file(path) for path in weight_files(start.origin)]}


_WHOLE = 2**26  # bytes of a file that is hashed whole for `weights_sample`; of a larger one a part is
_SAMPLE, _EVERY = 2**16, 2**24


def weights_sample(start: Preparation) -> str:
    """Hex SHA-256 of parts of the weight files, by which ranks find out that they do not read the same weights.

    Of a file above 64 MiB it reads 64 KiB in every 16 MiB, which is 0.5 GB of 130 GB. Another model, revision or
    training and a copy that was cut short differ in that; a single wrong weight between two samples does not.
    """
    digest = hashlib.sha256()
    for path in weight_files(start.origin):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}".encode())
        step, length = (_EVERY, _SAMPLE) if size > _WHOLE else (_WHOLE, _WHOLE)
        with path.open("rb") as file:
            for at in range(0, size, step):
                file.seek(at)
                digest.update(file.read(length))
    return digest.hexdigest()


def refuse_different_ranks(config: Config, start: Preparation, run: dict[str, Any], evaluated: str) -> None:
    """Refuse to begin where ranks have different runs before them. To be called on every rank.

    Args:
        config: the run.
        start: what it starts from.
        run: its `identity`.
        evaluated: the hash of what is measured during the run.

    Raises:
        RunError: they do; every rank raises the same, which names what differs and on which rank.
    """
    if ranks.world_size() > 1:
        ranks.compare(
            config=hashlib.sha256(
                json.dumps([config.as_json(), run["model_sha256"]], sort_keys=True).encode()
            ).hexdigest(),
            data=str(start.data_sha256),
            evaluation=evaluated,
            weights=weights_sample(start) if config.architecture is None else "",
        )


def _tensors(path: Path) -> list[Any]:
    """Name and shape of every tensor in a file, which is not read."""
    with safe_open(path, framework="pt") as file:
        return sorted([name, file.get_slice(name).get_shape()] for name in file.keys())  # noqa: SIM118


def first_difference(theirs: dict[str, Any], ours: dict[str, Any]) -> str | None:
    """The first field in which two runs differ, as "whose FIELD was A and is now B"; None if they agree.

    Model and data are compared by the hashes of what they hold. Where they lie may change.
    """
    theirs, ours = _by_content(theirs), _by_content(ours)
    for name in sorted(theirs.keys() | ours.keys()):
        # Runs that began before there was this field go on without it.
        if theirs.get(name) != ours.get(name) and not (name == "model_sha256" and name not in theirs):
            return f"whose {name} was {theirs.get(name)} and is now {ours.get(name)}"
    return None


def _by_content(run: dict[str, Any]) -> dict[str, Any]:
    """A run without the names by which its model and its data were found."""
    left = {name: value for name, value in run.items() if name != "model"}
    if "data" in left:
        left["data"] = [{name: value for name, value in part.items() if name != "name"} for part in left["data"]]
    return left
