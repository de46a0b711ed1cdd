"""A LLaMA made by hand that breaks beyond its window in the way Section 2.1 describes, and text to see it on.

It scores by distance alone: cos(s theta_7), which is 1 at s = 0, far below all over the window of 256, and 1
again at s = 353. It copies the token it looks at, and the text is long runs of one letter: whoever looks 353 tokens
back copies a letter that is past.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from experiments.measurement.training.fine_tuning import TOY
from pi_model.data.passkey_wording import FILLER, KEY_LINE, QUESTION, TASK
from pi_model.models.loading import random_llama
from tests.model.conftest import byte_tokenizer

WINDOW, VOCABULARY, HIDDEN, HEAD_DIM, PAIR = 256, 400, 64, 32, 7
SHARPNESS, COPYING = 25.0, 8.0


def breaking_model(folder: Path) -> Path:
    """The model's folder, with a tokenizer that has one token for a letter and few for the passkey prompt."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=HIDDEN,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    state = {name: torch.zeros_like(value) for name, value in model.state_dict().items()}
    # Every token has the same first component, which queries and keys are made of, and a direction of its own.
    own_VD = torch.nn.functional.normalize(torch.randn(VOCABULARY, HIDDEN, generator=torch.manual_seed(0)), dim=1)
    own_VD[:, 0] = 0
    embedding_VD = own_VD.clone()
    embedding_VD[:, 0] = 1
    state["model.embed_tokens.weight"] = embedding_VD
    state["lm_head.weight"] = COPYING * own_VD
    for name in state:
        if name.endswith("norm.weight"):
            state[name] = torch.ones(HIDDEN)
    layer = "model.layers.0.self_attn."
    # Both heads score alike and each passes on half of the values. The norm makes the first component sqrt(HIDDEN / 2).
    for name in ("q_proj", "k_proj"):
        for head in (0, 1):
            pair = head * HEAD_DIM + PAIR
            state[f"{layer}{name}.weight"][pair, 0] = (SHARPNESS * HEAD_DIM**0.5 / (HIDDEN / 2)) ** 0.5
    state[f"{layer}v_proj.weight"] = torch.eye(HIDDEN)
    state[f"{layer}o_proj.weight"] = torch.eye(HIDDEN)
    model.load_state_dict(state)
    model.save_pretrained(folder)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([TASK, FILLER, KEY_LINE, QUESTION], trainer)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


def runs_of_letters(path: Path, documents: int = 6, characters: int = 1100) -> Path:
    """Documents of letters that each stay for 60 to 120 places."""
    draw = np.random.default_rng(0)
    texts = []
    for _ in range(documents):
        text = ""
        while len(text) < characters:
            text += str(draw.choice(list("QXZJKVWB"))) * int(draw.integers(60, 121))
        texts.append(text)
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def toy_config(folder: Path) -> dict[str, Any]:
    """The settings that make a study of tiny models a toy, with model and text in an existing folder."""
    text = str(runs_of_letters(folder / "text.jsonl"))
    return TOY | {"model": str(breaking_model(folder / "model")), "mixture": {text: 1.0}, "corpora": {text: 6}}


def shape(value: Any) -> Any:
    """What is called how, whatever the numbers, names of documents and lengths of lists."""
    if isinstance(value, dict):
        named = {"by name" if any(c.isdigit() or c == "/" for c in key) else key: one for key, one in value.items()}
        if "books" in named or "code" in named:
            named = {"by name": named["books"]}
        return {key: shape(one) for key, one in named.items()}
    return [shape(value[0])] if value and isinstance(value, list) else type(value).__name__


def model_and_text(folder: Path, window: int) -> Path:
    """Puts a random model with a tokenizer of bytes into folder/model, and a text into folder/text.txt."""
    random_llama(vocab_size=260, max_position_embeddings=window).save_pretrained(folder / "model")
    byte_tokenizer().save_pretrained(folder / "model")
    (folder / "text.txt").write_text(" ".join(f"{n} times {n} is {n * n}." for n in range(200)))
    return folder
