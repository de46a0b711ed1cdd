"""Read a GGUF file into an ordinary Hugging Face folder, so that everything after it has one kind of input."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

from pi_model.errors import RunError
from pi_model.files import new_folder


def convert_gguf(file: Path, folder: Path) -> None:
    """Turn a GGUF file into an ordinary folder: quantised weights keep their values and are stored as float32.

    Args:
        file: the GGUF file.
        folder: the folder to make; another process may be making the same.

    Raises:
        RunError: the file is broken, or the packages that read it are missing.
    """
    transformers_logging.disable_progress_bar()
    try:
        model = LlamaForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    except ImportError as error:
        raise RunError(f"{file}: reading GGUF needs two packages: pip install gguf accelerate") from error
    except (ValueError, KeyError, IndexError, OSError, RuntimeError) as error:
        raise RunError(f"{file}: not a readable LLaMA GGUF file: {str(error).splitlines()[0]}") from error
    # save_pretrained refuses a model that still says it is quantised. This one holds plain float32 weights.
    model.hf_quantizer = None  # type: ignore[assignment]
    del model.config.quantization_config
    with new_folder(folder, shared=True) as partial:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
