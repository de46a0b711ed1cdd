"""Builds the report, paper/main.pdf.

First main.tex is checked for numbers typed by hand. Then the numbers and tables that come from records are written to
paper/generated, and latexmk makes the PDF. Figures must have been drawn before, by ``make figures``.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from experiments.records.record import ROOT, RecordError
from paper import generate, lint
from pi_theory.console import exit_code, script_parser

FOLDER = Path(__file__).resolve().parent
_TEX = "apt-get install latexmk texlive-latex-extra texlive-fonts-recommended"


def main() -> int:
    parser = script_parser("paper", __doc__, "--check")
    parser.add_argument(
        "--check", action="store_true", help="Check main.tex and whether TeX is installed, and build nothing."
    )
    checking = parser.parse_args().check
    text = (FOLDER / "main.tex").read_text()
    if found := lint.faults(text):
        print(*found, sep="\n", file=sys.stderr)
        return 1
    if not (shutil.which("latexmk") and shutil.which("pdflatex")):
        print(f"paper: latexmk or pdflatex is missing; install it, on Debian with: {_TEX}", file=sys.stderr)
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
    """Runs latexmk on main.tex and prints TeX's first error, if there is one.

    Args:
        folder: where main.tex lies and main.pdf is written.
        auxiliary: where everything else that TeX writes goes; it is made if it is not there.

    Returns:
        Whether the PDF was built.
    """
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
        print("paper: TeX failed:", *shown, f"The whole log is {log}.", sep="\n", file=sys.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(exit_code("python -m paper", main))
