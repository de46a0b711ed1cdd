"""The records that a GPU makes land in tables, figures, page and verdicts with no hand edits."""

import json
import math
import re

import pytest

from experiments import __main__ as main
from experiments.records import record
from experiments.records.study import load
from figures import AWAITED, docs_pages, drawing
from figures import __main__ as figures
from figures.__main__ import write_page
from figures.drawing import drawn
from figures.verdicts import EXPERIMENTS, outcomes
from figures.verdicts import fine_tuning_runs as runs
from tests.pipeline import synthetic


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(drawing, "FIGURE_FOLDER", tmp_path)
    monkeypatch.setattr(drawing, "TABLE_FOLDER", tmp_path)
    return tmp_path


def write(*, label="", **changes):
    synthetic.write("smollm2_finetune", synthetic.finetuned(**changes), label=label, config=synthetic.FINETUNED)


def verdict(name="finetune_smollm2", **changes):
    write(**changes)
    return EXPERIMENTS[name].outcome()


def test_the_table_has_a_row_for_every_method_beside_the_papers(folder):
    write()
    (shown,) = drawn("finetune_smollm2", folder)
    text = (folder / "finetune_smollm2.md").read_text()
    for row in ("| untouched | 20.09 | 20.09 | 20.09 | 403.4 |", "| YaRN ×4, not tuned |", "| PI ×4, 50 steps |"):
        assert row in text
    assert "| PI ×2 to 512 | 54.60 | 42.95 | 16.44 |" in text
    assert "| direct ×4 to 1024 | 256 | 256 | 256 |" in text
    assert "| 7B, PI to 8192 | 7.13 | 6.96 | 6.95 | – | – |" in text
    assert "2.2M parameters" in text
    assert "no device" in text
    assert f"Tables 1 to 3, on a released model. Verdict: {shown.outcome.verdict}" in text
    assert re.search(r"nan|inf\b|None", text) is None


def test_what_was_not_measured_is_said_in_table_and_figure(folder):
    write(methods=["linear"], stop_after=10)
    drawn("finetune_smollm2", folder)
    text = (folder / "finetune_smollm2.md").read_text()
    assert "| direct ×2 to 512 | 403.4 | not measured | not measured |" in text
    assert "| PI ×2 to 512 | 54.60 | 42.95 | not measured |" in text
    assert "stopped by its time limit" in text
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.suptitle", lambda self, text, **_: said.append(text))
        drawn("smollm2_finetune", folder)
    assert said[0].startswith("not measured: PI ×2 at 50 steps; direct fine-tuning ×2 at 10, 50 steps")


@pytest.mark.parametrize("changes", [{}, {"methods": ["linear"]}, {"stop_after": 0}, {"methods": []}])
def test_the_figure_is_drawn_from_whatever_the_time_allowed(folder, changes):
    write(**changes)
    (shown,) = drawn("smollm2_finetune", folder)
    assert shown.content.startswith(b"\x89PNG")
    assert (folder / "smollm2_finetune.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize("name", ["finetune_smollm2", "finetune_smollm2_kmax"])
def test_where_the_papers_picture_holds_it_is_reproduced(folder, name):
    found = verdict(name)
    assert found.verdict == "reproduced", found.found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"pi_end": 3.4}, "split"),  # ends above the untouched model
        ({"pi_end": 4.1}, "split"),  # rises
        ({"direct_end": 2.5}, "split"),  # direct fine-tuning is better
        ({"stop_after": 0}, "not tested"),
        ({"methods": ["none"]}, "not tested"),
    ],
)
def test_where_it_does_not_the_verdict_says_so(folder, changes, expected):
    assert verdict(**changes).verdict == expected


def test_fine_tuning_on_windows_shorter_than_those_searched_does_not_test_the_passkey_claim(folder):
    config = synthetic.FINETUNED | {"sequence_tokens": 128}
    synthetic.write("smollm2_finetune", synthetic.finetuned(), config=config)
    outcome = EXPERIMENTS["finetune_smollm2_kmax"].outcome()
    assert (outcome.verdict, "windows of 128 tokens" in outcome.reason) == ("not tested", True)
    assert EXPERIMENTS["finetune_smollm2"].outcome().verdict == "reproduced"


def test_runs_that_got_unequally_far_are_compared_at_equal_steps(folder):
    made = synthetic.finetuned(direct_end=2.5)
    for run in made["runs"]:
        if run["method"] == "none":
            run["curve"] = run["curve"][:2]
    synthetic.write("smollm2_finetune", made, config=synthetic.FINETUNED)
    cases = {(check.states, check.case) for check in EXPERIMENTS["finetune_smollm2"].outcome().checks}
    states = "After as many steps, PI has a lower perplexity in the new window than direct fine-tuning"
    assert (states, "×2, books, step 10") in cases


def test_the_gpus_rows_stand_as_not_measured_until_its_record_is_there(folder):
    write()
    for name in ("finetune_smollm2_gpu", "finetune_smollm2_kmax_gpu"):
        outcome = EXPERIMENTS[name].outcome()
        assert (outcome.verdict, "Not measured: it needs a CUDA GPU" in outcome.reason) == ("not tested", True)
    write(label="gpu")
    for name in ("finetune_smollm2_gpu", "finetune_smollm2_kmax_gpu"):
        assert EXPERIMENTS[name].outcome().verdict == "reproduced"


def test_the_cpus_rows_are_listed_until_the_gpus_record_says_more(folder):
    small, large = {"finetune_smollm2", "finetune_smollm2_kmax"}, {"finetune_smollm2_gpu", "finetune_smollm2_kmax_gpu"}
    write()
    assert {one.experiment.id for one in outcomes()} >= small | large
    write(label="gpu", stop_after=0)  # a record that decides nothing is one, too
    assert {one.experiment.id for one in outcomes()} & (small | large) == large
    synthetic.write("claims", {"claims": []})
    write_page(drawn("smollm2_finetune", folder), folder)
    page = (folder / "index.html").read_text()
    linked, there = (set(re.findall(rf'{kind}"#?(experiment-[^"]+)"', page)) for kind in ("href=", "id="))
    assert linked <= there


def test_the_gpus_record_gets_a_figure_and_a_table_of_its_own_with_or_without_the_cpus(folder):
    write(label="gpu")
    for name in ("smollm2_finetune", "finetune_smollm2"):
        assert [one.name for one in drawn(name, folder)] == [f"{name}@gpu"]
    write()
    for name in ("smollm2_finetune", "finetune_smollm2"):
        assert [one.name for one in drawn(name, folder)] == [name, f"{name}@gpu"]


def test_the_page_shows_table_figure_and_verdicts(folder):
    write()
    write(label="gpu")
    synthetic.write("claims", {"claims": []})
    write_page([*drawn("finetune_smollm2", folder), *drawn("smollm2_finetune", folder)], folder)
    page = (folder / "index.html").read_text()
    for name in ("finetune_smollm2", "finetune_smollm2@gpu", "smollm2_finetune", "smollm2_finetune@gpu"):
        assert f'id="{name}"' in page
    assert 'href="#record-smollm2_finetune@gpu"' in page


def test_without_its_record_it_is_awaited_and_not_missed_but_a_changed_record_is(folder, monkeypatch, capsys):
    monkeypatch.setattr(figures, "FIGURES", ())
    monkeypatch.setattr(figures, "TABLES", {name: figures.TABLES[name] for name in AWAITED if name in figures.TABLES})
    monkeypatch.setattr(figures, "write_page", lambda *_, **__: None)
    monkeypatch.setattr(docs_pages, "write", lambda: None)
    monkeypatch.setattr("sys.argv", ["figures"])
    assert figures.main() == 0
    monkeypatch.setattr("sys.argv", ["figures", "finetune_smollm2"])
    assert figures.main() == 1
    assert "python -m experiments smollm2_finetune" in capsys.readouterr().err
    write()
    path = record.path_of("smollm2_finetune", live=True)
    path.write_text(path.read_text().replace("made up", "changed"))
    monkeypatch.setattr("sys.argv", ["figures"])
    assert figures.main() == 1
    assert "changed after it was written" in capsys.readouterr().err


@pytest.mark.parametrize(("loss", "says"), [(2.9, "The candidate is the better one"), (3.1, "The shipped model is")])
def test_the_pretraining_table_says_which_model_is_better_and_what_was_not_measured(folder, loss, says):
    made = synthetic.pretrained(candidate=loss, not_measured=[98_304_000])
    synthetic.write("tiny_pretrain", made, label="gpu")
    assert [one.name for one in drawn("tiny_pretrain", folder)] == ["tiny_pretrain@gpu"]
    text = (folder / "tiny_pretrain@gpu.md").read_text()
    assert says in text
    assert f"| 49.2M tokens, chosen | {runs.Value(math.exp(loss), None)} |" in text
    assert "| 98.3M tokens | not measured |" in text


def test_the_list_of_studies_shows_them_and_whether_their_records_are_current(folder, monkeypatch, capsys):
    names = ["smollm2_finetune", "tiny_pretrain"]
    monkeypatch.setattr("sys.argv", ["experiments", *names, "--profile", "gpu", "--list", "--json"])
    assert main.main() == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["record"], row["current"]) for row in rows] == [(f"{name}@gpu", False) for name in names]
    assert [row["command"] for row in rows] == [f"python -m experiments {name} --profile gpu" for name in names]
    study = load("smollm2_finetune").variant(profile="gpu")
    made = study.fingerprint() | {"config": study.config}
    synthetic.write("smollm2_finetune", synthetic.finetuned(), label="gpu", **made)
    assert main.main() == 0
    assert [row["current"] for row in json.loads(capsys.readouterr().out)] == [True, False]
    monkeypatch.setattr("sys.argv", ["experiments", "--list"])
    assert main.main() == 0
    listed = capsys.readouterr().out
    assert all(re.search(rf"^{name} +recorded +missing ", listed, re.MULTILINE) for name in names)
