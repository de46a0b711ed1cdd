"""llama.cpp, through node-llama-cpp's prebuilt binaries, computes what we do of the files that we write and read.

npm install --prefix tests/clients --no-save --ignore-scripts node-llama-cpp@3.22.1
"""

import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("gguf", reason="GGUF: gguf is not installed")

from pi_model.cli import main as cli
from pi_model.models.gguf_tokenizer import _SAME_SPLIT, SPLITS
from pi_model.models.loading import load_checkpoint, random_llama
from tests.clients.conftest import FOLDERS, TEXT, WINDOW, sentencepiece_like
from tests.clients.gguf_files import FAMILIES, llama3_divisors, make_file, rewrite

HERE = Path(__file__).parent
# All but dynamic scaling, which llama.cpp does not have.
NAMES = tuple(name for name in FOLDERS if name != "dynamic")

installed = shutil.which("node") and (HERE / "node_modules" / "node-llama-cpp").is_dir()
needs_llama_cpp = pytest.mark.skipif(not installed, reason="llama.cpp: node-llama-cpp is not installed")


def in_llama_cpp(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Losses of tokens, and the tokens of texts, as `llama_cpp.mjs` has them."""
    done = subprocess.run(
        ["node", HERE / "llama_cpp.mjs"], input=json.dumps(jobs), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def our_losses(folder: Path, ids: list[int]) -> torch.Tensor:
    window = torch.tensor([ids])
    surprise = -load_checkpoint(folder).model(window).logits[0].log_softmax(-1)
    return surprise[:-1].gather(1, window[0, 1:, None])[:, 0]


@needs_llama_cpp
def test_llama_cpp_gives_every_token_the_loss_that_we_give_it(folders, tmp_path):
    """Far beyond the trained window. Its KV cache is float16, hence the tolerance."""
    ids = torch.randint(0, 300, (3 * WINDOW,), generator=torch.Generator().manual_seed(0)).tolist()
    jobs = []
    for name in NAMES:
        file = tmp_path / f"{name}.gguf"
        assert cli.main(["gguf", str(folders[name]), "--out", str(file)]) == 0
        jobs.append({"model": str(file), "tokens": ids, "text": TEXT})
    theirs = dict(zip(NAMES, in_llama_cpp(jobs), strict=True))
    ours = {name: our_losses(folders[name], ids) for name in NAMES}
    for name in NAMES:
        torch.testing.assert_close(torch.tensor(theirs[name]["losses"]), ours[name], atol=0.03, rtol=0)
        assert theirs[name]["tokens"] == load_checkpoint(folders[name]).tokenizer(TEXT)["input_ids"]
        # The tolerance tells them apart.
        assert name == "none" or (ours[name] - ours["none"]).abs().max() > 0.3


@needs_llama_cpp
def test_every_family_computes_in_llama_cpp_what_it_computes_here(tokenizer, tmp_path):
    ids = torch.randint(0, 300, (3 * WINDOW,), generator=torch.Generator().manual_seed(0)).tolist()
    files = [
        make_file(tmp_path / f"{model_type}-{method}.gguf", tokenizer, method, model_type, **config)
        for model_type in FAMILIES
        for method in ("linear", "yarn", "llama3" if model_type in ("llama", "mistral") else "ntk")
        for config in ({"attention_bias": True, "mlp_bias": True} if model_type == "llama" else {},)
    ]
    results = in_llama_cpp([{"model": str(file), "tokens": ids, "text": TEXT} for file in files])
    for file, result in zip(files, results, strict=True):
        theirs, base = torch.tensor(result["losses"]), our_losses(file.with_suffix(".base"), ids)
        ours = our_losses(file.with_suffix(""), ids)
        torch.testing.assert_close(theirs, ours, atol=0.03, rtol=0, msg=lambda why, file=file: f"{file.name}: {why}")
        assert (ours - base).abs().max() > 0.3
        assert result["tokens"] == tokenizer(TEXT)["input_ids"]


SAYS = {
    "no type": {"llama.rope.scaling.factor": 4.0},
    "the old name": {"llama.rope.scale_linear": 4.0},
    "both names": {"llama.rope.scale_linear": 2.0, "llama.rope.scaling.factor": 4.0},
    "a factor of no type": {"llama.rope.scaling.type": "none", "llama.rope.scaling.factor": 4.0},
    "YaRN without a window": {"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 4.0},
    "YaRN": {
        "llama.rope.scaling.type": "yarn",
        "llama.rope.scaling.factor": 4.0,
        "llama.rope.scaling.original_context_length": 16,
    },
    "attention by YaRN": {
        "llama.rope.scaling.type": "yarn",
        "llama.rope.scaling.factor": 4.0,
        "llama.rope.scaling.yarn_attn_factor": 0.1 * math.log(4) + 1,
        "llama.rope.scaling.yarn_ext_factor": 1.0,
    },
    "no base": {"llama.rope.freq_base": None},
    "another base": {"llama.rope.freq_base": 500000.0},
    "a window of attention": {"llama.attention.sliding_window": 4096},
    "nothing of heads": {"llama.attention.causal": None, "llama.vocab_size": None},
}


@needs_llama_cpp
def test_a_file_computes_here_what_it_computes_in_llama_cpp(tokenizer, tmp_path, monkeypatch):
    """However it says how positions are scaled, and whichever optional tensors it has."""
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    ids = torch.randint(0, 300, (3 * WINDOW,), generator=torch.Generator().manual_seed(0)).tolist()
    plain = make_file(tmp_path / "plain.gguf", tokenizer, attention_bias=True, mlp_bias=True)
    files = {name: rewrite(plain, tmp_path / f"{name}.gguf", says) for name, says in SAYS.items()}
    half = {f"blk.{layer}.{name}.bias": None for layer in range(2) for name in ("attn_output", "ffn_up")}
    files["some biases"] = rewrite(plain, tmp_path / "some biases.gguf", {}, half)
    files["a tied head"] = rewrite(plain, tmp_path / "a tied head.gguf", {}, {"output.weight": None})
    for name, tensors in {"Llama 3": llama3_divisors(8.0, 1, 4, 256, base=10000.0), "none": np.ones(12)}.items():
        files[name] = rewrite(plain, tmp_path / f"{name}.gguf", {}, {"rope_freqs.weight": tensors})
    results = in_llama_cpp([{"model": str(file), "tokens": ids, "text": TEXT} for file in files.values()])
    unscaled = our_losses(plain, ids)
    for (name, file), result in zip(files.items(), results, strict=True):
        ours = our_losses(file, ids)
        torch.testing.assert_close(
            torch.tensor(result["losses"]), ours, atol=0.03, rtol=0, msg=lambda why, name=name: f"{name}: {why}"
        )
        same = name in ("a factor of no type", "no base", "a window of attention", "nothing of heads", "none")
        assert same == bool((ours - unscaled).abs().max() < 0.3), name


HARD = (
    "\n\n 5 "
    + TEXT
    + "It's WE'LL don't 1234567 3.14 x²+y³ naïve café ☃ 日本語テキスト Привет мир\tтест\r\n\n  two   spaces \n"
    " leading {}[]<>=+~^|$ a_b-c/d 'quoted' HTTPServer camelCase ﬁ ١٢٣ end  "
)


@needs_llama_cpp
def test_text_is_split_here_as_llama_cpp_splits_it_by_every_name(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("PI_MODEL_CACHE", str(tmp_path / "cache"))
    plain = make_file(tmp_path / "plain.gguf", tokenizer)
    says = {name: {"tokenizer.ggml.pre": name} for name in (*SPLITS, *_SAME_SPLIT)} | {"": {"tokenizer.ggml.pre": None}}
    files = {name: rewrite(plain, tmp_path / f"{name}-.gguf", what) for name, what in says.items()}
    results = in_llama_cpp([{"model": str(file), "tokens": [1, 2], "text": HARD} for file in files.values()])
    for (name, file), result in zip(files.items(), results, strict=True):
        ours = load_checkpoint(file).tokenizer(HARD, add_special_tokens=False)["input_ids"]
        assert ours == result["tokens"], name


@needs_llama_cpp
@pytest.mark.parametrize("text", [TEXT, "naïve ☃ grass  two spaces\nline"])
def test_llama_cpp_splits_text_as_a_sentencepiece_tokenizer_does(text, tmp_path):
    tokenizer, folder, file = sentencepiece_like(340), tmp_path / "folder", tmp_path / "model.gguf"
    random_llama(vocab_size=len(tokenizer)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    assert cli.main(["gguf", str(folder), "--out", str(file)]) == 0
    bos, *ids = tokenizer(text)["input_ids"]
    assert bos == tokenizer.bos_token_id
    assert in_llama_cpp([{"model": str(file), "tokens": ids, "text": text}])[0]["tokens"] == ids


@needs_llama_cpp
@pytest.mark.slow
@pytest.mark.shared_cache
def test_llama_cpp_gives_a_real_model_our_perplexity_on_a_document(tmp_path, request):
    folder, file = tmp_path / "extended", tmp_path / "extended.gguf"
    request.addfinalizer(lambda: (file.unlink(missing_ok=True), shutil.rmtree(folder)))  # half a gigabyte each
    assert cli.main(["extend", "smollm2-135m", "--factor", "2", "--out", str(folder)]) == 0
    assert cli.main(["gguf", str(folder), "--out", str(file)]) == 0
    text = (HERE.parents[1] / "LICENSE").read_text(encoding="utf-8")[:1000]
    ids = load_checkpoint(folder).tokenizer(text)["input_ids"]
    (theirs,) = in_llama_cpp([{"model": str(file), "tokens": ids, "text": text}])
    assert theirs["tokens"] == ids
    perplexity = float(torch.tensor(theirs["losses"]).mean().exp())
    assert perplexity == pytest.approx(float(our_losses(folder, ids).mean().exp()), rel=0.01)
