"""Draws every figure (figures/NAME.pdf and .png) and every table (build/tables/NAME.md and .tex) from its records.

Without names it also writes figures/index.html, a page with all of them, and the pages docs/claims.md,
docs/experiments.md, docs/plans.md and docs/speed.md. What awaits a record that has not been made yet is named and left
out.
"""

import sys
from pathlib import Path

from tqdm import tqdm

from experiments.records.record import NoRecord, RecordError, read, write_atomically
from figures import AWAITED, FIGURES, docs_pages
from figures.drawing import FIGURE_FOLDER, TABLES, Shown, drawn
from figures.headlines import headlines
from figures.html_page import page
from figures.verdicts import outcomes
from pi_theory.console import exit_code, script_parser


def main() -> int:
    """The exit code: 0 when all was drawn that has its record, 1 when something failed, 2 when a name is unknown."""
    names = [*FIGURES, *TABLES]
    parser = script_parser("figures", __doc__, "fig5_envelope table1_books")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="Figures and tables to draw. Without a name all of them, and the pages.",
    )
    arguments = parser.parse_args()
    if unknown := sorted(set(arguments.names) - set(names)):
        parser.exit(2, f"{parser.prog}: no figure named {', '.join(unknown)}; choose from {', '.join(names)}\n")
    shown, awaiting, failed = [], {}, []
    for name in tqdm(arguments.names or names, desc="figures", disable=None):
        try:
            shown += drawn(name)
        except RecordError as error:
            if isinstance(error, NoRecord) and name in AWAITED and not arguments.names:
                awaiting[name] = str(error)
            else:
                failed.append(f"{name}: {error}")
    if not arguments.names:
        try:
            write_page(shown, awaiting=awaiting)
            docs_pages.write()
        except RecordError as error:
            failed.append(f"index.html: {error}")
    print(f"drawn: {', '.join(one.name for one in shown)}")
    print("".join(f"awaiting {name}: {why}\n" for name, why in awaiting.items()), end="")
    print("\n".join(failed), file=sys.stderr, end="\n" * bool(failed))
    return int(bool(failed))


def write_page(shown: list[Shown], folder: Path = FIGURE_FOLDER, *, awaiting: dict[str, str] | None = None) -> None:
    """Writes index.html: what was found, the claims, the experiments, what was drawn, and what was not and why.

    Raises:
        RecordError: the record of the claims is missing or was changed.
    """
    text = page(shown, headlines(), read("claims"), outcomes(), awaiting or {})
    write_atomically(folder / "index.html", text.encode())


if __name__ == "__main__":
    sys.exit(exit_code("python -m figures", main))
