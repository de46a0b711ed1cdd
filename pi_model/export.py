"""A trained model as an ordinary folder: config.json, safetensors and tokenizer, which plain transformers loads."""

import json
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from huggingface_hub import save_torch_state_dict
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from pi_model.extension import copy_companions, fit_tokenizer
from pi_model.files import new_folder
from pi_model.loss import CausalLoss
from pi_model.preparation import Preparation

_PREFIX = "llama."


def whole_weights(model: CausalLoss) -> dict[str, Tensor]:
    """The model's weights by their names in a LLaMA's state dict, put together on rank 0's CPU; empty elsewhere.

    A head that is tied to the embedding is left out. To be called on every rank.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = cast(dict[str, Tensor], get_model_state_dict(model, options=options))
    weights = {name.removeprefix(_PREFIX): weight for name, weight in state.items()}
    if model.llama.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    return weights


def export(model: CausalLoss, preparation: Preparation, folder: Path, record: dict[str, Any]) -> None:
    """Write the model's folder, in the dtype of the model that training began with. To be called on every rank.

    Args:
        model: in training.
        preparation: what training began with.
        folder: new or empty.
        record: of the training, kept beside the weights as training.json.

    Raises:
        RunError: the folder exists and is not empty, or cannot be written.
    """
    weights = whole_weights(model)
    if dist.get_rank() == 0:
        dtype = getattr(torch, preparation.content.get("dtype") or "float32")
        with new_folder(folder) as partial:
            copy_companions(preparation.origin, partial, weights=False)
            before = json.loads((preparation.origin / "config.json").read_text(encoding="utf-8"))
            fit_tokenizer(partial, before["max_position_embeddings"], preparation.content["max_position_embeddings"])
            save_torch_state_dict({name: weight.to(dtype).contiguous() for name, weight in weights.items()}, partial)
            for path in partial.glob("*.safetensors"):
                path.chmod(0o644)  # safetensors writes files for their owner alone
            (partial / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            (partial / "config.json").write_text(json.dumps(preparation.content, indent=2) + "\n", encoding="utf-8")
    dist.barrier()
