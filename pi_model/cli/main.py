"""The ``pi-model`` command: extend a checkpoint, train it, and measure what it lost and gained.

Nothing heavy is imported before a command needs it, so that --help answers at once.
"""

import argparse
import hashlib
import json
import math
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pi_model.errors import RunError, UsageError

if TYPE_CHECKING:
    from pi_model.models.loading import Checkpoint

METHODS = ("linear", "ntk", "dynamic", "yarn", "llama3")
BENCHMARKS = ("boolq", "piqa", "race_m", "race_h", "winogrande")
GPU_NAMES = ("a100-40", "a100-80", "l40s", "h100", "h200")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    arguments = _parse(argv)
    try:
        arguments.run(arguments)
    except UsageError as error:
        return _fail(error, 2)
    except (RunError, OSError, MemoryError) as error:
        return _fail(error, 1)
    except RuntimeError as error:
        if "memory" not in str(error):
            raise  # a fault of ours, which a traceback serves best
        return _fail(f"out of memory: {arguments.less_memory}", 1)
    except KeyboardInterrupt:
        return _fail("interrupted; the same command goes on from here", 130)
    return 0


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    # argparse itself takes overrides in one place only, before the options or after.
    if rest and (not hasattr(arguments, "overrides") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        arguments.overrides += rest
    return arguments


def _fail(error: object, code: int) -> int:
    print(f"pi-model: error: {error}", file=sys.stderr)
    return code


def _warn(text: str) -> None:
    print(f"pi-model: warning: {text}", file=sys.stderr)


def _extend(arguments: argparse.Namespace) -> None:
    from pi_theory.scaling import scaling_by_name

    try:
        scaling = scaling_by_name(arguments.method, arguments.factor)
    except ValueError as error:
        raise UsageError(error) from error
    from pi_model.models.extension import extend_checkpoint

    _quiet_libraries()
    extension = extend_checkpoint(arguments.source, scaling, arguments.out)
    report = {
        "out": str(arguments.out),
        "method": arguments.method,
        "factor": extension.factor,
        "window_tokens": extension.window_tokens,
        "context_tokens": extension.context_tokens,
        "base": extension.base,
    }
    text = (
        f"{arguments.out}: {arguments.method} x{extension.factor:g}, "
        f"{extension.window_tokens} -> {extension.context_tokens} tokens"
    )
    _print(report, text, arguments.json)


def _finetune(arguments: argparse.Namespace) -> None:
    from pi_model.training.overrides import override
    from pi_model.training.recipes import recipe

    config = override(recipe(arguments.recipe), arguments.overrides)
    from pi_model.training.loop import train

    _quiet_libraries()
    outcome = train(config, arguments.out, fall_back=arguments.fall_back, progress=not arguments.quiet)
    if int(os.environ.get("RANK", 0)) == 0:
        report = {**asdict(outcome), "model": str(outcome.model), "config_sha256": config.sha256()}
        loss = "nothing left to do" if outcome.loss_nats is None else f"last loss {outcome.loss_nats:.4f} nats"
        _print(report, f"{outcome.model}: {outcome.steps} steps, {loss}", arguments.json)


def _perplexity(arguments: argparse.Namespace) -> None:
    from pi_model.evaluation.windows import check_window_and_stride

    windows = list(dict.fromkeys(arguments.windows))
    for window in windows:
        check_window_and_stride(window, 1 if arguments.truncate else arguments.stride)
    from pi_model.data.documents import Source, load_documents, tokenizer_sha256
    from pi_model.distributed import ranks
    from pi_model.evaluation.perplexity import sliding_perplexity, truncated_perplexity

    ranks.start()
    try:
        checkpoint = _load(arguments, arguments.model)
        source = Source(arguments.data, arguments.column, arguments.split)
        show = not arguments.quiet
        documents = _rank_zero_first(
            lambda: load_documents(source, checkpoint.tokenizer, _selection(arguments), progress=show)
        )
        bos_id = _bos_id(arguments, checkpoint)
        if ranks.rank() == 0:
            _warn_of_lengths(checkpoint, windows, [len(ids) for ids in documents.tokens])
        folder = _progress_folder(checkpoint, documents.sha256)
        common: dict[str, Any] = {
            "windows": windows,
            "bos_id": bos_id,
            "averaging": arguments.averaging,
            "names": documents.names,
            "progress_folder": folder,
            "progress": show,
        }
        if arguments.truncate:
            results = truncated_perplexity(checkpoint.model, documents.tokens, **common)
        else:
            results = sliding_perplexity(
                checkpoint.model,
                documents.tokens,
                stride=arguments.stride,
                batch_tokens=arguments.batch_tokens,
                **common,
            )
        if ranks.rank() == 0:
            report = {
                "model": str(arguments.model),
                "data": arguments.data,
                "documents": len(documents.names),
                "data_sha256": documents.sha256,
                "tokenizer_sha256": tokenizer_sha256(checkpoint.tokenizer),
                "protocol": "truncated" if arguments.truncate else "sliding",
                "stride": None if arguments.truncate else arguments.stride,
                "averaging": arguments.averaging,
                "bos": bos_id is not None,
                "dtype": arguments.dtype,
                "device": arguments.device,
                # JSON has no infinity, which is what exp of a loss above 709 nats is.
                "results": [
                    asdict(result) | ({} if math.isfinite(result.perplexity) else {"perplexity": None})
                    for result in results
                ],
            }
            lines = [f"{'window':>8} {'perplexity':>11} {'loss (nats)':>12} {'+-':>7} {'tokens':>9} {'windows':>8}"]
            for r in results:
                spread = "" if r.loss_nats_stderr is None else f"{r.loss_nats_stderr:.4f}"
                lines.append(
                    f"{r.window:8} {r.perplexity:11.4f} {r.loss_nats:12.5f} {spread:>7} {r.tokens:9} {r.windows:8}"
                )
            _print(report, "\n".join(lines), arguments.json)
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        ranks.stop()


def _passkey(arguments: argparse.Namespace) -> None:
    from pi_model.evaluation.passkey import passkey

    checkpoint = _load(arguments, arguments.model)
    context = arguments.max_context or checkpoint.extension.context_tokens
    _warn_of_lengths(checkpoint, [context], [])
    bos_id = _bos_id(arguments, checkpoint)
    folder = _progress_folder(checkpoint, "passkey")
    result = passkey(
        checkpoint.model,
        checkpoint.tokenizer,
        context_tokens=context,
        positions=arguments.positions,
        trials=arguments.trials,
        seed=arguments.seed,
        bos_id=bos_id,
        progress_folder=folder,
        progress=not arguments.quiet,
    )
    report = {"model": str(arguments.model), "seed": arguments.seed, "bos": bos_id is not None, **asdict(result)}
    lines = [f"{k:8} {share:6.0%} {'#' * round(20 * share)}" for k, share in result.accuracy.items()]
    text = "\n".join([f"{'k':>8} {'found':>6}", *lines, f"k_max = {result.k_max} of {context}"])
    _print(report, text, arguments.json)
    shutil.rmtree(folder, ignore_errors=True)


def _plan(arguments: argparse.Namespace) -> None:
    recipes = [word for word in arguments.overrides if "=" not in word]
    if len(recipes) + (arguments.model is not None) != 1:
        raise UsageError("plan: give either one recipe or --model")
    if arguments.context is not None and arguments.model is None:
        raise UsageError("context: goes with --model; a recipe has its own, which factor=... changes")
    from pi_model import planning
    from pi_model.gpus import GPUS
    from pi_model.planning import script
    from pi_model.training.overrides import override
    from pi_model.training.recipes import recipe

    changes = [word for word in arguments.overrides if "=" in word]
    if recipes:
        name = recipes[0]
    else:
        name, own = planning.settings(arguments.model, arguments.context)
        changes = own + changes
    if override(recipe(name), changes).device != "cuda":
        changes.append("device=cuda")
    config = override(recipe(name), changes)
    shape = planning.Shape.of(planning.architecture(config))
    gpu = GPUS[arguments.gpu]
    fixed = {change.partition("=")[0] for change in changes}
    planned = planning.advise(
        config, shape, gpu, arguments.gpus, fixed=fixed, utilisation=arguments.utilisation, usable=arguments.usable
    )
    fewest = planning.fewest_gpus(planning.leanest(config, fixed), shape, gpu, usable=arguments.usable)
    text = script(arguments.script, name, changes, planned) if arguments.script else None
    paper = planning.beside_paper(config, shape, utilisation=arguments.utilisation, usable=arguments.usable)
    report = {"recipe": name, "overrides": changes, **planning.report(planned, fewest, paper), "script": text}
    _print(report, text or planning.table(report, explain=arguments.explain), arguments.json)
    if not (planned.fits or arguments.json):
        _warn(planning.shortfall(planned, fewest))


def _gguf(arguments: argparse.Namespace) -> None:
    from pi_model.models.gguf_export import export_gguf

    _quiet_libraries()
    export_gguf(arguments.source, arguments.out)
    size = arguments.out.stat().st_size
    _print({"out": str(arguments.out), "bytes": size}, f"{arguments.out}: {size / 2**30:.2f} GiB", arguments.json)


def _benchmark(arguments: argparse.Namespace) -> None:
    from pi_model.evaluation.benchmarks import Scores, benchmark, check, compare

    tasks = list(dict.fromkeys(arguments.tasks))
    models = list(dict.fromkeys(arguments.model))
    check(tasks, arguments.data_dir, arguments.limit, arguments.batch_size)
    scores: dict[str, dict[str, Scores]] = {}
    folders = []
    for name in models:
        checkpoint = _load(arguments, name)
        folders.append(_progress_folder(checkpoint, "benchmark"))
        scores[name] = benchmark(
            checkpoint.model,
            checkpoint.tokenizer,
            tasks,
            context_tokens=checkpoint.extension.context_tokens,
            bos=checkpoint.bos_id is not None,
            data_dir=arguments.data_dir,
            limit=arguments.limit,
            batch_size=arguments.batch_size,
            progress_folder=folders[-1],
            progress=sys.stderr.isatty() and not arguments.quiet,
        )
        del checkpoint  # or there would be two in memory while the next is loaded
        if not arguments.quiet:
            print(f"{name}: done", file=sys.stderr)
    report = {
        "models": models,
        "data": str(arguments.data_dir or "hub"),
        "limit": arguments.limit,
        "dtype": arguments.dtype,
        "harness": f"lm_eval {version('lm_eval')}",
        "results": compare(scores),
    }
    lines = [f"{'task':11} {'metric':9} {'items':>6} {'accuracy':>17} {'against the first':>18}  model"]
    for row in report["results"]:
        gain = _percent(row["gain"], row["gain_stderr"], "+") if "gain" in row else ""
        accuracy = _percent(row["accuracy"], row["stderr"])
        lines.append(f"{row['task']:11} {row['metric']:9} {row['items']:6} {accuracy:>17} {gain:>18}  {row['model']}")
    _print(report, "\n".join(lines), arguments.json)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _percent(share: float, error: float | None, sign: str = "") -> str:
    return f"{100 * share:{sign}.1f}" + ("" if error is None else f" +- {100 * error:.1f}")


def _summarize(arguments: argparse.Namespace) -> None:
    from pi_model.data.documents import Source
    from pi_model.data.summaries import SummaryPrompts, read_pairs
    from pi_model.evaluation.summarization import Sampling, mean_rouge, rouge_scorer, rouge_settings, summarize
    from pi_model.files import write_text

    rouge_scorer()  # found missing now rather than after the model is loaded
    sampling = Sampling(arguments.temperature, arguments.top_p, arguments.max_tokens, arguments.seed)
    source = Source(arguments.data, arguments.column, arguments.split)
    pairs = list(read_pairs(source, arguments.summary_column))
    if arguments.samples is not None:
        if arguments.samples < 1:
            raise UsageError(f"samples: must be at least 1, got {arguments.samples}")
        pairs = pairs[: arguments.samples]
    checkpoint = _load(arguments, arguments.model)
    window = arguments.context or checkpoint.extension.context_tokens
    _warn_of_lengths(checkpoint, [window], [])
    maker = SummaryPrompts(
        checkpoint.tokenizer,
        window,
        document_tokens=arguments.document_tokens,
        summary_tokens=arguments.max_tokens,
        bos_id=_bos_id(arguments, checkpoint),
    )
    if maker.document_tokens < arguments.document_tokens:
        _warn(f"documents are cut to {maker.document_tokens} tokens: a window of {window} holds no more")
    folder = _progress_folder(checkpoint, hashlib.sha256(repr(pairs).encode()).hexdigest())
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
    report = {
        "model": str(arguments.model),
        "data": arguments.data,
        "split": arguments.split,
        "documents": len(summaries),
        "window": window,
        "document_tokens": maker.document_tokens,
        "sampling": asdict(sampling),
        "dtype": arguments.dtype,
        "device": arguments.device,
        "ended": sum(summary.ended for summary in summaries),
        "rouge": mean_rouge(summaries),
        "rouge_settings": rouge_settings(),
    }
    lines = [f"{'':10} {'F1 (%)':>7} {'+-':>5}"]
    for kind, found in report["rouge"].items():
        spread = "" if found["stderr"] is None else f"{found['stderr']:.2f}"
        lines.append(f"{kind:10} {found['mean']:7.2f} {spread:>5}")
    lines.append(f"{len(summaries)} documents, {report['ended']} summaries ended by themselves")
    _print(report, "\n".join(lines), arguments.json)
    shutil.rmtree(folder, ignore_errors=True)


def _load(arguments: argparse.Namespace, source: str) -> "Checkpoint":
    from pi_model.models.loading import load_checkpoint

    _quiet_libraries()
    return _rank_zero_first(lambda: load_checkpoint(source, dtype=arguments.dtype, device=arguments.device))


def _rank_zero_first(load: Any) -> Any:
    """What is fetched or converted into the cache is made by one rank and read by the others."""
    from pi_model.distributed import ranks

    if ranks.rank() != 0:
        ranks.wait_for_all()
    loaded = load()
    if ranks.rank() == 0:
        ranks.wait_for_all()
    return loaded


def _selection(arguments: argparse.Namespace) -> Any:
    from pi_model.data.documents import Selection

    given = {
        name: getattr(arguments, name)
        for name in ("min_tokens", "max_tokens", "samples", "seed")
        if getattr(arguments, name) is not None
    }
    for name, value in given.items():
        if name != "seed" and value < 1:
            raise UsageError(f"{name.replace('_', '-')}: must be at least 1, got {value}")
    return Selection(**given) if given else None


def _bos_id(arguments: argparse.Namespace, checkpoint: "Checkpoint") -> int | None:
    if arguments.bos == "no":
        return None
    if arguments.bos == "auto":
        return checkpoint.bos_id
    bos = checkpoint.tokenizer.bos_token_id
    if bos is None:
        raise UsageError("bos: this tokenizer has no BOS token; use --bos no")
    return int(bos)


def _warn_of_lengths(checkpoint: "Checkpoint", windows: Sequence[int], lengths: Sequence[int]) -> None:
    context = checkpoint.extension.context_tokens
    if beyond := [window for window in windows if window > context]:
        _warn(f"window {', '.join(map(str, beyond))} is beyond the model's {context} tokens: this is extrapolation")
    for window in windows:
        if short := sum(length < window for length in lengths):
            _warn(
                f"{short} of {len(lengths)} documents are shorter than window {window} and are scored with what "
                f"context they have; --min-tokens {window} leaves them out"
            )


def _progress_folder(checkpoint: "Checkpoint", data: str) -> Path:
    from pi_model.files import cache_dir

    key = f"{checkpoint.fingerprint()} {checkpoint.model.device.type} {data}"
    return cache_dir() / "runs" / hashlib.sha256(key.encode()).hexdigest()[:32]


def _quiet_libraries() -> None:
    import logging

    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # five lines of retries before our one


def _print(report: dict[str, Any], text: str, as_json: bool) -> None:
    print(json.dumps(report, allow_nan=False) if as_json else text)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="pi-model", description="Extend a LLaMA's context window, train it, measure it.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    def add(name: str, run: Any, summary: str, example: str) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name,
            help=summary,
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_argument("--json", action="store_true", help="print one JSON object")
        command.set_defaults(run=run, less_memory="use smaller --windows or --batch-tokens, or --dtype bfloat16")
        return command

    extend = add(
        "extend",
        _extend,
        "Write a checkpoint with a longer context window: only its config changes.",
        "pi-model extend smollm2-135m --factor 2 --out smollm2-16k",
    )
    extend.add_argument("source", metavar="SRC", help="folder, hub name, GGUF file, or smollm2-135m")
    extend.add_argument("--factor", type=float, required=True, help="extended window / present window")
    extend.add_argument("--method", choices=METHODS, default="linear", help="default: linear, Position Interpolation")
    extend.add_argument("--out", type=Path, required=True, help="a new folder")

    finetune = add(
        "finetune",
        _finetune,
        "Train by a recipe, under torchrun on many devices; the same command again goes on from the newest checkpoint.",
        "pi-model finetune smollm2_16384_pi steps=20 global_batch=2 data=books --out smollm2-pi",
    )
    finetune.add_argument("recipe", metavar="RECIPE", help="a name; one that is unknown lists them all")
    finetune.add_argument(
        "overrides", metavar="FIELD=VALUE", nargs="*", help="fields of the recipe; an unknown one lists them all"
    )
    finetune.add_argument("--out", type=Path, required=True, help="the run's folder; its model/ is the trained model")
    finetune.add_argument("--fall-back", action="store_true", help="pass over a broken checkpoint to the one before")
    finetune.add_argument("--quiet", action="store_true", help="no progress")
    finetune.set_defaults(
        less_memory="use micro_batch=1, activation_checkpointing=full, lora.rank=16 or more processes"
    )

    perplexity = add(
        "perplexity",
        _perplexity,
        "Sliding-window perplexity of documents, at each window size.",
        "pi-model perplexity --model smollm2-16k --data books --windows 2048 4096 --samples 2",
    )
    _add_model(perplexity)
    perplexity.add_argument(
        "--data",
        required=True,
        help="file or folder (.txt, .jsonl, .parquet), corpus (books, code), preset (pg19, proof-pile), hub dataset",
    )
    perplexity.add_argument("--windows", type=int, nargs="+", required=True, help="input lengths in tokens")
    perplexity.add_argument("--stride", type=int, default=256, help="tokens between windows (default 256)")
    perplexity.add_argument(
        "--averaging", choices=("token", "window"), default="token", help="over tokens, or the mean of window means"
    )
    perplexity.add_argument("--truncate", action="store_true", help="one window a document, cut to it; no stride")
    perplexity.add_argument("--column", default="text", help="column with the text (default text)")
    perplexity.add_argument("--split", default="test", help="split of a corpus or hub dataset (default test)")
    perplexity.add_argument("--min-tokens", type=int, help="leave shorter documents out")
    perplexity.add_argument("--max-tokens", type=int, help="cut longer documents")
    perplexity.add_argument("--samples", type=int, help="draw this many documents")
    perplexity.add_argument("--seed", type=int, help="of the draw (default 0)")
    perplexity.add_argument("--batch-tokens", type=int, help="tokens in a forward pass (default: by device)")

    retrieval = add(
        "passkey",
        _passkey,
        "Passkey retrieval: how far back the model finds a number hidden in filler.",
        "pi-model passkey --model smollm2-135m --max-context 2048 --positions 8 --trials 5",
    )
    _add_model(retrieval)
    retrieval.add_argument("--max-context", type=int, help="length of the prompts in tokens (default: the model's)")
    retrieval.add_argument("--positions", type=int, default=32, help="distances, uniform in the window (default 32)")
    retrieval.add_argument("--trials", type=int, default=10, help="keys at each distance (default 10)")
    retrieval.add_argument("--seed", type=int, default=0, help="of the keys (default 0)")

    zero_shot = add(
        "benchmark",
        _benchmark,
        "Zero-shot accuracy by lm-evaluation-harness; several models are compared on the same items.",
        "pi-model benchmark --model smollm2-135m --model smollm2-16k --tasks piqa race_m --data-dir benchmarks",
    )
    zero_shot.add_argument(
        "--model", action="append", required=True, help="folder, hub name, GGUF file, or smollm2-135m; may be repeated"
    )
    zero_shot.add_argument(
        "--tasks", nargs="+", default=list(BENCHMARKS), metavar="TASK", help=f"of {', '.join(BENCHMARKS)} (default all)"
    )
    zero_shot.add_argument("--data-dir", type=Path, help="folder with TASK.jsonl for each task, instead of the hub")
    zero_shot.add_argument("--limit", type=int, help="only the first so many items of each task")
    zero_shot.add_argument("--batch-size", type=int, default=8, help="items in a forward pass (default 8)")
    _add_hardware(zero_shot)
    zero_shot.set_defaults(less_memory="use a smaller --batch-size, or --dtype bfloat16")

    summaries = add(
        "summarize",
        _summarize,
        "Write summaries of long documents and score them by ROUGE.",
        "pi-model summarize --model smollm2-135m --data abstracts --samples 4 --max-tokens 64 --context 1024",
    )
    _add_model(summaries)
    summaries.add_argument(
        "--data",
        required=True,
        help="file or folder (.jsonl, .parquet), corpus with summaries (abstracts), hub dataset",
    )
    summaries.add_argument("--column", default="report", help="column with the document (default report)")
    summaries.add_argument("--summary-column", default="summary", help="column with its summary (default summary)")
    summaries.add_argument("--split", default="test", help="split of a corpus or hub dataset (default test)")
    summaries.add_argument("--samples", type=int, help="only the first so many documents")
    summaries.add_argument("--context", type=int, help="window in tokens, summary included (default: the model's)")
    summaries.add_argument("--document-tokens", type=int, default=15000, help="cut documents to this (default 15000)")
    summaries.add_argument("--max-tokens", type=int, default=1000, help="of a summary (default 1000)")
    summaries.add_argument("--temperature", type=float, default=0.5, help="default 0.5; 0 takes the likeliest token")
    summaries.add_argument("--top-p", type=float, default=0.95, help="default 0.95")
    summaries.add_argument("--seed", type=int, default=0, help="of the draws (default 0)")
    summaries.add_argument(
        "--batch-tokens", type=int, default=8192, help="tokens in a batch of documents (default 8192)"
    )
    summaries.add_argument("--out", type=Path, help="write the summaries to this .jsonl file")
    summaries.set_defaults(less_memory="use a smaller --batch-tokens or --context, or --dtype bfloat16")

    plan = add(
        "plan",
        _plan,
        "What a training run takes: memory, arithmetic, time, and how many GPUs.",
        "pi-model plan --model llama-65b --context 32768 --gpus 128 --gpu h100",
    )
    plan.add_argument(
        "overrides", metavar="RECIPE FIELD=VALUE", nargs="*", help="as finetune has them; or --model for the recipe"
    )
    plan.add_argument("--model", help="llama-7b, -13b, -33b, -65b, smollm2-135m or a folder, with the paper's settings")
    plan.add_argument("--context", type=int, help="with --model: the extended window (default 8192, or the model's)")
    plan.add_argument("--gpus", type=int, help="default: the fewest that fit and can share the batch")
    plan.add_argument("--gpu", choices=GPU_NAMES, default="a100-80", help="default a100-80")
    plan.add_argument("--utilisation", type=float, default=0.4, help="share of the peak FLOP/s reached (default 0.4)")
    plan.add_argument("--usable", type=float, default=0.9, help="share of a GPU's memory for tensors (default 0.9)")
    plan.add_argument("--explain", action="store_true", help="the formula behind each number")
    plan.add_argument("--script", choices=("torchrun", "slurm"), help="print a script that starts the run instead")

    gguf = add(
        "gguf",
        _gguf,
        "Write a checkpoint as one GGUF file, for llama.cpp.",
        "pi-model gguf smollm2-16k --out smollm2-16k.gguf",
    )
    gguf.add_argument("source", metavar="SRC", help="folder, hub name, GGUF file, or smollm2-135m")
    gguf.add_argument("--out", type=Path, required=True, help="a new file")
    return parser


def _add_model(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, help="folder, hub name, GGUF file, or smollm2-135m")
    command.add_argument("--bos", choices=("auto", "yes", "no"), default="auto", help="auto: as the tokenizer does")
    _add_hardware(command)


def _add_hardware(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), default="float32")
    command.add_argument("--device", default="cpu", help="default cpu; cuda for a GPU")
    command.add_argument("--quiet", action="store_true", help="no progress bar")


if __name__ == "__main__":
    sys.exit(main())
