"""The pi-model commands as a user meets them: what they print, and how they end."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pi_model.cli import checkpoints
from pi_model.cli import main as cli
from pi_model.cli.main import main
from pi_model.locks import NAME
from pi_theory.scaling import METHODS
from tests import commands
from tests.commands import WORDS, Ending, ending, refuses, valued
from tests.forks import Forked, ranks

COMMANDS = commands.commands(cli.parser())
VALUED = list(valued(cli.parser()))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "document.txt"
    path.write_text("The grass is green. The sky is blue. The sun is yellow. " * 6)
    return path


def ends(capsys, *argv: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of one command."""
    try:
        code = main([str(word) for word in argv])
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    return code, *capsys.readouterr()


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns_and_ends_with_an_example_that_parses(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    ended = ending(main, *[command] * bool(command), "--help")
    assert (ended.code, ended.err) == (0, "")
    assert [line for line in ended.out.splitlines() if len(line) > 80] == []
    example = ended.out.partition("\nExample:\n")[2].replace("\\\n", "").split()
    assert example[0] == "pi-model"
    assert cli.parse(cli.parser(), example[1:]).command.name == (command or "extend")


def test_a_bare_command_prints_its_help_and_is_done():
    assert ending(main) == Ending(0, cli.parser().format_help(), "")


def test_the_help_tells_the_order_of_use_and_the_models_that_need_no_hub():
    order = [
        "examine",
        "extend",
        "perplexity",
        "passkey",
        "plan",
        "recipes",
        "prepare",
        "finetune",
        "benchmark",
        "summarize",
        "gguf",
    ]
    assert list(COMMANDS) == order
    described = cli.DESCRIPTION.replace("\n", " ")
    assert sorted(order, key=described.index) == order
    assert "tiny-llama" in described
    assert "smollm2-135m" in described


@pytest.mark.slow
@pytest.mark.shared_cache
def test_the_examples_of_the_help_work_one_after_the_other(tmp_path, monkeypatch):
    """All but the benchmark's, whose items are on the hub; each names the model that it is about."""
    monkeypatch.chdir(tmp_path)
    for name, command in COMMANDS.items():
        words = command.epilog.removeprefix("Example:\n").replace("steps=20", "steps=1").split()
        if name != "benchmark":
            ended = ending(main, *words[1:])
            assert ended.code == 0, ended.err
            assert ("llama-65b" if name == "plan" else "tiny-") in ended.out


def test_help_imports_nothing_heavy():
    probe = (
        "import sys, pi_model.cli.main as c\n"
        "for words in ([], *([one.name] for one in c.COMMANDS)):\n"
        "    try: c.main([*words, '--help'])\n"
        "    except SystemExit: pass\n"
        "sys.exit(bool({'torch', 'transformers', 'numpy', 'tqdm'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize("module", ["pi_model.cli", "pi_model.cli.main"])
def test_the_command_runs_as_a_module_too(module):
    told = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("usage: pi-model")


def test_the_methods_offered_are_those_of_the_theory():
    assert set(checkpoints.METHODS) == METHODS.keys() - {"none"}


@given(option=st.sampled_from(VALUED), word=WORDS)
def test_a_word_that_an_options_type_refuses_is_wrong_usage(option, word):
    command, action = option
    assume(refuses(action, word))
    name = action.option_strings[0]
    assert ending(main, command, f"{name}={word}").is_wrong_usage("pi-model", name)


@pytest.mark.parametrize(("command", "action"), VALUED, ids=lambda value: getattr(value, "dest", value))
def test_no_option_takes_an_empty_value_and_no_number_a_negative_one(command, action):
    name = action.option_strings[0]
    assert ending(main, command, f"{name}=").is_wrong_usage("pi-model", name)
    takes_numbers = refuses(action, "x") and not refuses(action, "1")
    assert refuses(action, "-1") or not takes_numbers


@pytest.mark.parametrize("command", ["examine", "extend", "gguf", "finetune", "plan", "recipes"])
def test_no_positional_argument_is_taken_empty(command):
    needs = {"extend": ["--factor=2", "--out=x"], "gguf": ["--out=x"], "finetune": ["--out=x"]}
    ended = ending(main, command, "", *needs.get(command, []))
    assert ended.is_wrong_usage("pi-model", "must not be empty")


@pytest.mark.parametrize("command", sorted(COMMANDS.keys() - {"recipes"}))
def test_every_required_argument_that_is_left_out_is_named(command):
    missing = [(one.option_strings or [one.metavar])[0] for one in COMMANDS[command]._actions if one.required]
    ended = ending(main, command)
    assert ended.is_wrong_usage("pi-model", "")
    assert all(name in ended.err for name in missing or ["RECIPE", "--model"])


@given(name=st.text().filter(lambda name: name not in COMMANDS and not name.startswith("-")))
def test_an_unknown_command_is_wrong_usage_whatever_it_is_called(name):
    assert ending(main, name).is_wrong_usage("pi-model", "COMMAND")


def test_extend_then_measure(tiny_folder, text, tmp_path, capsys):
    out = tmp_path / "out"
    code, printed, _ = ends(capsys, "extend", tiny_folder, "--factor", "2", "--out", out, "--json")
    assert code == 0
    found = json.loads(printed)
    assert set(found.pop("next")) == {"transformers", "llama.cpp", "vLLM"}
    assert found == {
        "model": str(tiny_folder), "out": str(out), "method": "linear", "factor": 2.0, "window_tokens": 64,
        "context_tokens": 128, "base": 10000.0,
        "window_from": "trained on 64 tokens (max_position_embeddings), serves 128 by linear x2",
    }  # fmt: skip
    code, printed, errors = ends(
        capsys, "perplexity", "--model", out, "--data", text, "--windows", 32, 128, "--stride", 16, "--json", "--quiet"
    )
    assert (code, errors) == (0, "")
    results = json.loads(printed)["results"]
    assert [result["window"] for result in results] == [32, 128]
    for result in results:
        assert {"window", "perplexity", "loss_nats", "tokens", "windows"} <= result.keys()
        assert result["tokens"] == len(text.read_text()) - 1


def test_perplexity_prints_a_table_and_leaves_no_progress_behind(tiny_folder, text, capsys, cache):
    code, out, _ = ends(capsys, "perplexity", "--model", tiny_folder, "--data", text, "--windows", 32, "--stride", 8)
    assert code == 0
    title, head = " ".join(out.split()).split(" window perplexity ", 1)
    assert title == f"{tiny_folder} on 1 document of {text}, sliding windows, stride 8"
    assert head.startswith("loss (nats) +- tokens windows 32 ")
    assert not list((cache / "runs").glob("*"))


ALONE = {
    "perplexity": ["--data", "TEXT", "--windows", "32", "--stride", "8"],
    "truncated": ["--data", "TEXT", "--windows", "32", "--truncate"],
    "passkey": ["--max-context", "512", "--positions", "2", "--trials", "2"],
    "summarize": ["--data", "PAIRS", "--context", "512", "--max-tokens", "4"],
}


@pytest.mark.parametrize("name", ALONE)
def test_an_answer_that_did_not_arrive_is_given_at_once_by_the_same_command(
    name, tiny_folder, text, tmp_path, capsys, monkeypatch, cache
):
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text(json.dumps({"report": text.read_text(), "summary": "The sky."}) + "\n")
    words = [{"TEXT": str(text), "PAIRS": str(pairs)}.get(word, word) for word in ALONE[name]]
    words = [name.replace("truncated", "perplexity"), "--model", tiny_folder, *words, "--json", "--quiet"]
    code, undisturbed, _ = ends(capsys, *words)
    assert code == 0
    assert not list(cache.glob("runs/*"))
    with open("/dev/full", "w") as full:
        for output in (full, None):
            with monkeypatch.context() as patch:
                patch.setattr(sys, "stdout", output)
                assert ends(capsys, *words)[0] == 1
    assert [path for path in cache.glob("runs/*/*") if path.name != NAME]

    def no_more(*_):
        raise AssertionError("what was measured is measured again")

    with monkeypatch.context() as patch:
        patch.setattr("pi_model.evaluation.perplexity._token_losses", no_more)
        patch.setattr("pi_model.evaluation.passkey.Judge.answers", no_more)
        patch.setattr("pi_model.evaluation.summarization.generate", no_more)
        assert ends(capsys, *words)[:2] == (0, undisturbed)
    assert not list(cache.glob("runs/*"))


def test_a_measurement_that_another_process_makes_is_refused_and_its_progress_kept(
    tiny_folder, text, capsys, monkeypatch, cache
):
    from pi_model.evaluation import perplexity

    words = ["perplexity", "--model", tiny_folder, "--data", text, "--windows", 32, "--stride", 8, "--quiet"]
    inside, real = [], perplexity._token_losses

    def meanwhile(*arguments):
        if not inside:
            inside.append(ends(capsys, *words))
        return real(*arguments)

    monkeypatch.setattr(perplexity, "_token_losses", meanwhile)
    assert ends(capsys, *words)[0] == 0
    ((code, out, errors),) = inside
    assert (code, out) == (1, "")
    assert f"in use by process {os.getpid()} on " in errors
    assert errors.count("\n") == 1


def test_truncation_scores_one_window_a_document(tiny_folder, text, capsys):
    words = ["perplexity", "--model", tiny_folder, "--data", text, "--windows", 16, 32, "--truncate", "--json"]
    code, out, _ = ends(capsys, *words)
    report = json.loads(out)
    assert (code, report["protocol"], report["stride"]) == (0, "truncated", None)
    assert [result["windows"] for result in report["results"]] == [1, 1]
    assert [result["tokens"] for result in report["results"]] == [15, 31]


def test_an_infinite_perplexity_is_null_in_json(tiny_model, tiny_folder, text, tmp_path, capsys, monkeypatch):
    import copy
    import shutil

    from pi_model.evaluation import perplexity

    monkeypatch.setattr(perplexity, "_SECONDS_BETWEEN_SYNCS", 0.0)  # the running value of the bar is shown as well
    folder = tmp_path / "huge"
    shutil.copytree(tiny_folder, folder)
    model = copy.deepcopy(tiny_model)
    model.lm_head.weight *= 1e5
    model.save_pretrained(folder)
    words = ["perplexity", "--model", folder, "--data", text, "--windows", 32, "--stride", 8, "--json"]
    result = json.loads(ends(capsys, *words)[1], parse_constant=pytest.fail)["results"][0]
    assert result["perplexity"] is None
    assert result["loss_nats"] > 709


def test_bos_follows_the_tokenizer_unless_told_otherwise(tiny_folder, text, tmp_path, capsys):
    import shutil

    from tests.model.conftest import byte_tokenizer

    folder = tmp_path / "with-bos"
    shutil.copytree(tiny_folder, folder)
    byte_tokenizer(adds_bos=True).save_pretrained(folder)
    tokens = len(text.read_text())
    for model, choice, expected in [
        (tiny_folder, "auto", False),
        (tiny_folder, "yes", True),
        (folder, "auto", True),
        (folder, "no", False),
    ]:
        words = [
            "perplexity",
            "--model",
            model,
            "--data",
            text,
            "--windows",
            32,
            "--stride",
            8,
            "--bos",
            choice,
            "--json",
        ]
        report = json.loads(ends(capsys, *words)[1])
        assert report["bos"] is expected
        assert report["results"][0]["tokens"] == tokens - (not expected)


def test_extrapolation_and_short_documents_are_allowed_and_warned_of(tiny_folder, text, capsys):
    words = ["perplexity", "--model", tiny_folder, "--data", text, "--windows", 400, "--json"]
    code, out, errors = ends(capsys, *words)
    assert code == 0
    assert len(json.loads(out)["results"]) == 1
    assert "window 400 is beyond the model's 64 tokens: this is extrapolation" in errors
    assert "1 of 1 documents are shorter than window 400" in errors


def test_passkey_reports_k_max_and_accuracy_by_k(tiny_folder, capsys):
    words = [
        "passkey",
        "--model",
        tiny_folder,
        "--max-context",
        512,
        "--positions",
        4,
        "--trials",
        2,
        "--json",
        "--quiet",
    ]
    code, out, _ = ends(capsys, *words)
    report = json.loads(out)
    assert code == 0
    assert report["accuracy"].keys() == {"128", "256", "384", "512"}
    assert report["k_max"] == 0  # random weights
    assert report["context_tokens"] == 512


WRONG_USAGE = {
    "an unknown command": ["measure"],
    "no arguments": ["extend"],
    "a factor below 1": ["extend", "MODEL", "--factor", "0.5", "--out", "OUT"],
    "a factor that is no number": ["extend", "MODEL", "--factor", "nan", "--out", "OUT"],
    "an unknown method": ["extend", "MODEL", "--factor", "2", "--method", "magic", "--out", "OUT"],
    "a model that is nothing": ["extend", "/no/such/model", "--factor", "2", "--out", "OUT"],
    "a stride above the window": [
        "perplexity",
        "--model",
        "MODEL",
        "--data",
        "TEXT",
        "--windows",
        "32",
        "--stride",
        "33",
    ],
    "a window of one": ["perplexity", "--model", "MODEL", "--data", "TEXT", "--windows", "1", "--stride", "1"],
    "data that is nothing": ["perplexity", "--model", "MODEL", "--data", "/no/such/file.txt", "--windows", "400"],
    "no samples": ["perplexity", "--model", "MODEL", "--data", "TEXT", "--windows", "400", "--samples", "0"],
    "an unknown split": ["perplexity", "--model", "MODEL", "--data", "books", "--split", "x", "--windows", "400"],
    "a device that is none": ["passkey", "--model", "MODEL", "--device", "banana"],
    "a device of another kind": ["passkey", "--model", "MODEL", "--device", "meta"],
    "a GPU that is not there": ["passkey", "--model", "MODEL", "--device", "cuda:99"],
    "summaries over their documents": ["summarize", "--model", "MODEL", "--data", "TEXT", "--out", "TEXT"],
    "a GGUF file inside its model": ["gguf", "MODEL", "--out", "MODEL/x.gguf"],
    "a model extended into itself": ["extend", "MODEL", "--factor", "2", "--out", "MODEL/x"],
    "no trials": ["passkey", "--model", "MODEL", "--max-context", "512", "--trials", "0"],
    "a context too short for the prompt": ["passkey", "--model", "MODEL", "--max-context", "60"],
}

NOTES = ("pi-model: warning: ", "pi-model: device: ")

FAILURES = {
    "an empty file": ["perplexity", "--model", "MODEL", "--data", "EMPTY", "--windows", "400"],
    "a binary file": ["perplexity", "--model", "MODEL", "--data", "BINARY", "--windows", "400"],
    "short documents": ["perplexity", "--model", "MODEL", "--data", "TEXT", "--windows", "400", "--min-tokens", "999"],
    "truncated weights": ["perplexity", "--model", "TRUNCATED", "--data", "TEXT", "--windows", "400"],
    "no weights": ["extend", "WEIGHTLESS", "--factor", "2", "--out", "OUT"],
    "an output in use": ["extend", "MODEL", "--factor", "2", "--out", "MODEL"],
    "a preset of another tokenizer": ["perplexity", "--model", "MODEL", "--data", "proof-pile", "--windows", "400"],
}  # fmt: skip


@pytest.fixture
def paths(tiny_folder, text, tmp_path) -> dict[str, Path]:
    import shutil

    (tmp_path / "empty.txt").touch()
    (tmp_path / "binary.txt").write_bytes(b"\0\1\2")
    for name in ("truncated", "weightless"):
        shutil.copytree(tiny_folder, tmp_path / name)
    weights = tmp_path / "truncated" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    (tmp_path / "weightless" / "model.safetensors").unlink()
    return {
        "MODEL": tiny_folder, "TEXT": text, "OUT": tmp_path / "out", "EMPTY": tmp_path / "empty.txt",
        "BINARY": tmp_path / "binary.txt", "TRUNCATED": tmp_path / "truncated", "WEIGHTLESS": tmp_path / "weightless",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("code", "argv"),
    [pytest.param(2, argv, id=name) for name, argv in WRONG_USAGE.items()]
    + [pytest.param(1, argv, id=name) for name, argv in FAILURES.items()],
)
def test_bad_input_ends_in_one_line_and_its_exit_code(code, argv, paths, capsys, tmp_path):
    got, out, errors = ends(capsys, *(paths.get(word, word.replace("MODEL/", f"{paths['MODEL']}/")) for word in argv))
    assert got == code, errors
    assert out == ""
    fault = errors.strip().splitlines()[-1]
    assert fault.startswith("pi-model: error: ")
    assert "Traceback" not in errors
    assert len([line for line in errors.splitlines() if not line.startswith(NOTES)]) == 1
    assert not paths["OUT"].exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_data_may_be_several_files_patterns_and_standard_input(tiny_folder, text, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.read_bytes())))
    words = ["perplexity", "--model", tiny_folder, "--windows", 32, "--stride", 8, "--quiet", "--json"]
    _, out, _ = ends(capsys, *words, "--data", text, "-", "--data", text.parent / "*.txt")
    several = json.loads(out)
    _, out, _ = ends(capsys, *words, "--data", text)
    assert several["documents"] == 3
    assert several["data"] == f"{text} - {text.parent}/*.txt"
    assert several["results"][0]["document_loss_nats"] == 3 * json.loads(out)["results"][0]["document_loss_nats"]


def test_ctrl_c_ends_in_one_line_and_130(tiny_folder, text, capsys, monkeypatch):
    from pi_model.evaluation import perplexity

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(perplexity, "_token_losses", interrupt)
    code, out, errors = ends(
        capsys, "perplexity", "--model", tiny_folder, "--data", text, "--windows", 32, "--stride", 8, "--quiet"
    )
    assert (code, out) == (130, "")
    assert errors.splitlines()[-1] == (
        "pi-model: error: interrupted; the same command line continues where this one stopped"
    )


@pytest.mark.slow
@pytest.mark.parametrize("protocol", [["--stride", "8"], ["--truncate"]])
def test_ranks_share_the_windows_and_give_the_same_result(protocol, tiny_folder, tmp_path):
    """Two processes as torchrun starts them, against one: equal to the last bit, at one thread each."""
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text("The sky is blue, the grass is green. " * (3 + number))
    words = ["perplexity", "--model", tiny_folder, "--data", tmp_path, "--windows", "32", "64", *protocol, "--json"]
    words = [*map(str, words), "--batch-tokens", "128", "--quiet"]
    alone = Forked(main, words).ending()
    together = [Forked(main, words, environment=rank) for rank in ranks(2)]
    first, second = (one.ending() for one in together)
    assert second == Ending(0, "", "")
    assert json.loads(alone.out)["results"] == json.loads(first.out)["results"]
