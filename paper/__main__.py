"""Builds paper/main.pdf: checks the text, writes what records say into generated/, and runs latexmk."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from experiments.records.record import ROOT, RecordError
from paper import generate, lint

FOLDER = Path(__file__).resolve().parent
_TEX = "apt-get install latexmk texlive-latex-extra texlive-fonts-recommended"


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m paper", description=__doc__, epilog="example: python -m paper --check"
    )
    parser.add_argument("--check", action="store_true", help="only check the text and the tools")
    checking = parser.parse_args().check
    text = (FOLDER / "main.tex").read_text()
    if found := lint.faults(text):
        print(*found, sep="\n", file=sys.stderr)
        return 1
    if not (shutil.which("latexmk") and shutil.which("pdflatex")):
        print(f"paper: latexmk or pdflatex is missing; on Debian: {_TEX}", file=sys.stderr)
        return 1
    if checking:
        return 0
    missing = [picture for picture in lint.pictures(text) if not (ROOT / f"{picture}.pdf").exists()]
    if missing:
        print(f"paper: {missing[0]}.pdf has not been drawn; run: make figures", file=sys.stderr)
        return 1
    try:
        generate.write()
    except RecordError as error:
        print(f"paper: {error}", file=sys.stderr)
        return 1
    if not build(FOLDER, ROOT / "build" / "paper"):
        return 1
    print("paper/main.pdf")
    return 0


def build(folder: Path, auxiliary: Path) -> bool:
    """Runs latexmk on folder/main.tex; what is not the PDF goes to ``auxiliary``. Prints TeX's errors."""
    auxiliary.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", f"-auxdir={auxiliary}", "main.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        log = auxiliary / "main.log"
        lines = log.read_text(errors="replace").splitlines() if log.exists() else done.stdout.splitlines()
        errors = [number for number, line in enumerate(lines) if line.startswith("!")]
        shown = lines[errors[0] : errors[0] + 6] if errors else lines[-6:]
        print("paper: TeX failed", *shown, f"the whole log: {log}", sep="\n", file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
