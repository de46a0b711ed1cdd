"""The command of lm-evaluation-harness scores an exported folder as we do.

pip install lm_eval==0.4.13
"""

import importlib.util
import json

import pytest
import torch

from pi_model.models.loading import load_checkpoint
from tests.harness import harness

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="lm-evaluation-harness: lm_eval is not installed"
)

TASK = """\
task: grass
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: "{{{{answer}}}}"
metric_list:
  - metric: acc
"""
ITEMS = [
    {"question": "The grass is", "choices": ["green", "blue"], "answer": 0},
    {"question": "The sky is green. The sky is", "choices": ["yellow", "blue"], "answer": 1},
    {"question": "The sun is blue. " * 6 + "The sun is", "choices": ["yellow", "back again"], "answer": 0},
]


def log_likelihood(folder, question: str, choice: str) -> float:
    checkpoint = load_checkpoint(folder)
    before = checkpoint.tokenizer(question)["input_ids"]
    ids = checkpoint.tokenizer(f"{question} {choice}")["input_ids"]
    scores = checkpoint.model(torch.tensor([ids])).logits[0].log_softmax(-1)
    return sum(float(scores[place - 1, ids[place]]) for place in range(len(before), len(ids)))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["finetuned", "qwen3"])
def test_lm_evaluation_harness_scores_a_folder_as_we_do(name, folders, family_folders, tmp_path):
    folder = (folders | family_folders)[name]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in ITEMS))
    (tmp_path / "grass.yaml").write_text(TASK.format(data=tmp_path / "items.jsonl"))
    words = ["--tasks", "grass", "--include_path", tmp_path, "--batch_size", 1]
    ended = harness(folder, *words, "--output_path", tmp_path / "out", "--log_samples")
    assert ended.code == 0, ended.err[-2000:]
    (samples,) = (tmp_path / "out").rglob("samples_grass_*.jsonl")
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len(lines) == len(ITEMS)
    for line in lines:
        item = line["doc"]
        theirs = [float(response[0][0]) for response in line["resps"]]
        ours = [log_likelihood(folder, item["question"], choice) for choice in item["choices"]]
        assert theirs == pytest.approx(ours, abs=1e-3)
        assert line["acc"] == (max(range(2), key=ours.__getitem__) == item["answer"])
