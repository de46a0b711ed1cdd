"""`pi-model passkey`: how far back in its window a model finds a number."""

import argparse
from dataclasses import asdict

from pi_model.cli.model_options import add_model, bos_id, kept_progress, load, remover, warn_of_lengths
from pi_theory.console import Command, show, whole, wrap


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser)
    parser.add_argument(
        "--max-context",
        type=whole(1),
        metavar="N",
        help="Length of the prompts in tokens. Default: the model's window.",
    )
    parser.add_argument(
        "--positions",
        type=whole(1),
        default=32,
        metavar="N",
        help="Number of distances from the prompt's end at which the number is hidden, evenly spread.",
    )
    parser.add_argument(
        "--trials", type=whole(1), default=10, metavar="N", help="Random numbers that are hidden at each distance."
    )
    parser.add_argument(
        "--seed", type=whole(0), default=0, metavar="N", help="Seed of the generator that draws these numbers."
    )


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.evaluation.passkey import passkey

    checkpoint = load(arguments, arguments.model)
    context = arguments.max_context or checkpoint.extension.context_tokens
    warn_of_lengths(checkpoint, [context])
    bos = bos_id(arguments, checkpoint)
    settings = {"positions": arguments.positions, "trials": arguments.trials, "seed": arguments.seed, "bos_id": bos}
    with kept_progress(checkpoint, "passkey", context, settings) as folder:
        result = passkey(
            checkpoint.model,
            checkpoint.tokenizer,
            context_tokens=context,
            **settings,
            progress_folder=folder,
            progress=not arguments.quiet,
        )
        answer = {
            "model": arguments.model,
            "window_from": checkpoint.extension.stated,
            "seed": arguments.seed,
            "bos": bos is not None,
            **asdict(result),
        }
        title = (
            f"{arguments.model}: share found of {arguments.trials} numbers hidden k tokens before the end of the prompt"
        )
        show(arguments, answer, f"{wrap(title)}\n{result.table()}", arrived=remover(folder))


PASSKEY = Command(
    name="passkey",
    summary="Measures how far back a model finds a number that is hidden in filler text.",
    details="The largest distance up to which it finds at least a fifth of the numbers is k_max, the effective window "
    "of the paper's Section 3.3.",
    example="pi-model passkey --model tiny-1024 --max-context 512 --positions 4 --trials 2",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --max-context, or --dtype bfloat16",
    resumes=True,
)
