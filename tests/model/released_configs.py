"""The fields about positions of released checkpoints' configs, and the window that their authors state.

The heads are those of `random_llama`, so that each config can stand over small random weights.
"""

from typing import Any, NamedTuple

SHAPE = {
    "model_type": "llama", "hidden_size": 32, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 260,
    "intermediate_size": 64, "num_hidden_layers": 2,
}  # fmt: skip


class Released(NamedTuple):
    """A config's fields, with the stated trained window, method, factor and served window."""

    fields: dict[str, Any]
    window: int
    method: str
    factor: float
    context: int


def linear(factor: float, positions: int, **more: Any) -> dict[str, Any]:
    return {"rope_scaling": {"type": "linear", "factor": factor}, "max_position_embeddings": positions, **more}


def yarn(factor: float, original: int, positions: int, **more: Any) -> dict[str, Any]:
    rope = {"type": "yarn", "factor": factor, "original_max_position_embeddings": original, **more}
    return {"rope_scaling": rope, "max_position_embeddings": positions}


def llama3(factor: float, positions: int) -> dict[str, Any]:
    rope = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
    rope["original_max_position_embeddings"] = 8192
    return {"rope_scaling": rope, "rope_theta": 500000.0, "max_position_embeddings": positions}


SUPERHOT = {
    "auto_map": {"AutoModel": "modeling_llama.LlamaModel", "AutoModelForCausalLM": "modeling_llama.LlamaForCausalLM"},
    "max_position_embeddings": 8192,
    "max_sequence_length": 2048,
}
FLASH = {"auto_map": {"AutoModelForCausalLM": "modeling_flash_llama.LlamaForCausalLM"}}

RELEASED = {
    # The trained window is in max_position_embeddings.
    "vicuna-7b-v1.5-16k": Released(linear(4.0, 4096, max_sequence_length=16384), 4096, "linear", 4, 16384),
    "longchat-7b-16k": Released(linear(8.0, 2048, max_sequence_length=16384), 2048, "linear", 8, 16384),
    "longchat-7b-v1.5-32k": Released(linear(8.0, 4096), 4096, "linear", 8, 32768),
    "Llama-2-7b-longlora-8k-ft": Released(linear(2.0, 4096), 4096, "linear", 2, 8192),
    "Llama-2-7b-longlora-16k-ft": Released(linear(4.0, 4096), 4096, "linear", 4, 16384),
    "Llama-2-13b-longlora-32k-ft": Released(linear(8.0, 4096), 4096, "linear", 8, 32768),
    "Llama-2-7b-longlora-100k-ft": Released(linear(24.4140625, 4096), 4096, "linear", 24.4140625, 100000),
    # The product is.
    "LLaMA-2-7B-32K": Released(linear(8.0, 32768, **FLASH), 4096, "linear", 8, 32768),
    "deepseek-coder-6.7b": Released(linear(4.0, 16384, rope_theta=100000), 4096, "linear", 4, 16384),
    "Giraffe-13b-32k-v3": Released(linear(8.0, 32768), 4096, "linear", 8, 32768),
    "SmolLM2-1.7B at 32000": Released(linear(3.90625, 32000, rope_theta=130000), 8192, "linear", 3.90625, 32000),
    "the same with few digits": Released(linear(3.9063, 32000, rope_theta=130000), 8192, "linear", 3.9063, 32000),
    "LLongMA-2-7b 8k": Released(linear(2.0, 8192), 4096, "linear", 2, 8192),
    "LLongMA-2-13b-16k": Released(linear(4.0, 16384), 4096, "linear", 4, 16384),
    "airoboros-33b PI 8192": Released(linear(4.0, 8192), 2048, "linear", 4, 8192),
    # Either, told apart by rope_theta: no base with Llama 3's was trained on 4096.
    "Llama-3-8B, linear, window kept": Released(linear(2.0, 8192, rope_theta=500000.0), 8192, "linear", 2, 16384),
    "Llama-3-8B, linear, product": Released(linear(2.0, 16384, rope_theta=500000.0), 8192, "linear", 2, 16384),
    # Either, told apart by the family: no base of Mistral's or Qwen's with this rope_theta was trained on 16384.
    "Mistral-7B-v0.2, linear, window kept": Released(
        linear(2.0, 32768, rope_theta=1e6, model_type="mistral"), 32768, "linear", 2, 65536
    ),
    "Qwen2.5-7B, linear, window kept": Released(
        linear(2.0, 32768, rope_theta=1e6, model_type="qwen2"), 32768, "linear", 2, 65536
    ),
    "Qwen2.5-7B, linear, product": Released(
        linear(4.0, 131072, rope_theta=1e6, model_type="qwen2"), 32768, "linear", 4, 131072
    ),
    "Qwen3-8B, linear, window kept": Released(
        linear(2.0, 40960, rope_theta=1e6, model_type="qwen3"), 40960, "linear", 2, 81920
    ),
    # Only custom code interpolates.
    "longchat-7b-16k, earlier": Released(
        {"rope_condense_ratio": 8, "max_position_embeddings": 2048}, 2048, "linear", 8, 16384
    ),
    "SuperHOT-8K": Released(SUPERHOT, 2048, "linear", 4, 8192),
    # Other methods.
    "Llama-3.1-8B": Released(llama3(8.0, 131072), 8192, "llama3", 8, 131072),
    "Llama-3.2-1B": Released(llama3(32.0, 131072), 8192, "llama3", 32, 131072),
    "Yarn-Llama-2-7b-64k": Released(yarn(16.0, 4096, 65536, finetuned=True), 4096, "yarn", 16, 65536),
    "Yarn-Llama-2-70B-32k": Released(yarn(8.0, 4096, 8192, finetuned=True), 4096, "yarn", 8, 32768),
    "Yarn-Mistral-7b-128k": Released(yarn(16.0, 8192, 32768, finetuned=True), 8192, "yarn", 16, 131072),
    "Qwen2.5-7B-Instruct with YaRN": Released(yarn(4.0, 32768, 32768), 32768, "yarn", 4, 131072),
    "Qwen3-8B with YaRN": Released(yarn(4.0, 32768, 40960), 32768, "yarn", 4, 131072),
    "Llama-2 with dynamic scaling": Released(
        {"rope_scaling": {"type": "dynamic", "factor": 2.0}, "max_position_embeddings": 4096}, 4096, "dynamic", 2, 8192
    ),
    # No scaling.
    "CodeLlama-7b": Released({"rope_theta": 1000000, "max_position_embeddings": 16384}, 16384, "none", 1, 16384),
    "Yi-34B-200K": Released({"rope_theta": 5000000.0, "max_position_embeddings": 200000}, 200000, "none", 1, 200000),
    "Llama-3-8B-Instruct-Gradient-1048k": Released(
        {"rope_theta": 3580165449.0, "rope_scaling": None, "max_position_embeddings": 1048576}, 1048576, "none", 1,
        1048576,
    ),
    "Mistral-7B-v0.1": Released(
        {"max_position_embeddings": 32768, "sliding_window": 4096, "rope_theta": 10000.0}, 32768, "none", 1, 32768
    ),
    "llama-7b, first conversion": Released({"max_sequence_length": 2048}, 2048, "none", 1, 2048),
    "Llama-2-7b": Released({"max_position_embeddings": 4096, "max_length": 4096}, 4096, "none", 1, 4096),
}  # fmt: skip
