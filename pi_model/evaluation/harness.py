"""Tasks of lm-evaluation-harness: finding and loading them, and a model's score on each of their items.

The harness makes the prompts and computes the scores. Its tasks run code of their own, so that whatever one raises is
told as one line with its name.
"""

import contextlib
import copy
import difflib
import functools
import importlib.util
import io
import json
import logging
import random
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pi_model.data.token_seams import PreTrainedTokenizerBase
from pi_model.errors import RunError, UsageError
from pi_model.files import cache_dir
from pi_model.models.families import CausalLM
from pi_model.models.rope_parameters import depends_on_context, read_extension

# The harness's seeds, which its own command sets before tasks make their items.
_SEED, _NUMPY_SEED = 0, 1234
_NAME = re.compile(rb"""^[ -]*["']?(?:task|group|tag)["']?: *["']?([^\s"']+)""", re.MULTILINE)


def require() -> None:
    """Raise RunError unless the harness is installed."""
    if importlib.util.find_spec("lm_eval") is None:
        raise RunError("benchmarks need a package: pip install 'position-interpolation[benchmarks]'")


def task_files() -> Path:
    """The folder of the harness's own task files, found without importing it, which takes seconds."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None  # `require` has been called
    assert spec.origin is not None
    return Path(spec.origin).parent / "tasks"


@functools.cache
def _index() -> dict[str, Any]:
    """What the harness knows of every task, group and tag by name, which takes it some seconds to find."""
    from lm_eval.tasks import TaskManager

    return dict(TaskManager().task_index)


def _names() -> set[str]:
    """The names that stand in the harness's task files."""
    files = task_files().rglob("*.yaml")
    return {found.decode() for path in files for found in _NAME.findall(path.read_bytes())}


def refuse_unknown(tasks: Sequence[str], own: Collection[str]) -> None:
    """Raise UsageError unless each is a task of the harness; ``own`` are other names that could have been given."""
    known = _names() if tasks else set()
    for task in tasks:
        if task not in known:
            near = difflib.get_close_matches(task, [*own, *known], n=3) or list(own)
            raise UsageError(f"tasks: unknown {task}; did you mean {', '.join(near)}? `lm-eval ls tasks` lists all")
    for task in tasks:
        entry = _index().get(task)
        if entry is None:
            raise UsageError(f"tasks: {task} stands in the harness's files, but it cannot read that task")
        if entry.kind.name not in ("TASK", "PY_TASK"):
            raise UsageError(f"tasks: {task} is a {entry.kind.name.lower()} of several tasks; name those that you want")


def is_synthetic(task: str) -> bool:
    """Whether a task of the harness makes its items itself, to a length in tokens."""
    return "custom_dataset" in (_index()[task].cfg or {})


def load(task: str, *, length: int | None = None, counted_by: str | Path | None = None) -> Any:
    """The harness's object for one of its tasks, with its data loaded.

    Args:
        task: its name.
        length: tokens of an item, for a task that makes its items.
        counted_by: the folder of the tokenizer that counts them.

    Raises:
        RunError: the task or its data cannot be loaded.
    """
    if length is None:
        return _loaded(task, _index()[task].yaml_path, {})
    # a copy, since the harness keeps its prompts for a model in the object that it asks
    return copy.copy(_made(task, length, str(counted_by)))


@functools.cache
def _made(task: str, length: int, counted_by: str) -> Any:
    """A task that makes its items. That takes minutes, and every model of a comparison gets the same ones."""
    return _loaded(task, _index()[task].yaml_path, {"max_seq_lengths": [length], "tokenizer": counted_by})


def load_file(file: Path, task: str, split: str, data: Path | None) -> Any:
    """The harness's object for a task file, with its data loaded.

    Args:
        file: the task file.
        task: the name that it gives.
        split: the split of the dataset that the task uses.
        data: a file with the items; None takes those on the hub.

    Raises:
        RunError: the data cannot be loaded.
    """
    content: dict[str, Any] = {"include": str(file)}
    if data:
        content |= {
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {"data_files": {split: str(data)}, "cache_dir": str(cache_dir() / "datasets")},
            "training_split": None,
        }
    with TemporaryDirectory() as temporary:
        path = Path(temporary) / "task.yaml"
        path.write_text(json.dumps(content))  # JSON is YAML, too
        return _loaded(task, path, {}, advice="; --data-dir takes it from local files")


def _loaded(task: str, file: Path, metadata: dict[str, Any], advice: str = "") -> Any:
    from lm_eval.tasks import TaskManager

    try:
        with _seeded(), contextlib.redirect_stdout(io.StringIO()):  # some print what they try
            return TaskManager(include_defaults=False, metadata=metadata).load([str(file)])["tasks"][task]
    except Exception as error:
        raise RunError(f"{task}: its data cannot be loaded: {_line(error)}{advice}") from error


@contextlib.contextmanager
def _seeded() -> Iterator[None]:
    """Every model gets the same items, and who called keeps the state of their generators.

    NumPy's is the one that it has for all, because tasks draw from that.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    random.seed(_SEED)
    np.random.seed(_NUMPY_SEED)  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002


def language_model(
    model: CausalLM, tokenizer: PreTrainedTokenizerBase, context_tokens: int, bos: bool, batch_size: int
) -> Any:
    """The harness's view of a model."""
    from lm_eval.models.huggingface import HFLM

    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    tokenizer = copy.copy(tokenizer)
    tokenizer.split_special_tokens = True  # those that an item spells are text, as everywhere
    return HFLM(
        pretrained=model,
        tokenizer=tokenizer,
        backend="causal",
        max_length=context_tokens,
        add_bos_token=bos,
        batch_size=batch_size,
    )


def scores(
    lm: Any, task: Any, limit: int | None, *, zero_shot: bool, metrics: Collection[str] | None
) -> dict[str, list[float]]:
    """A number for every item, by metric.

    Args:
        lm: what `language_model` gives.
        task: what `load` or `load_file` gives.
        limit: use only the first so many items; None uses all.
        zero_shot: show no examples, also where the task would.
        metrics: those that are wanted, of which some may be missing; None gives all.

    Raises:
        RunError: the task cannot be run, gives no number for each item, or generates text with a model whose cache
            would be wrong.
    """
    from lm_eval.evaluator import evaluate

    name = task.config.task
    if task.OUTPUT_TYPE == "generate_until":
        _refuse_to_generate(name, lm)
    if zero_shot:
        task.set_config("num_fewshot", 0)
    try:
        # The harness's simple_evaluate does the same, but also seeds all generators and lists the machine's packages.
        found = evaluate(lm, {"tasks": {name: task}}, limit=limit, bootstrap_iters=0)
    except Exception as error:
        raise RunError(f"{name}: the harness cannot run it: {_line(error)}") from error
    (samples,) = found["samples"].values()
    several = len({sample["filter"] for sample in samples}) > 1  # ways to read an answer
    numbers: dict[str, list[float]] = {}
    for sample in sorted(samples, key=lambda sample: sample["doc_id"]):
        for metric in sample["metrics"]:
            value = sample[metric]
            absent = metric.isdigit() and value == -1  # RULER's way to say that the item has another length
            if isinstance(value, int | float | np.number) and not absent and (metrics is None or metric in metrics):
                key = f"{metric},{sample['filter']}" if several else metric
                numbers.setdefault(key, []).append(float(value))
    if not numbers:
        raise RunError(f"{name}: gives no number for each item, and models are compared item by item")
    return numbers


def _refuse_to_generate(task: str, lm: Any) -> None:
    """Raise RunError where the harness would generate text wrongly, or not at all."""
    if depends_on_context(read_extension(lm.model.config)):
        raise RunError(
            f"{task}: generates text with a cache, whose keys would be those of shorter texts after dynamic scaling; "
            "extend the model by another method"
        )
    if lm.tokenizer.eos_token_id is None:
        raise RunError(f"{task}: generates text, and the model's tokenizer has no end-of-sequence token to end it with")


def _line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
