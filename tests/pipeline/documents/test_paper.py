import os
import re
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

import experiments
from experiments.records import record
from experiments.records.record import RecordError
from figures.tables.paper_tables import TABLES
from figures.verdicts.fine_tuning_runs import read_runs
from paper import generate, lint
from paper.__main__ import FOLDER, build
from paper.numbers import BEST_RATE, DECISIONS, NUMBERS, QUOTED, Number

TEXT = (FOLDER / "main.tex").read_text()


def made_up_heads():
    """A record in the shape of a heads study, of two heads and one pair each."""

    def head(value):
        one = {name: {"median": value, "max": 2 * value} for name in generate._QUANTITIES}
        return {"uniform": one, "attended": {name: {"median": 0, "max": 3 * value} for name in one}}

    verdict = {"claim": "It is so", "rule": "refuted where it is not", "verdict": "refuted"}
    return {"heads": [head(0.125), head(0.25)], "verdicts": [verdict], "model": {"name": "made_up"}}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The committed records, with made-up heads in place of the tiny model's."""
    committed = record.RESULTS / "recorded"
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("results")
        shutil.copytree(committed, folder / "recorded")
        patch.setattr(record, "RESULTS", folder)
        heads = {**record.read("tiny_heads"), "metrics": made_up_heads()}
        record.write(heads, record.path_of("tiny_heads", live=False))
        yield folder


@pytest.fixture
def generated(results, tmp_path):
    generate.write(tmp_path)
    return tmp_path


def test_the_rate_that_the_prose_speaks_of_is_the_one_that_the_tables_show():
    assert read_runs("tiny_tables").rate == BEST_RATE


def with_text(addition):
    return TEXT.replace(r"\maketitle", rf"\maketitle {addition}", 1)


def test_the_text_holds_no_number_that_a_record_could_hold():
    assert lint.faults(TEXT) == []


# in prose, in mathematics, spelled out, in captions and where the lint looks away from commands
TYPED_BY_HAND = r"""
0.6287
took 45 seconds
5~GiB
8 heads
about 12\,\%
\emph{7} heads
\texttt{x} took 7 s
\footnote{20 minutes}
\caption{Over 8 seeds.}
\multicolumn{2}{c}{of 17 heads}
\begin{tabular}{lr} 0.63 \end{tabular}
Table~\ref{tab:models} of 9 models
\(45\) seconds
$45$ seconds
took $45$~seconds
$7$ nats
the $3$ worst heads cost $9$ nats
a window of $64$ tokens
$n=16$ seeds
$1{,}024$ tokens
$1.1395$
$.5$ nats
$\sec\half\approx1.14$
\[ x \ge 4505.68 \]
\begin{align*} x &= 4505 \end{align*}
$d=1748$
$L=64$
$H=5$
$\kappa = 2$
$\approx 12$ nats
a factor of $8$
a loss of $12\%$
$2\times$ faster
$10^{61}$
$\text{45 seconds}$
ninety-five per cent of heads
seven times slower
two of the heads
twelve words
a dozen of them
two hundred words
a hundredfold
three quarters of the loss
half of it
one third less
a five-fold gain
$\frac34$ of the heads
$r=7$
$x_0 = 12$
$3\cdot10^5$ tokens
$7$\,nats
twice the loss
one in ten
\caption{Over eight seeds.}
"""


@pytest.mark.parametrize("typed", TYPED_BY_HAND.strip().splitlines())
def test_a_number_typed_by_hand_is_found(typed):
    faults = lint.faults(with_text(typed))
    assert faults
    assert all(fault.endswith("is typed by hand; make it a macro in paper/numbers.py") for fault in faults)
    digits = re.findall(r"\d+", "".join(faults))
    assert not (numbers := re.findall(r"\d+", typed)) or set(numbers) & set(digits)


@pytest.mark.parametrize(
    "typed",
    [
        "Theorem~2.1",
        r"$\tfrac12$",
        r"$8\sin^2\frac x4$",
        "Llama~3",
        r"\cite{chen2023}",
        r"\citep[chapter~10]{boas1954}",
        "% 0.6287",
        "$n=0$",
        "the period $2$",
        r"$F=64\ln c$",
        r"$2L$ tokens",
        r"$\SharpMidpoint$ nats, $\PaperRatio$ times",
        "two questions, in the thousands, manifold",
        r"\begin{minipage}[c]{0.4\linewidth}\end{minipage}",
    ],
)
def test_mathematics_and_names_may_be_typed(typed):
    assert lint.faults(with_text(typed + "\n")) == []


@pytest.mark.parametrize("number", ["0.6287", "45", "$8$"])
def test_a_number_in_a_definition_of_the_preamble_is_found(number):
    (fault, *_) = lint.faults(TEXT.replace(r"\title", rf"\newcommand{{\minimum}}{{{number}}} \title", 1))
    assert f" {number.strip('$')} is typed by hand" in fault


def test_an_undefined_macro_an_unused_one_and_a_figure_without_its_script_are_found():
    (undefined,) = lint.faults(with_text(r"$\NoSuchNumber$"))
    assert r"\NoSuchNumber" in undefined
    (unused,) = lint.faults(TEXT.replace(r"\SharpMidpoint", r"\TaylorMidpoint"))
    assert r"\SharpMidpoint" in unused
    (scriptless,) = lint.faults(TEXT.replace(r"\script{figures/plots/amplification.py}", ""))
    assert "figures/plots/amplification.py" in scriptless


def test_macro_names_are_letters_and_unique():
    names = [one.macro for one in (*NUMBERS, *DECISIONS)] + list(QUOTED)
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[A-Z][A-Za-z]+", name) for name in names)


def test_every_reference_is_cited_and_every_citation_has_its_reference():
    cited = {key.strip() for keys in re.findall(r"\\cite[tp]?\{(.+?)\}", TEXT) for key in keys.split(",")}
    entries = re.findall(r"^@\w+\{(\w+),", (FOLDER / "refs.bib").read_text(), re.MULTILINE)
    assert sorted(cited) == sorted(entries)


def test_every_table_is_in_the_report():
    assert sorted(re.findall(r"\\(?:made|awaited)table\{(\w+)\}", TEXT.split(r"\begin{document}")[1])) == sorted(TABLES)


def test_what_is_generated_agrees_with_the_records(generated):
    assert generate.stale(generated) == []


def test_a_macro_that_differs_from_its_record_is_found(generated):
    made = (generated / "numbers.tex").read_text()
    for one in NUMBERS:
        line = next(line for line in made.splitlines() if f"{{\\{one.macro}}}" in line)
        changed = re.sub(r"\d(?=\D*$)", lambda digit: str((int(digit[0]) + 1) % 10), line)
        assert generate.differing(made.replace(line, changed), made) == [line, changed]


def test_a_file_that_was_changed_by_hand_is_named_with_its_line(generated):
    path = generated / "numbers.tex"
    first, rest = path.read_text().split("\n", 1)
    path.write_text(f"{first}0\n{rest}")
    assert generate.stale(generated) == [f"numbers.tex: {first}", f"numbers.tex: {first}0"]


def test_a_record_measured_anew_makes_its_macro_stale(generated, results, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("again")
    shutil.copytree(results, folder, dirs_exist_ok=True)
    monkeypatch.setattr(record, "RESULTS", folder)
    made = record.read("landscape")
    made["metrics"]["models"][0]["sharp"] += 0.01
    record.write(made, record.path_of("landscape", live=False))
    assert any("SharpMidpoint" in line for line in generate.stale(generated))


def test_measured_heads_are_shown_by_the_median_and_the_largest(generated):
    rows = (generated / "heads.tex").read_text()
    assert rows.count("& 0.188 & 0.750") == len(generate._QUANTITIES)


def test_every_record_that_a_figure_or_table_may_read_is_listed(generated, results):
    rows = (generated / "records.tex").read_text()
    for path in results.glob("*/*.json"):
        if (study := path.stem) in experiments.STUDIES:
            assert rf"\texttt{{{generate.escaped(study)}}} &" in rows


def test_the_seconds_of_an_interrupted_study_are_marked_as_not_all(generated, results):
    marked = {line.split(" &")[0] for line in (generated / "records.tex").read_text().splitlines() if "& $>$" in line}
    interrupted = {name for name in experiments.STUDIES if generate._exists(name) and was_resumed(name)}
    assert marked == {rf"\texttt{{{generate.escaped(name)}}}" for name in interrupted}
    assert interrupted


def was_resumed(study):
    return record.read(study)["metrics"].get("resumed", False)


def test_without_a_record_the_command_that_makes_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    with pytest.raises(RecordError, match="python -m experiments envelope"):
        generate.write(tmp_path / "generated")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "number",
    [
        Number("Nowhere", "landscape", "metrics/models/name=GPT/margin", "3 near"),
        Number("Nowhere", "landscape", "metrics/nothing", "3 near"),
        Number("Nowhere", "landscape", "metrics/models", "3 near"),
        Number("Nowhere", "claims", "metrics/claims/id=half_d/evidence", "text", r"(\d+) elephants"),
    ],
)
def test_a_number_that_its_record_does_not_hold_is_refused(results, number):
    with pytest.raises(RecordError, match=r"\\Nowhere: .*python -m experiments --force"):
        generate.value_of(number, record.read)


@given(st.floats(-1e12, 1e12), st.integers(0, 8))
def test_bounds_are_rounded_outwards(value, digits):
    down, near, up = (float(generate.shown(value, f"{digits} {how}")) for how in ("down", "near", "up"))
    slack = 1e-15 * abs(value)
    assert down - slack <= value <= up + slack
    assert near in (down, up)
    assert up - down <= 10.0**-digits + 2 * slack


def test_powers_in_a_claim_are_set_as_powers():
    says = generate._with_powers("5x10^5 & c = 1e+06, below 4e-59; e^-t")
    assert says == r"$5\times10^{5}$ \& c = $10^{6}$, below $4\times10^{-59}$; $e^{-t}$"


@given(st.text())
def test_any_text_becomes_harmless_tex(text):
    plain = generate.escaped(text)
    for command in (
        r"\textbackslash{}",
        r"\textasciicircum{}",
        r"\textasciitilde{}",
        "$<$",
        "$>$",
        r"$\le$",
        r"$\ge$",
        "$|$",
    ):
        plain = plain.replace(command, "")
    assert not re.search(r"(?<!\\)[{}$&#%_^~<>|]", plain)


def test_without_tex_one_line_says_what_to_install():
    done = subprocess.run(
        [sys.executable, "-m", "paper", "--check"], capture_output=True, text=True, env={**os.environ, "PATH": ""}
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install latexmk" in done.stderr


# taller than a page, with a heading that is wider than its columns
LONG_TABLE = (
    r"\begin{table*} \centering\small \begin{tabular}{lr} \toprule \rlap{\textit{" + "A wide heading. " * 4 + r"}} \\"
    "\n" + r"name & value \\ \midrule" + "\n" + r"a & b \\" * 90 + r" \bottomrule \end{tabular}"
    r"\caption{What it shows.} \end{table*}"
)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("latexmk"), reason="latexmk is not installed")
def test_the_report_builds_without_undefined_references_and_a_fault_in_it_is_shown(results, tmp_path, capsys):
    paper, figures = tmp_path / "paper", tmp_path / "figures"
    generate.write(_made(paper) / "generated")
    for name in ("main.tex", "refs.bib"):
        shutil.copy(FOLDER / name, paper)
    for picture in lint.pictures(TEXT):
        Figure((1, 1)).savefig(_made(figures) / f"{picture.removeprefix('figures/')}.pdf")
    tables = tmp_path / "build" / "tables"
    tables.mkdir(parents=True)
    for name in TABLES:
        (tables / f"{name}.tex").write_text(LONG_TABLE)
    assert build(paper, tmp_path / "auxiliary")
    assert (paper / "main.pdf").read_bytes().startswith(b"%PDF")
    log = (tmp_path / "auxiliary" / "main.log").read_text(errors="replace")
    assert "undefined" not in log
    assert "Float too large" not in log
    assert "Overfull" not in log
    (paper / "main.tex").write_text(with_text(r"\nosuchcommand"))
    assert not build(paper, tmp_path / "auxiliary")
    assert "Undefined control sequence" in capsys.readouterr().err


def _made(folder):
    folder.mkdir(exist_ok=True)
    return folder
