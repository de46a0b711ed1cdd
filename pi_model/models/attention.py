"""Which attention kernel a model runs with."""

from transformers.utils.import_utils import is_flash_attn_2_available

from pi_model.distributed.context_parallel import NAME


def attention_implementation(device: str, dtype: str, context_parallel: int = 1) -> str:
    """The fastest exact attention for a device and a dtype, by the name that transformers knows it under.

    That is FlashAttention-2 on CUDA in half precision, the only case it computes, if its package (flash-attn) is
    installed; else torch's scaled dot-product attention. Windows that several ranks share need the attention of
    `pi_model.distributed.context_parallel`, which is built on torch's.

    Args:
        device: device type, "cpu" or "cuda".
        dtype: "float32", "bfloat16" or "float16".
        context_parallel: number of ranks that share each window.
    """
    if context_parallel > 1:
        return NAME
    if device == "cuda" and dtype in ("bfloat16", "float16") and is_flash_attn_2_available():
        return "flash_attention_2"
    return "sdpa"
