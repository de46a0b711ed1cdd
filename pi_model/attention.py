"""Which attention kernel a model runs with."""

from transformers.utils import is_flash_attn_2_available


def attention_implementation(device: str, dtype: str) -> str:
    """transformers' name of the fastest exact attention for a device type and a dtype.

    FlashAttention-2 where its package (flash-attn) is installed, on CUDA in half precision, which is all it computes;
    torch's scaled dot-product attention everywhere else.
    """
    if device == "cuda" and dtype in ("bfloat16", "float16") and is_flash_attn_2_available():
        return "flash_attention_2"
    return "sdpa"
