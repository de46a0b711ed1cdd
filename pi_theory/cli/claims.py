"""`pi-theory claims`: every claim of the paper and of ours, settled one after the other."""

import argparse
from typing import Any

from pi_theory.console import Command, show, wrap


def _run(arguments: argparse.Namespace) -> None:
    from tqdm import tqdm

    from pi_theory.claims import CLAIMS

    bar = tqdm(CLAIMS.values(), desc="claims", delay=1, leave=False, disable=None)
    rows = [claim.settle().row() for claim in bar]
    show(arguments, {"claims": rows}, text(rows))


def text(rows: list[dict[str, Any]]) -> str:
    """The claims as paragraphs, with a count of the verdicts at the end."""
    lines = []
    for row in rows:
        lines.append(wrap(f"{row['id']}  ({row['seconds']:.2f} s)", " " * 11, f"{row['verdict'].upper():11}"))
        lines.append(wrap(row["says"], " " * 11))
        lines += [wrap(f"{part}: {row[part]}", " " * 11) for part in ("domain", "source", "evidence")]
        lines.append("")
    verdicts = [row["verdict"] for row in rows]
    lines.append(", ".join(f"{verdicts.count(one)} {one}" for one in ("holds", "refuted", "undecided")))
    return "\n".join(lines)


CLAIMS = Command(
    name="claims",
    summary="Settles every claim that this project examines, in about half a minute.",
    details="Each claim is printed with its verdict (holds, refuted or undecided), the domain that the verdict is "
    "about, where the claim comes from, and the evidence.",
    example="pi-theory claims --json",
    add_arguments=lambda parser: None,
    run=_run,
)
