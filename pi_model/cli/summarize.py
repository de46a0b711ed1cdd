"""`pi-model summarize`: summaries of long documents, scored by ROUGE."""

import argparse
import hashlib
import json
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from pi_model.cli.data_options import add_data, sources
from pi_model.cli.early_refusal import refuse_names
from pi_model.cli.model_options import (
    add_model,
    bos_id,
    kept_progress,
    load,
    quiet_libraries,
    remover,
    warn_of_lengths,
)
from pi_theory.console import Command, counted, number, path, show, warn, whole, word, wrap


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    add_data(
        parser,
        "The documents with their summaries: files, folders or patterns (.jsonl, .json, .csv, .parquet and the like), "
        "- for standard input, the corpus abstracts, or a dataset on the hub (owner/name).",
        column="report",
        column_help="Column that holds the document.",
    )
    parser.add_argument("--summary-column", type=word, default="summary", help="Column that holds its summary.")
    parser.add_argument(
        "--samples", type=whole(1), metavar="N", help="Use the first N documents only. Default: use all."
    )
    parser.add_argument(
        "--context",
        type=whole(1),
        metavar="N",
        help="Window in tokens for prompt and summary together. Default: the model's window.",
    )
    parser.add_argument(
        "--document-tokens", type=whole(1), default=15000, metavar="N", help="Cut documents after N tokens."
    )
    parser.add_argument(
        "--max-tokens", type=whole(1), default=1000, metavar="N", help="Longest summary to write, in tokens."
    )
    parser.add_argument(
        "--temperature",
        type=number(at_least=0),
        default=0.5,
        metavar="X",
        help="What the logits are divided by before a token is drawn; 0 takes the likeliest token.",
    )
    parser.add_argument(
        "--top-p",
        type=number(above=0, at_most=1),
        default=0.95,
        metavar="X",
        help="Tokens are drawn from the smallest set that has at least this probability, from 0 to 1.",
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="Seed of the generator that draws the tokens."
    )
    parser.add_argument(
        "--batch-tokens",
        type=whole(1),
        default=8192,
        metavar="N",
        help="Documents share a batch up to N tokens, room for their summaries included.",
    )
    parser.add_argument(
        "--out",
        type=path,
        metavar="FILE",
        help="Write the summaries to this .jsonl file as well. Default: print the scores only.",
    )


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.files import claimed_file, refuse_related, write_text

    if arguments.out:
        refuse_related(arguments.out, model=Path(arguments.model))
        for name in arguments.data:
            refuse_related(arguments.out, data=Path(name))
    refuse_names([arguments.model], arguments.data, window=arguments.window)
    from pi_model.data.summaries import SummaryPrompts, read_all_pairs
    from pi_model.evaluation.summarization import (
        Sampling,
        mean_rouge,
        rouge_scorer,
        rouge_settings,
        rouge_table,
        summarize,
    )

    quiet_libraries()
    rouge_scorer()  # Whether it is installed shows now rather than after the model is loaded.
    sampling = Sampling(arguments.temperature, arguments.top_p, arguments.max_tokens, arguments.seed)
    pairs = read_all_pairs(sources(arguments), arguments.summary_column)[: arguments.samples]
    checkpoint = load(arguments, arguments.model)
    window = arguments.context or checkpoint.extension.context_tokens
    warn_of_lengths(checkpoint, [window])
    maker = SummaryPrompts(
        checkpoint.tokenizer,
        window,
        document_tokens=arguments.document_tokens,
        summary_tokens=arguments.max_tokens,
        bos_id=bos_id(arguments, checkpoint.tokenizer),
        control_tokens=arguments.control_tokens,
    )
    if maker.document_tokens < arguments.document_tokens:
        warn("pi-model", f"documents are cut to {maker.document_tokens} tokens: a window of {window} holds no more")
    with ExitStack() as stack:
        if arguments.out:
            stack.enter_context(claimed_file(arguments.out))
        documents = hashlib.sha256(repr((pairs, arguments.control_tokens)).encode()).hexdigest()
        folder = stack.enter_context(
            kept_progress(checkpoint, documents, sampling, window, maker.document_tokens, maker.prompt(""))
        )
        summaries = summarize(
            checkpoint.model,
            maker,
            pairs,
            sampling,
            batch_tokens=arguments.batch_tokens,
            progress_folder=folder,
            progress=not arguments.quiet,
        )
        if arguments.out:
            write_text(arguments.out, "".join(json.dumps(asdict(summary)) + "\n" for summary in summaries))
        rouge = mean_rouge(summaries)
        ended = sum(summary.ended for summary in summaries)
        data = " ".join(arguments.data)
        answer = {
            "model": arguments.model,
            "data": data,
            "control_tokens": arguments.control_tokens,
            "split": arguments.split,
            "documents": len(summaries),
            "window": window,
            "window_from": checkpoint.extension.stated,
            "document_tokens": maker.document_tokens,
            "sampling": asdict(sampling),
            "dtype": arguments.dtype,
            "device": arguments.device,
            "ended": ended,
            "rouge": rouge,
            "rouge_settings": rouge_settings(),
        }
        title = (
            f"{arguments.model} on {counted(len(summaries), 'document')} of {data}; {ended} of the summaries "
            "ended by themselves"
        )
        show(arguments, answer, f"{wrap(title)}\n{rouge_table(rouge)}", arrived=remover(folder))


SUMMARIZE = Command(
    name="summarize",
    summary="Writes summaries of long documents and scores them by ROUGE.",
    details="Prompt, lengths and sampling are those of the paper's Section 3.5.",
    example="pi-model summarize --model tiny-1024 --data abstracts --samples 2 --max-tokens 32",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --batch-tokens or --context, or --dtype bfloat16",
    resumes=True,
)
