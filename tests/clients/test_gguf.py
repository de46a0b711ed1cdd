"""What a GGUF file contains, and how writing one can fail; test_llama_cpp.py loads such files in llama.cpp."""

import json
import shutil
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pi_model.cli import main as cli
from pi_model.models.gguf_export import interleaved
from pi_model.models.gguf_tokenizer import _LLAMA3, split_name
from pi_model.models.loading import load_checkpoint
from pi_model.models.rope_parameters import read_extension
from tests.clients.conftest import WINDOW
from tests.model.conftest import byte_tokenizer

GGUFReader = pytest.importorskip("gguf", reason="GGUF: gguf is not installed").GGUFReader


@given(heads=st.integers(1, 4), half=st.integers(1, 8), position=st.integers(0, 10**5), seed=st.integers(0, 99))
def test_scores_of_interleaved_neighbours_are_those_of_rotated_halves(heads, half, position, seed):
    draw = np.random.default_rng(seed)
    weight = torch.from_numpy(draw.normal(size=(heads * 2 * half, 5)))
    theta = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    turn = torch.polar(torch.ones_like(theta), position * theta)
    x = torch.from_numpy(draw.normal(size=5))
    halves = (weight @ x).unflatten(0, (heads, 2, half))
    as_halves = torch.complex(halves[:, 0], halves[:, 1]) * turn
    as_neighbours = torch.view_as_complex((interleaved(weight, heads) @ x).unflatten(0, (heads, half, 2))) * turn
    torch.testing.assert_close(as_neighbours, as_halves)


def fields(path):
    return {name: field.contents() for name, field in GGUFReader(path).fields.items()}


@pytest.mark.parametrize("method", ["none", "linear", "ntk", "yarn", "llama3"])
def test_the_metadata_say_how_positions_are_scaled(method, folders, tmp_path):
    file = tmp_path / "model.gguf"
    assert cli.main(["gguf", str(folders[method]), "--out", str(file), "--json"]) == 0
    said = fields(file)
    assert said["llama.context_length"] == (WINDOW if method == "none" else 4 * WINDOW)
    assert said.get("llama.rope.scaling.type") == {"linear": "linear", "yarn": "yarn"}.get(method)
    if method in ("linear", "yarn"):
        assert said["llama.rope.scaling.factor"] == 4.0
    if method == "yarn":
        assert said["llama.rope.scaling.original_context_length"] == WINDOW
    theta = said["llama.rope.freq_base"] ** (-np.arange(8) / 8)
    divisors = {tensor.name: tensor.data for tensor in GGUFReader(file).tensors}.get("rope_freqs.weight", np.ones(8))
    assert (method == "llama3") == bool((divisors != 1).any())
    if method != "yarn":
        factor = 4.0 if method == "linear" else 1.0
        extension = read_extension(load_checkpoint(folders[method]).model.config)
        np.testing.assert_allclose(theta / divisors / factor, extension.frequencies(), rtol=1e-5)


def test_weights_keep_the_dtype_they_are_stored_in(folders, tmp_path):
    folder = tmp_path / "bfloat16"
    model = load_checkpoint(folders["linear"], dtype="bfloat16").model
    shutil.copytree(folders["linear"], folder)
    model.save_pretrained(folder)
    assert cli.main(["gguf", str(folder), "--out", str(tmp_path / "model.gguf")]) == 0
    kinds = {tensor.name: tensor.tensor_type.name for tensor in GGUFReader(tmp_path / "model.gguf").tensors}
    assert {kind for name, kind in kinds.items() if "norm" in name} == {"F32"}  # all that llama.cpp takes
    assert {kind for name, kind in kinds.items() if "norm" not in name} == {"BF16"}


def test_splits_that_llama_cpp_knows_have_a_name_and_others_are_refused(tmp_path):
    level = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}
    llama3 = {"type": "Split", "pattern": {"Regex": _LLAMA3}, "behavior": "Isolated"}
    for parts, name in (
        ([level | {"use_regex": True}], "gpt-2"),
        ([{"type": "Digits", "individual_digits": True}, level | {"use_regex": True}], "smollm"),
        ([llama3, level], "llama-bpe"),
    ):
        assert split_name({"pre_tokenizer": {"type": "Sequence", "pretokenizers": parts}}, tmp_path) == name
    with pytest.raises(RuntimeError, match="GGUF has no name"):
        split_name({"pre_tokenizer": {"type": "Whitespace"}}, tmp_path)


def ends_in_one_line(capsys, code, *words):
    assert cli.main(["gguf", *map(str, words)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1
    return err


def test_what_cannot_be_written_is_one_line_and_leaves_nothing(folders, tmp_path, capsys):
    out = tmp_path / "model.gguf"
    assert "no dynamic NTK" in ends_in_one_line(capsys, 2, folders["dynamic"], "--out", out)
    ends_in_one_line(capsys, 2, tmp_path / "nothing", "--out", out)
    for name, damage in {
        "no merges": lambda folder: byte_tokenizer().save_pretrained(folder),
        "no tokenizer": lambda folder: (folder / "tokenizer.json").unlink(),
        "another activation": lambda folder: (folder / "config.json").write_text(
            json.dumps(json.loads((folder / "config.json").read_text()) | {"hidden_act": "gelu"})
        ),
    }.items():
        folder = tmp_path / name
        shutil.copytree(folders["none"], folder)
        damage(folder)
        ends_in_one_line(capsys, 1, folder, "--out", out)
    assert not [path for path in tmp_path.iterdir() if path.is_file()]
    out.write_text("mine")
    assert "already exists" in ends_in_one_line(capsys, 1, folders["none"], "--out", out)
    assert out.read_text() == "mine"


def test_a_gguf_package_that_is_not_installed_is_said(folders, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "gguf", None)
    out = tmp_path / "model.gguf"
    assert "pip install gguf" in ends_in_one_line(capsys, 1, folders["none"], "--out", out)
    assert not out.exists()
