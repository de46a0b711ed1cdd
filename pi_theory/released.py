"""Released models that claims and studies speak of, from their configuration files."""

MODELS: dict[str, tuple[int, int]] = {
    "LLaMA 1 and 2": (128, 10_000),
    "Llama 3": (128, 500_000),
    "Mistral 7B v0.3": (128, 1_000_000),
    "Qwen 2.5 7B": (128, 1_000_000),
    "SmolLM2 135M": (64, 100_000),
}
"""The head dimension and RoPE base of each."""

WINDOWS: dict[str, tuple[int, int, int]] = {
    "LLaMA 1": (128, 10_000, 2048),
    "LLaMA 2": (128, 10_000, 4096),
    "Code Llama 7B": (128, 1_000_000, 16384),
    "Llama 3": (128, 500_000, 8192),
    "Mistral 7B v0.3": (128, 1_000_000, 32768),
    "SmolLM2 135M": (64, 100_000, 8192),
}
"""The head dimension, RoPE base and window in tokens of models that were released without a scaling method."""
