"""The table of decisions: what a record decided of each statement, a block a statement and a column a factor."""

from figures.tables.table import Block, Table
from figures.verdicts import EXPERIMENTS, Check, Outcome
from figures.verdicts.fine_tuning_runs import read_runs

STUDY = "tiny_tables"


def decisions() -> Table:
    """Every statement on the tiny LLaMA's fine-tuning that has a case for each factor."""
    tuned = read_runs(STUDY)
    outcomes = [one.outcome() for one in EXPERIMENTS.values() if one.study == STUDY]
    blocks: dict[str, list[tuple[str, ...]]] = {}
    for outcome in outcomes:
        for states, rows in _rows(outcome, tuned.factors).items():
            blocks.setdefault(states, []).extend(rows)
    columns = ("", *(f"×{factor:g}" for factor in tuned.factors))
    caption = (
        "Each cell says whether the statement above it holds, fails or is open at this factor, and the number that "
        "decides it: a change of perplexity with its 95% interval, a share of passkeys with its own, or the first "
        f"measured steps that are possible and sure. {tuned.how(chosen=True)}Tested here on {tuned.scale}."
    )
    found = tuple(Block(states, columns, tuple(rows)) for states, rows in blocks.items())
    return Table("What is decided of the paper's fine-tuning experiments", caption, found)


def _rows(outcome: Outcome, factors: list[float]) -> dict[str, list[tuple[str, ...]]]:
    """By statement, a row for each kind of case, with a cell for each factor."""
    rows: dict[str, list[tuple[str, ...]]] = {}
    for finding in outcome.findings:
        by_kind: dict[str, dict[float, Check]] = {}
        for check in finding.checks:
            if check.factor is not None:
                by_kind.setdefault(check.of, {})[check.factor] = check
        for kind, checks in by_kind.items():
            cells = [_cell(checks.get(factor)) for factor in factors]
            rows.setdefault(finding.states, []).append((kind, *cells))
    return rows


def _cell(check: Check | None) -> str:
    return "–" if check is None else f"{check.outcome}: {check.brief}"
