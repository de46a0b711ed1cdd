"""The README's table of claims, written from the claims record."""

from typing import Any

from experiments.record import ROOT, read, write_atomically

README = ROOT / "README.md"
START, END = "<!-- claims: written by make figures -->\n", "<!-- end of claims -->\n"


def row(claim: dict[str, Any]) -> str:
    """One Markdown row."""
    cells = (f"**{claim['verdict']}**", f"{claim['says']} *({claim['source']})*", claim["domain"], claim["evidence"])
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def table(claims: list[dict[str, Any]]) -> str:
    head = "| verdict | claim | domain | evidence |\n|---|---|---|---|\n"
    return head + "\n".join(map(row, claims)) + "\n"


def update_readme() -> None:
    """Replaces what stands between the markers, when it differs."""
    text = README.read_text()
    before, rest = text.split(START)
    _, after = rest.split(END)
    new = before + START + table(read("claims")["metrics"]["claims"]) + END + after
    if new != text:
        write_atomically(README, new.encode())
