"""The option --out of commands that measure: the answer as files, beside what is printed."""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pi_model.errors import UsageError
from pi_theory.console import finite, path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FILES = ("result.json", "table.txt", "plot.svg")
KINDS = (".json", ".txt", ".svg", ".png")


def add_out(parser: argparse.ArgumentParser) -> None:
    """Declares where the answer is kept."""
    parser.add_argument(
        "--out",
        type=path,
        metavar="PATH",
        help=f"Keep the answer as well: in a new folder, as {', '.join(FILES[:-1])} and {FILES[-1]}, or in one new "
        "file, by its ending .json, .txt, .svg or .png. Default: print it only.",
    )


def refuse_out(out: Path | None, models: Iterable[str], data: Iterable[str] = ()) -> None:
    """Refuses a place where the answer cannot be kept, before hours are spent on it.

    Raises:
        UsageError: its ending tells no kind, or it would change what is read.
        RunError: something is there already.
    """
    from pi_model.errors import RunError
    from pi_model.files import refuse_related, refuse_used

    if out is None:
        return
    for name in models:
        refuse_related(out, model=Path(name))
    for name in data:
        refuse_related(out, data=Path(name))
    if out.suffix[1:].isalpha() and out.suffix not in KINDS:
        raise UsageError(
            f"--out: {out.name}: a file ends in one of {', '.join(KINDS)}, and a folder in no such letters"
        )
    if out.suffix in KINDS and out.exists():
        raise RunError(f"{out}: already exists; choose another file or remove it")
    refuse_used(out)


def keep(out: Path | None, answer: dict[str, Any], text: str, draw: "Callable[[], Figure]") -> None:
    """Writes the answer where it is to be kept, completely or not at all.

    Args:
        out: the folder or file; None writes nothing.
        answer: what --json prints.
        text: what is printed without it.
        draw: makes the picture, if there is to be one.

    Raises:
        RunError: it cannot be written.
    """
    from pi_model.files import new_file, new_folder

    if out is None:
        return
    if out.suffix in KINDS:
        content = _content(out.suffix, answer, text, draw)
        with new_file(out) as partial:
            partial.write_bytes(content)
        return
    contents = {name: _content(Path(name).suffix, answer, text, draw) for name in FILES}
    with new_folder(out) as folder:
        for name, content in contents.items():
            (folder / name).write_bytes(content)


def _content(suffix: str, answer: dict[str, Any], text: str, draw: "Callable[[], Figure]") -> bytes:
    if suffix == ".json":
        return (json.dumps(finite(answer), indent=1, allow_nan=False) + "\n").encode()
    if suffix == ".txt":
        return (text + "\n").encode()
    from pi_model.evaluation.plots import picture

    return picture(draw(), suffix[1:])
