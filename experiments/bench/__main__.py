"""Measures ours beside what people would otherwise run, what a user waits for, and how times grow.

Rows are held against those of the committed record: one that fell by more than its noise is named, and so is one that
misses its aim. With --keep the parts that ran replace the record's, and the tables of speed show them.
"""

import sys
from collections.abc import Sequence
from functools import partial

from experiments.bench.harness import GPU_NAME, NAME, OPT_IN, PARTS, fallen, keep, kept, measure, missed
from experiments.bench.timing import Different
from experiments.measurement.budget import Budget
from experiments.records.record import RecordError, refuse_uncommitted
from pi_model.errors import RunError, UsageError
from pi_theory.console import exit_code, script_parser


def main(given: Sequence[str] | None = None) -> int:
    minutes = PARTS | OPT_IN
    plain = [name.removeprefix("bench_") for name in (*PARTS, *OPT_IN, GPU_NAME)]
    parser = script_parser("experiments.bench", __doc__, "theory --keep")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="PART",
        help=f"What to measure: {', '.join(plain[: len(PARTS)])}; peers, which needs pip install -e '.[peers]'; cold, "
        "which installs everything anew; or gpu, which needs a CUDA GPU. Without a name, all but the last three.",
    )
    parser.add_argument("--keep", action="store_true", help="Put the parts that ran into the committed record.")
    parser.add_argument(
        "--minutes",
        type=float,
        help="Stop the part gpu before this many minutes are over; the same command goes on later.",
    )
    parser.add_argument(
        "--only",
        metavar="NAME,NAME",
        help="Make these measurements of the part gpu alone, also where they were made before.",
    )
    parser.add_argument("--json", action="store_true", help="Print each row as a line of JSON.")
    arguments = parser.parse_args(given)
    names = [name if name.startswith("bench_") else f"bench_{name}" for name in arguments.names] or list(PARTS)
    if unknown := sorted(set(names) - {*minutes, GPU_NAME}):
        told = ", ".join(name.removeprefix("bench_") for name in unknown)
        parser.error(f"no part named {told}; choose from {', '.join(plain)}")
    if arguments.minutes is not None and names != [GPU_NAME]:
        parser.error("--minutes: only the part gpu goes on where it stopped; name it alone")
    if arguments.only is not None and names != [GPU_NAME]:
        parser.error("--only: only the part gpu keeps its measurements by name; name it alone")
    if GPU_NAME in names:
        if names != [GPU_NAME]:
            parser.error("gpu has a record of its own; run it by itself")
        from experiments.bench import gpu  # torch and transformers are not what --help waits for

        only = arguments.only.split(",") if arguments.only is not None else []
        return gpu.main(Budget.of_minutes(arguments.minutes), as_json=arguments.json, only=only)
    if arguments.keep:
        refuse_uncommitted()
    try:
        before = kept(NAME)
    except RecordError as error:
        print(f"{parser.prog}: {error}; or restore or remove the file", file=sys.stderr)
        return 1
    guess = {name: before[name]["wall_seconds"] if name in before else 60 * minutes[name] for name in names}
    failed, said = False, []
    for number, name in enumerate(names):
        say = partial(_say_left, f"{number + 1} of {len(names)}: {name}", [guess[later] for later in names[number:]])
        try:
            part = measure(name, say, as_json=arguments.json)
        except (Different, RunError, UsageError, RuntimeError) as error:
            print(f"{name}: not measured: {error}", file=sys.stderr)
            failed = True
            continue
        if arguments.keep:
            keep(NAME, {name: part}, command="make bench BENCH_ARGS=--keep")
        said += fallen(part, before.get(name)) + missed(part)
    print("\n".join(said), file=sys.stderr, end="\n" * bool(said))
    return int(failed)


def _say_left(what: str, guesses: Sequence[float], gone: float) -> None:
    """Says on standard error how long this part and those after it will take, of which `gone` seconds are over."""
    left = max(0.0, guesses[0] - gone) + sum(guesses[1:])
    print(f"{what}, about {left / 60:.0f} minutes left", file=sys.stderr, flush=True)


def run(given: Sequence[str] | None = None) -> int:
    """`main`, with the exit code of Ctrl-C and of a reader that is gone."""
    return exit_code(
        "python -m experiments.bench",
        lambda: main(given),
        wrong_usage=UsageError,
        failures=(RunError,),
        interrupted="interrupted; the parts that ended are kept",
    )


if __name__ == "__main__":
    sys.exit(run())
