import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.records import record
from figures import docs_pages
from figures.drawing import drawn, tabulate
from figures.tables import paper_tables
from figures.tables.paper_tables import TABLES
from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS, Check, Decided, Experiment
from figures.verdicts import fine_tuning_runs as runs
from tests.pipeline import synthetic

TABLE = Table("a & b", "100 % of a_b, x > y | z.", (Block("ours", ("k", "1 L"), (("PI ×4", "7.1 ± 0.1"),)),))


OUTCOMES = st.sampled_from(["holds", "fails", "open"])


def verdict(name, **changes):
    synthetic.write("tiny_tables", synthetic.tables(**changes))
    return EXPERIMENTS[name].outcome()


def test_a_table_is_the_same_cells_in_all_three_forms():
    assert "| PI ×4 | 7.1 ± 0.1 |" in TABLE.markdown()
    assert r"PI $\times$4 & 7.1 $\pm$ 0.1 \\" in TABLE.latex()
    assert '<th scope="row">PI ×4</th><td>7.1 ± 0.1</td>' in TABLE.html()


def test_what_is_special_to_a_form_is_escaped():
    assert r"a \& b. 100 \% of a\_b, x $>$ y $|$ z." in TABLE.latex()
    assert "x &gt; y" in TABLE.html()
    assert "a\\|b" in Table("t", "", (Block("b", ("a|b",), (("c",),)),)).markdown()


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        Block("ours", ("k", "1 L"), (("PI",),))


@pytest.mark.parametrize("name", [name for name, one in EXPERIMENTS.items() if one.study == "tiny_tables"])
def test_runs_that_were_measured_once_show_no_progress_and_break_no_rule(name, results):
    made = synthetic.tables()
    for run in made["runs"]:
        del run["curve"][1:]
    synthetic.write("tiny_tables", made)
    falls = [check for check in EXPERIMENTS[name].outcome().checks if "falls from each evaluation" in check.states]
    assert {check.outcome for check in falls} <= {"open"}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_without_its_record_names_the_command_and_writes_nothing(results, name):
    with pytest.raises(record.NoRecord, match=r"python -m experiments (tiny_|smollm2_|summaries)"):
        tabulate(name, results)
    assert list(results.iterdir()) == []


def whole(text):
    """Markdown or LaTeX without anything that a missing number leaves behind."""
    return text.count("{") == text.count("}") and re.search(r"\b(nan|inf|None)\b", text) is None


OF_RUNS = [name for name in TABLES if name in EXPERIMENTS and EXPERIMENTS[name].study == "tiny_tables"]


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_table_of_runs_is_written_as_markdown_and_latex_with_its_verdict(results, name):
    synthetic.write("tiny_tables", synthetic.tables())
    shown = tabulate(name, results)
    markdown, latex = ((results / f"{name}.{kind}").read_text() for kind in ("md", "tex"))
    assert whole(markdown)
    assert whole(latex)
    assert shown.outcome.verdict in markdown
    assert list(shown.records) == ["tiny_tables"]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_says_model_tokens_seeds_or_documents_and_hardware(name):
    with record.reading(committed=True) as seen:
        try:
            table = TABLES[name]()
        except record.NoRecord as missing:
            pytest.skip(str(missing))
    caption = table.caption
    assert re.search(r"tiny-llama|smollm2-135m|SmolLM2-135M", caption)
    assert all(found["device"] in caption for found in seen.values())
    if any("steps" in str(found["config"]) for found in seen.values()):  # it trains
        assert re.search(r"\d+ steps of .*\btokens", caption)
        assert re.search(r"\d seed", caption)
    assert re.search(r"\d (documents?|items)\b", caption)
    assert whole(table.markdown())
    assert whole(table.latex())


def test_several_seeds_show_their_mean_and_spread_and_one_seed_shows_none(results):
    synthetic.write("tiny_sweep", synthetic.sweep())
    table = TABLES["rates_steps"]()
    (four,) = [row for row in table.blocks[0].rows if row[0] == "PI ×4 to 1024, rate 0.0001"]
    (two,) = [row for row in table.blocks[0].rows if row[0] == "PI ×2 to 512, rate 0.0001"]
    mean, spread = four[-1].split(" ± ")
    loss = 2.99 + 0.004 - 0.1 * 2 + 0.001  # of the middle one of three seeds, 0.001 apart
    assert float(mean) == pytest.approx(math.exp(loss), abs=0.01)
    assert float(spread) == pytest.approx(0.001 * math.exp(loss), abs=0.01)
    assert all("±" not in cell for cell in two)
    assert "3 seeds at ×4, 1 at ×2, ×8" in table.caption
    assert "± is their standard deviation" in table.caption


def test_of_several_rates_all_rows_have_the_one_that_predicts_best_and_say_so(results):
    synthetic.write("tiny_tables", synthetic.sweep())
    for name in ("table1_books", "table4_kmax"):
        table = TABLES[name]()
        assert {cells[0].rpartition(" ")[2] for cells in table.blocks[1].rows[1:]} == {"0.0001"}
        assert "the peak rate 0.0001, at which both ways together end lowest" in table.caption
    assert len(EXPERIMENTS["adaptation"].outcome().checks) == 2 * 3


def test_where_each_run_ends_is_shown_at_every_rate_beside_the_untouched_model(results):
    synthetic.write("tiny_tables", synthetic.sweep())
    rows = {row[0]: row[1:] for row in TABLES["rates_ends"]().blocks[0].rows}
    assert len(rows) == 1 + 2 * 2 * 3
    assert rows["untouched"] == ("–", "20.09", "–", "20.09")
    low, high = (float(rows[f"PI ×2 to 512, rate {rate}"][0]) for rate in ("0.0001", "0.001"))
    assert low < float(rows["untouched"][1]) < high


def test_a_rate_that_was_tried_for_some_runs_only_is_not_chosen(results):
    made, lucky = synthetic.tables(), synthetic.tables(pi_end=(2.0, -0.1))
    part = [run | {"peak_lr": 2e-5} for run in lucky["runs"] if (run["method"], run["factor"]) == ("linear", 4)]
    synthetic.write("tiny_tables", made | {"runs": [*made["runs"], *part]})
    assert runs.read_runs("tiny_tables").rate == 1e-4


evaluations = st.lists(st.integers(0, 9), min_size=1, max_size=5, unique=True).map(
    lambda seeds: [runs.Evaluation(0, {}, {}, None, seed=seed) for seed in seeds]
)


@given(evaluations, evaluations)
def test_runs_are_compared_seed_by_seed_and_with_a_model_without_a_seed_all_are(ours, theirs):
    one, other = runs.paired(ours, theirs)
    assert [model.seed for model in one] == [model.seed for model in other]
    assert {model.seed for model in one} == {model.seed for model in ours} & {model.seed for model in theirs}
    base = [runs.Evaluation(0, {}, {}, None)]
    assert runs.paired(ours, base) == (ours, base)


def test_a_lucky_seed_that_only_one_of_the_ways_has_decides_nothing(results):
    made = synthetic.tables(seeds=1, pi_end=(3.1, 0.3), direct_end=(3.1, 0.3))
    lucky = [run | {"seed": 7} for run in synthetic.tables(seeds=1)["runs"] if run["method"] == "linear"]
    synthetic.write("tiny_tables", made | {"runs": [*made["runs"], *lucky]})
    ahead = "In the new window PI ends with a lower perplexity than direct fine-tuning"
    checks = [check for check in EXPERIMENTS["table1_books"].outcome().checks if check.states == ahead]
    assert checks
    assert not any(check.outcome == "holds" for check in checks)


def kmax(found):
    """The outcomes for PI and for direct fine-tuning by factor, where accuracy by share of L' is what `found` gives."""
    made = synthetic.tables(seeds=1)
    for run in made["runs"]:
        for entry in run["curve"]:
            context = run["factor"] * synthetic.WINDOW
            entry["accuracy"] = {k: found(run["method"], run["factor"], int(k) / context) for k in entry["accuracy"]}
    synthetic.write("tiny_tables", made)
    checks = EXPERIMENTS["table4_kmax"].outcome().checks
    return [{check.outcome for check in checks if how in check.states} for how in ("by PI", "directly")]


@pytest.mark.parametrize(
    ("found", "pi", "direct"),
    [
        (lambda method, factor, at: float(method == "linear" or at * factor <= 1), {"holds"}, {"holds"}),
        (lambda method, factor, at: float(at < 1), {"open"}, {"fails"}),  # all but the farthest, in ten trials
        (lambda method, factor, at: float(not 0.3 < at < 0.8), {"fails"}, {"holds", "fails"}),  # blind in the middle
        (
            lambda method, factor, at: float(at * factor <= 2),
            {"holds", "fails"},
            {"fails"},
        ),  # up to twice the old window
    ],
)
def test_a_passkey_is_found_everywhere_only_if_it_is_at_every_distance(results, found, pi, direct):
    ours, theirs = kmax(found)
    assert ours == pi
    assert theirs <= direct | {"open"}
    assert theirs & direct


def test_other_methods_in_the_record_are_not_taken_for_direct_fine_tuning(results):
    made = synthetic.tables()
    outcomes = []
    for more in ([], [run | {"method": "yarn"} for run in made["runs"] if run["method"] == "linear"]):
        synthetic.write("tiny_tables", made | {"runs": [*made["runs"], *more]})
        outcomes.append([EXPERIMENTS[name].outcome().checks for name in OF_RUNS])
    assert outcomes[0] == outcomes[1]


def test_where_pi_adapts_at_once_and_direct_tuning_lags_is_said_by_factor_and_rate(results):
    synthetic.write("tiny_tables", synthetic.sweep())
    (adapted,) = TABLES["adaptation"]().blocks
    assert len(adapted.rows) == 6
    assert adapted.rows[2] == ("×4, rate 0.0001", "at step 50", "never in 50 steps")


def test_every_decision_stands_under_its_statement_with_a_cell_for_each_factor(results):
    synthetic.write("tiny_tables", synthetic.tables())
    table = TABLES["decisions"]()
    checks = [c for one in EXPERIMENTS.values() if one.study == "tiny_tables" for c in one.outcome().checks if c.factor]
    cells = {
        (block.title, row[0], float(column.removeprefix("×"))): cell
        for block in table.blocks
        for row in block.rows
        for column, cell in zip(block.columns[1:], row[1:], strict=True)
    }
    assert cells == {(c.states, c.of, c.factor): f"{c.outcome}: {c.brief}" for c in checks}
    assert all(re.search(r"\d", cell) or "never" in cell for cell in cells.values())


def test_the_papers_numbers_stand_in_the_tables_as_it_prints_them(results):
    synthetic.write("tiny_tables", synthetic.tables())
    assert "| 7B, PI to 32768 | 7.23 | 7.04 | 6.91 | 6.80 | 6.77 |" in paper_tables.table1_books().markdown()
    assert "| 33B, direct to 8192 | 1792 | 2048 | 1792 | 2048 | 2304 | – |" in paper_tables.table4_kmax().markdown()


# adaptation has tests of its own
@pytest.mark.parametrize("name", [name for name in OF_RUNS if name != "adaptation"])
def test_where_the_papers_picture_holds_it_is_reproduced(results, name):
    found = verdict(name)
    assert found.verdict == "reproduced", found.found


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        ("table1_books", {"pi_end": (2.99, 0.4)}, "split"),  # no gain, and worse than direct tuning
        ("table1_books", {"direct_end": (2.9, -0.2)}, "split"),
        ("table3_steps", {"pi_end": (3.6, 0.2)}, "split"),  # worse than at the start
        ("table5_original_window", {"pi_end": (3.4, -0.1)}, "split"),  # loses too much, growing with the factor
        ("table4_kmax", {"base_k_max": 32}, "not tested"),
    ],
)
def test_where_it_does_not_the_verdict_says_so(results, name, changes, expected):
    assert verdict(name, **changes).verdict == expected


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        (["holds", "holds"], "reproduced"),
        (["holds", "fails", "open"], "split"),
        (["fails", "fails"], "refuted"),
        (["holds", "open"], "open"),
        (["fails", "open"], "open"),
        ([], "not tested"),
    ],
)
def test_a_verdict_is_what_its_checks_agree_on_and_open_while_one_is(outcomes, expected):
    checks = tuple(Check("", outcome, "") for outcome in outcomes)
    assert Experiment("", "", "", "", "tiny", lambda: Decided("", checks)).outcome().verdict == expected


def test_of_several_learning_rates_the_best_is_shown(results):
    good, bad = synthetic.tables(), synthetic.tables(pi_end=(4.0, 0.5))
    for run in bad["runs"]:
        run["peak_lr"] = 2e-5
    synthetic.write("tiny_tables", {**good, "runs": [*bad["runs"], *good["runs"]]})
    found = runs.read_runs("tiny_tables").best()
    assert [(group.name, group.peak_lr) for group in found if group.method == "linear"] == [
        ("PI ×2", 1e-4),
        ("PI ×4", 1e-4),
        ("PI ×8", 1e-4),
    ]
    assert EXPERIMENTS["table1_books"].outcome().verdict == "reproduced"


def test_without_a_record_an_experiment_is_not_tested_and_says_how(results):
    outcome = EXPERIMENTS["table1_books"].outcome()
    assert outcome.verdict == "not tested"
    assert "python -m experiments tiny_tables" in outcome.reason


def test_another_models_record_gets_a_table_of_its_own(results):
    synthetic.write("tiny_tables", synthetic.tables())
    synthetic.write("tiny_tables", synthetic.tables(base_k_max=0), label="other")
    plain, other = drawn("table4_kmax", results)
    assert (plain.name, other.name) == ("table4_kmax", "table4_kmax@other")
    assert (plain.outcome.verdict, other.outcome.verdict) == ("reproduced", "not tested")
    assert list(other.records) == ["tiny_tables@other"]


@pytest.mark.parametrize("one", EXPERIMENTS.values(), ids=lambda one: one.id)
def test_what_an_experiment_says_and_what_was_found_can_be_read_alone(one):
    with record.reading(committed=True):
        outcome = one.outcome()
    sentences = [one.says, *(check.states for check in outcome.checks), *filter(None, [outcome.reason])]
    for sentence in sentences:
        assert len(sentence.split()) >= 5, sentence
        assert not re.match(r"(The same|It|They|This|That)\b", sentence), sentence
    assert all(re.search(r"\d", check.measured) for check in outcome.checks)


@given(st.lists(st.tuples(st.sampled_from("abc"), OUTCOMES)))
def test_findings_hold_every_check_once_and_the_verdict_follows_from_all_of_them(decided):
    checks = tuple(Check(states, outcome, "") for states, outcome in decided)
    outcome = Experiment("", "", "", "", "tiny", lambda: Decided("", checks)).outcome()
    findings = outcome.findings
    assert [finding.states for finding in findings] == list(dict.fromkeys(check.states for check in checks))
    assert sorted(map(id, checks)) == sorted(id(check) for finding in findings for check in finding.checks)
    found = {check.outcome for check in checks}
    assert (outcome.verdict == "reproduced") == (found == {"holds"})
    assert (outcome.verdict == "refuted") == (found == {"fails"})
    assert (outcome.verdict == "split") == ({"holds", "fails"} <= found)
    assert (outcome.verdict == "not tested") == (not found)


def test_a_statement_is_said_once_with_its_count_and_the_first_case_that_fails():
    decided = (("a", "holds"), ("b", "open"), ("c", "fails"))
    checks = [Check("It grows", outcome, f"{number} of 3", of=case) for number, (case, outcome) in enumerate(decided)]
    outcome = Experiment("", "", "", "", "tiny", lambda: Decided("", tuple(checks))).outcome()
    assert outcome.found == "Holds in 1 of 3 cases, fails in 1, open in 1: It grows (c: 2 of 3)."
    count, cases = "1 of 3 checks hold, 1 fails, 1 is open", "Holds in 1 of 3 cases, fails in 1, open in 1"
    assert outcome.sentence == f"Verdict: split, {count}. {cases}: It grows."


def test_the_committed_pages_say_what_the_committed_records_say(tmp_path):
    docs_pages.write(tmp_path)
    for page in sorted(tmp_path.iterdir()):
        assert page.read_text() == (docs_pages.DOCS / page.name).read_text(), "make figures writes it"


def test_pages_are_written_only_where_they_differ(tmp_path):
    docs_pages.write(tmp_path)
    before = {page: page.stat().st_mtime_ns for page in tmp_path.iterdir()}
    (tmp_path / "speed.md").write_text("old")
    docs_pages.write(tmp_path)
    changed = {page.name for page, when in before.items() if page.stat().st_mtime_ns != when}
    assert changed == {"speed.md"}


def test_of_each_group_the_decided_rows_come_first():
    for page, undecided in (("claims", "undecided"), ("experiments", "not tested")):
        for group in (docs_pages.DOCS / f"{page}.md").read_text().split("## ")[1:]:
            verdicts = re.findall(r"^\| \*\*(.+?)\*\*", group, re.MULTILINE)
            assert verdicts
            assert verdicts == sorted(verdicts, key=lambda verdict: verdict == undecided)


def test_every_link_of_the_pages_leads_to_a_file(tmp_path):
    docs_pages.write(tmp_path)
    links = {link for page in tmp_path.iterdir() for link in re.findall(r"\]\((\.\./[^)]*)\)", page.read_text())}
    assert links
    assert [link for link in sorted(links) if not (docs_pages.DOCS / link).exists()] == []
