"""Draws every figure (figures/NAME.pdf and .png) and table (figures/tables/NAME.md and .tex) from its records.

Without names also figures/index.html, a page with all of them, and the README's tables; what awaits a record that has
not been made yet is then named and left out.
"""

import argparse
import importlib
import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.records import record
from experiments.records.record import NoRecord, RecordError, read, write_atomically
from figures import AWAITED, FIGURES
from figures.html_page import Shown, page
from figures.readme import update_readme
from figures.style import shared_style
from figures.tables import speed
from figures.tables.paper_tables import TABLES as PAPER_TABLES
from figures.verdicts.experiments import EXPERIMENTS, outcomes

TABLES = PAPER_TABLES | {"speed": speed.table}
FOLDER = Path(__file__).resolve().parent


def main() -> int:
    names = [*FIGURES, *TABLES]
    parser = argparse.ArgumentParser(
        prog="python -m figures", description=__doc__, epilog="example: python -m figures fig5_envelope table1_books"
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures and tables (default: all, and the page)")
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
            update_readme()
        except RecordError as error:
            failed.append(f"index.html: {error}")
    print(f"figures/: {', '.join(one.name for one in shown)}")
    print("".join(f"awaiting {name}: {why}\n" for name, why in awaiting.items()), end="")
    print("\n".join(failed), file=sys.stderr, end="\n" * bool(failed))
    return int(bool(failed))


def drawn(name: str, folder: Path = FOLDER) -> list[Shown]:
    """Draws a figure or table, and again for each label under which some record it reads was made too.

    Raises:
        RecordError: a record is missing or was changed; nothing is written.
    """
    make = tabulate if name in TABLES else save
    try:
        plain = [make(name, folder)]
        studies = list(plain[0].records)
    except NoRecord as error:
        # A study that only a GPU can run may have no record but that of its profile.
        plain, studies = [], [error.study]
        if name not in AWAITED or not record.labels(error.study):
            raise
    labels = sorted({label for study in studies for label in record.labels(study)})
    return [*plain, *(make(name, folder, label) for label in labels)]


def save(name: str, folder: Path = FOLDER, label: str = "") -> Shown:
    """Draws one figure and writes both its files; the same record gives the same bytes."""
    script = importlib.import_module(f"figures.plots.{name}")
    files = {}
    with record.reading(label) as seen, shared_style():
        figure: Figure = script.draw()
        for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, metadata=metadata)
            files[kind] = content.getvalue()
        plt.close(figure)
    stem = f"{name}@{label}" if label else name
    for kind, written in files.items():
        write_atomically(folder / f"{stem}.{kind}", written)
    says = (script.__doc__ or name).splitlines()[0]
    # the page's outcomes are those of the studies' own records
    experiments = () if label else getattr(script, "EXPERIMENTS", ())
    return Shown(stem, says, files["png"], dict(seen), getattr(script, "CLAIMS", ()), experiments)


def tabulate(name: str, folder: Path = FOLDER, label: str = "") -> Shown:
    """Makes one table and writes it as Markdown and LaTeX."""
    with record.reading(label) as seen:
        table = TABLES[name]()
        outcome = EXPERIMENTS[name].outcome() if name in EXPERIMENTS else None
    stem = f"{name}@{label}" if label else name
    (folder / "tables").mkdir(exist_ok=True)
    write_atomically(folder / "tables" / f"{stem}.md", table.markdown().encode())
    write_atomically(folder / "tables" / f"{stem}.tex", table.latex().encode())
    return Shown(stem, table.title, table, dict(seen), outcome=outcome)


def write_page(shown: list[Shown], folder: Path = FOLDER, *, awaiting: dict[str, str] | None = None) -> None:
    """Writes index.html with what was drawn, what was not and why, the claims and the outcome of the experiments."""
    text = page(shown, read("claims"), outcomes(), awaiting or {})
    write_atomically(folder / "index.html", text.encode())


if __name__ == "__main__":
    sys.exit(main())
