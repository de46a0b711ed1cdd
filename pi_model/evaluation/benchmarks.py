"""Zero-shot benchmarks through lm-evaluation-harness (Chen et al. 2023, arXiv:2306.15595, Table 5).

The tasks of the paper's table have their data checked here and can take it from local files; any other task of the
harness is run as it is there. Models are compared on the same items. ``tasks/README.md`` says where the data comes from
and how RACE is scored.
"""

import contextlib
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pi_model.data.file_formats import DataFile, rows
from pi_model.data.row_values import cell
from pi_model.data.token_seams import PreTrainedTokenizerBase
from pi_model.errors import RunError, UsageError
from pi_model.evaluation import harness
from pi_model.evaluation.journal import LineJournal
from pi_model.files import sha256_file
from pi_model.models.families import CausalLM

TASK_FILES = Path(__file__).parent / "tasks"
# Tasks that would look for ever for an item that fits: its example alone takes up to 500 tokens.
_LEAST_LENGTHS = {"ruler_vt": 1024}


@dataclass(frozen=True)
class Task:
    """A benchmark.

    Attributes:
        split: the split of the hub dataset that is used, by the name that the harness knows it under.
        columns: the columns that an item must have, each with a function that tells whether a value is valid.
        harness: the task's file in the harness; None if the file is ours.
    """

    split: str
    columns: dict[str, Callable[[Any], bool]]
    harness: str | None = None


def _text(value: Any) -> bool:
    # Half a character, which JSON can write, is none of those that UTF-8 can.
    return isinstance(value, str) and bool(value.strip()) and value.encode(errors="ignore").decode() == value


def _binary(value: Any) -> bool:
    return type(value) is int and value in (0, 1)


_RACE = Task(
    "test",
    {
        "article": _text,
        "question": _text,
        "options": lambda value: isinstance(value, list) and len(value) == 4 and all(map(_text, value)),
        "answer": lambda value: value in ("A", "B", "C", "D"),
    },
)
TASKS = {
    "boolq": Task(
        "validation", {"passage": _text, "question": _text, "label": _binary}, "super_glue/boolq/default.yaml"
    ),
    "piqa": Task("validation", {"goal": _text, "sol1": _text, "sol2": _text, "label": _binary}, "piqa/piqa.yaml"),
    "race_m": _RACE,
    "race_h": _RACE,
    "winogrande": Task(
        "validation",
        {
            "sentence": lambda value: _text(value) and "_" in value,
            "option1": _text,
            "option2": _text,
            "answer": lambda value: value in ("1", "2"),
        },
        "winogrande/default.yaml",
    ),
}


@dataclass(frozen=True)
class Scores:
    """A model's results on a task, item by item.

    Attributes:
        items: for each metric a number for every item, such as 1 in "acc" if the model was right, else 0. RULER's
            tasks call their metric by the length of the items.
    """

    items: dict[str, list[float]]

    def mean(self, metric: str) -> tuple[float, float | None]:
        """The accuracy and its standard error, which is None for a single item."""
        return _mean(np.array(self.items[metric]))

    def gain(self, base: "Scores", metric: str) -> tuple[float, float | None]:
        """The accuracy minus that of another model on the same items, and the standard error of this difference."""
        return _mean(np.array(self.items[metric]) - np.array(base.items[metric]))


def _mean(values: np.ndarray) -> tuple[float, float | None]:
    error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
    return float(values.mean()), error


def check(
    tasks: Sequence[str],
    data_dir: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = 8,
    lengths: Sequence[int] = (),
) -> None:
    """Find whatever would stop `benchmark`, before any model is loaded, and fetch the data that comes from the hub.

    Args:
        tasks: keys of `TASKS`, or names of tasks that the harness has.
        data_dir: as `benchmark` takes it.
        limit: as `benchmark` takes it.
        batch_size: as `benchmark` takes it.
        lengths: as `benchmark` takes it.

    Raises:
        UsageError: a task is unknown, the folder does not exist, a number is below 1, or lengths are missing or of no
            use.
        RunError: the harness is not installed, a dataset cannot be fetched, or a local file does not have the columns
            that its task needs.
    """
    for name, numbers in (("limit", [limit]), ("batch_size", [batch_size]), ("lengths", lengths)):
        for number in numbers:
            if number is not None and number < 1:
                raise UsageError(f"{name}: must be at least 1, got {number}")
    if data_dir is not None and not Path(data_dir).is_dir():
        raise UsageError(f"data-dir: {data_dir} is not a folder")
    for task in tasks:
        if task in TASKS and data_dir is not None:
            _check_file(task, Path(data_dir) / f"{task}.jsonl")
    harness.require()
    others = [task for task in tasks if task not in TASKS]
    harness.refuse_unknown(others, TASKS)
    made = [task for task in others if harness.is_synthetic(task)]
    if made and not lengths:
        raise UsageError(f"lengths: {made[0]} makes its items to a length in tokens; give one, such as --lengths 4096")
    if lengths and not made:
        raise UsageError(f"lengths: none of {', '.join(tasks)} makes its items to a length; leave --lengths out")
    for task in made:
        if min(lengths) < (least := _LEAST_LENGTHS.get(task, 1)):
            raise UsageError(f"lengths: {task} needs at least {least} tokens, got {min(lengths)}")
    for task in tasks:
        if task in TASKS and data_dir is None:
            _own(task, None)
        elif task not in TASKS and task not in made:
            harness.load(task)


def _check_file(task: str, path: Path) -> None:
    """Raise RunError unless every line of a file is an item of the task."""
    if not path.is_file():
        raise RunError(f"{path}: missing; {TASK_FILES.name}/README.md says what it holds and how to get it")
    columns = TASKS[task].columns
    items = list(rows(DataFile.at(path), tuple(columns)))
    if not items:
        raise RunError(f"{path}: the file is empty")
    for row in items:
        for column, good in columns.items():
            value = cell(row.content, column, row.where)
            if not good(value):
                raise RunError(f"{row.where}: {column} cannot be {json.dumps(value)[:60]}")


def benchmark(
    model: CausalLM,
    tokenizer: PreTrainedTokenizerBase,
    tasks: Sequence[str],
    *,
    context_tokens: int,
    bos: bool,
    data_dir: str | Path | None = None,
    limit: int | None = None,
    batch_size: int = 8,
    lengths: Sequence[int] = (),
    counted_by: str | Path | None = None,
    progress_folder: str | Path | None = None,
    progress: bool = False,
) -> dict[str, Scores]:
    """Measure a model's zero-shot accuracy on each task.

    Args:
        model: in evaluation mode.
        tokenizer: the model's own.
        tasks: keys of `TASKS`, or names of tasks that the harness has.
        context_tokens: the model's window; prompts that are longer lose their beginning.
        bos: whether prompts begin with the tokenizer's BOS.
        data_dir: a folder with a file ``TASK.jsonl`` for each key of `TASKS`; None takes the data from the hub.
        limit: use only the first so many items of each task and length; None uses all.
        batch_size: number of items in a forward pass.
        lengths: how many tokens an item of a task that makes its items has, which RULER's do; each is measured.
        counted_by: the folder of the tokenizer that counts these tokens. Models that are compared need the same.
        progress_folder: where the results of finished tasks are kept, so that an interrupted run goes on with the next.
            It must belong to this model alone, and the caller removes it when all is done.
        progress: show the harness's progress bars.

    Returns:
        The scores of each task.

    Raises:
        RunError: a dataset cannot be fetched, or a task cannot be run. Call `check` first: it finds all other faults of
            the arguments and files.
    """
    out = {}
    for task in dict.fromkeys(tasks):
        file = Path(data_dir) / f"{task}.jsonl" if data_dir and task in TASKS else None
        made = task not in TASKS and harness.is_synthetic(task)
        items: dict[str, list[float]] = {}
        for length in lengths if made else [None]:
            data = f"{length} tokens" if made else sha256_file(file) if file else "hub"
            journal = LineJournal(progress_folder, f"benchmark {task} {data} {limit} {context_tokens} {bos}")
            if "items" not in journal.done:
                # The harness draws its bars on standard error even where that is a file.
                hidden = contextlib.nullcontext() if progress else contextlib.redirect_stderr(io.StringIO())
                with hidden:
                    if task in TASKS:
                        loaded, metrics = _own(task, file), ("acc", "acc_norm")
                    else:
                        loaded, metrics = harness.load(task, length=length, counted_by=counted_by), None
                    lm = harness.language_model(model, tokenizer, context_tokens, bos, batch_size)
                    journal.write("items", harness.scores(lm, loaded, limit, zero_shot=task in TASKS, metrics=metrics))
            items |= journal.done["items"]
        out[task] = Scores(items)
    return out


def _own(task: str, file: Path | None) -> Any:
    """The harness's object for a key of `TASKS`, with its data; a file with the items, or None for those on the hub."""
    own = TASKS[task]
    folder = harness.task_files() if own.harness else TASK_FILES
    return harness.load_file(folder / (own.harness or f"{task}.yaml"), task, own.split, file)


def compare(scores: dict[str, dict[str, Scores]]) -> list[dict[str, Any]]:
    """Compare models: a row for each task, metric and model.

    Args:
        scores: scores by model and task. All other models are compared with the first one.
    """
    base = next(iter(scores.values()))
    rows = []
    for task, of_base in base.items():
        for metric, items in of_base.items.items():
            for model, of_model in scores.items():
                accuracy, error = of_model[task].mean(metric)
                row = {"task": task, "metric": metric, "model": model, "items": len(items)}
                row |= {"accuracy": accuracy, "stderr": error}
                if of_model is not base:
                    row["gain"], row["gain_stderr"] = of_model[task].gain(of_base, metric)
                rows.append(row)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """What `compare` returns as a table, in per cent."""

    def per_cent(share: float, error: float | None, sign: str = "") -> str:
        return f"{100 * share:{sign}.1f}" + ("" if error is None else f" +- {100 * error:.1f}")

    wide = max([11, *(len(row["task"]) for row in rows)])
    lines = [f"{'task':{wide}} {'metric':9} {'items':>6} {'accuracy':>17} {'against the first':>18}  model"]
    for row in rows:
        gain = per_cent(row["gain"], row["gain_stderr"], "+") if "gain" in row else ""
        accuracy = per_cent(row["accuracy"], row["stderr"])
        lines.append(
            f"{row['task']:{wide}} {row['metric']:9} {row['items']:6} {accuracy:>17} {gain:>18}  {row['model']}"
        )
    return "\n".join(lines)
