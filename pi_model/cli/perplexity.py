"""`pi-model perplexity`: how well a model predicts documents, by the length of its window."""

import argparse
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pi_model.cli.data_options import FILES, add_data, sources
from pi_model.cli.model_options import add_model, bos_id, kept_progress, load, remover, warn_of_lengths
from pi_theory.console import Command, counted, show, whole, wrap

if TYPE_CHECKING:
    from pi_model.data.documents import Selection


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(
        parser,
        f"The documents: {FILES}, the corpora books and code, or from the hub pg19, proof-pile or any dataset "
        "(owner/name).",
        column="text",
        column_help="Column of .jsonl, .csv, .parquet or dataset to read.",
    )
    parser.add_argument(
        "--windows", type=whole(2), nargs="+", required=True, metavar="N", help="Lengths of the input in tokens."
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


def _selection(arguments: argparse.Namespace) -> "Selection | None":
    """The selection that was asked for; None leaves it to the source, whose preset may have one."""
    from pi_model.data.documents import Selection

    names = ("min_tokens", "max_tokens", "samples", "seed")
    given = {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
    return Selection(**given) if given else None


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.evaluation.windows import check_window_and_stride

    windows = list(dict.fromkeys(arguments.windows))
    stride = arguments.stride or min(256, min(windows) // 2)
    for window in windows:
        check_window_and_stride(window, 1 if arguments.truncate else stride)
    from pi_model.data.documents import load_documents, tokenizer_sha256
    from pi_model.distributed import ranks
    from pi_model.evaluation.perplexity import sliding_perplexity, table, truncated_perplexity

    with ExitStack() as stack:
        ranks.start()
        stack.callback(ranks.stop)
        checkpoint = load(arguments, arguments.model)
        progress = not arguments.quiet
        documents = ranks.rank_zero_first(
            lambda: load_documents(sources(arguments), checkpoint.tokenizer, _selection(arguments), progress=progress)
        )
        bos = bos_id(arguments, checkpoint)
        if ranks.rank() == 0:
            warn_of_lengths(checkpoint, windows, [len(ids) for ids in documents.tokens])
        protocol = "truncated" if arguments.truncate else f"sliding {stride} {arguments.batch_tokens}"
        folder = stack.enter_context(kept_progress(checkpoint, documents.sha256, protocol, windows, bos))
        common: dict[str, Any] = {
            "windows": windows,
            "bos_id": bos,
            "averaging": arguments.averaging,
            "names": documents.names,
            "progress_folder": folder,
            "progress": progress,
        }
        if arguments.truncate:
            results = truncated_perplexity(checkpoint.model, documents.tokens, **common)
        else:
            results = sliding_perplexity(
                checkpoint.model,
                documents.tokens,
                stride=stride,
                batch_tokens=arguments.batch_tokens,
                **common,
            )
        if ranks.rank() == 0:
            data = " ".join(arguments.data)
            answer = {
                "model": arguments.model,
                "data": data,
                "control_tokens": arguments.control_tokens,
                "window_from": checkpoint.extension.stated,
                "documents": len(documents.names),
                "data_sha256": documents.sha256,
                "tokenizer_sha256": tokenizer_sha256(checkpoint.tokenizer),
                "protocol": "truncated" if arguments.truncate else "sliding",
                "stride": None if arguments.truncate else stride,
                "averaging": arguments.averaging,
                "bos": bos is not None,
                "dtype": arguments.dtype,
                "device": arguments.device,
                "results": [asdict(result) for result in results],
            }
            how = "each in one truncated window" if arguments.truncate else f"sliding windows, stride {stride}"
            title = f"{arguments.model} on {counted(len(documents.names), 'document')} of {data}, {how}"
            show(arguments, answer, f"{wrap(title)}\n{table(results)}", arrived=remover(folder))


PERPLEXITY = Command(
    name="perplexity",
    summary="Measures how well a model predicts documents, at each length of its window.",
    details="Windows slide over each document, and every token is scored once, as in Press et al. 2021. Under "
    "torchrun, many devices share the windows.",
    example="pi-model perplexity --model tiny-1024 --data books --windows 512 1024 --samples 1 --max-tokens 4096",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use smaller --windows or --batch-tokens, or --dtype bfloat16",
    resumes=True,
)
