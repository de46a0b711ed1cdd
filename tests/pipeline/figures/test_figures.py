import inspect
import subprocess
import sys

import pytest

from experiments import STUDIES
from experiments.records import record, study
from experiments.records.study import load
from figures import FIGURES, drawing, style
from figures.drawing import save, script_of
from figures.verdicts import EXPERIMENTS
from pi_theory import CLAIMS

# the same studies at toy size: seconds in all
TOY = {
    "positions": {"window": 64, "stride": 4},
    "landscape": {"log2_head_dim": 6, "head_dims": 6, "bases": 6, "boundary_every": 2},
    "envelope": {"head_dim": 16, "ranges": [64, 256], "pieces": 16, "samples": 64},
    "amplification": {"head_dim": 8, "window": 32, "positions": 6},
    "least_squares": {"head_dim": 16, "window": 64, "seeds": [0], "zoom": [10, 20], "stride": 1, "exact_stride": 8},
}


@pytest.fixture(scope="module")
def toy_results(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "RESULTS", tmp_path_factory.mktemp("results"))
        for name, changes in TOY.items():
            found = load(name)
            study.Study(**{**vars(found), "config": {**found.config, **changes}}).measure()
        yield


@pytest.mark.usefixtures("toy_results")
@pytest.mark.parametrize(
    "name",
    [
        name
        for name in FIGURES
        if name in ("fig1_positions", "fig2_least_squares", "fig5_envelope", "theorem_region", "amplification")
    ],
)
def test_every_figure_is_drawn_as_pdf_and_png_and_twice_alike(name, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    for folder in (first, second):
        folder.mkdir()
        save(name, folder)
    assert (first / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert (first / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    for kind in ("pdf", "png"):
        assert (first / f"{name}.{kind}").read_bytes() == (second / f"{name}.{kind}").read_bytes()


@pytest.mark.usefixtures("toy_results")
def test_the_toy_studies_show_what_they_exist_to_show():
    curves = record.read("amplification")["metrics"]["curves"]
    worst = {curve["method"]: max(curve["attained"]) for curve in curves if curve["hmax"] == 10}
    assert worst["whole"] < 1.2 < min(value for name, value in worst.items() if name != "whole")
    assert worst["linear"] < min(value for name, value in worst.items() if name not in ("linear", "whole"))
    fits = {row["name"]: row["max_beyond"] for row in record.read("least_squares")["metrics"]["fits"]}
    assert fits["ridge 1"] < fits["float64 SVD"]
    for part in record.read("envelope")["metrics"]["ranges"]:
        assert part["minimum"]["value"]["lower"] <= min(part["samples"])


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_says_in_one_sentence_what_it_shows_and_then_how_to_read_it(name):
    finding, _, protocol = inspect.getdoc(script_of(name)).partition("\n\n")
    assert finding.endswith(".")
    assert "\n" not in finding
    assert len(protocol.split()) >= 10


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_without_its_record_names_the_command_and_fails(name, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    with pytest.raises(record.NoRecord) as failed:
        save(name, tmp_path)
    assert f"python -m experiments {failed.value.study}" in str(failed.value)
    assert failed.value.study in STUDIES
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_figure_is_one_line_and_exit_2():
    done = subprocess.run([sys.executable, "-m", "figures", "nonsense"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_caption_names_the_readers_own_model_and_a_studys_own_as_before():
    own = {"a@mine": {"label": "mine", "config": {"model": "/data/My-7B"}}, "b": {"label": "", "config": {"x": 1}}}
    models = drawing.own_models(own)
    assert models == ["My-7B"]
    assert drawing.named("A tiny LLaMA: loss. SmolLM2-135M extended.", models) == "My-7B: loss. My-7B extended."
    profile = {"a@gpu": {"label": "gpu", "config": {"model": "smollm2-135m"}}}
    assert drawing.own_models(profile) == []
    assert drawing.named("SmolLM2-135M extended.", []) == "SmolLM2-135M extended."
    assert style.model_name({"model": "smollm2-135m"}) == "SmolLM2-135M"


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_names_claims_and_experiments_that_exist(name):
    script = script_of(name)
    assert CLAIMS.keys() >= {*getattr(script, "CLAIMS", ())}
    assert EXPERIMENTS.keys() >= {*getattr(script, "EXPERIMENTS", ())}
