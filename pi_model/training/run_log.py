"""What a training run reports while it runs: a JSON line for every step and evaluation, and a progress bar."""

import importlib.util
import json
import re
import sys
import traceback
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pi_model.errors import RunError
from pi_model.files import append_line, write_text

TRACEBACKS = "tracebacks"  # a folder in that of a run


class Log:
    """A file of JSON lines, one for each step, to which a resumed run appends; the numbers also go to TensorBoard.

    Args:
        path: the file.
        steps_done: how many steps the run has done. Lines of later steps are dropped, because a killed run may have got
            further than its last checkpoint.
        scalars: where the numbers go as well.

    Attributes:
        lines: those that the file had when it was opened.
    """

    def __init__(self, path: Path, steps_done: int, scalars: "Scalars") -> None:
        self.path, self._scalars = path, scalars
        kept = [line for line in read_log(path) if line["step"] <= steps_done] if path.exists() else []
        for line in kept:
            scalars.write(path.stem, line)
        self.lines = kept
        write_text(path, "".join(json.dumps(line) + "\n" for line in kept))

    def write(self, line: dict[str, Any]) -> None:
        """Append a line; its key "step" says after how many steps."""
        append_line(self.path, json.dumps(line, allow_nan=False))
        self._scalars.write(self.path.stem, line)


class Scalars:
    """Writes the numbers of the logs for TensorBoard, if its package is installed; does nothing if not.

    Args:
        folder: where the event files go. TensorBoard no longer shows what earlier commands wrote there: a kill may have
            lost some of it, so the logs write all their lines again.
    """

    installed = importlib.util.find_spec("tensorboard") is not None

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def write(self, log: str, line: dict[str, Any]) -> None:
        """Write every number of a log's line as ``log/name``, and those of a table in it as ``log/name/key``."""
        if not self.installed:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(self._folder, purge_step=0)
        for name, value in line.items():
            table = {f"/{key}": entry for key, entry in value.items()} if isinstance(value, dict) else {"": value}
            for key, number in table.items():
                if name != "step" and isinstance(number, int | float):
                    self._writer.add_scalar(f"{log}/{name}{key}", number, line["step"])

    def close(self) -> None:
        """Write what is left to the event files."""
        if self._writer is not None:
            self._writer.close()


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without a last one that was cut short by a kill.

    Raises:
        RunError: the file does not hold JSON lines.
    """
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    try:
        return [json.loads(line) for line in lines if line.endswith("\n")]
    except ValueError as error:
        raise RunError(f"{path}: is not a log: {error}; remove it, the checkpoints do not need it") from error


def keep_traceback(out: Path, rank: int, error: BaseException) -> str:
    """Write where an error came from, which is a fault of this program, into a run's folder.

    Args:
        out: the run's folder.
        rank: the process.
        error: the error.

    Returns:
        What the error is and where it is written, in one line.
    """
    path = out / TRACEBACKS / f"rank-{rank:05}.txt"
    what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if re.search(r"Timed out waiting|Connection (closed|reset) by peer|remote process exited", what):
        what = f"another rank has ended, or did not answer in time ({what})"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(traceback.format_exception(error)), encoding="utf-8")
    except OSError as failed:
        return f"{what}; the traceback could not be written to {path}: {failed.strerror}"
    return f"{what}; the traceback is in {path}"


class Display:
    """Shows progress: a bar on a terminal, or one line for each step where standard error is not a terminal.

    Args:
        steps: number of steps in the run.
        done: how many of them an earlier command has done.
        show: False shows nothing.
    """

    def __init__(self, steps: int, done: int, *, show: bool) -> None:
        self._bar = tqdm(total=steps, initial=done, unit="step", disable=not (show and sys.stderr.isatty()))
        self._lines = show and not sys.stderr.isatty()
        self._steps = steps

    def step(self, line: dict[str, Any]) -> None:
        """Show a finished step, as it stands in the log."""
        text = (
            f"loss {line['loss_nats']:.4f}, {line['tokens_per_second']:.0f} tok/s, "
            f"{line['tflops']:.2f} TFLOP/s, {line['peak_gib']:.1f} GiB"
        )
        if "slowest" in line:
            seconds = sorted(line["own_seconds"])
            text += f", slowest {line['slowest']} ({seconds[-1]:.2f} s, median {seconds[len(seconds) // 2]:.2f})"
        if line["flop_utilisation"] is not None:
            text += f", {line['flop_utilisation']:.0%} MFU"
        self._bar.set_postfix_str(text)
        self._bar.update()
        if self._lines:
            rate = f"{line['learning_rate']:.2e}, gradient norm {line['gradient_norm']:.3f}"
            print(f"step {line['step']}/{self._steps}: {text}, learning rate {rate}", file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        """Show a line of text."""
        if self._lines:
            print(text, file=sys.stderr, flush=True)
        elif not self._bar.disable:
            self._bar.write(text, file=sys.stderr)

    def close(self) -> None:
        """Remove the bar."""
        self._bar.close()
