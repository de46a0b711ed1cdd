"""`pi-model benchmark`: zero-shot accuracy, several models on the same items."""

import argparse
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING

from pi_model.cli.early_refusal import refuse_names
from pi_model.cli.model_options import (
    MODEL,
    add_hardware,
    add_window,
    kept_progress,
    load,
    quiet_libraries,
    remover,
    warn_of_sliding,
)
from pi_theory.console import Command, path, show, whole, word

if TYPE_CHECKING:
    from pi_model.evaluation.benchmarks import Scores

# The keys of pi_model.evaluation.benchmarks.TASKS; tests hold the two against each other.
BENCHMARKS = ("boolq", "piqa", "race_m", "race_h", "winogrande")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=word,
        action="append",
        required=True,
        metavar="MODEL",
        help=f"A model to measure. {MODEL} Give the option again for each model to compare with the first.",
    )
    parser.add_argument(
        "--tasks",
        type=word,
        nargs="+",
        default=list(BENCHMARKS),
        metavar="TASK",
        help=f"Benchmarks: {', '.join(BENCHMARKS)}, or any task of lm-evaluation-harness by its name there. Default: "
        "the five named here.",
    )
    parser.add_argument(
        "--data-dir",
        type=path,
        metavar="DIR",
        help="Folder that holds the items of each of the five in a file TASK.jsonl. Default: fetch them from the hub.",
    )
    parser.add_argument(
        "--lengths",
        type=whole(1),
        nargs="+",
        default=[],
        metavar="N",
        help="Lengths in tokens of the items of tasks that make them, such as RULER's. The first model's tokenizer "
        "counts them.",
    )
    parser.add_argument(
        "--limit", type=whole(1), metavar="N", help="Use the first N items of each task only. Default: use all."
    )
    parser.add_argument(
        "--batch-size", type=whole(1), default=8, metavar="N", help="Number of items in a forward pass."
    )
    add_window(parser, context="For every model that is given: ")
    add_hardware(parser)


def _run(arguments: argparse.Namespace) -> None:
    from importlib.metadata import version

    from pi_model.evaluation.benchmarks import benchmark, check, compare, table

    tasks = list(dict.fromkeys(arguments.tasks))
    models = list(dict.fromkeys(arguments.model))
    refuse_names(models, window=arguments.window)
    check(tasks, arguments.data_dir, arguments.limit, arguments.batch_size, arguments.lengths)
    quiet_libraries()
    scores: dict[str, dict[str, Scores]] = {}
    counted_by = None
    with ExitStack() as stack:
        folders = []
        for name in models:
            checkpoint = load(arguments, name)
            counted_by = counted_by or checkpoint.folder
            warn_of_sliding(checkpoint.model.config, checkpoint.extension.context_tokens)
            folders.append(stack.enter_context(kept_progress(checkpoint, "benchmark")))
            scores[name] = benchmark(
                checkpoint.model,
                checkpoint.tokenizer,
                tasks,
                context_tokens=checkpoint.extension.context_tokens,
                bos=checkpoint.bos_id is not None,
                data_dir=arguments.data_dir,
                limit=arguments.limit,
                batch_size=arguments.batch_size,
                lengths=arguments.lengths,
                counted_by=counted_by,
                progress_folder=folders[-1],
                progress=sys.stderr.isatty() and not arguments.quiet,
            )
            del checkpoint  # Or there would be two in memory while the next one is loaded.
            if not arguments.quiet:
                print(f"{name}: done", file=sys.stderr)
        results = compare(scores)
        answer = {
            "models": models,
            "data": str(arguments.data_dir or "hub"),
            "limit": arguments.limit,
            "lengths": arguments.lengths,
            "dtype": arguments.dtype,
            "harness": f"lm_eval {version('lm_eval')}",
            "results": results,
        }
        show(arguments, answer, table(results), arrived=remover(*folders))


BENCHMARK = Command(
    name="benchmark",
    summary="Measures zero-shot accuracy on standard tasks, and compares models on the same items.",
    details="The tasks are those of the paper's Table 5, as lm-evaluation-harness scores them, or any other of its "
    "tasks. Their items come from the hub, or are made here, as RULER's are. For the five of the table --data-dir "
    "names a folder that holds them.",
    example="pi-model benchmark --model tiny-llama --model tiny-1024 --tasks piqa race_m --limit 100",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --batch-size, or --dtype bfloat16",
    resumes=True,
)
