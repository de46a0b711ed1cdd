"""`pi-model passkey`: how far back in their window models find a number."""

import argparse
from contextlib import ExitStack
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

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
from pi_theory.console import Command, show, warn, whole, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from transformers import PreTrainedTokenizerBase

K_MAX = (
    "k_max, the effective window: the largest k at which, and at every smaller k tried, at least a fifth of the "
    "numbers are found; 0 if there is none."
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model(parser, several=True)
    parser.add_argument(
        "--context",
        "--max-context",
        type=whole(1),
        metavar="N",
        help="Length of the prompts in tokens. Default: the model's window, of several models the longest.",
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
    add_out(parser)


def _context(arguments: argparse.Namespace, names: list[str]) -> int:
    """The prompts' length: what was asked for, or the longest of the models' windows, so that all read the same."""
    from pi_model.models.config_file import read_config
    from pi_model.models.rope_parameters import read_extension
    from pi_model.models.sources import local_folder

    if arguments.context:
        return int(arguments.context)
    configs = (read_config(local_folder(name)) for name in names)
    return max(read_extension(config, window_tokens=arguments.window).context_tokens for config in configs)


def _warn_of_tokenizers(tokenizers: "dict[str, PreTrainedTokenizerBase]") -> None:
    from pi_model.data.documents import tokenizer_sha256

    if len({tokenizer_sha256(one) for one in tokenizers.values()}) > 1:
        warn("pi-model", "the models cut a text into different tokens: as many tokens back is not as much text back")


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.evaluation.windows import check_positions

    names = arguments.model
    refuse_out(arguments.out, names)
    refuse_names(names, window=arguments.window)
    refuse_twice(names)
    quiet_libraries()
    context = _context(arguments, names)
    check_positions(arguments.positions, arguments.trials, context)
    from pi_model.evaluation.comparison import compared_passkeys, passkey_table
    from pi_model.evaluation.passkey import PasskeyResult, passkey

    tokenizers = {name: own_tokenizer(arguments, name) for name in names}
    _warn_of_tokenizers(tokenizers)
    results: dict[str, PasskeyResult] = {}
    answers: list[dict[str, Any]] = []
    folders = []
    with ExitStack() as stack:
        for name, tokenizer in tokenizers.items():
            checkpoint = load(arguments, name)
            warn_of_lengths(checkpoint, [context])
            bos = bos_id(arguments, tokenizer)
            settings = {
                "positions": arguments.positions,
                "trials": arguments.trials,
                "seed": arguments.seed,
                "bos_id": bos,
            }
            folders.append(stack.enter_context(kept_progress(checkpoint, "passkey", context, settings)))
            results[name] = passkey(
                checkpoint.model,
                tokenizer,
                context_tokens=context,
                **settings,
                progress_folder=folders[-1],
                progress=not arguments.quiet,
            )
            answers.append(
                {
                    "model": name,
                    "window_from": checkpoint.extension.stated,
                    "seed": arguments.seed,
                    "bos": bos is not None,
                    **asdict(results[name]),
                }
            )
            del checkpoint  # Or there would be two in memory while the next one is loaded.
        title = f"share found of {arguments.trials} numbers hidden k tokens before the end of the prompt"
        if len(names) == 1:
            answer: dict[str, Any] = answers[0]
            body = results[names[0]].table()
            title = f"{names[0]}: {title}"
        else:
            rows = compared_passkeys(results)
            answer = {"models": answers, "differences": [row.answer() for row in rows]}
            body = passkey_table(results, rows)
            title = f"{title[0].upper()}{title[1:]}, of {context} tokens; the same numbers for every model"
        text = f"{wrap(title)}\n{body}\n{wrap(K_MAX)}"

        def draw() -> "Figure":
            from pi_model.evaluation.plots import passkey_plot

            return passkey_plot(results, f"Passkeys in prompts of {context} tokens, {arguments.trials} at each k")

        def arrived() -> None:
            keep(arguments.out, answer, text, draw)
            remover(*folders)()

        show(arguments, answer, text, arrived=arrived)


PASSKEY = Command(
    name="passkey",
    summary="Measures how far back a model finds a number that is hidden in filler text.",
    details="The largest distance up to which it finds at least a fifth of the numbers is k_max, the effective window "
    "of the paper's Section 3.3. Several models are asked for the same numbers one after the other, and compared with "
    "the first.",
    example="pi-model passkey --model tiny-1024 --context 512 --positions 4 --trials 2",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --context, or --dtype bfloat16",
    resumes=True,
)
