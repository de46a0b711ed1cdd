"""Benchmarks at toy size: that they run, compare what they say and keep what they measured; never how fast."""

import json
import math
import subprocess
import sys
import time
from dataclasses import asdict, replace
from importlib.util import find_spec
from itertools import count

import pytest
import torch

from experiments.bench import __main__ as bench_command
from experiments.bench import cold as bench_cold
from experiments.bench import gpu as bench_gpu
from experiments.bench import growth as bench_growth
from experiments.bench import harness as bench
from experiments.bench import passkey as bench_passkey
from experiments.bench import peers as bench_peers
from experiments.bench import perplexity as bench_perplexity
from experiments.bench import startup as bench_startup
from experiments.bench import theory as bench_theory
from experiments.bench import training as bench_training
from experiments.bench.timing import FASTER, LEANER, Different, faster, leaner, measured, peak_gib, race
from experiments.measurement.budget import Budget
from experiments.records import record
from experiments.runner.verify import verify
from figures.tables import speed
from pi_model.errors import RunError, UsageError
from pi_model.evaluation.passkey import Prompt
from pi_model.models.loading import random_llama
from pi_model.training.config import Architecture

SHAPE = Architecture(vocabulary=64, hidden=32, intermediate=64, layers=2, heads=4, kv_heads=2)


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(record, "uncommitted", list)
    return tmp_path


def rows_of(part):
    """Its rows, each with a name of its own and a value that is a number."""
    found = list(part.rows())
    names = [(row.what, row.beside, row.unit) for row in found]
    assert len(names) == len(set(names))
    for row in found:
        assert row.lowest <= row.value <= row.highest
        assert math.isfinite(row.value)
        assert json.loads(json.dumps(asdict(row)))["what"] == row.what
    return found


# --- timing


def test_ways_take_turns_and_change_their_order():
    called = []
    ways = {name: lambda name=name: called.append(name) or [1.0] for name in "ab"}
    seconds = race(ways, repeats=3, at_least=0)
    assert "".join(called) == "ab" + "ba" + "ab" + "ba"
    assert [len(turns) for turns in seconds.values()] == [3, 3]


def test_what_is_warm_counts_from_its_first_call():
    called = []
    race({name: lambda name=name: called.append(name) or [1.0] for name in "ab"}, repeats=2, warm=True)
    assert "".join(called) == "ba" + "ab"


def test_a_short_call_is_repeated_within_its_turn():
    called = []
    race({"short": lambda: called.append(1) or [1.0]}, repeats=1, at_least=0.01)
    assert len(called) > 10


@pytest.mark.parametrize("late", [False, True])
def test_different_answers_are_refused_at_any_turn(late):
    answers = count() if late else count(5)
    ways = {"ours": lambda: [1.0], "theirs": lambda: [1.0 if next(answers) < 1 else 1.1]}
    with pytest.raises(Different, match="ours and theirs do not give the same"):
        race(ways, repeats=2, at_least=0)
    race({"ours": lambda: [1.0], "theirs": lambda: [2.0, 3.0]}, repeats=1, at_least=0, relative=None)


def test_a_ratio_is_that_of_each_turn_and_above_one_where_ours_is_better():
    row = faster("this", "that", {"ours": [1.0, 2.0, 4.0], "theirs": [2.0, 8.0, 4.0]}, aim=1)
    assert (row.value, row.lowest, row.highest, row.n, row.unit, row.more) == (2, 1, 4, 3, FASTER, True)
    assert row.detail == {"ours_seconds": 2.0, "theirs_seconds": 4.0}
    row = leaner("this", "that", [1.0], [4.0])
    assert (row.value, row.unit, row.more) == (0.25, LEANER, False)


def test_memory_that_a_call_adds_is_measured_without_what_was_there():
    script = (
        "import numpy as np; from experiments.bench.timing import added_gib; held = np.ones(2**24); "
        "print(added_gib(lambda: np.ones(2**25).sum()), added_gib(lambda: held[0]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=record.ROOT, capture_output=True, text=True, check=True)
    more, none = map(float, done.stdout.split())
    assert 0.2 < more < 0.3  # 256 MiB
    assert none < 0.05


def test_a_race_can_be_timed_by_the_processor():
    asleep = race({"a": lambda: time.sleep(0.05) or [1.0]}, repeats=1, at_least=0, clock=time.process_time)
    assert asleep["a"][0] < 0.04


def test_peak_memory_is_that_of_a_process_of_its_own():
    little, much = (peak_gib("timeit", "timeit", "pass", f"held = b'x' * 2**{size}") for size in (20, 29))
    assert 0.4 < much - little < 0.6
    with pytest.raises(RuntimeError, match="math domain error"):
        peak_gib("math", "sqrt", -1)


# --- what is said of a run, and kept of it


def part(*rows, device="here"):
    return {**bench.part("bench_theory", [asdict(row) for row in rows], 1.0), "device": device}


@pytest.mark.parametrize(
    ("now", "before", "fell"),
    [
        ([1.0, 1.1], [1.2, 1.3], True),
        ([1.05, 1.25], [1.2, 1.3], False),  # the ranges meet
        ([1.26, 1.28], [1.29, 1.31], False),  # so near that it is noise
        ([1.4, 1.5], [1.2, 1.3], False),
        ([0.9, 1.1, 1.4], [1.2, 1.3, 1.4], True),  # by more than a tenth, although the ranges meet
    ],
)
def test_a_row_fell_where_it_is_worse_by_more_than_its_noise(now, before, fell):
    then, this = (part(measured("x", FASTER, values, beside="y", more=True)) for values in (before, now))
    assert bool(bench.fallen(this, then)) == fell
    then, this = (part(measured("x", "s", [1 / value for value in values])) for values in (before, now))
    assert bool(bench.fallen(this, then)) == fell
    assert bench.fallen(this, None) == []


def test_a_row_that_fell_on_another_device_says_so():
    slow, fast = (part(measured("x", "s", [value]), device=f"machine {value}") for value in (2.0, 1.0))
    assert bench.fallen(slow, fast) == ["fell: x: 2 s, was 1 (then on machine 1.0)"]


def test_a_row_that_misses_its_aim_is_named():
    rows = [
        measured("met", FASTER, [1.0], aim=1, more=True),
        measured("slow", FASTER, [0.9], beside="theirs", aim=1, more=True),
        measured("late", "s", [0.6], aim=0.5),
        measured("free", "s", [0.6]),
    ]
    assert bench.missed(part(*rows)) == [
        f"misses its aim: slow beside theirs: 0.9 {FASTER}, aim at least 1",
        "misses its aim: late: 0.6 s, aim at most 0.5",
    ]


def run(monkeypatch, *arguments, **rows):
    """bench with these rows for its parts: a value, or an error to raise."""
    for name, value in rows.items():

        def made(value=value):
            if not isinstance(value, float):
                raise value
            yield measured("x", "s", [value], aim=1)

        monkeypatch.setattr(f"{bench.script(name)}.rows", made)
    monkeypatch.setattr(sys, "argv", ["bench", *rows, *arguments])
    return bench_command.main()


def test_a_part_is_kept_by_itself_and_the_others_stay_as_they_were(results, monkeypatch):
    assert run(monkeypatch, "--keep", bench_theory=1.0, bench_startup=1.0) == 0
    before = bench.kept("bench")
    assert run(monkeypatch, bench_theory=3.0) == 0
    assert bench.kept("bench") == before, "without --keep nothing is"
    assert run(monkeypatch, "--keep", bench_theory=2.0) == 0
    after = bench.kept("bench")
    assert after["bench_startup"] == before["bench_startup"]
    assert after["bench_theory"]["rows"][0]["value"] == 2.0
    for name in after:
        assert {"device", "versions", "commit", "written", "wall_seconds"} <= after[name].keys()


def test_what_fell_and_what_misses_its_aim_is_said_after_the_run(results, monkeypatch, capsys):
    run(monkeypatch, "--keep", bench_theory=0.9)
    capsys.readouterr()
    run(monkeypatch, bench_theory=1.5)
    shown = capsys.readouterr()
    assert "fell: x: 1.5 s, was 0.9\nmisses its aim: x: 1.5 s" in shown.err
    assert "1 of 1: bench_theory, about" in shown.err
    assert shown.out == "x: 1.5 s; aim at most 1\n"


def test_an_interrupted_run_leaves_the_parts_that_ended(results, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(monkeypatch, "--keep", bench_theory=1.0, bench_startup=KeyboardInterrupt())
    assert list(bench.kept("bench")) == ["bench_theory"]


def test_a_part_that_cannot_be_measured_is_named_and_the_others_are(results, monkeypatch, capsys):
    assert run(monkeypatch, "--keep", bench_passkey=RunError("no model here"), bench_theory=1.0) == 1
    assert "bench_passkey: not measured: no model here" in capsys.readouterr().err
    assert list(bench.kept("bench")) == ["bench_theory"]


def test_a_changed_record_is_refused_and_left_alone(results, monkeypatch, capsys):
    run(monkeypatch, "--keep", bench_theory=1.0)
    path = record.path_of("bench", live=False)
    path.write_text(path.read_text().replace('"value": 1.0', '"value": 9.0'))
    changed = path.read_text()
    assert run(monkeypatch, "--keep", bench_theory=1.0) == 1
    assert "changed after it was written" in capsys.readouterr().err
    assert path.read_text() == changed


def test_the_record_is_held_against_its_hashes_and_is_nobodys_leftover(results, monkeypatch):
    run(monkeypatch, "--keep", bench_theory=1.0)
    path = record.path_of("bench", live=False)
    found = verify(path, {}, rerun=True)
    assert found["errors"] == found["warnings"] == []
    path.write_text(path.read_text().replace('"value": 1.0', '"value": 9.0'))
    assert verify(path, {}, rerun=True)["errors"]


def test_an_unknown_part_is_a_wrong_usage(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "bench_nothing"])
    with pytest.raises(SystemExit) as stop:
        bench_command.main()
    assert stop.value.code == 2
    assert "no part named nothing; choose from theory" in capsys.readouterr().err


def test_every_part_has_its_place_in_the_table_and_its_script():
    parts = [*bench.PARTS, *bench.OPT_IN, bench.GPU_NAME]
    assert sorted(parts) == sorted(speed.PARTS)
    assert all(find_spec(bench.script(name)) for name in parts)
    assert sum(bench.PARTS.values()) <= 75, "minutes"


# --- the parts


def test_theory_gives_rows_of_the_same_answers(monkeypatch):
    monkeypatch.setattr(bench_theory, "COUNTS", (256,))
    monkeypatch.setattr(bench_theory, "peak_gib", lambda *_: 1.0)
    for name, value in {"REPEATS": 1, "UPTO": 16, "WINDOW": 32, "POSITIONS": 2}.items():
        monkeypatch.setattr(bench_theory, name, value)
    found = {(row.what, row.beside): row for row in rows_of(bench_theory)}
    assert found["B(s), 256 positions", "its square roots and multiply-adds alone"].detail["roots_per_second"] > 0


def test_perplexity_is_the_loop_of_the_documentation(monkeypatch):
    monkeypatch.setattr(bench_perplexity, "SLIDING", [("tiny-llama", 320, 128, 64, 1, False)])
    monkeypatch.setattr(bench_perplexity, "TRUNCATED", [("tiny-llama", (64, 128), 1)])

    def in_this_process(_, name, *given):  # where a small measurement may add nothing to what was taken before
        return max(getattr(bench_perplexity, name)(*given), 1e-6), 1.0

    monkeypatch.setattr(bench_perplexity, "alone", in_this_process)
    assert [row.unit for row in rows_of(bench_perplexity)] == [FASTER, LEANER, FASTER]


def test_the_limit_of_passkeys_counts_no_token_twice_that_trials_share():
    rows = [[Prompt(6, (0,) * 3, (0,) * 2)] * 2, [Prompt(2, (0,) * 7, (0,) * 2)] * 2]
    assert bench_passkey.limit(rows) == pytest.approx(4 * 10 / (6 + 2 * 4 + 2 * 8))


def test_passkeys_are_those_that_generate_finds(monkeypatch):
    monkeypatch.setattr(bench_passkey, "MODEL", "tiny-llama")
    monkeypatch.setattr(bench_passkey, "CASES", [(160, 2, 1, 1, 1)])
    assert [row.beside for row in rows_of(bench_passkey)] == ["generate() with cache", "generate() without cache"]


def toy_task(tokens, steps, activation_checkpointing="none"):
    model = random_llama(vocab_size=SHAPE.vocabulary)
    draw = torch.Generator().manual_seed(0)
    windows = [torch.randint(0, SHAPE.vocabulary, (1, tokens + 1), generator=draw) for _ in range(steps)]
    config = replace(bench_training.CONFIG, steps=steps, activation_checkpointing=activation_checkpointing)
    return bench_training.Task(config, model.config, model.state_dict().__getitem__, windows)


@pytest.fixture
def toy_training(monkeypatch):
    """Small, and in this process."""
    monkeypatch.setattr(bench_training, "smollm2", toy_task)
    monkeypatch.setattr(bench_training, "CASES", {16: (2, 3, ("none", "selective", "full"))})
    monkeypatch.setattr(bench_training, "alone", lambda _, name, *given: (getattr(bench_training, name)(*given), 1.0))


def test_training_has_the_losses_of_trainer_step_by_step(toy_training):
    found = rows_of(bench_training)
    assert [row.unit for row in found] == [FASTER, LEANER] * 3
    assert [row.n for row in found] == [4, 2] * 3  # the first step of each turn is not counted


def test_training_with_other_losses_than_trainers_is_not_compared(toy_training, monkeypatch):
    own = bench_training.ours

    def another(task):
        done = own(task)
        return replace(done, losses=[*done.losses[:-1], done.losses[-1] + 0.1])

    monkeypatch.setattr(bench_training, "ours", another)
    with pytest.raises(Different):
        list(bench_training.rows())


def test_the_harness_gives_the_perplexity_of_the_same_windows():
    case = (*bench_perplexity.model_and_document("tiny-llama", 320), 128, 64)
    assert bench_peers.by_harness(*case) == pytest.approx(bench_perplexity.ours(*case), rel=1e-5)


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of TRL, which still asks transformers by older names
def test_other_projects_train_with_our_losses(monkeypatch):
    for package in ("trl", "litgpt"):
        pytest.importorskip(package)
    for name, value in {"TURNS": 1, "STEPS": 2, "SLIDING": []}.items():
        monkeypatch.setattr(bench_peers, name, value)
    monkeypatch.setattr(bench_peers, "alone", lambda _, name, *given: (getattr(bench_peers, name)(*given), 1.0))
    assert [row.unit for row in rows_of(bench_peers)] == [FASTER, LEANER] * 3


def test_a_project_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr(bench_peers, "find_spec", lambda package: None if package == "trl" else object())
    with pytest.raises(UsageError, match="trl not installed"):
        next(bench_peers.rows())


def test_waiting_is_measured_for_every_command(monkeypatch):
    monkeypatch.setattr(bench_startup, "REPEATS", 1)
    monkeypatch.setattr(bench_startup, "IMPORTS", {"pi_theory": 0.3})
    monkeypatch.setattr(bench_startup, "FLOOR", "from pi_theory import arguments")
    monkeypatch.setattr(bench_startup, "LOADING", "pi_theory.rope")
    monkeypatch.setattr(bench_startup, "PROGRAMS", {"pi-theory": "pi_theory.cli"})
    found = {row.what: row for row in rows_of(bench_startup)}
    assert list(found) == [
        "import pi_theory",
        "import pi_theory.rope",
        "pi-theory --help",
        "pi-theory COMMAND --help, the slowest of 7",
        *(f"pi-model {line}" for line in bench_startup.LIGHT),
    ]
    assert found["import pi_theory.rope"].aim == pytest.approx(
        bench_startup.OVER_FLOOR * found["import pi_theory.rope"].detail["floor_seconds"]
    )
    assert {"extend", "plan", "gguf"} <= set(bench_startup.commands("pi_model.cli.main"))


def test_growth_is_the_exponent_of_a_power():
    assert bench_growth.exponent((1, 2, 4), [3.0, 12.0, 48.0]) == pytest.approx(2)


def test_growth_is_fitted_over_three_sizes(monkeypatch):
    smaller = [(what, made, (64, 128, 256), of, power) for what, made, _, of, power in bench_growth.GROWTHS]
    monkeypatch.setattr(bench_growth, "GROWTHS", smaller)
    monkeypatch.setattr(bench_growth, "WINDOWS", 3)
    monkeypatch.setattr(bench_growth, "STRIDE", 32)
    monkeypatch.setattr(bench_growth, "REPEATS", 1)
    monkeypatch.setattr(bench_growth, "AT_LEAST", 0.0)
    assert all(len(row.detail["each_seconds"]) == 3 for row in rows_of(bench_growth))


def test_cold_figures_are_made_in_a_clone(tmp_path, monkeypatch):
    (tmp_path / "Makefile").write_text(
        ".venv/installed-core:\n\tmkdir .venv && touch $@\n"
        "figures: .venv/installed-core\n\techo x >> made && ! test -e broken\n"
    )
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    monkeypatch.setattr(bench_cold, "ROOT", tmp_path)
    cold, warm = rows_of(bench_cold)
    assert cold.value > cold.detail["install_seconds"] > 0
    assert warm.n == bench_cold.WARM_RUNS
    assert not (tmp_path / "made").exists()
    (tmp_path / "broken").touch()
    for command in (["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], check=True)
    with pytest.raises(RuntimeError, match="make figures failed in a fresh clone"):
        list(bench_cold.rows())


# --- the GPU's, on a CPU


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    return bench_gpu.Settings(
        device="cpu",
        dtype="float32",
        models={"toy": replace(SHAPE, vocabulary=2048)},  # of tiny-llama's tokenizer
        cases=(bench_gpu.Case("toy", 32), bench_gpu.Case("toy", 32, "selective")),
        steps=1,
        side=64,
        copied=4096,
        windows=(32,),
        stride=8,
        strides=4,
        passkey_tokens=160,
        passkeys=2,
        positions=512,
        turns=1,
    )


def test_a_gpu_is_needed_and_asked_for_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert bench_command.main(["gpu", "--minutes", "3"]) == 1
    assert capsys.readouterr().err == "python -m experiments.bench gpu: needs a CUDA GPU, and there is none here\n"


def test_what_a_gpu_would_measure_runs_once_and_goes_on_where_it_stopped(settings, monkeypatch):
    found = bench_gpu.run(settings)
    assert found["not_measured"] == []
    units = {row["unit"] for row in found["rows"]}
    assert units >= {FASTER, LEANER, "of the matrix product's FLOP/s", "of its measured peak memory", "TFLOP/s", "GB/s"}
    assert units >= {"windows/s", "prompts/s", "positions/s"}
    names = [(row["what"], row["beside"], row["unit"]) for row in found["rows"]]
    assert len(names) == len(set(names))

    def again(*_):
        raise AssertionError("measured before")

    monkeypatch.setattr(bench_gpu, "_run", again)
    assert bench_gpu.run(settings)["rows"] == found["rows"]


def test_one_measurement_can_be_made_anew_by_its_name(settings, monkeypatch):
    monkeypatch.setattr(bench_gpu, "measurements", lambda _: {"a": lambda: [row("a")], "b": lambda: [row("b")]})
    made = []

    def row(name):
        made.append(name)
        return asdict(measured(name, "s", [1.0]))

    assert bench_gpu.run(settings, only=["b"])["not_measured"] == ["a"]
    assert bench_gpu.run(settings)["not_measured"] == []
    found = bench_gpu.run(settings, only=["b"])
    assert [row["what"] for row in found["rows"]] == ["a", "b"]
    assert made == ["b", "a", "b"]
    with pytest.raises(UsageError, match="no measurement named c; choose from a, b"):
        bench_gpu.run(settings, only=["b", "c"])


def test_trainer_runs_once_for_all_ways_of_ours_beside_it(settings, monkeypatch):
    asked = []

    def run(task, train):
        asked.append((train, task.config.activation_checkpointing, task.config.compile))
        return asdict(bench_gpu.Run([1.0, 1.0], [1.0], [2.0, 2.0, 2.0], 3.0, 4.0))

    monkeypatch.setattr(bench_gpu, "_run", run)
    cases = [bench_gpu.Case("toy", 32, "none", compiled) for compiled in (False, True)]
    cases += [bench_gpu.Case("toy", 32, way) for way in ("selective", "full")]
    settings = replace(settings, cases=tuple(cases))
    monkeypatch.setattr(bench_gpu, "UTILISATION_AIMS", {("toy", 32): 0.45})
    rows = [row for case in cases for row in bench_gpu.training(settings, case)]
    own = [(way, compiled) for train, way, compiled in asked if train is bench_training.ours]
    assert own == [("none", False), ("none", True), ("selective", False), ("full", False)]
    assert [way for train, way, _ in asked if train is bench_training.theirs] == ["none", "full"]
    assert [row.what.count("compiled layers") for row in rows if row.unit == FASTER] == [0, 1, 0, 0]
    assert [row.beside.count("full activation checkpointing") for row in rows if row.unit == FASTER] == [0, 0, 1, 0]
    assert [row.what.count("compiled layers") for row in rows if row.aim == 0.45] == [1]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError(), RuntimeError("CUDA error: out of memory")])
def test_a_way_that_does_not_fit_is_a_row_and_the_other_is_measured(settings, monkeypatch, error):
    def theirs(task):
        raise error

    monkeypatch.setattr(bench_gpu, "theirs", theirs)
    own, planned, other = bench_gpu.training(settings, bench_gpu.Case("toy", 32))
    assert own.detail["planned_gib"] / own.detail["peak_gib"] == pytest.approx(planned.value)
    assert other.what.endswith(": Hugging Face Trainer")
    assert other.unit == "runs (0: out of memory)"


def test_a_limit_of_time_leaves_the_rest_for_later(settings, monkeypatch):
    monkeypatch.setattr(bench_gpu, "RESERVE_SECONDS", 0)
    monkeypatch.setattr(bench_gpu, "training", lambda *_: time.sleep(600))
    found = bench_gpu.run(settings, budget=Budget.of_minutes(0.05))
    assert found["rows"]
    assert found["not_measured"] == list(bench_gpu.measurements(settings))[1:]


def test_one_measurement_that_fails_does_not_take_the_others(settings, monkeypatch, capsys):
    def broken(*_):
        raise RuntimeError("no kernel")

    monkeypatch.setattr(bench_gpu, "training", broken)
    found = bench_gpu.run(settings)
    assert found["not_measured"] == ["training-toy-32-none", "training-toy-32-selective"]
    assert "training-toy-32-none: no kernel" in capsys.readouterr().err


# --- the table


def test_the_table_joins_speed_and_memory_and_says_what_was_not_measured(results):
    rows = [
        faster("step", "theirs", {"ours": [1.0, 1.0], "theirs": [1.1, 1.3]}, aim=1),
        leaner("step", "theirs", [3.0], [4.0], aim=0.5),
        measured("grows", "power of the size", [1.0]),
    ]
    bench.keep("bench", {"bench_training": part(*rows)}, command="make bench")
    text = speed.table().markdown()
    joined = "1.2 (1.1 to 1.3) | 0.75 | speed ≥ 1: met; memory ≤ 0.5: 🔴 missed |"
    assert f"| step | theirs | {joined}" in text
    assert "| grows | as the power 1 of the size |  |" in text
    assert "needs a CUDA GPU" in text
    assert "On here, " in text
