"""Draws one figure or table from its records, and writes its files."""

import importlib
import inspect
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from experiments.records import record
from experiments.records.record import ROOT, NoRecord, Record, write_atomically
from figures import AWAITED
from figures.style import MODELS, model_name, shared_style
from figures.tables import speed
from figures.tables.paper_tables import TABLES as PAPER_TABLES
from figures.tables.table import Table
from figures.verdicts import EXPERIMENTS, Outcome

TABLES = PAPER_TABLES | {"speed": speed.table}
FIGURE_FOLDER = ROOT / "figures"
TABLE_FOLDER = ROOT / "build" / "tables"


@dataclass(frozen=True)
class Shown:
    """A figure or a table as a page shows it.

    Attributes:
        name: of its files, with ``@`` and a label after it where records of that label were read.
        finding: what it shows, a sentence; of a table, its title.
        content: the PNG of a figure, or the table.
        records: what was read for it, by name.
        protocol: how a figure was made and is read.
        claims: ids of the claims that a figure illustrates.
        experiments: ids of the paper's experiments that a figure illustrates.
        outcome: of the experiment that a table is.
    """

    name: str
    finding: str
    content: bytes | Table
    records: Mapping[str, Record] = field(repr=False)
    protocol: str = ""
    claims: Sequence[str] = ()
    experiments: Sequence[str] = ()
    outcome: Outcome | None = None


def drawn(name: str, folder: Path | None = None) -> list[Shown]:
    """Draws a figure or table, and again for each label under which some record it reads was made too.

    Args:
        name: of the figure or table.
        folder: where its files go; by default figures go to figures/ and tables to build/tables/.

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


def save(name: str, folder: Path | None = None, label: str = "") -> Shown:
    """Draws one figure and writes both its files; the same record gives the same bytes."""
    script = script_of(name)
    with record.reading(label) as seen, shared_style():
        figure: Figure = script.draw()
        files = {"pdf": rendered(figure, "pdf"), "png": rendered(figure, "png")}
        plt.close(figure)
    stem = f"{name}@{label}" if label else name
    for kind, written in files.items():
        write_atomically((folder or FIGURE_FOLDER) / f"{stem}.{kind}", written)
    finding, _, protocol = inspect.cleandoc(script.__doc__ or name).partition("\n\n")
    if label:  # what the script says was found in the studies' own records
        models = own_models(seen)
        of_models = f" of {' and '.join(models)}" if models else ""
        said = f"The figure {name}{of_models} from the records labelled {label}."
        return Shown(stem, said, files["png"], dict(seen), named(protocol, models))
    claims, experiments = getattr(script, "CLAIMS", ()), getattr(script, "EXPERIMENTS", ())
    return Shown(stem, finding, files["png"], dict(seen), protocol, claims, experiments)


def tabulate(name: str, folder: Path | None = None, label: str = "") -> Shown:
    """Makes one table and writes it as Markdown and LaTeX."""
    with record.reading(label) as seen:
        table = TABLES[name]()
        outcome = EXPERIMENTS[name].outcome() if name in EXPERIMENTS else None
    if models := own_models(seen):
        table = replace(table, title=named(table.title, models), caption=named(table.caption, models))
        outcome = None  # Its claim is about the study's own model.
    folder, stem = folder or TABLE_FOLDER, f"{name}@{label}" if label else name
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"{stem}.md", table.markdown().encode())
    write_atomically(folder / f"{stem}.tex", table.latex().encode())
    return Shown(stem, table.title, table, dict(seen), outcome=outcome)


def own_models(records: Mapping[str, Record]) -> list[str]:
    """The names of the reader's own models in records, in place of those that the studies have."""
    configs = (one["config"] for one in records.values() if one.get("label"))
    others = [config for config in configs if "model" in config and str(config["model"]) not in MODELS]
    return list(dict.fromkeys(map(model_name, others)))


def named(text: str, models: Sequence[str]) -> str:
    """A caption in which the studies' own models are called by the names of those that stand in for them."""
    if not models:
        return text
    known = [f"{article} {name}" for name in MODELS.values() for article in ("A", "a", "The", "the")]
    for name in (*known, *MODELS.values()):
        text = text.replace(name, " and ".join(models))
    return text


def script_of(name: str) -> ModuleType:
    """The script that draws a figure."""
    return importlib.import_module(f"figures.plots.{name}")


def rendered(figure: Figure, kind: str, dpi: int = 300) -> bytes:
    """The file of a figure, "pdf" or "png", without the time at which it was made."""
    content = io.BytesIO()
    metadata = {"CreationDate": None} if kind == "pdf" else {"Software": None}
    figure.savefig(content, format=kind, metadata=metadata, dpi=dpi)
    return content.getvalue()
