"""The README's tables: the claims, the paper's experiments and the benchmarks, the last two from committed records."""

from string import ascii_lowercase
from typing import Any

from experiments.records.record import ROOT, read, reading, write_atomically
from figures.tables import speed
from figures.tables.table import cell
from figures.verdicts.experiments import Outcome, outcomes

README = ROOT / "README.md"
CLAIMS = ("<!-- claims: written by make figures -->\n", "<!-- end of claims -->\n")
EXPERIMENTS = ("<!-- experiments: written by make figures -->\n", "<!-- end of experiments -->\n")
BENCHMARKS = ("<!-- benchmarks: written by make bench -->\n", "<!-- end of benchmarks -->\n")


def row(claim: dict[str, Any]) -> str:
    """One Markdown row."""
    return _row(f"**{claim['verdict']}**", f"{claim['says']} *({claim['source']})*", claim["domain"], claim["evidence"])


def experiment_row(outcome: Outcome, scales: list[str]) -> str:
    """One Markdown row; the scale is a letter, by its place in the list of all."""
    says = f"{outcome.experiment.says} *({outcome.experiment.source})*"
    scale = ascii_lowercase[scales.index(outcome.scale)] if outcome.scale else "–"
    return _row(f"**{outcome.verdict}**", says, outcome.evidence(failures=1), scale)


def experiments_table() -> str:
    """With a line for each scale below; from committed records alone, so that it is the same on every machine."""
    with reading(committed=True):
        found = outcomes()
    scales = list(dict.fromkeys(outcome.scale for outcome in found if outcome.scale))
    rows = (experiment_row(outcome, scales) for outcome in found)
    lines = "\n".join(f"- {letter}: {scale}" for letter, scale in zip(ascii_lowercase, scales, strict=False))
    return _table("verdict | the paper says | what was checked | scale", rows) + f"\nScales:\n\n{lines}\n"


def update_readme() -> None:
    """Replaces what stands between the markers, when it differs."""
    text = README.read_text()
    claims = _table("verdict | claim | domain | evidence", map(row, read("claims")["metrics"]["claims"]))
    new = _between(_between(text, CLAIMS, claims), EXPERIMENTS, experiments_table())
    new = _between(new, BENCHMARKS, speed.markdown(speed.table()))
    if new != text:
        write_atomically(README, new.encode())


def _row(*cells: str) -> str:
    return "| " + " | ".join(map(cell, cells)) + " |"


def _table(head: str, rows: Any) -> str:
    return f"| {head} |\n|---|---|---|---|\n" + "\n".join(rows) + "\n"


def _between(text: str, markers: tuple[str, str], new: str) -> str:
    before, rest = text.split(markers[0])
    _, after = rest.split(markers[1])
    return before + markers[0] + new + markers[1] + after


if __name__ == "__main__":
    update_readme()
