"""vLLM's config parser on an exported folder; no model is run."""

import pytest

from tests.clients.conftest import METHODS, WINDOW

config = pytest.importorskip("vllm.config", reason="vLLM: vllm is not installed")


@pytest.mark.parametrize("method", METHODS)
def test_vllm_reads_the_extended_window_from_the_config(method, extended):
    model = config.ModelConfig(model=str(extended[method]), tokenizer=str(extended[method]), dtype="float32")
    assert model.max_model_len == 4 * WINDOW
