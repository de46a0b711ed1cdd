"""Where files are kept, and how they are written: completely or not at all."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pi_model.errors import RunError, UsageError


def cache_dir() -> Path:
    """The folder for everything that can be fetched or made again.

    It is ``$PI_MODEL_CACHE`` where that is set, else ``pi-model`` in the user's cache folder.
    """
    if chosen := os.environ.get("PI_MODEL_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pi-model"


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def new_folder(target: Path, *, shared: bool = False) -> Iterator[Path]:
    """A temporary folder to fill, which becomes ``target`` when the block ends well and is removed when it fails.

    Args:
        target: the folder to make; it must not exist, or be empty.
        shared: other processes may be making the same folder at this moment, and the first one to finish is kept.

    Yields:
        The temporary folder.

    Raises:
        RunError: the target exists and is not empty, or writing failed (no space left, no permission).
    """
    if not shared and target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise RunError(f"{target}: already exists and is not empty; choose another folder or remove it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # It is made beside the target, so that the last step is a rename and never a copy.
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise RunError(f"{target}: cannot be created: {error.strerror}") from error
    try:
        yield partial
        partial.chmod(0o755)
        try:
            os.replace(partial, target)
        except OSError as error:
            if not (shared and error.errno in (errno.ENOTEMPTY, errno.EEXIST)):
                raise
    except OSError as error:
        raise RunError(f"{target}: not written: {error.strerror or error}; nothing was left behind") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_inside(out: Path, source: Path) -> None:
    """Raise UsageError if a folder to be written is inside its own source."""
    if source.resolve() in out.resolve().parents:
        raise UsageError(f"out: {out} is inside {source}, which it is made from; choose a folder outside")


def write_text(path: Path, text: str) -> None:
    """Write a small text file in one step, so that a reader sees the old text or the new one, never a part.

    Raises:
        RunError: writing failed.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        raise RunError(f"{path}: not written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
