"""`pi-model finetune`: train by a recipe, with a model and data of one's own, or as a run before."""

import argparse
import os
import re
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from pi_model.cli.checkpoints import METHODS
from pi_model.cli.data_options import FILES
from pi_model.cli.early_refusal import refuse_names
from pi_model.cli.model_options import MODEL, add_window, quiet_libraries
from pi_model.cli.run_table import run_table
from pi_model.errors import RunError, UsageError
from pi_theory.console import Command, counted, out_of_memory, path, show, warn, whole, word

if TYPE_CHECKING:
    from pi_model.training.config import Config
    from pi_model.training.preparation import Preparation

# The options that go with --model alone.
_OWN = ("context", "method", "data", "column", "lora", "held_out", "no_evaluation")

_CHANGE = re.compile(r"[a-z]\w*(\.\w+)?=")


def add_run(parser: argparse.ArgumentParser) -> None:
    """Declares the arguments that say which run is meant."""
    parser.add_argument(
        "overrides",
        type=word,
        metavar="RECIPE FIELD=VALUE",
        nargs="*",
        default=[],
        help="Name of a recipe, as pi-model recipes lists them, and changes to its fields, such as steps=20; an "
        "unknown field lists all of them. With --model or --config, changes alone.",
    )
    parser.add_argument("--model", type=word, metavar="MODEL", help=f"Train this model, without a recipe. {MODEL}")
    parser.add_argument(
        "--context",
        type=whole(1),
        metavar="N",
        help="With --model, the window in tokens that it shall have. Default: that of an extended model.",
    )
    parser.add_argument(
        "--method",
        choices=METHODS,
        help="With --model, how positions are scaled. Default: as the model is extended already, or else linear, which "
        "is Position Interpolation.",
    )
    parser.add_argument(
        "--data",
        type=word,
        nargs="+",
        action="extend",
        metavar="DATA",
        help=f"With --model, the documents to train on: {FILES}, the corpora books and code, or a dataset of the hub "
        "(owner/name); DATA*0.5 gives a source its share of a mixture.",
    )
    parser.add_argument(
        "--column", type=word, help="With --model, the column of .jsonl, .csv, .parquet or dataset. Default: text."
    )
    parser.add_argument(
        "--lora",
        action="store_true",
        default=None,
        help="With --model, train low-rank adapters in place of the weights; lora.rank=N sets their rank.",
    )
    parser.add_argument(
        "--held-out",
        type=word,
        metavar="DATA",
        help="With --model, documents at least as long as the context, on which perplexity is measured before and "
        "after. Default: one in twenty documents of the first --data, which is then not trained on; books that "
        "training does not see, where none of these is long enough.",
    )
    parser.add_argument(
        "--no-evaluation",
        action="store_true",
        default=None,
        help="With --model, measure nothing before and after.",
    )
    parser.add_argument(
        "--config",
        type=path,
        metavar="FILE",
        help="Run again what the run.json in the folder of a run says.",
    )
    add_window(parser)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--out",
        type=path,
        required=True,
        metavar="DIR",
        help="Folder of the run; the trained model will be in model/ inside it.",
    )
    parser.add_argument(
        "--fall-back",
        action="store_true",
        help="Where the newest checkpoint is broken, continue from the one before it.",
    )
    parser.add_argument(
        "--profile-step",
        type=whole(1),
        metavar="N",
        help="Write a trace of step N of every rank into profile/ in the folder of the run, for Perfetto.",
    )
    parser.add_argument("--quiet", action="store_true", help="Show no table and no progress.")


def run_config(arguments: argparse.Namespace) -> "tuple[Config, list[str]]":
    """The run that was asked for, and what to remark on it.

    Raises:
        UsageError: The arguments do not go together, or not with the model.
        RunError: The model is broken or missing.
    """
    # --data takes all words that follow it, but a change to a field is none of its names; a file can be ./a=b.
    data = [one for one in arguments.data or () if not _CHANGE.match(one)]
    words = [*arguments.overrides, *(one for one in arguments.data or () if _CHANGE.match(one))]
    recipes = [one for one in words if "=" not in one]
    kinds = [arguments.model is not None, arguments.config is not None, bool(recipes)]
    if sum(kinds) != 1:
        raise UsageError(
            "RECIPE: give one of the name of a recipe (pi-model recipes lists them), a model with --model, or a run "
            "with --config"
        )
    for name in _OWN if arguments.model is None else ():
        if getattr(arguments, name) is not None:
            field = {"context": "factor", "held_out": "evaluation.data", "no_evaluation": "evaluation.steps"}
            option = name.replace("_", "-")
            raise UsageError(f"{option}: goes with --model; here {field.get(name, name)}=... changes the run")
    from pi_model.training.overrides import override

    if arguments.model is not None:
        from pi_model.training.config import MixturePart
        from pi_model.training.own_run import OwnRun

        if not data:
            raise UsageError("data: give the documents to train on, as in --data my.jsonl --column body")
        quiet_libraries()
        refuse_names([arguments.model], [MixturePart.written(one).name for one in data], window=arguments.window)
        own = OwnRun(
            arguments.model,
            arguments.context,
            data,
            method=arguments.method,
            trained_window=arguments.window,
            column=arguments.column or "text",
            lora=bool(arguments.lora),
            held_out=arguments.held_out,
            evaluate=not arguments.no_evaluation,
        )
        return own.config(words)
    if arguments.window is not None:
        words.append(f"trained_window={arguments.window}")
    if arguments.config is not None:
        from pi_model.training.config_fields import recorded_config

        return override(recorded_config(arguments.config), words), []
    from pi_model.training.recipes import recipe

    words.remove(recipes[0])
    return override(recipe(recipes[0]), words), []


def _run(arguments: argparse.Namespace) -> None:
    from pi_model.training.run_folder import refuse_other_run

    config, remarks = run_config(arguments)
    models = [] if config.model is None else [config.model]
    refuse_names(models, [part.name for part in config.data], window=config.trained_window)
    refuse_other_run(config, arguments.out)
    from pi_model.training.before_after import before_after
    from pi_model.training.loop import train
    from pi_model.training.run_log import keep_traceback

    quiet_libraries()
    first = int(os.environ.get("RANK", 0)) == 0

    def announce(chosen: "Config", start: "Preparation") -> None:
        print(run_table(chosen, start), file=sys.stderr, flush=True)
        for remark in remarks:
            warn("pi-model", remark)

    progress = not arguments.quiet
    try:
        outcome = train(
            config,
            arguments.out,
            fall_back=arguments.fall_back,
            progress=progress,
            profile_step=arguments.profile_step,
            announce=announce if progress else None,
        )
    except (UsageError, RunError, OSError):
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise RunError(keep_traceback(arguments.out, int(os.environ.get("RANK", 0)), error)) from error
    if not first:
        return
    compared = before_after(arguments.out, config.model or "a new model", config.evaluation.data)
    answer = {
        **asdict(outcome),
        "model": str(outcome.model),
        "config_sha256": config.sha256(),
        "before_after": compared and asdict(compared),
    }
    loss = "nothing left to do" if outcome.loss_nats is None else f"last loss {outcome.loss_nats:.4f} nats"
    text = f"{outcome.model}: {counted(outcome.steps, 'step')}, {loss}"
    if compared is not None:
        compared.write(arguments.out)
        text += f"\n\n{compared.table()}"
    show(arguments, answer, text)


FINETUNE = Command(
    name="finetune",
    summary="Trains a model; the same command line continues a run that was stopped.",
    details="By a recipe; or with --model, --context and --data for a model and documents of your own, with settings "
    "that suit its size; or with --config as a run before. A table of what is to be done stands before the first step. "
    "With --model, perplexity and a few passkeys are measured before and after, and written beside the trained model "
    "as before_after.txt and before_after.svg. Under torchrun it trains on many devices.",
    example="pi-model finetune tiny_1024_pi steps=20 --out tiny-pi",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use micro_batch=1, activation_checkpointing=full, lora.rank=16 or more processes",
    resumes=True,
)
