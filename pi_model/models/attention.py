"""Which attention kernel a model runs with."""

from transformers.utils.import_utils import is_flash_attn_2_available

from pi_model.distributed.context_parallel import NAME


def attention_implementation(device: str, dtype: str, context_parallel: int = 1) -> str:
    """transformers' name of the fastest exact attention for a device type and a dtype.

    FlashAttention-2 where its package (flash-attn) is installed, on CUDA in half precision, which is all it computes;
    torch's scaled dot-product attention everywhere else. Windows that ranks share have an attention of their own, over
    torch's.
    """
    if context_parallel > 1:
        return NAME
    if device == "cuda" and dtype in ("bfloat16", "float16") and is_flash_attn_2_available():
        return "flash_attention_2"
    return "sdpa"
