"""`pi-model plan`: what a training run will take."""

import argparse
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from pi_model.cli.model_options import add_window, tell_window
from pi_model.errors import UsageError
from pi_model.gpus import GPUS
from pi_theory.console import Command, number, show, warn, whole, word

if TYPE_CHECKING:
    from pi_model.planning import Plan


def _add_plan(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "overrides",
        type=word,
        metavar="RECIPE FIELD=VALUE",
        nargs="*",
        default=[],
        help="A recipe's name and changes to its fields, as finetune takes them. With --model, changes alone.",
    )
    parser.add_argument(
        "--model",
        type=word,
        help="Plan to extend this model with the paper's settings: a folder with a config.json, a GGUF file, or a name "
        "such as llama-7b, llama-70b (Llama 3), llama-3.1-8b, mistral-7b, qwen3-8b, smollm2-135m or tiny-llama; an "
        "unknown name lists all. Default: the recipe's model.",
    )
    parser.add_argument(
        "--context",
        type=whole(1),
        metavar="N",
        help="With --model, the extended window in tokens. Default: 8192, or the model's window if that is longer.",
    )
    add_window(parser, context="With --model: ")
    parser.add_argument(
        "--gpus",
        type=whole(1),
        metavar="N",
        help="Number of GPUs. Default: the fewest that have room and can share the batch.",
    )
    parser.add_argument("--gpu", choices=tuple(GPUS), default="a100-80", help="Kind of GPU.")
    parser.add_argument(
        "--utilisation",
        type=number(above=0, at_most=1),
        metavar="X",
        help="Share of a GPU's peak arithmetic that the run is assumed to reach, from 0 to 1. One H100 reached 0.31 to "
        "0.39 with 1B parameters, 0.44 compiled, and 0.07 to 0.30 with 135M. Default: 0.39 compiled, else 0.33.",
    )
    parser.add_argument(
        "--usable",
        type=number(above=0, at_most=1),
        default=0.9,
        metavar="X",
        help="Share of a GPU's memory that tensors may take, from 0 to 1.",
    )
    parser.add_argument(
        "--price",
        type=number(above=0),
        metavar="X",
        help="What an hour of one GPU costs, in any currency.",
    )
    parser.add_argument("--explain", action="store_true", help="Print the formula behind every number.")
    parser.add_argument(
        "--script",
        choices=("torchrun", "slurm"),
        help="Print a script that starts the planned run instead of the plan. Default: print the plan.",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="Simulate a step of the planned run at its own number of GPUs, here on one core and without a GPU, and "
        "compare the memory. It takes half a minute for 7B and two for 65B.",
    )


def _plan(arguments: argparse.Namespace) -> None:
    recipes = [word for word in arguments.overrides if "=" not in word]
    if len(recipes) + (arguments.model is not None) != 1:
        raise UsageError("RECIPE: give the name of one recipe, or a model with --model, and not both")
    if arguments.context is not None and arguments.model is None:
        raise UsageError("context: goes with --model; a recipe has its own, which factor=... changes")
    if arguments.window is not None and arguments.model is None:
        raise UsageError("window: goes with --model; a recipe has its own, which window_tokens=... changes")
    from pi_model import planning
    from pi_model.training.overrides import override
    from pi_model.training.recipes import recipe
    from pi_model.training.starting_point import window_change

    changes = [word for word in arguments.overrides if "=" in word]
    if recipes:
        name = recipes[0]
    else:
        name, own = planning.settings(arguments.model, arguments.context, arguments.window)
        changes = own + changes
    if override(recipe(name), changes).device != "cuda":
        changes.append("device=cuda")
    config = override(recipe(name), changes)
    for remark in config.remarks():
        warn("pi-model", remark)
    shape = planning.Shape.of_run(config)
    extension = planning.present_extension(config) if config.model else None
    if extension is not None:
        tell_window(arguments, str(config.model), extension)
        if extension.method != "none":
            print(f"pi-model: window: {window_change(extension, config)}", file=sys.stderr)
    gpu = GPUS[arguments.gpu]
    fixed = {change.partition("=")[0] for change in changes}
    shares = {"utilisation": arguments.utilisation, "usable": arguments.usable}
    planned = planning.advise(config, shape, gpu, arguments.gpus, fixed=fixed, **shares)
    fewest = planning.fewest_gpus(planning.leanest(config, fixed), shape, gpu, usable=arguments.usable)
    advised = planned.config.compile and not config.compile
    plain = planning.advise(config, shape, gpu, planned.gpus, fixed={*fixed, "compile"}, **shares) if advised else None
    text = planning.script(arguments.script, name, changes, planned) if arguments.script else None
    verified = _verified(planned) if arguments.verify else None
    paper = planning.beside_paper(config, shape, **shares)
    helping = planning.levers(planned, config, shape, fixed=fixed, **shares)
    answer = {
        "recipe": name,
        "overrides": changes,
        "window_from": extension and extension.stated,
        **planning.report(planned, fewest, paper, plain, helping, arguments.price),
        "verified": verified,
        "script": text,
    }
    show(arguments, answer, text or planning.table(answer, explain=arguments.explain))
    if not (planned.fits or arguments.json):
        warn("pi-model", planning.shortfall(planned, fewest))


def _verified(planned: "Plan") -> dict[str, float]:
    """Peak memory in bytes of a simulated step, and what is planned for it, both without compiled layers."""
    from pi_model.planning import architecture
    from pi_model.planning.simulation import simulate

    print(f"pi-model: simulating a step on {planned.gpus} ranks", file=sys.stderr)
    simulated = simulate(planned.config, architecture(planned.config), planned.gpus)
    return {"simulated_peak": simulated.peak, "planned_peak": replace(planned.sheet, compile=False).peak}


PLAN = Command(
    name="plan",
    summary="Computes what a training run will take: memory, arithmetic, time, and how many GPUs.",
    details="Nothing is trained or fetched. Give a recipe with changes, as finetune takes them, or a model with "
    "--model and --context.",
    example="pi-model plan --model llama-65b --context 32768 --gpus 128 --gpu h200",
    add_arguments=_add_plan,
    run=_plan,
)
