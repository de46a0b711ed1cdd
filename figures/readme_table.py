"""The README's tables: the claims, the paper's experiments and the benchmarks, the last two from committed records."""

from typing import Any

from experiments.record import ROOT, read, reading, write_atomically
from figures import speed
from figures.reproduction import Outcome, outcomes
from figures.table import cell

README = ROOT / "README.md"
CLAIMS = ("<!-- claims: written by make figures -->\n", "<!-- end of claims -->\n")
EXPERIMENTS = ("<!-- experiments: written by make figures -->\n", "<!-- end of experiments -->\n")
BENCHMARKS = ("<!-- benchmarks: written by make bench -->\n", "<!-- end of benchmarks -->\n")


def row(claim: dict[str, Any]) -> str:
    """One Markdown row."""
    return _row(f"**{claim['verdict']}**", f"{claim['says']} *({claim['source']})*", claim["domain"], claim["evidence"])


def experiment_row(outcome: Outcome) -> str:
    """One Markdown row."""
    says = f"{outcome.experiment.says} *({outcome.experiment.source})*"
    return _row(f"**{outcome.verdict}**", says, outcome.scale or "–", outcome.evidence(failures=1))


def experiments_table() -> str:
    """From committed records alone, so that the README is the same on every machine."""
    with reading(committed=True):
        return _table("verdict | the paper says | scale here | what was checked", map(experiment_row, outcomes()))


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
