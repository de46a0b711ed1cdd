"""A tiny LLaMA with a trained tokenizer, extended by each method: what the clients are given."""

from pathlib import Path

import pytest

from pi_model.config import Corpus
from pi_model.extension import extend_checkpoint
from pi_model.model import random_llama
from pi_model.tokenizer import train_tokenizer
from pi_theory.scaling import scaling_by_name

METHODS = ("linear", "ntk", "dynamic", "yarn", "llama3")
WINDOW = 64
TEXT = "The grass is green. The sky is blue. The sun is yellow. Here we go: 12 times there, and 345 times back again! "


@pytest.fixture(scope="session")
def extended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders by method, of four times the window; "none" is the model they came from."""
    root = tmp_path_factory.mktemp("clients")
    (root / "text.txt").write_text(TEXT * 4)
    folders = {"none": root / "none"}
    random_llama(vocab_size=300, hidden_size=64, max_position_embeddings=WINDOW).save_pretrained(folders["none"])
    train_tokenizer([Corpus(name=str(root / "text.txt"))], 300).save_pretrained(folders["none"])
    for method in METHODS:
        folders[method] = root / method
        extend_checkpoint(folders["none"], scaling_by_name(method, 4.0), folders[method])
    return folders
