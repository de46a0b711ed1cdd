"""`pi-model prepare`: everything that a run reads, made before its GPUs are there."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from pi_model.cli.finetuning import add_run, run_config
from pi_model.cli.model_options import quiet_libraries
from pi_model.cli.run_table import epochs
from pi_model.errors import UsageError
from pi_theory.console import Command, counted, path, show, warn, wrap


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run(parser)
    parser.add_argument(
        "--out",
        type=path,
        metavar="DIR",
        help="Folder of the run, as finetune takes it. Only a model that is made from nothing needs it, because its "
        "tokenizer is kept there.",
    )
    parser.add_argument("--quiet", action="store_true", help="Show no progress.")


def _run(arguments: argparse.Namespace) -> None:
    config, remarks = run_config(arguments)
    if config.architecture is not None and arguments.out is None:
        raise UsageError("out: a model made from nothing keeps its tokenizer in the folder of its run; give --out")
    from pi_model.training.midrun_evaluation import MidrunEvaluation
    from pi_model.training.preparation import prepare
    from pi_model.training.run_folder import identity, refuse_difference, refuse_other_run

    quiet_libraries()
    for remark in remarks if not arguments.quiet else ():
        warn("pi-model", remark)
    with tempfile.TemporaryDirectory() as nowhere:
        out = arguments.out or Path(nowhere)
        refuse_other_run(config, out)
        start = prepare(config, out, progress=not arguments.quiet)
        run = identity(config, start)
        refuse_difference(run, out)
        evaluation = MidrunEvaluation(config, start)
    data: list[dict[str, Any]] = [
        {
            "name": part.name,
            "tokens": stream.total_tokens,
            "windows": stream.windows,
            "epochs": times,
            "sha256": sha256,
        }
        for part, stream, times, sha256 in zip(
            config.data, start.batches.streams, epochs(config, start), start.data_sha256, strict=True
        )
    ]
    answer = {
        "model": str(start.origin),
        "model_sha256": run["model_sha256"],
        "config_sha256": config.sha256(),
        "data": data,
        "evaluation_sha256": evaluation.digest or None,
    }
    lines = [
        f"{one['name']}: {one['tokens']:,} tokens, {counted(one['windows'], 'window')} of {config.training_tokens}, "
        f"{one['epochs']:.3g} epochs; SHA-256 {one['sha256'][:12]}"
        for one in data
    ]
    show(arguments, answer, "\n".join([f"{config.model or 'a new model'}: in {start.origin}", *lines, wrap(_READY)]))


_READY = "finetune with the same arguments finds all of this in the cache."

PREPARE = Command(
    name="prepare",
    summary="Fetches and tokenises all that a training run reads, and needs no GPU for it.",
    details="It takes what finetune takes: fetches the model, tokenises the documents on all cores and checks that "
    "the run can begin. Everything is kept in the cache ($PI_MODEL_CACHE), where the run finds it. A run that is "
    "started meanwhile waits until it is done.",
    example="pi-model prepare tiny_1024_pi",
    add_arguments=_add_arguments,
    run=_run,
    resumes=True,
)
