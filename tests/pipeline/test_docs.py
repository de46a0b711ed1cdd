import subprocess
import sys

from experiments.record import ROOT


def test_the_reference_has_every_module_and_says_what_it_does(tmp_path):
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-m", "pdoc", "-d", "google", "-o", str(tmp_path), "pi_theory"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    modules = {path.stem for path in (ROOT / "pi_theory").glob("*.py")} - {"__init__"}
    assert {path.stem for path in (tmp_path / "pi_theory").glob("*.html")} == modules
    page = (tmp_path / "pi_theory" / "amplification.html").read_text()
    assert "Stability theorem" in page
    assert "raises" in page.lower()
