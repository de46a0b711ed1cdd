"""Zero-shot benchmarks: task files are compared with items worked by hand, scores with plain likelihoods."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from pi_model.errors import RunError
from pi_model.evaluation import harness as harness_tasks
from pi_model.evaluation.benchmarks import TASK_FILES, TASKS, Scores, benchmark, check
from pi_model.models.loading import random_llama
from pi_model.models.sources import local_folder
from tests.harness import harness
from tests.model.cli.test_commands import ends
from tests.model.conftest import byte_tokenizer

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
pytest.importorskip("nltk")  # for good writes to what standard error is now, and a test's own is closed after it

RACE = [
    {"article": article, "question": question, "options": options, "answer": answer}
    for article, question, options, answer in [
        ("Tom has a cat.", "What has Tom?", ["A cat", "A dog", "A cow", "Nothing"], "A"),
        ("Tom has a cat.", "The cat is  _  .", ["red", "his", "big", "new"], "B"),
        ("It rains.", "What does it?", ["Snow", "Shine", "Stop", "Rain all day"], "D"),
    ]
]
ITEMS = {
    "boolq": [
        {"passage": "The sky is blue.", "question": "is the sky blue", "label": 1},
        {"passage": "The sky is blue.", "question": "is the sky green", "label": 0},
    ],
    "piqa": [
        {"goal": "Boil water", "sol1": "heat it", "sol2": "leave it in the fridge for a day", "label": 0},
        {"goal": "Dry hair", "sol1": "wet it", "sol2": "use a towel", "label": 1},
    ],
    "race_m": RACE,
    "race_h": RACE[1:],
    "winogrande": [
        {"sentence": "Ann beat Bea because _ was fast.", "option1": "Ann", "option2": "Bea", "answer": "1"},
        {"sentence": "The cup broke the plate as the _ fell.", "option1": "cup", "option2": "plate", "answer": "2"},
    ],
}
OTHERS_OF_RULER = ("niah_single_1", "ruler_vt", "ruler_fwe")
# (context, continuations, index of the right one) of each item, written out by hand from the task's description.
WORKED = {
    "boolq": [
        ("The sky is blue.\nQuestion: is the sky blue?\nAnswer:", [" no", " yes"], 1),
        ("The sky is blue.\nQuestion: is the sky green?\nAnswer:", [" no", " yes"], 0),
    ],
    "piqa": [
        ("Question: Boil water\nAnswer:", [" heat it", " leave it in the fridge for a day"], 0),
        ("Question: Dry hair\nAnswer:", [" wet it", " use a towel"], 1),
    ],
    "race_m": [
        ("Article: Tom has a cat.\n\nQuestion: What has Tom?\nAnswer:", [" A cat", " A dog", " A cow", " Nothing"], 0),
        ("Article: Tom has a cat.\n\nQuestion: The cat is  _  .\nAnswer:", [" red", " his", " big", " new"], 1),
        ("Article: It rains.\n\nQuestion: What does it?\nAnswer:", [" Snow", " Shine", " Stop", " Rain all day"], 3),
    ],
}
WORKED["race_h"] = WORKED["race_m"][1:]


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "benchmarks"
    path.mkdir()
    for task, items in ITEMS.items():
        (path / f"{task}.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items))
    return path


@pytest.fixture(scope="module")
def model():
    return random_llama(vocab_size=260)


def measured(model, tasks, folder, **more):
    return benchmark(model, byte_tokenizer(), tasks, context_tokens=512, bos=False, data_dir=folder, **more)


def likelihood(model, context: str, continuation: str) -> float:
    """log p(continuation | context), from one plain pass a pair."""
    before, both = (byte_tokenizer()(text)["input_ids"] for text in (context, context + continuation))
    with torch.inference_mode():
        log_p = model(torch.tensor([both])).logits[0].log_softmax(-1)
    return sum(log_p[place - 1, both[place]].item() for place in range(len(before), len(both)))


@pytest.mark.parametrize("task", WORKED)
def test_items_are_scored_as_worked_by_hand(task, model, folder):
    scores = measured(model, [task], folder)[task]
    right: dict[str, list[float]] = {"acc": [], "acc_norm": []}
    for context, continuations, gold in WORKED[task]:
        value = np.array([likelihood(model, context, one) for one in continuations])
        # The harness's lengths are of the answers without the space before them.
        lengths = np.array([len(one) - 1 for one in continuations])
        right["acc"].append(float(value.argmax() == gold))
        right["acc_norm"].append(float((value / lengths).argmax() == gold))
    assert scores.items == {metric: right[metric] for metric in scores.items}
    assert ("acc_norm" in scores.items) == (task != "boolq")


def test_winogrande_scores_what_follows_the_blank(model, folder):
    scores = measured(model, ["winogrande"], folder)["winogrande"]
    parts = [("Ann beat Bea because {}", " was fast.", ["Ann", "Bea"], 0),
             ("The cup broke the plate as the {}", " fell.", ["cup", "plate"], 1)]  # fmt: skip
    right = [
        float(np.argmax([likelihood(model, start.format(name), end) for name in names]) == gold)
        for start, end, names, gold in parts
    ]
    assert scores.items == {"acc": right}


def test_every_question_of_an_article_is_an_item(folder):
    task = harness_tasks.load_file(TASK_FILES / "race_m.yaml", "race_m", "test", folder / "race_m.jsonl")
    docs = list(task.eval_docs)
    assert [task.doc_to_text(doc) for doc in docs] == [context for context, _, _ in WORKED["race_m"]]
    assert [[f" {choice}" for choice in task.doc_to_choice(doc)] for doc in docs] == [c for _, c, _ in WORKED["race_m"]]
    assert [task.doc_to_target(doc) for doc in docs] == [gold for _, _, gold in WORKED["race_m"]]


def test_means_and_their_errors_are_the_harnesses():
    from lm_eval.api.metrics import mean_stderr

    scores = Scores({"acc": [1.0, 0.0, 0.0, 1.0, 1.0]})
    mean, error = scores.mean("acc")
    assert mean == pytest.approx(0.6)
    assert error == pytest.approx(mean_stderr(scores.items["acc"]))
    assert Scores({"acc": [1.0]}).mean("acc") == (1.0, None)


def test_a_gain_is_taken_item_by_item():
    """Models that differ in one item of four: the error is that of the differences, not of two separate tests."""
    base, other = Scores({"acc": [1.0, 0.0, 1.0, 0.0]}), Scores({"acc": [1.0, 1.0, 1.0, 0.0]})
    gain, error = other.gain(base, "acc")
    assert gain == 0.25
    assert error == pytest.approx(0.25)
    assert base.gain(base, "acc") == (0.0, 0.0)


def test_an_interrupted_run_goes_on_with_the_next_task(model, folder, tmp_path, monkeypatch):
    scored, done = harness_tasks.scores, []

    def score_or_die(lm, task, limit, **how):
        if len(done) == 2:
            done.append("interrupted")
            raise KeyboardInterrupt
        done.append(task.config.task)
        return scored(lm, task, limit, **how)

    monkeypatch.setattr(harness_tasks, "scores", score_or_die)
    tasks = ["piqa", "race_m", "winogrande"]
    with pytest.raises(KeyboardInterrupt):
        measured(model, tasks, folder, progress_folder=tmp_path / "progress")
    scores = measured(model, tasks, folder, progress_folder=tmp_path / "progress")
    assert done == ["piqa", "race_m", "interrupted", "winogrande"]
    monkeypatch.undo()
    assert scores == measured(model, tasks, folder)
    # Other data of the same name is not mistaken for it.
    (folder / "piqa.jsonl").write_text(json.dumps(ITEMS["piqa"][0]) + "\n")
    assert len(measured(model, ["piqa"], folder, progress_folder=tmp_path / "progress")["piqa"].items["acc"]) == 1


def test_the_command_sets_models_beside_each_other(tiny_folder, folder, tmp_path, capsys):
    extended = tmp_path / "extended"
    assert ends(capsys, "extend", tiny_folder, "--factor", "2", "--out", extended)[0] == 0
    words = [
        "benchmark",
        "--model",
        tiny_folder,
        "--model",
        extended,
        "--data-dir",
        folder,
        "--tasks",
        "race_m",
        "boolq",
    ]
    code, printed, _ = ends(capsys, *words, "--json", "--limit", 2)
    report = json.loads(printed)
    assert code == 0
    assert report["harness"] == "lm_eval 0.4.13"
    rows = {(row["task"], row["metric"], row["model"]): row for row in report["results"]}
    assert {key[:2] for key in rows} == {("race_m", "acc"), ("race_m", "acc_norm"), ("boolq", "acc")}
    assert all(row["items"] == 2 for row in rows.values())
    first, second = (rows["race_m", "acc", str(path)] for path in (tiny_folder, extended))
    assert "gain" not in first
    assert second["gain"] == pytest.approx(second["accuracy"] - first["accuracy"])
    code, printed, errors = ends(capsys, *words, "--quiet")
    assert (code, errors) == (0, "")
    assert printed.splitlines()[0].split()[:4] == ["task", "metric", "items", "accuracy"]
    assert len(printed.splitlines()) == 1 + 2 * 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "lengths"), [("niah_multikey_2", (1024, 1280)), *((one, (1024,)) for one in OTHERS_OF_RULER)]
)
def test_a_task_of_ruler_runs_without_a_hub_on_the_same_items_for_each_model(
    task, lengths, tmp_path, capsys, monkeypatch
):
    pytest.importorskip("wonderwords")
    load, made = harness_tasks.load, {length: [] for length in lengths}
    make, times = harness_tasks._loaded, []

    def remembered(*args, length, **settings):
        loaded = load(*args, length=length, **settings)
        made[length].append([item["input"] for item in loaded.eval_docs])
        return loaded

    def counted(*arguments):
        times.append(arguments)
        return make(*arguments)

    monkeypatch.setattr(harness_tasks, "load", remembered)
    monkeypatch.setattr(harness_tasks, "_loaded", counted)
    extended = tmp_path / "extended"
    assert ends(capsys, "extend", "tiny-llama", "--factor", "4", "--out", extended)[0] == 0
    words = ["benchmark", "--model", "tiny-llama", "--model", extended, "--tasks", task, "--lengths", *made]
    code, printed, _ = ends(capsys, *words, "--limit", 2, "--json", "--quiet")
    assert code == 0
    rows = json.loads(printed)["results"]
    assert [(row["metric"], row["items"]) for row in rows] == [(str(n), 2) for n in lengths for _ in range(2)]
    for first, second in made.values():
        assert first == second
        assert len(set(first)) > 1
    assert len(times) == len(lengths)  # they are made once for both models


def test_items_that_are_made_anew_are_the_same():
    pytest.importorskip("wonderwords")
    folder = local_folder("tiny-llama")
    made = []
    for _ in range(2):
        harness_tasks._made.cache_clear()
        docs = harness_tasks.load("niah_multikey_2", length=1024, counted_by=folder).eval_docs
        made.append([item["input"] for item in docs])
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("method", "said"),
    [("dynamic", "extend the model by another method"), ("linear", "has no end-of-sequence token")],
)
def test_text_that_would_be_generated_wrongly_is_not(method, said, tiny_folder, tmp_path, capsys):
    pytest.importorskip("wonderwords")
    extended = tmp_path / "extended"
    assert ends(capsys, "extend", tiny_folder, "--factor", 2, "--method", method, "--out", extended)[0] == 0
    words = ["--tasks", "niah_single_1", "--lengths", 1024]  # bytes, to this tokenizer
    code, _, errors = ends(capsys, "benchmark", "--model", extended, *words, "--quiet")
    assert (code, len(errors.splitlines())) == (1, 1)
    assert said in errors


@pytest.mark.slow
def test_no_task_that_the_harness_has_is_refused_by_name():
    tasks = {name for name, entry in harness_tasks._index().items() if entry.kind.name in ("TASK", "PY_TASK")}
    assert not tasks - harness_tasks._names()


def test_a_task_that_fails_is_named_in_one_line(monkeypatch, capsys):
    pytest.importorskip("wonderwords")

    def fails(*_, **__):
        raise AssertionError

    monkeypatch.setattr("lm_eval.evaluator.evaluate", fails)
    words = ["--tasks", "niah_single_1", "--lengths", 256]
    code, _, errors = ends(capsys, "benchmark", "--model", "tiny-llama", *words, "--quiet")
    assert (code, errors) == (1, "pi-model: error: niah_single_1: the harness cannot run it: AssertionError\n")


@pytest.mark.slow
def test_the_harnesses_own_command_gives_the_same_on_an_exported_folder(tiny_folder, folder, tmp_path, capsys):
    extended = tmp_path / "extended"
    assert ends(capsys, "extend", tiny_folder, "--factor", "8", "--out", extended)[0] == 0
    data = {"dataset_path": "json", "dataset_name": None}
    data |= {"dataset_kwargs": {"data_files": {"test": str(folder / "race_m.jsonl")}}}
    local = tmp_path / "tasks"
    local.mkdir()
    (local / "race_local.yaml").write_text(
        json.dumps({"include": str(TASK_FILES / "race_m.yaml"), "task": "race_local"} | data)
    )
    words = ["--include_path", local, "--tasks", "race_local", "--output_path", tmp_path / "out.json"]
    ended = harness(extended, *words)
    assert ended.code == 0, ended.err[-2000:]
    (written,) = tmp_path.glob("out*.json")
    theirs = json.loads(written.read_text())["results"]["race_local"]
    _, printed, _ = ends(
        capsys, "benchmark", "--model", extended, "--data-dir", folder, "--tasks", "race_m", "--json", "--quiet"
    )
    ours = {row["metric"]: row for row in json.loads(printed)["results"]}
    for metric in ("acc", "acc_norm"):
        assert ours[metric]["accuracy"] == pytest.approx(theirs[f"{metric},none"])
        assert ours[metric]["stderr"] == pytest.approx(theirs[f"{metric}_stderr,none"])


def spoil(item: dict, column: str, value: object) -> str:
    return json.dumps({**item, column: value}) + "\n"


BAD = {
    "piqa.jsonl: missing; tasks/README.md says what it holds": ("piqa", None),
    "piqa.jsonl: the file is empty": ("piqa", ""),
    "piqa.jsonl: line 1 is not JSON": ("piqa", "{\n"),
    "piqa.jsonl: line 1: not an object with columns, but a list of whole numbers": ("piqa", "[1]\n"),
    "boolq.jsonl: line 1: no column 'label'; it has passage, question, answer": (
        "boolq",
        json.dumps({"passage": "x", "question": "y", "answer": True}) + "\n",
    ),
    "boolq.jsonl: line 1: label cannot be true": ("boolq", spoil(ITEMS["boolq"][0], "label", True)),
    "race_m.jsonl: line 1: options cannot be": ("race_m", spoil(RACE[0], "options", ["a", "b", "c"])),
    'race_m.jsonl: line 1: answer cannot be "E"': ("race_m", spoil(RACE[0], "answer", "E")),
    "winogrande.jsonl: line 1: sentence cannot be": (
        "winogrande",
        spoil(ITEMS["winogrande"][0], "sentence", "no blank"),
    ),
}


def test_special_tokens_that_an_item_spells_are_text():
    tokenizer = byte_tokenizer()
    lm = harness_tasks.language_model(random_llama(vocab_size=260), tokenizer, 64, False, 1)
    assert tokenizer.bos_token_id not in lm.tok_encode("x<s>")
    assert tokenizer.bos_token_id not in lm.tok_batch_encode(["x<s>"])[0]
    assert tokenizer.bos_token_id in tokenizer("x<s>")["input_ids"], "the caller's own is left as it was"


@pytest.mark.parametrize("message", BAD)
def test_a_bad_file_is_named_with_its_fault_before_a_model_is_loaded(message, folder, capsys, no_model_is_loaded):
    task, content = BAD[message]
    (folder / f"{task}.jsonl").unlink() if content is None else (folder / f"{task}.jsonl").write_text(content)
    code, out, errors = ends(
        capsys, "benchmark", "--model", "tiny-llama", "--data-dir", folder, "--tasks", "winogrande", task
    )
    assert (code, out) == (1, "")
    assert message in errors
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tasks", "hella_swag"], "tasks: unknown hella_swag; did you mean hellaswag"),
        (["--tasks", "ruler"], "tasks: ruler is a group of several tasks; name those that you want"),
        (["--tasks", "niah_single_1"], "lengths: niah_single_1 makes its items to a length in tokens; give one"),
        (["--tasks", "piqa", "--lengths", "64"], "lengths: none of piqa makes its items to a length"),
        (["--tasks", "ruler_vt", "--lengths", "4096", "512"], "lengths: ruler_vt needs at least 1024 tokens, got 512"),
        (["--data-dir", "/no/such/folder"], "data-dir: /no/such/folder is not a folder"),
        (["--limit", "0"], "limit: must be at least 1"),
        (["--batch-size", "0"], "batch-size: must be at least 1"),
    ],
)
def test_wrong_usage_is_said_in_one_line(words, message, tiny_folder, capsys):
    code, _, errors = ends(capsys, "benchmark", "--model", tiny_folder, *words)
    assert code == 2
    assert message in errors
    assert len(errors.splitlines()) == 1


def test_a_harness_that_is_not_installed_is_said(monkeypatch):
    monkeypatch.setattr(harness_tasks.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(RunError, match=r"pip install 'position-interpolation\[benchmarks\]'"):
        check(["piqa"])


def test_an_unreachable_hub_is_said_with_the_way_out_before_a_model_is_loaded(monkeypatch, capsys, no_model_is_loaded):
    def unreachable(*_, **__):
        raise ConnectionError("no route to the hub\nand more lines")

    monkeypatch.setattr("datasets.load_dataset", unreachable)
    code, out, errors = ends(capsys, "benchmark", "--model", "tiny-llama", "--tasks", "piqa")
    assert (code, out) == (1, "")
    assert errors == (
        "pi-model: error: piqa: its data cannot be loaded: no route to the hub; --data-dir takes it from local files\n"
    )


def test_the_tasks_offered_by_the_command_are_all():
    from pi_model.cli.benchmark import BENCHMARKS

    assert set(BENCHMARKS) == TASKS.keys()
