"""The shipped tiny LLaMA: it is small, was made by its recipe, and shows what the paper describes."""

import json

import pytest

from pi_model.data.documents import Selection, Source, load_documents
from pi_model.evaluation.passkey import passkey
from pi_model.evaluation.perplexity import sliding_perplexity
from pi_model.models.loading import load_checkpoint
from pi_model.models.sources import SHIPPED
from pi_model.training.config import FREE_TO_CHANGE
from pi_model.training.recipes import recipe

FOLDER = SHIPPED["tiny-llama"]


@pytest.fixture(scope="module")
def tiny_llama():
    return load_checkpoint("tiny-llama")


def test_it_is_at_most_sixteen_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 16e6


def test_its_record_is_of_the_recipe():
    trained = json.loads((FOLDER / "training.json").read_text())
    asked = recipe("pretrain_tiny").as_json()
    # The precision is the hardware's choice; the record names it.
    differs = {name for name, value in trained["config"].items() if asked[name] != value} - FREE_TO_CHANGE
    assert differs <= {"dtype"}
    assert trained["tokens"] == asked["steps"] * asked["global_batch"] * asked["window_tokens"]
    assert trained["environment"]["device"]


@pytest.mark.shared_cache
def test_it_uses_its_whole_context_and_breaks_beyond_it(tiny_llama):
    documents = load_documents(Source("books", split="test"), tiny_llama.tokenizer, Selection(1024, 1024, samples=4))
    results = sliding_perplexity(tiny_llama.model, documents.tokens, windows=[64, 128, 256, 512], stride=48)
    loss = [result.loss_nats for result in results]
    assert loss[0] > loss[1] > loss[2]
    assert loss[3] > loss[2] + 0.5


def test_it_finds_the_passkey_anywhere_in_its_window_and_not_beyond(tiny_llama):
    inside = passkey(tiny_llama.model, tiny_llama.tokenizer, context_tokens=256, positions=8, trials=5)
    assert inside.k_max == 256
    beyond = passkey(tiny_llama.model, tiny_llama.tokenizer, context_tokens=1024, positions=4, trials=2)
    assert beyond.k_max <= 256
