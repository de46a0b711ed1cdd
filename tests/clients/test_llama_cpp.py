"""GGUF files in llama.cpp, through node-llama-cpp's prebuilt binaries, beside this package's own losses.

npm install --prefix tests/clients --no-save --ignore-scripts node-llama-cpp@3.22.1
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

from pi_model import cli
from pi_model.model import load_checkpoint
from tests.clients.conftest import TEXT, WINDOW

HERE = Path(__file__).parent
METHODS = ("none", "linear", "ntk", "yarn", "llama3")

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
def test_llama_cpp_gives_every_token_the_loss_that_we_give_it(extended, tmp_path):
    """Far beyond the trained window, by each method that it has; its KV cache is float16, hence the tolerance."""
    ids = torch.randint(0, 300, (3 * WINDOW,), generator=torch.Generator().manual_seed(0)).tolist()
    jobs = []
    for method in METHODS:
        file = tmp_path / f"{method}.gguf"
        assert cli.main(["gguf", str(extended[method]), "--out", str(file)]) == 0
        jobs.append({"model": str(file), "tokens": ids, "text": TEXT})
    theirs = dict(zip(METHODS, in_llama_cpp(jobs), strict=True))
    ours = {method: our_losses(extended[method], ids) for method in METHODS}
    for method in METHODS:
        torch.testing.assert_close(torch.tensor(theirs[method]["losses"]), ours[method], atol=0.03, rtol=0)
        assert theirs[method]["tokens"] == load_checkpoint(extended[method]).tokenizer(TEXT)["input_ids"]
        # The tolerance tells the methods apart.
        assert method == "none" or (ours[method] - ours["none"]).abs().max() > 0.3


@needs_llama_cpp
@pytest.mark.slow
@pytest.mark.shared_cache
def test_llama_cpp_gives_a_real_model_our_perplexity_on_a_document(tmp_path):
    folder, file = tmp_path / "extended", tmp_path / "extended.gguf"
    assert cli.main(["extend", "smollm2-135m", "--factor", "2", "--out", str(folder)]) == 0
    assert cli.main(["gguf", str(folder), "--out", str(file)]) == 0
    text = (HERE.parents[1] / "LICENSE").read_text(encoding="utf-8")[:1000]
    ids = load_checkpoint(folder).tokenizer(text)["input_ids"]
    (theirs,) = in_llama_cpp([{"model": str(file), "tokens": ids, "text": text}])
    assert theirs["tokens"] == ids
    perplexity = torch.tensor(theirs["losses"]).mean().exp()
    assert perplexity == pytest.approx(our_losses(folder, ids).mean().exp(), rel=0.01)
