"""llama.cpp, through node-llama-cpp's prebuilt binaries, gives exported GGUF files the losses that we compute.

npm install --prefix tests/clients --no-save --ignore-scripts node-llama-cpp@3.22.1
"""

import json
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch

from pi_model.cli import main as cli
from pi_model.models.loading import load_checkpoint, random_llama
from tests.clients.conftest import FOLDERS, TEXT, WINDOW, sentencepiece_like

HERE = Path(__file__).parent
# All but dynamic scaling, which llama.cpp does not have.
NAMES = tuple(name for name in FOLDERS if name != "dynamic")

installed = shutil.which("node") and (HERE / "node_modules" / "node-llama-cpp").is_dir() and find_spec("gguf")
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
