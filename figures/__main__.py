"""Draws every figure from its record into figures/NAME.pdf and figures/NAME.png, and the README's table of claims."""

import argparse
import importlib
import io
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.record import RecordError, write_atomically
from figures import FIGURES
from figures.readme_table import update_readme
from figures.style import shared_style

FOLDER = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m figures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="figures to draw (default: all)")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(FIGURES))
    if unknown:
        parser.exit(2, f"{parser.prog}: no figure named {', '.join(unknown)}; choose from {', '.join(FIGURES)}\n")
    for name in tqdm(arguments.names or FIGURES, desc="figures", disable=None):
        try:
            save(name)
        except RecordError as error:
            print(f"figure {name}: {error}", file=sys.stderr)
            return 1
    if not arguments.names:
        update_readme()
    print(f"figures/: {', '.join(arguments.names or FIGURES)} (.pdf, .png)")
    return 0


def save(name: str, folder: Path = FOLDER) -> None:
    """Draws one figure and writes both its files; the same record gives the same bytes."""
    with shared_style():
        figure: Figure = importlib.import_module(f"figures.{name}").draw()
        for kind, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
            content = io.BytesIO()
            figure.savefig(content, format=kind, metadata=metadata)
            write_atomically(folder / f"{name}.{kind}", content.getvalue())
        plt.close(figure)


if __name__ == "__main__":
    sys.exit(main())
