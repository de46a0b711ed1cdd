"""`pi-model perplexity`: how well models predict documents, by the length of their window."""

import argparse
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pi_model.cli.data_options import FILES, add_data, sources
from pi_model.cli.early_refusal import refuse_names, refuse_twice
from pi_model.cli.kept_results import add_out, keep, refuse_out
from pi_model.cli.model_options import (
    add_model,
    bos_id,
    kept_progress,
    load,
    own_tokenizer,
    quiet_libraries,
    remover,
    warn_of_lengths,
)
from pi_theory.console import Command, counted, show, whole, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pi_model.data.documents import Selection
    from pi_model.evaluation.comparison import Reader
    from pi_model.evaluation.perplexity import WindowResult


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, several=True)
    add_data(
        parser,
        f"The documents: {FILES}, the corpora books and code, or from the hub pg19, proof-pile or any dataset "
        "(owner/name).",
        column="text",
        column_help="Column of .jsonl, .csv, .parquet or dataset to read.",
    )
    parser.add_argument(
        "--windows",
        "--context",
        type=whole(2),
        nargs="+",
        required=True,
        metavar="N",
        help="Lengths of the input in tokens, one or several; --context says the same.",
    )
    parser.add_argument(
        "--stride",
        type=whole(1),
        metavar="N",
        help="Tokens from the start of one window to the next. Without it 256, as in the paper, or half the shortest "
        "window where that is less.",
    )
    parser.add_argument(
        "--averaging",
        choices=("token", "window"),
        default="token",
        help="What is averaged: the losses of all tokens, or the mean losses of the windows.",
    )
    parser.add_argument(
        "--truncate",
        action="store_true",
        help="Score each document in one window, cut to its length, instead of sliding the window over it.",
    )
    parser.add_argument(
        "--min-tokens", type=whole(1), metavar="N", help="Leave out documents shorter than N tokens. Default: keep all."
    )
    parser.add_argument(
        "--max-tokens", type=whole(1), metavar="N", help="Cut documents after N tokens. Default: read all of each."
    )
    parser.add_argument(
        "--samples", type=whole(1), metavar="N", help="Draw N of the documents at random. Default: take all."
    )
    parser.add_argument("--seed", type=whole(0), metavar="N", help="Seed of that draw. Default: 0.")
    parser.add_argument(
        "--batch-tokens",
        type=whole(1),
        metavar="N",
        help="Windows share a forward pass up to N tokens; the result does not depend on it. Default: what suits the "
        "device.",
    )
    add_out(parser)


def _selection(arguments: argparse.Namespace) -> "Selection | None":
    """The selection that was asked for; None leaves it to the source, whose preset may have one."""
    from pi_model.data.documents import Selection

    names = ("min_tokens", "max_tokens", "samples", "seed")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return Selection(**given) if given else None


@dataclass
class _Measured:
    """What one model's measurement gives: its results, how it read, and the folder of its kept progress."""

    reader: "Reader"
    results: "list[WindowResult]"
    answer: dict[str, Any]
    folder: Path


def _readers(arguments: argparse.Namespace) -> "list[Reader]":
    """How each model reads the documents; nothing is loaded but tokenizers, and equal ones share their documents."""
    from pi_model.data.documents import Documents, load_documents, tokenizer_sha256
    from pi_model.evaluation.comparison import Reader

    found: dict[str, Documents] = {}
    readers = []
    quiet_libraries()
    for model in arguments.model:
        tokenizer = own_tokenizer(arguments, model)
        key = tokenizer_sha256(tokenizer)
        if key not in found:
            selection = _selection(arguments)
            found[key] = load_documents(sources(arguments), tokenizer, selection, progress=not arguments.quiet)
        readers.append(Reader(model, tokenizer, found[key], bos_id(arguments, tokenizer)))
    return readers


def _measured(
    arguments: argparse.Namespace, stack: ExitStack, reader: "Reader", windows: list[int], stride: int | None
) -> _Measured:
    """One model's perplexity; the model is gone from memory when this returns."""
    from pi_model.data.documents import tokenizer_sha256
    from pi_model.distributed import ranks
    from pi_model.evaluation.perplexity import sliding_perplexity, truncated_perplexity

    checkpoint = load(arguments, reader.model)
    documents, bos = reader.documents, reader.bos_id
    if ranks.rank() == 0:
        warn_of_lengths(checkpoint, windows, [len(ids) for ids in documents.tokens])
    protocol = f"sliding {stride} {arguments.batch_tokens}" if stride else "truncated"
    folder = stack.enter_context(kept_progress(checkpoint, documents.sha256, protocol, windows, bos))
    common: dict[str, Any] = {
        "windows": windows,
        "bos_id": bos,
        "averaging": arguments.averaging,
        "names": documents.names,
        "progress_folder": folder,
        "progress": not arguments.quiet,
    }
    if stride is None:
        results = truncated_perplexity(checkpoint.model, documents.tokens, **common)
    else:
        results = sliding_perplexity(
            checkpoint.model, documents.tokens, stride=stride, batch_tokens=arguments.batch_tokens, **common
        )
    answer = {
        "model": reader.model,
        "data": " ".join(arguments.data),
        "control_tokens": arguments.control_tokens,
        "window_from": checkpoint.extension.stated,
        "documents": len(documents.names),
        "data_sha256": documents.sha256,
        "tokenizer_sha256": tokenizer_sha256(checkpoint.tokenizer),
        "protocol": "sliding" if stride else "truncated",
        "stride": stride,
        "averaging": arguments.averaging,
        "bos": bos is not None,
        "dtype": arguments.dtype,
        "device": arguments.device,
        "results": [asdict(result) for result in results],
    }
    return _Measured(reader, results, answer, folder)


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.evaluation.windows import check_window_and_stride

    windows = list(dict.fromkeys(arguments.windows))
    stride = None if arguments.truncate else arguments.stride or min(256, min(windows) // 2)
    for window in windows:
        check_window_and_stride(window, stride or 1)
    refuse_out(arguments.out, arguments.model, arguments.data)
    refuse_names(arguments.model, arguments.data, window=arguments.window)
    refuse_twice(arguments.model)
    from pi_model.distributed import ranks
    from pi_model.evaluation.comparison import comparable, compared, perplexity_table
    from pi_model.evaluation.perplexity import table

    with ExitStack() as stack:
        ranks.start()
        stack.callback(ranks.stop)
        readers = ranks.rank_zero_first(lambda: _readers(arguments))
        unit = comparable(readers, stride=stride, averaging=arguments.averaging)
        measured = [_measured(arguments, stack, reader, windows, stride) for reader in readers]
        if ranks.rank() != 0:
            return
        results = [one.results for one in measured]
        rows = compared(readers, results, stride=stride, averaging=arguments.averaging)
        names = [reader.model for reader in readers]
        how = f"sliding windows, stride {stride}" if stride else "each in one truncated window"
        texts = f"{counted(len(readers[0].documents.names), 'document')} of {' '.join(arguments.data)}, {how}"
        answer = measured[0].answer
        text = f"{wrap(f'{names[0]} on {texts}')}\n{table(results[0])}"
        if rows:
            answer = {"models": [one.answer for one in measured], "differences": [row.answer() for row in rows]}
            title = f"{counted(len(names), 'model')} on {texts}; differences to {names[0]}"
            text = f"{wrap(title)}\n{perplexity_table(names, results, rows)}"
            if unit == "bits per byte":
                text += "\n" + wrap("The models cut a text into different tokens: losses are per byte of the text.")

        def draw() -> "Figure":
            from pi_model.evaluation.plots import perplexity_plot

            return perplexity_plot(names, results, rows, texts)

        def arrived() -> None:
            keep(arguments.out, answer, text, draw)
            remover(*(one.folder for one in measured))()

        show(arguments, answer, text, arrived=arrived)


PERPLEXITY = Command(
    name="perplexity",
    summary="Measures how well a model predicts documents, at each length of its window.",
    details="Windows slide over each document, and every token is scored once, as in Press et al. 2021. Several models "
    "read the same documents one after the other, and are compared with the first, document by document. Under "
    "torchrun, many devices share the windows.",
    example="pi-model perplexity --model tiny-1024 --data books --windows 512 1024 --samples 1 --max-tokens 4096",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use smaller --windows or --batch-tokens, or --dtype bfloat16",
    resumes=True,
)
