"""Export a trained model as an ordinary folder (config.json, safetensors, tokenizer) that plain transformers loads."""

import json
from pathlib import Path
from typing import cast

import torch
import torch.distributed as dist
from huggingface_hub import save_torch_state_dict
from torch import Tensor
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

from pi_model.files import new_folder
from pi_model.models.extension import copy_companions, fit_tokenizer
from pi_model.training.config import Config
from pi_model.training.lora import merged, save_adapters
from pi_model.training.loss import CausalLoss
from pi_model.training.preparation import Preparation
from pi_model.training.training_record import training_record

_PREFIX = "llama."


def whole_weights(model: CausalLoss) -> dict[str, Tensor]:
    """The model's whole weights by their names in its state dict, on rank 0's CPU; the other ranks get none.

    A head that is tied to the embedding is left out. Adapters are separate weights; `pi_model.training.lora.merged`
    merges them into the others. To be called on every rank.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    state = cast(dict[str, Tensor], get_model_state_dict(model, options=options))
    weights = {name.removeprefix(_PREFIX): weight for name, weight in state.items()}
    if model.llama.config.tie_word_embeddings:
        weights.pop("lm_head.weight", None)
    return weights


def live_weights(model: CausalLoss) -> dict[str, Tensor]:
    """The same weights without copying them, for a single process, which has them whole."""
    return {name.removeprefix(_PREFIX): one.detach() for name, one in model.named_parameters()}


def export(model: CausalLoss, preparation: Preparation, config: Config, out: Path) -> None:
    """Write ``out/model``, in the dtype of the model that training began with, and ``out/adapter`` if there is one.

    Adapters are merged into the exported model. The file training.json beside its weights records how they were
    trained. To be called on every rank.

    Args:
        model: the model at the end of training.
        preparation: what training began with.
        config: the run.
        out: the run's folder.

    Raises:
        RunError: a folder exists and is not empty, or cannot be written.
    """
    weights = whole_weights(model)
    if dist.get_rank() == 0:
        if config.lora is not None:
            with new_folder(out / "adapter") as partial:
                save_adapters(weights, config.lora, str(config.model), partial)
            weights = merged(weights, config.lora)
        dtype = getattr(torch, preparation.content.get("dtype") or "float32")
        with new_folder(out / "model") as partial:
            copy_companions(preparation.origin, partial, weights=False)
            before = json.loads((preparation.origin / "config.json").read_text(encoding="utf-8"))
            fit_tokenizer(partial, before["max_position_embeddings"], preparation.content["max_position_embeddings"])
            save_torch_state_dict({name: weight.to(dtype).contiguous() for name, weight in weights.items()}, partial)
            for path in partial.glob("*.safetensors"):
                path.chmod(0o644)  # safetensors writes files for their owner alone
            record = training_record(config, preparation.data_sha256, out)
            (partial / "training.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            (partial / "config.json").write_text(json.dumps(preparation.content, indent=2) + "\n", encoding="utf-8")
    dist.barrier()
