"""Where files are kept, and how they are written: completely or not at all."""

import contextlib
import errno
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pi_model.errors import RunError, UsageError
from pi_model.locks import locked
from pi_theory.console import explained

_NEARLY_FULL = 2**20  # bytes: less than any file that is worth writing in pieces


def cache_dir() -> Path:
    """The folder for everything that can be fetched or made again.

    It is ``$PI_MODEL_CACHE`` where that is set, else ``pi-model`` in the user's cache folder.

    Raises:
        RunError: the user has no home folder, and neither variable says where to go instead.
    """
    try:
        if chosen := os.environ.get("PI_MODEL_CACHE"):
            return Path(chosen).expanduser()
        if shared := os.environ.get("XDG_CACHE_HOME"):
            return Path(shared) / "pi-model"
        return Path.home() / ".cache" / "pi-model"
    except RuntimeError as error:
        raise RunError("no home folder to keep files in; set PI_MODEL_CACHE to a folder that can be written") from error


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def system_error(error: BaseException, place: Path) -> OSError | None:
    """What the system could not do, behind an error of a library that may not say it; None if it was something else.

    Args:
        error: the error, which may be one of the system itself.
        place: the file or folder that was being written.
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error
    # torch's checkpoints gather the errors of all ranks, and libraries written in Rust give the number in their text.
    for inner, *_ in getattr(error, "failures", {}).values():
        if found := system_error(inner, place):
            return found
    if told := re.search(r"\(os error (\d+)\)", str(error)):
        return OSError(int(told[1]), os.strerror(int(told[1])))
    # torch and numpy say only that less was written than they meant to.
    if re.search(r"unexpected pos|file write failed|requested and \d+ written", str(error)):
        there = next(above for above in (place, *place.absolute().parents) if above.exists())
        full = shutil.disk_usage(there).free < _NEARLY_FULL
        number = errno.ENOSPC if full else errno.EIO
        return OSError(number, os.strerror(number) if full else "less was written than there was to write")
    return None


@contextmanager
def written(path: Path) -> Iterator[None]:
    """A block that writes a file or folder, in which what the system cannot do becomes one line with a remedy.

    Args:
        path: what is written.

    Raises:
        RunError: writing failed: no space left, no permission.
    """
    try:
        yield
    except Exception as error:
        if (told := not_written(path, error)) is error:
            raise
        raise told from error


def not_written(path: Path, error: BaseException) -> BaseException:
    """The error to raise instead of one that came while a file or folder was written.

    It is a `RunError` where the system could not write, and names the file; any other error stays as it is.
    """
    if (system := system_error(error, path)) is None:
        return error
    name = system.filename
    elsewhere = isinstance(name, str) and not Path(name).absolute().is_relative_to(path.absolute().parent)
    if system.errno in (errno.ENOSPC, errno.EDQUOT):
        elsewhere = False  # shutil names the source of a copy for which there was no room
    reason = explained(OSError(system.errno, system.strerror, name if elsewhere else None))
    reason = f"{path}: not written: {reason}"
    if path.absolute().is_relative_to(cache_dir().absolute()):
        reason += "; PI_MODEL_CACHE names another folder for what is kept"
    return RunError(reason)


@contextmanager
def new_folder(target: Path, *, shared: bool = False) -> Iterator[Path]:
    """A temporary folder to fill, which becomes ``target`` when the block ends well and is removed when it fails.

    Args:
        target: the folder to make; it must not exist, or be empty. No other process can be making it.
        shared: other processes may be making the same folder at this moment, and the first one to finish is kept.

    Yields:
        The temporary folder.

    Raises:
        RunError: the target exists and is not empty, another process is making it, or writing failed.
    """
    with contextlib.nullcontext() if shared else claimed(target):
        if not shared:
            refuse_used(target)
        with written(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            # It is made beside the target, so that the last step is a rename and never a copy.
            if shared:
                partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
            else:
                partial = _beside(target, "partial")
                shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
                partial.mkdir()
        try:
            with written(target):
                yield partial
                partial.chmod(0o755)
                try:
                    os.replace(partial, target)
                except OSError as error:
                    if not (shared and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                        raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def refuse_used(target: Path) -> None:
    """Raise RunError where a folder is to be made and something is already."""
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(f"{target}: already exists and is not empty; choose another folder or remove it")


@contextmanager
def new_file(target: Path) -> Iterator[Path]:
    """A temporary path to write, which becomes the file ``target`` when the block ends well.

    Args:
        target: the file to make; it must not exist. No other process can be making it.

    Yields:
        The temporary path; nothing is there.

    Raises:
        RunError: the target exists, another process is making it, or writing failed.
    """
    with claimed(target):
        if target.exists():
            raise RunError(f"{target}: already exists; choose another file or remove it")
        partial = _beside(target, "partial")
        try:
            with written(target):
                partial.unlink(missing_ok=True)  # of a process that was killed
                yield partial
                os.replace(partial, target)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def claimed(target: Path) -> Iterator[None]:
    """Within the block no other process writes this file or folder, and the folder that it goes into is there.

    Raises:
        RunError: another process is writing it, or the folder cannot be made or written to.
    """
    with contextlib.ExitStack() as stack:
        with written(target):
            stack.enter_context(locked(_beside(target, "lock"), str(target)))
        yield


@contextmanager
def claimed_file(target: Path) -> Iterator[None]:
    """`claimed` for a file that will be written in the end and may exist already, or be no file, such as /dev/stdout.

    Raises:
        RunError: it is a folder, another process is writing it, or its folder cannot be written to.
    """
    if target.is_dir():
        raise RunError(f"{target}: is a folder; give a file")
    with claimed(target) if target.is_file() or not target.exists() else contextlib.nullcontext():
        yield


def _beside(target: Path, what: str) -> Path:
    """A hidden path beside another."""
    target = target.absolute()
    return target.with_name(f".{target.name}.{what}")


def refuse_related(out: Path, **sources: Path) -> None:
    """Refuse to write what would change the files that it is made from, or would itself become one of them.

    Args:
        out: the file or folder to be written.
        sources: files and folders that are read, by what each is; those that do not exist are passed over.

    Raises:
        UsageError: ``out`` and a source are the same, or one is inside the other, by whatever path.
    """
    for what, source in sources.items():
        if not source.exists():
            continue
        if out.exists() and out.samefile(source):
            relation = "is"
        elif _inside(out, source):
            relation = "is inside"
        elif _inside(source, out):
            relation = "holds"
        else:
            continue
        raise UsageError(f"out: {out} {relation} {source}, the {what} that is read; choose a place outside")


def _inside(path: Path, folder: Path) -> bool:
    return any(above.exists() and folder.exists() and above.samefile(folder) for above in path.resolve().parents)


def write_text(path: Path, text: str) -> None:
    """Write a small text file in one step, so that a reader sees the old text or the new one, never a part.

    A link is followed. What is no file, such as /dev/stdout or a named pipe, is written to.

    Raises:
        RunError: writing failed.
    """
    with written(path):
        target = path.resolve()
        if target.exists() and not target.is_file():
            target.write_text(text, encoding="utf-8")
            return
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            temporary.write_text(text, encoding="utf-8")
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)


def append_line(path: Path, line: str) -> None:
    """Add a line to a text file. A kill in between leaves a last line without its end, which readers drop.

    Raises:
        RunError: writing failed.
    """
    with written(path), path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
