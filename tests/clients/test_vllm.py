"""vLLM's config parser on an exported folder; no model is run.

pip install vllm

vLLM multiplies max_position_embeddings by the factor of linear scaling, where transformers and lm-evaluation-harness
take it for the whole window; a window that PI made comes out too long by the factor, and --max-model-len puts it right.
"""

import pytest
from transformers import LlamaConfig

from pi_model.models.rope_parameters import read_extension
from pi_theory.scaling import LinearPI
from tests.clients.conftest import FOLDERS

config = pytest.importorskip("vllm.config", reason="vLLM: vllm cannot be imported", exc_type=ImportError)


@pytest.mark.parametrize("name", FOLDERS)
def test_vllm_reads_positions_as_they_were_written(name, folders):
    folder = str(folders[name])
    extension = read_extension(LlamaConfig.from_pretrained(folder))
    asked = config.ModelConfig(model=folder, tokenizer=folder, dtype="float32", max_model_len=extension.context_tokens)
    assert asked.max_model_len == extension.context_tokens
    assert read_extension(asked.hf_config) == extension
    found = config.ModelConfig(model=folder, tokenizer=folder, dtype="float32").max_model_len
    assert found == extension.context_tokens * (extension.factor if isinstance(extension.scaling, LinearPI) else 1)
