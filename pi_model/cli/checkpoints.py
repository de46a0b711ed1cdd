"""`pi-model extend` and `pi-model gguf`: from one checkpoint to another, no weight trained."""

import argparse

from pi_model.cli.model_options import MODEL, add_window, quiet_libraries, warn_of_sliding
from pi_theory.console import Command, number, path, show, word, wrap

# The keys of pi_theory.scaling.METHODS but "none"; that module would have to import numpy.
METHODS = ("linear", "ntk", "dynamic", "yarn", "llama3")


def _add_extend(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=word, metavar="SRC", help=f"The model to extend. {MODEL}")
    parser.add_argument(
        "--factor",
        type=number(at_least=1),
        required=True,
        help="Extended window divided by the model's present window.",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        default="linear",
        help="How positions or frequencies are scaled; linear is Position Interpolation.",
    )
    add_window(parser)
    parser.add_argument("--out", type=path, required=True, metavar="DIR", help="Folder to write, new or empty.")


def _extend(arguments: argparse.Namespace) -> None:
    from pi_model.models.config_file import read_config
    from pi_model.models.extension import extend_checkpoint
    from pi_model.models.families import model_config
    from pi_theory.scaling import scaling_by_name

    quiet_libraries()
    scaling = scaling_by_name(arguments.method, arguments.factor)
    extension = extend_checkpoint(arguments.source, scaling, arguments.out, window_tokens=arguments.window)
    warn_of_sliding(model_config(read_config(arguments.out)), extension.context_tokens)
    answer = {
        "model": arguments.source,
        "out": str(arguments.out),
        "method": arguments.method,
        "factor": extension.factor,
        "window_tokens": extension.window_tokens,
        "window_from": extension.stated,
        "context_tokens": extension.context_tokens,
        "base": extension.base,
    }
    text = (
        f"{arguments.out}: {arguments.source} extended by {arguments.method} from {extension.window_tokens} to "
        f"{extension.context_tokens} tokens, factor {extension.factor:g}\n{extension.stated}"
    )
    show(arguments, answer, text)


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
