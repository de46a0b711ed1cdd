import importlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from experiments.records import record
from experiments.studies import tiny_tables
from figures import FIGURES, docs_pages, drawing
from figures import __main__ as figures
from figures.__main__ import write_page
from figures.drawing import Shown, drawn
from figures.headlines import headlines
from figures.verdicts import EXPERIMENTS
from tests.pipeline import synthetic

CLAIM = {
    "id": "eq8",
    "verdict": "holds",
    "says": "|a| <= B & more",
    "source": "here",
    "domain": "d > 2",
    "evidence": "<proof>",
}


def with_records(folder, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", folder / "results")
    monkeypatch.setattr(drawing, "TABLE_FOLDER", folder / "tables")
    synthetic.write("tiny_tables", synthetic.tables())
    synthetic.write("claims", {"claims": [CLAIM]})
    config = {"head_dim": 8, "window": 4, "factor": 2.0, "feature": 1}
    curves = {"positions": list(range(9)), "extrapolated": [0.5] * 9, "interpolated": [0.5] * 9}
    synthetic.write(
        "positions", curves, live=False, config=config, code={"experiments.studies.positions": "of another day"}
    )
    return folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    return with_records(tmp_path, monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The page of the same records."""
    with pytest.MonkeyPatch.context() as patch:
        return make(with_records(tmp_path_factory.mktemp("page"), patch))


def make(folder):
    awaiting = {"tiny_steps": "no record of study 'tiny_sweep'; make it with: python -m experiments tiny_sweep"}
    write_page([*drawn("fig1_positions", folder), *drawn("table1_books", folder)], folder, awaiting=awaiting)
    return (folder / "index.html").read_text()


def elements(text):
    return list(ET.fromstring(text.split("\n", 1)[1]).iter())


def test_the_page_is_well_formed_and_fetches_nothing(made):
    for element in elements(made):
        assert element.tag not in ("link", "iframe", "object")
        assert element.tag != "script" or "http" not in (element.text or "")
        assert element.get("src", "data:").startswith("data:")
        assert element.get("href", "#").startswith(("#", "https://arxiv.org/"))
        assert "url(" not in (element.text or "")


def test_every_link_inside_the_page_has_its_target_and_ids_are_unique(made):
    found = elements(made)
    ids = [element.get("id") for element in found if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {e.get("href")[1:] for e in found if e.get("href", "").startswith("#")} <= set(ids)


def test_the_page_says_of_everything_what_became_of_it_and_where_from(folder, made):
    page = "".join(ET.fromstring(made.split("\n", 1)[1]).itertext())
    for one in EXPERIMENTS.values():
        outcome = one.outcome()
        assert outcome.verdict in page
        assert one.says in page
        assert all(finding.states in page for finding in outcome.findings)
        assert outcome.reason in page
    assert CLAIM["says"] in page
    assert CLAIM["evidence"] in page
    assert "python -m experiments tiny_tables" in page
    assert "positions: recorded 2000-01-01 on no device, code changed since" in page
    assert "tiny_tables: made live 2000-01-01 on no device" in page
    assert "tiny_steps: no record of study 'tiny_sweep'; make it with: python -m experiments tiny_sweep" in page


def test_all_checks_of_an_experiment_are_folded_under_their_count(folder, made):
    folded = {}
    for item in (e for e in elements(made) if (e.get("id") or "").startswith("experiment-")):
        summary = item.find("div/details/summary")
        folded[item.get("id").removeprefix("experiment-")] = None if summary is None else summary.text
    for name, one in EXPERIMENTS.items():
        outcome = one.outcome()
        assert folded[name] == (f"{outcome.count}: all of them" if outcome.checks else None)
    assert any(folded.values())


def test_a_filter_has_a_button_for_every_verdict_with_its_number_and_needs_no_script(folder, made):
    outcomes = [one.outcome().verdict for one in EXPERIMENTS.values()]
    found = elements(made)
    labels = {e.get("for"): e.text for e in found if e.tag == "label"}
    assert labels["experiments-only-all"] == f"all ({len(outcomes)})"
    for verdict in set(outcomes):
        kind = verdict.replace(" ", "-")
        assert labels[f"experiments-only-{kind}"] == f"{verdict} ({outcomes.count(verdict)})"
        assert f"section:has(.only-{kind}:checked) .row:not(.{kind})" in made


def test_that_code_changed_is_said_once_a_record(made):
    assert made.count("code changed since</span>") == len({"positions", "tiny_tables", "claims"})


@pytest.mark.parametrize("resumed", [True, False])
def test_the_page_says_that_the_seconds_of_an_interrupted_study_are_not_all(folder, resumed):
    synthetic.write("tiny_tables", synthetic.tables() | {"resumed": resumed})
    assert ("1 s since it went on after an interruption, 0.1 GiB" in make(folder)) == resumed


def test_findings_come_first_and_records_last(made):
    sections = [e.get("id") for e in elements(made) if e.tag == "section"]
    assert sections == ["found", "claims", "experiments", "figures", "tables", "records"]


def test_findings_are_made_of_the_committed_records_and_link_to_their_evidence():
    with record.reading(committed=True):
        found = headlines()
    assert len(found) == 9
    assert sum(bool(one.picture) for one in found) >= 3
    claims = {f"claim-{one['id']}" for one in record.read("claims")["metrics"]["claims"]}
    of_labels = {f"{name}@{label}" for name in FIGURES for label in record.labels(name)}
    known = {*claims, *(f"experiment-{id}" for id in EXPERIMENTS), *FIGURES, *of_labels}
    assert all(set(one.links) <= known and any(c.isdigit() for c in one.says) for one in found)


def test_every_picture_says_in_words_what_it_shows_and_wide_tables_can_be_scrolled_by_key(made):
    found = elements(made)
    pictures = [element for element in found if element.tag == "img"]
    assert pictures
    assert all(element.get("alt") for element in pictures)
    assert all(e.get("tabindex") == "0" and e.get("aria-label") for e in found if e.get("class") == "wide")


@pytest.mark.parametrize("name", FIGURES)
def test_what_a_figure_says_it_illustrates_is_there(name):
    script = importlib.import_module(f"figures.plots.{name}")
    assert set(getattr(script, "EXPERIMENTS", ())) <= EXPERIMENTS.keys()
    claims = {claim["id"] for claim in record.read("claims")["metrics"]["claims"]}
    assert set(getattr(script, "CLAIMS", ())) <= claims


def test_a_figure_shows_the_verdict_of_what_it_illustrates(folder):
    synthetic.write("tiny_tables", synthetic.tables(), config=tiny_tables.STUDY.config)
    write_page(drawn("tiny_windows", folder), folder)
    (figure,) = (e for e in elements((folder / "index.html").read_text()) if e.get("id") == "tiny_windows")
    (illustrates,) = (p for p in figure.iter("p") if (p.text or "").startswith("Shows"))
    links, verdicts = illustrates.findall("a"), illustrates.findall("span")
    shown = {link.get("href"): verdict.text for link, verdict in zip(links, verdicts, strict=True)}
    assert shown == {
        f"#experiment-{name}": EXPERIMENTS[name].outcome().verdict for name in ("table1_books", "table2_code")
    }


def test_the_same_records_give_the_same_bytes(folder):
    assert make(folder) == make(folder)


@pytest.fixture
def all_but(monkeypatch):
    """Draws everything, or the given names, when there is an error in one: exit code, and what the page was given."""

    def go(one, error, *names):
        def drawn(name):
            if name == one:
                raise error
            return [Shown(name, "", b"", {})]

        pages = []
        monkeypatch.setattr(figures, "drawn", drawn)
        monkeypatch.setattr(figures, "write_page", lambda shown, *, awaiting: pages.append((shown, awaiting)))
        monkeypatch.setattr(docs_pages, "write", lambda: None)
        monkeypatch.setattr(sys, "argv", ["figures", *names])
        return figures.main(), pages

    return go


def everything_but(name):
    return {*FIGURES, *drawing.TABLES} - {name}


@pytest.mark.parametrize("error", [record.NoRecord("tiny_tables"), record.RecordError("tiny_tables.json was changed")])
def test_what_has_its_record_is_drawn_although_something_else_has_not(all_but, error, capsys):
    status, ((shown, awaiting),) = all_but("tiny_windows", error)
    assert status == 1
    assert f"tiny_windows: {error}" in capsys.readouterr().err
    assert {one.name for one in shown} == everything_but("tiny_windows")
    assert awaiting == {}


def test_what_awaits_its_record_is_named_with_its_command_and_no_error_unless_it_was_asked_for(all_but, capsys):
    missing = record.NoRecord("smollm2_finetune")
    status, ((shown, awaiting),) = all_but("smollm2_finetune", missing)
    said = capsys.readouterr()
    assert status == 0
    assert "awaiting smollm2_finetune: no record" in said.out
    assert "python -m experiments smollm2_finetune" in said.out
    assert "no record" not in said.err
    assert {one.name for one in shown} == everything_but("smollm2_finetune")
    assert awaiting == {"smollm2_finetune": str(missing)}
    assert all_but("smollm2_finetune", missing, "smollm2_finetune") == (1, [])
    assert "python -m experiments smollm2_finetune" in capsys.readouterr().err


def test_a_tampered_record_is_an_error_even_where_one_is_awaited(all_but):
    status, _ = all_but("smollm2_finetune", record.RecordError("smollm2_finetune.json was changed"))
    assert status == 1


EVERYTHING = [*drawing.TABLES, "heads_beyond"]  # of the figures, one with most kinds of artist


def test_figures_and_page_need_no_display_and_no_network(folder):
    program = f"""
import socket
def refuse(*_, **__):
    raise AssertionError("a connection was asked for")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from pathlib import Path
from experiments.records import record
from experiments.studies import tiny_tables
record.RESULTS = Path({str(folder / "results")!r})
from figures import __main__ as figures
from figures.drawing import drawn
folder = Path({str(folder)!r})
figures.write_page([*drawn("fig1_positions", folder), *drawn("table1_books", folder)], folder)
record.RESULTS = record.ROOT / "experiments" / "results"
for name in {EVERYTHING!r}:
    try:
        drawn(name, folder)
    except record.NoRecord:
        assert name in figures.AWAITED
"""
    without = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    environment = {key: value for key, value in os.environ.items() if key not in without}
    root = Path(__file__).resolve().parents[3]
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=root)
    assert (folder / "index.html").exists()
