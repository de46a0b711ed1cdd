"""`pi-model examine`: what to know of a checkpoint before its window is extended."""

import argparse
import json
from typing import TYPE_CHECKING

from pi_model.cli.data_options import FILES, add_data, sources
from pi_model.cli.early_refusal import refuse_names
from pi_model.cli.model_options import MODEL, add_hardware, add_window, quiet_libraries
from pi_model.gpus import GPUS
from pi_theory.console import Command, number, path, show, whole, word

if TYPE_CHECKING:
    from pi_model.examine.findings import Examination


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models",
        type=word,
        nargs="+",
        metavar="MODEL",
        help=f"The model, or two to compare, such as one before and after fine-tuning. {MODEL}",
    )
    parser.add_argument(
        "--context",
        type=whole(2),
        metavar="N",
        help="The window in tokens that is wanted. Default: twice the window that the first model serves.",
    )
    parser.add_argument(
        "--minutes",
        type=number(at_least=0),
        default=3.0,
        metavar="M",
        help="How long to measure each model. Results are kept: the same command with more minutes goes on. With 0 "
        "only the config is looked at, which takes a second.",
    )
    add_data(
        parser,
        f"Texts to measure on: {FILES}; the corpora books and code, or from the hub pg19, proof-pile or any dataset "
        "(owner/name). Default: books and code.",
        column="text",
        column_help="Column that holds the text.",
        required=False,
    )
    parser.add_argument("--gpu", choices=tuple(GPUS), default="h100", help="Kind of GPU to plan a fine-tuning for.")
    parser.add_argument(
        "--gpus", type=whole(1), metavar="N", help="Number of these GPUs. Default: the fewest that have room."
    )
    parser.add_argument(
        "--out", type=path, metavar="DIR", help="Folder for report.html and examination.json. Default: write none."
    )
    add_window(parser)
    add_hardware(
        parser,
        automatic="auto, which is bfloat16 where the device is fast in it and the model has 20 million parameters or "
        "more, and else float32.",
    )


def _examined(arguments: argparse.Namespace, model: str, context_tokens: int | None) -> "Examination":
    if not arguments.minutes:
        from pi_model.examine.glance import glance

        return glance(model, context_tokens=context_tokens, window_tokens=arguments.window)
    from pi_model.examine.examination import examine_checkpoint

    quiet_libraries()
    return examine_checkpoint(
        model,
        context_tokens=context_tokens,
        minutes=arguments.minutes,
        data=sources(arguments),
        window_tokens=arguments.window,
        dtype=arguments.dtype,
        device=arguments.device,
        gpu=arguments.gpu,
        gpus=arguments.gpus,
        progress=not arguments.quiet,
    )


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.errors import UsageError
    from pi_model.examine.findings import Examination
    from pi_model.examine.summary import answer, text
    from pi_model.files import write_text

    if len(arguments.models) > 2:
        raise UsageError(f"MODEL: one model, or two to compare, got {len(arguments.models)}")
    refuse_names(arguments.models, arguments.data, window=arguments.window)
    found: list[Examination] = []
    for model in arguments.models:
        found.append(_examined(arguments, model, found[0].context_tokens if found else arguments.context))
    answers = [answer(one) for one in found]
    whole_answer = answers[0] if len(answers) == 1 else {"examinations": answers}
    said = "\n\n".join(text(one) for one in found)
    if arguments.out is not None:
        from pi_model.examine.report import page

        arguments.out.mkdir(parents=True, exist_ok=True)
        write_text(arguments.out / "report.html", page(found))
        write_text(arguments.out / "examination.json", json.dumps(whole_answer, indent=1) + "\n")
        said += f"\n\n{arguments.out / 'report.html'}"
    show(arguments, whole_answer, said)


EXAMINE = Command(
    name="examine",
    summary="Says how far a model reads, how far it could, by which method, and at what cost.",
    details="What is certain comes from the config, what its heads do from one short pass, and what it costs from a "
    "measurement within the minutes given, the most valuable first.",
    example="pi-model examine tiny-llama --context 1024 --minutes 1 --out tiny-report",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --context, or --dtype bfloat16",
    resumes=True,
)
