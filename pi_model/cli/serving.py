"""What to type to serve an extended checkpoint: each client's commands, and what the client makes of the method.

Facts about llama.cpp and vLLM were read from their sources as of 2025; tests/clients holds them against the clients
where these are installed.
"""

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from pi_theory.console import wrap

if TYPE_CHECKING:
    from pi_model.models.rope_parameters import Extension


def serving(out: Path, extension: "Extension", *, llama3_in_gguf: bool = True) -> dict[str, dict[str, str | None]]:
    """By client, the ``command`` that serves a folder, None where the client cannot, and a ``note`` about the method.

    Args:
        out: the folder, as the user calls it.
        extension: how its positions are scaled.
        llama3_in_gguf: whether llama.cpp has Llama 3's scaling for this family.
    """
    method, context = extension.method, extension.context_tokens
    folder, file = shlex.quote(str(out)), shlex.quote(f"{out}.gguf")
    asks = '"Once upon a time", max_new_tokens=20' + ", use_cache=False" * (method == "dynamic")
    script = f'from transformers import pipeline\nprint(pipeline("text-generation", {json.dumps(str(out))})({asks}))'
    told: dict[str, dict[str, str | None]] = {
        "transformers": {"command": f"python -c {shlex.quote(script)}", "note": ""},
        "llama.cpp": {
            "command": f"pi-model gguf {folder} --out {file} && llama-server -m {file} -c {context}",
            "note": "",
        },
        "vLLM": {"command": f"vllm serve {folder} --max-model-len {context}", "note": ""},
    }
    if method == "linear":
        told["vLLM"]["note"] = (
            "without --max-model-len its window would be too long by the factor: it multiplies "
            "max_position_embeddings by a linear factor, where transformers does not"
        )
    if method == "dynamic":
        told["transformers"]["note"] = "keys in a cache would keep the frequencies of a shorter text"
        told["llama.cpp"] = {
            "command": None,
            "note": "it has no dynamic NTK scaling; extend by linear, ntk, yarn or llama3",
        }
        told["vLLM"]["note"] = "it scales short texts like the longest one, so that they are not read as before"
    if method == "llama3" and not llama3_in_gguf:
        told["llama.cpp"] = {"command": None, "note": "it has Llama 3's scaling for LLaMA and Mistral only"}
    return told


def said(told: dict[str, dict[str, str | None]]) -> str:
    """The same for a terminal: commands to copy, and notes as comments, so that all of it can be pasted."""
    lines = []
    for client, one in told.items():
        lines.append(wrap(f"{client}{': ' if one['note'] else ''}{one['note']}", "#   ", "# "))
        if one["command"]:
            lines.append(one["command"])
    return "\n".join(lines)
