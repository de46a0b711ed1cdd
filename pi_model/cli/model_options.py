"""The arguments of every command that loads a model to measure it, and what is done with them."""

import argparse
import hashlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pi_model.errors import UsageError
from pi_theory.console import warn, whole, word

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from pi_model.models.families import ModelConfig
    from pi_model.models.loading import Checkpoint
    from pi_model.models.rope_parameters import Extension

MODEL = "A folder, a GGUF file, a name on the hub (owner/name), tiny-llama or smollm2-135m."


def add_model(parser: argparse.ArgumentParser, *, several: bool = False) -> None:
    """Declares the model that a command measures, and how it is run.

    Args:
        parser: The command's.
        several: Whether there may be more than one, to be compared with the first.
    """
    parser.add_argument(
        "--model",
        type=word,
        action="append" if several else _Once,
        required=True,
        metavar="MODEL",
        help=f"{'A' if several else 'The'} model to measure. {MODEL}"
        + " Give the option again for each model to compare with the first." * several,
    )
    parser.add_argument(
        "--bos",
        choices=("auto", "yes", "no"),
        default="auto",
        help="Whether a beginning-of-sequence token is put before every input; auto does as the tokenizer does.",
    )
    add_window(parser)
    add_hardware(parser)


class _Once(argparse.Action):
    """An option that is refused when it is given twice, where argparse would drop the first value."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        if getattr(namespace, self.dest) is not None:
            raise argparse.ArgumentError(self, "given twice, but this command measures one model")
        setattr(namespace, self.dest, values)


def add_window(parser: argparse.ArgumentParser, *, context: str = "") -> None:
    """Declares the option that says which window a model was trained on.

    Args:
        parser: The command's.
        context: What the help says before anything else.
    """
    parser.add_argument(
        "--window",
        type=whole(1),
        metavar="N",
        help=f"{context}The window in tokens that the model was trained on, before any extension. Default: what its "
        "config.json says; where its fields contradict each other, this is asked for.",
    )


def tell_window(arguments: argparse.Namespace, source: str, extension: "Extension") -> None:
    """Says in one line on standard error which window was taken from which field, unless it is the plain one."""
    plain = extension.method == "none" and extension.source == "max_position_embeddings"
    if not plain and not getattr(arguments, "quiet", False):
        print(f"pi-model: {source}: {extension.stated}", file=sys.stderr)


def add_hardware(parser: argparse.ArgumentParser, *, automatic: str = "") -> None:
    """Declares how and where models are run.

    Args:
        parser: The command's.
        automatic: What the number format auto chooses, for a command that has it.
    """
    formats = ("float32", "bfloat16", "float16")
    parser.add_argument(
        "--dtype",
        choices=("auto", *formats) if automatic else formats,
        default="auto" if automatic else "float32",
        help="Number format of the weights." + (f" Default: {automatic}" if automatic else ""),
    )
    parser.add_argument(
        "--device",
        type=_device,
        default="auto",
        help="Device to run on: cpu, cuda, cuda:N for GPU N, or auto, which is cuda where there is a GPU.",
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress bar.")


def _device(text: str) -> str:
    """The type of an argument that names a device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", text):
        raise argparse.ArgumentTypeError(f"unknown {text[:60]!r}, give auto, cpu, cuda or cuda:N")
    return text


def load(arguments: argparse.Namespace, source: str) -> "Checkpoint":
    """The checkpoint of a source, on the device and in the number format that were asked for.

    From then on ``arguments.device`` is the device that was chosen.

    Raises:
        UsageError: There is no such source or device.
        RunError: The checkpoint cannot be fetched or read.
    """
    from pi_model.distributed.devices import chosen_device, stated
    from pi_model.distributed.ranks import rank, rank_zero_first
    from pi_model.models.loading import load_checkpoint

    asked, arguments.device = arguments.device, chosen_device(arguments.device)
    quiet_libraries()
    checkpoint = rank_zero_first(
        lambda: load_checkpoint(source, dtype=arguments.dtype, device=arguments.device, window_tokens=arguments.window)
    )
    if rank() == 0:
        if (line := stated(asked, arguments.device)) and not arguments.quiet:
            print(f"pi-model: {line}", file=sys.stderr)
        tell_window(arguments, source, checkpoint.extension)
    return checkpoint


def bos_id(arguments: argparse.Namespace, tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The token that is put before every input, None for none.

    Raises:
        UsageError: One was asked for, and the tokenizer has none.
    """
    from pi_model.models.loading import first_token

    if arguments.bos == "no":
        return None
    if arguments.bos == "auto":
        return first_token(tokenizer)
    bos = tokenizer.bos_token_id
    if bos is None:
        raise UsageError("bos: this tokenizer has no BOS token; use --bos no")
    return int(bos)


def own_tokenizer(arguments: argparse.Namespace, source: str) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model that is not loaded yet, whose folder is found whole.

    Raises:
        UsageError: There is no such source.
        RunError: The folder cannot be fetched or holds no whole model.
    """
    from pi_model.models.loading import check_folder, load_tokenizer
    from pi_model.models.sources import local_folder

    folder = local_folder(source)
    return load_tokenizer(folder, check_folder(folder, window_tokens=arguments.window))


def warn_of_lengths(checkpoint: "Checkpoint", windows: Sequence[int], documents: Sequence[int] = ()) -> None:
    """Warns of windows beyond the model's own, and of documents shorter than a window.

    Args:
        checkpoint: The model.
        windows: Lengths in tokens.
        documents: The length of each document in tokens.
    """
    warn_of_sliding(checkpoint.model.config, max(windows))
    context = checkpoint.extension.context_tokens
    if beyond := [window for window in windows if window > context]:
        many = ", ".join(map(str, beyond))
        warn("pi-model", f"window {many} is beyond the model's {context} tokens: this is extrapolation")
    for window in windows:
        if short := sum(length < window for length in documents):
            warn(
                "pi-model",
                f"{short} of {len(documents)} documents are shorter than window {window} and are scored with what "
                f"context they have; --min-tokens {window} leaves them out",
            )


def warn_of_sliding(config: "ModelConfig", context_tokens: int) -> None:
    """Warns of layers that do not see a whole context, because their attention slides."""
    from pi_model.models.families import sliding_window

    if hidden := sliding_window(config, context_tokens):
        warn("pi-model", f"{hidden}; a context of {context_tokens} tokens is longer")


@contextmanager
def kept_progress(checkpoint: "Checkpoint", *settings: object) -> Iterator[Path]:
    """A folder that keeps partial results of one measurement of one model, so that an interrupted command continues.

    No other command can use it within the block. Whoever has the results removes it, once they have been printed.

    Args:
        checkpoint: The model.
        settings: What else the results depend on.

    Raises:
        RunError: Another process measures the same, or the folder cannot be written.
    """
    from pi_model.distributed.ranks import rank, wait_for_all
    from pi_model.files import cache_dir, written
    from pi_model.locks import NAME, locked

    # --window can change how positions are scaled, which the fingerprint of the files does not hold.
    key = f"{checkpoint.fingerprint()} {checkpoint.extension} {checkpoint.model.device.type} {settings}"
    del checkpoint  # Or it would stay in memory for as long as its progress is kept, beside the next model.
    folder = cache_dir() / "runs" / hashlib.sha256(key.encode()).hexdigest()[:32]
    with ExitStack() as stack:
        if rank() == 0:
            with written(folder):
                stack.enter_context(locked(folder / NAME, f"{folder}, what this command keeps"))
        wait_for_all()
        yield folder


def remover(*folders: Path) -> Callable[[], None]:
    """A function that removes folders of kept progress."""

    def remove() -> None:
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    return remove


def quiet_libraries() -> None:
    """Keeps transformers and its hub client from printing around our own lines, imported yet or not."""
    # The hub client would print five retries before our one line.
    os.environ |= {"TRANSFORMERS_VERBOSITY": "error", "HF_HUB_VERBOSITY": "error"}
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if "transformers" in sys.modules:
        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
