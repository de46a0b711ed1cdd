"""`pi-model extend` and `pi-model gguf`: from one checkpoint to another, no weight trained."""

import argparse
from pathlib import Path

from pi_model.cli.early_refusal import refuse_names
from pi_model.cli.model_options import MODEL, add_window, quiet_libraries, warn_of_sliding
from pi_model.cli.serving import said, serving
from pi_model.errors import RunError, UsageError
from pi_theory.console import Command, number, path, show, whole, word, wrap

# The keys of pi_theory.scaling.METHODS but "none"; that module would have to import numpy.
METHODS = ("linear", "ntk", "dynamic", "yarn", "llama3")


def _add_extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=word, metavar="SRC", help=f"The model to extend. {MODEL}")
    how_far = parser.add_mutually_exclusive_group(required=True)
    how_far.add_argument(
        "--factor", type=number(at_least=1), metavar="X", help="Extended window divided by the model's present window."
    )
    how_far.add_argument(
        "--context", type=whole(2), metavar="N", help="The extended window in tokens, instead of the factor."
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="linear",
        help="How positions or frequencies are scaled; linear is Position Interpolation.",
    )
    add_window(parser)
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="Folder to write, new or empty.")


def _factor(arguments: argparse.Namespace) -> float:
    """The factor over the window that the model serves now, for the context that was asked for.

    Raises:
        UsageError: The model serves as much already.
    """
    from pi_model.models.config_file import read_config
    from pi_model.models.rope_parameters import read_extension
    from pi_model.models.sources import local_folder

    if arguments.factor is not None:
        return float(arguments.factor)
    present = read_extension(read_config(local_folder(arguments.source)), window_tokens=arguments.window)
    if arguments.context <= present.context_tokens:
        raise UsageError(
            f"--context: {arguments.source} serves {present.context_tokens} tokens already, which {arguments.context} "
            "does not exceed; give more"
        )
    return float(arguments.context / present.context_tokens)


def _extend(arguments: argparse.Namespace) -> None:
    from pi_model.files import refuse_used
    from pi_model.models.config_file import read_config
    from pi_model.models.extension import extend_checkpoint
    from pi_model.models.families import family_of, model_config
    from pi_model.models.plain_folder import is_plain
    from pi_theory.scaling import scaling_by_name

    quiet_libraries()
    refuse_used(arguments.out)
    refuse_names([arguments.source], window=arguments.window)
    scaling = scaling_by_name(arguments.method, _factor(arguments))
    extension = extend_checkpoint(arguments.source, scaling, arguments.out, window_tokens=arguments.window)
    content = read_config(arguments.out)
    if not is_plain(arguments.out, content):
        warn_of_sliding(model_config(content), extension.context_tokens)
    told = serving(arguments.out, extension, llama3_in_gguf=family_of(content).gguf == "llama")
    answer = {
        "model": arguments.source,
        "out": str(arguments.out),
        "method": arguments.method,
        "factor": extension.factor,
        "window_tokens": extension.window_tokens,
        "window_from": extension.stated,
        "context_tokens": extension.context_tokens,
        "base": extension.base,
        "next": told,
    }
    text = (
        f"{arguments.out}: {arguments.source} extended by {arguments.method} from {extension.window_tokens} to "
        f"{extension.context_tokens} tokens, factor {extension.factor:g}\n{extension.stated}"
    )
    show(arguments, answer, f"{text}\n\n# What to type next:\n{said(told)}")


EXTEND = Command(
    name="extend",
    summary="Writes a checkpoint with a longer context window; only its config changes.",
    details="Weights and tokenizer are copied, and plain transformers loads the result. Extending a model that is "
    "extended already multiplies the two factors.",
    example="pi-model extend tiny-llama --factor 4 --out tiny-1024",
    add_arguments=_add_extend,
    run=_extend,
)


def _add_gguf(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=word, metavar="SRC", help=f"The model to write. {MODEL}")
    add_window(parser)
    parser.add_argument("--out", type=path, required=True, metavar="FILE", help="The .gguf file to write, a new one.")


def _gguf(arguments: argparse.Namespace) -> None:
    from pi_model.files import refuse_related

    if arguments.out.exists():
        raise RunError(f"{arguments.out}: already exists; choose another file or remove it")
    refuse_names([arguments.source], window=arguments.window)
    refuse_related(arguments.out, model=Path(arguments.source))
    from pi_model.models.gguf_export import export_gguf

    quiet_libraries()
    extension = export_gguf(arguments.source, arguments.out, window_tokens=arguments.window)
    size = arguments.out.stat().st_size
    answer = {
        "model": arguments.source,
        "out": str(arguments.out),
        "window_from": extension.stated,
        "bytes": size,
    }
    text = f"{arguments.out}: {arguments.source} in {size / 2**20:,.1f} MiB, {extension.stated}"
    show(arguments, answer, wrap(text))


GGUF = Command(
    name="gguf",
    summary="Writes a checkpoint as one GGUF file, which llama.cpp runs.",
    details="Weights keep their number format, and the extension of the window is part of the file.",
    example="pi-model gguf tiny-1024 --out tiny-1024.gguf",
    add_arguments=_add_gguf,
    run=_gguf,
)
