"""Folders read right by transformers 4, which knows other keys for RoPE and for the dtype.

It cannot be installed beside version 5. The tests run where PI_TRANSFORMERS_4 names a Python that has it.
"""

import json
import os
import subprocess

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.clients.conftest import FOLDERS, TEXT, WINDOW

PYTHON = os.environ.get("PI_TRANSFORMERS_4")
PROMPT = list(range(1, WINDOW + 20))  # longer than the old window, shorter than the new

READ = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, text, ids = json.loads(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(folder, torch_dtype="auto")
prompt = torch.tensor([ids])
with torch.no_grad():
    logits = model(prompt).logits[0, -1].tolist()
tokens = AutoTokenizer.from_pretrained(folder)(text)["input_ids"]
made = model.generate(
    prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=2, do_sample=False, eos_token_id=None, pad_token_id=0
)
print(json.dumps([str(model.dtype), logits, tokens, made.shape[1]]))
"""


@pytest.mark.skipif(not PYTHON, reason="PI_TRANSFORMERS_4 names no Python with transformers 4")
@pytest.mark.parametrize("name", [name for name in FOLDERS if name != "none"])
def test_transformers_4_computes_what_version_5_computes(name, folders):
    question = json.dumps([str(folders[name]), TEXT, PROMPT])
    done = subprocess.run([PYTHON, "-c", READ, question], capture_output=True, text=True, check=True)
    dtype, logits, tokens, length = json.loads(done.stdout)
    model = AutoModelForCausalLM.from_pretrained(folders[name])
    with torch.no_grad():
        ours = model(torch.tensor([PROMPT])).logits[0, -1]
    torch.testing.assert_close(torch.tensor(logits), ours, rtol=1e-5, atol=1e-5)
    assert tokens == AutoTokenizer.from_pretrained(folders[name])(TEXT)["input_ids"]
    assert (dtype, length) == (str(model.dtype), len(PROMPT) + 2)
