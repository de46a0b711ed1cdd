import importlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from experiments.records import record
from experiments.studies import tiny_tables
from figures import FIGURES
from figures import __main__ as figures
from figures.__main__ import drawn, write_page
from figures.html_page import Shown
from figures.verdicts.experiments import EXPERIMENTS
from tests.pipeline import synthetic

CLAIM = {
    "id": "eq8",
    "verdict": "holds",
    "says": "|a| <= B & more",
    "source": "here",
    "domain": "d > 2",
    "evidence": "<proof>",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    synthetic.write("tiny_tables", synthetic.tables())
    synthetic.write("claims", {"claims": [CLAIM]})
    config = {"head_dim": 8, "window": 4, "factor": 2.0, "feature": 1}
    curves = {"positions": list(range(9)), "extrapolated": [0.5] * 9, "interpolated": [0.5] * 9}
    synthetic.write(
        "positions", curves, live=False, config=config, code={"experiments.studies.positions": "of another day"}
    )
    return tmp_path


def make(folder):
    awaiting = {"tiny_steps": "no record of study 'tiny_sweep'; make it with: python -m experiments tiny_sweep"}
    write_page([*drawn("fig1_positions", folder), *drawn("table1_books", folder)], folder, awaiting=awaiting)
    return (folder / "index.html").read_text()


def elements(text):
    return list(ET.fromstring(text.split("\n", 1)[1]).iter())


def test_the_page_is_well_formed_and_fetches_nothing(folder):
    for element in elements(make(folder)):
        assert element.tag not in ("script", "link", "iframe", "object")
        assert element.get("src", "data:").startswith("data:")
        assert element.get("href", "#").startswith(("#", "https://arxiv.org/"))
        assert "url(" not in (element.text or "")


def test_every_link_inside_the_page_has_its_target_and_ids_are_unique(folder):
    found = elements(make(folder))
    ids = [element.get("id") for element in found if element.get("id")]
    assert len(ids) == len(set(ids))
    assert {e.get("href")[1:] for e in found if e.get("href", "").startswith("#")} <= set(ids)


def test_the_page_says_of_everything_what_became_of_it_and_where_from(folder):
    text = make(folder)
    page = "".join(ET.fromstring(text.split("\n", 1)[1]).itertext())
    for one in EXPERIMENTS.values():
        assert one.outcome().verdict in page
        assert one.says in page
    assert CLAIM["says"] in page
    assert CLAIM["evidence"] in page
    assert "python -m experiments tiny_tables" in page
    assert "positions, recorded (code changed since)" in page
    assert "tiny_tables, live" in page
    assert "tiny_steps: no record of study 'tiny_sweep'; make it with: python -m experiments tiny_sweep" in page


def test_a_long_list_of_checks_is_folded_under_its_count_and_a_short_one_is_not(folder):
    folded = {}
    for item in (e for e in elements(make(folder)) if (e.get("id") or "").startswith("experiment-")):
        summary = item.find("details/summary")
        folded[item.get("id").removeprefix("experiment-")] = None if summary is None else summary.text
    for name, one in EXPERIMENTS.items():
        outcome = one.outcome()
        assert folded[name] == (outcome.count if len(outcome.checks) > 4 else None)
    assert any(folded.values())


def test_every_picture_says_in_words_what_it_shows_and_wide_tables_can_be_scrolled_by_key(folder):
    found = elements(make(folder))
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
    shown = {link.get("href"): item.find("span").text for item in figure.iter("li") for link in item.iter("a")}
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
        monkeypatch.setattr(figures, "update_readme", lambda: None)
        monkeypatch.setattr(sys, "argv", ["figures", *names])
        return figures.main(), pages

    return go


def everything_but(name):
    return {*FIGURES, *figures.TABLES} - {name}


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


EVERYTHING = [*figures.TABLES, "heads_beyond"]  # of the figures, one with most kinds of artist


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
folder = Path({str(folder)!r})
figures.write_page([*figures.drawn("fig1_positions", folder), *figures.drawn("table1_books", folder)], folder)
record.RESULTS = record.ROOT / "experiments" / "results"
for name in {EVERYTHING!r}:
    try:
        figures.drawn(name, folder)
    except record.NoRecord:
        assert name in figures.AWAITED
"""
    without = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    environment = {key: value for key, value in os.environ.items() if key not in without}
    root = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", program], check=True, env=environment, cwd=root)
    assert (folder / "index.html").exists()
