"""Which attention kernel a model runs with."""

import pytest

from pi_model.models import attention
from pi_model.models.attention import attention_implementation


@pytest.mark.parametrize(
    ("device", "dtype", "installed", "chosen"),
    [
        ("cuda", "bfloat16", True, "flash_attention_2"),
        ("cuda", "float32", True, "sdpa"),
        ("cuda", "bfloat16", False, "sdpa"),
        ("cpu", "bfloat16", True, "sdpa"),
    ],
)
def test_flash_attention_is_used_where_it_is_installed_and_can_compute(monkeypatch, device, dtype, installed, chosen):
    monkeypatch.setattr(attention, "is_flash_attn_2_available", lambda: installed)
    assert attention_implementation(device, dtype) == chosen
    assert attention_implementation(device, dtype, context_parallel=2) == "context_parallel"
