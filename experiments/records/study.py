"""A study: a config, a function from the config to metrics, and the record that results.

A study is redone exactly when its config, its code or its inputs changed; all are compared by hash.
"""

import importlib
import json
import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from experiments.records import record, source_hashes
from experiments.records.record import Record, RecordError
from pi_model.errors import UsageError
from pi_model.files import sha256_file


@dataclass(frozen=True, kw_only=True)
class Study:
    """The measurement of the script ``experiments/studies/NAME.py``, run as ``python -m experiments NAME``.

    Attributes:
        name: that of its script and of its record.
        says: what it shows, in one sentence.
        config: its settings, JSON values.
        run: takes the config and gives the metrics, JSON values. One that takes a ``budget`` too stops in time.
        live: whether every machine makes its record anew; otherwise the committed record is drawn.
        inputs: gives the SHA-256 of each file that it reads, by name. The model's is called "checkpoint".
        minutes: a first guess of how long it takes on two cores.
        cores: how many it can use; None is all there are.
        tolerances: how far a new run may differ in `make verify-results`, which runs a study again only if it has some.
            A key is a dotted path into the metrics, and the longest that matches counts; "" matches all. The value is
            the largest difference, relative to the larger value and to 1, or None for what is not compared.
        conclusion: makes a line from the metrics, to be printed after a run.
        profiles: by name, what each changes in the config.
        window: of its own model, in tokens, where ``lengths`` were chosen for it.
        lengths: the settings that are lengths in tokens. On another model they grow or shrink with its window.
        label: for a variant, its profile and model; they stand in the name of its record.
        options: for a variant, the words of the command line that asked for it.
    """

    name: str
    says: str
    config: dict[str, Any]
    run: Callable[..., dict[str, Any]]
    live: bool = True
    inputs: Callable[[], dict[str, str]] = field(default=dict)
    minutes: float = 0.5
    cores: int | None = None
    tolerances: dict[str, float | None] = field(default_factory=dict)
    conclusion: Callable[[dict[str, Any]], str] | None = None
    profiles: dict[str, dict[str, Any]] = field(default_factory=dict)
    window: int = 0
    lengths: tuple[str, ...] = ()
    label: str = ""
    options: tuple[str, ...] = ()

    @property
    def record_name(self) -> str:
        return f"{self.name}@{self.label}" if self.label else self.name

    @property
    def path(self) -> Path:
        """Where its record is written."""
        return record.path_of(self.record_name, live=not self.committed)

    @property
    def committed(self) -> bool:
        """Whether its record is among the committed ones. A variant's belongs to the machine that asked for it."""
        return not (self.live or self.label)

    @property
    def command(self) -> str:
        """What to type to run it, to be pasted into a shell."""
        return shlex.join(["python", "-m", "experiments", self.name, *self.options])

    def variant(self, *, profile: str = "", model: str = "", changes: dict[str, Any] | None = None) -> "Study":
        """This study with a profile's settings, where it has that profile, on another model, with other settings.

        Args:
            profile: a study without it stays as it is.
            model: any LLaMA that ``pi-model`` loads.
            changes: config keys and their values; they need a model, whose name labels the record.

        Raises:
            UsageError: the study runs no model, or has no such setting; or there is no such model.
            RunError: the model's window cannot be read.
        """
        settings = self.profiles.get(profile, {})
        labels = [profile] if settings else []
        options = ["--profile", profile] if settings else []
        inputs = self.inputs
        if model:
            if "model" not in self.config:
                raise UsageError(f"--model: study {self.name} runs no model")
            settings = {**settings, **self._fitted(settings, model), "model": model}
            labels.append(re.sub(r"[^a-z0-9.]+", "-", Path(model).name.lower()).strip("-"))
            options += ["--model", model]
            inputs = lambda: {**self.inputs(), "checkpoint": _model_digest(model)}  # noqa: E731
        for key, value in (changes or {}).items():
            if key not in self.config:
                raise UsageError(f"--set: study {self.name} has no {key!r}; it has {', '.join(self.config)}")
            if not model:
                raise UsageError("--set: changes a study on a model of your own; give --model too")
            settings = {**settings, key: value}
            options += ["--set", f"{key}={json.dumps(value)}"]
        config = {**self.config, **settings}
        return replace(self, config=config, inputs=inputs, label="@".join(labels), options=tuple(options))

    def _fitted(self, settings: dict[str, Any], model: str) -> dict[str, Any]:
        """The lengths for a model's window, in proportion. A profile with a model of its own keeps its lengths."""
        if not self.lengths or "model" in settings:
            return {}
        if (served := _served_tokens(model)) is None:
            return {}
        ratio = served / self.window
        config = {**self.config, **settings}
        return {name: _times(config[name], ratio) for name in self.lengths if name in config}

    def fingerprint(self) -> dict[str, Any]:
        """What a record must agree with to be current."""
        code = source_hashes.sources(f"experiments.studies.{self.name}")
        return {
            "config_sha256": record.digest(self.config),
            "code": code,
            "code_sha256": record.digest(code),
            "inputs": self.inputs(),
        }

    def current(self, *, partial: bool = False) -> Record | None:
        """The record, if it is there, whole and made by this config, this code and these inputs.

        Args:
            partial: also that of a study whose time was over before its end (metrics["stopped_early"]), and which
                therefore goes on when it is run again.
        """
        try:
            found = record.read_file(self.path)
        except RecordError:
            return None
        if found["metrics"].get("stopped_early") and not partial:
            return None
        return found if all(found.get(key) == value for key, value in self.fingerprint().items()) else None

    def measure(self, **options: Any) -> Record:
        """Runs the study and writes its record.

        Args:
            options: what its `run` takes beside the config.

        Raises:
            UsageError: the record is to be committed, and the code that makes it is not.
        """
        if self.committed:
            record.refuse_uncommitted()
        fingerprint, commit = self.fingerprint(), record.commit()
        start = time.perf_counter()
        metrics = self.run(self.config, **options)
        made: Record = {
            "schema": record.SCHEMA,
            "study": self.name,
            "label": self.label,
            "says": self.says,
            "command": self.command,
            "config": self.config,
            **fingerprint,
            **commit,
            **record.environment(),
            "wall_seconds": round(time.perf_counter() - start, 3),
            "peak_memory_gib": round(record.peak_memory_gib(), 3),
            "metrics": metrics,
        }
        record.write(made, self.path)
        return record.read_file(self.path)


def load(name: str) -> Study:
    """The study of the script ``experiments/studies/NAME.py``."""
    study: Study = importlib.import_module(f"experiments.studies.{name}").STUDY
    return study


def _times(length: Any, ratio: float) -> Any:
    """A length in tokens, or each of a list, times a ratio."""
    if isinstance(length, list):
        return list(dict.fromkeys(_times(one, ratio) for one in length))
    return max(1, round(length * ratio))


@cache
def _served_tokens(model: str) -> int | None:
    """The window that a model serves, which is read from its config; None for a model that is still to be made."""
    from pi_model.models.config_file import read_config
    from pi_model.models.rope_parameters import read_extension
    from pi_model.models.sources import local_folder

    try:
        return read_extension(read_config(local_folder(model))).context_tokens
    except UsageError:
        return None


def _model_digest(model: str) -> str:
    """Of the files of a model's folder; of its name, where it is a name that has to be fetched first."""
    folder = Path(model)
    if not folder.is_dir():
        return record.digest(model)
    files = sorted(path for kind in ("*.json", "*.safetensors", "tokenizer.model") for path in folder.glob(kind))
    return record.digest({path.name: sha256_file(path) for path in files})
