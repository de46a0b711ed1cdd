"""What a study has measured so far, in a folder of the cache: a study that is killed goes on from there.

A study of many hours can go on on another machine. What is finished is copied from the cache into
``experiments/results/unfinished`` and committed, and removed when the record is made.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.records.record import RESULTS, digest, write_atomically
from pi_model.files import cache_dir, sha256_file
from pi_model.models.sources import local_folder

Measured = dict[str, Any]  # a measurement, as a record holds it


def study_folder(name: str, config: dict[str, Any]) -> Path:
    """Where a study keeps what it has: another folder for another config, or for other weights of config["model"]."""
    weights = [sha256_file(local_folder(config["model"]) / "model.safetensors")] if "model" in config else []
    return cache_dir() / "runs" / f"{name}-{digest([config, *weights])[:16]}"


def kept(path: Path, make: Callable[[], Measured]) -> Measured:
    """What is in the file, or what is made now and then put there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(make()).encode())
    content: Measured = json.loads(path.read_text())
    return content


def brought(folder: Path) -> Path:
    """A study's folder, with what another machine had finished where this one has nothing yet."""
    elsewhere = RESULTS / "unfinished" / folder.name
    if elsewhere.exists() and not folder.exists():
        shutil.copytree(elsewhere, folder)
    return folder
