"""Measure perplexity and passkey retrieval of a model in training, by the same code that evaluates finished models.

With several ranks, each gathers a whole model of its own, so that they can share the windows among them. That model
must fit on one device beside the training state. A single process has the whole model already.
"""

import hashlib
import json
from typing import Any

import torch
import torch.distributed as dist

from pi_model.data.documents import Selection, Source, load_documents
from pi_model.errors import UsageError
from pi_model.evaluation.passkey import PromptMaker, passkey, passkeys
from pi_model.evaluation.perplexity import sliding_perplexity
from pi_model.models.families import CausalLM, empty_model, rotary_embedding
from pi_model.training.config import Config
from pi_model.training.export import live_weights, whole_weights
from pi_model.training.lora import merged
from pi_model.training.loss import CausalLoss
from pi_model.training.preparation import Preparation

DIGEST = "measured_sha256"  # the key of the digest in a line of the log


class MidrunEvaluation:
    """The measurements that a run makes during training.

    Args:
        config: the run.
        start: what it starts from.

    Attributes:
        digest: hex SHA-256 of what is measured: documents, windows, passkeys. Two lines of a log with the same digest
            can be compared.
        done: (step, digest) of what has been measured already, by this command or an earlier one.

    Raises:
        UsageError: nothing is to be measured, or the context is too short for a passkey; raised before training begins.
    """

    def __init__(self, config: Config, start: Preparation) -> None:
        self.config, self.start, self.asked = config, start, config.evaluation
        self.done: set[tuple[int, str | None]] = set()
        self.documents = None
        self.digest = ""
        if not self.asked.steps:
            return
        if self.asked.data is None and not self.asked.passkey_positions:
            raise UsageError("evaluation.steps: set evaluation.data or evaluation.passkey_positions as well")
        measured: dict[str, Any] = {"bos_id": start.bos_id}
        if self.asked.data is not None:
            selection = Selection(
                min_tokens=max(self.asked.windows), max_tokens=self.asked.max_tokens, samples=self.asked.samples
            )
            source = Source(self.asked.data, self.asked.column, self.asked.split, control_tokens=config.control_tokens)
            self.documents = load_documents(source, start.tokenizer, selection)
            measured["perplexity"] = [self.documents.sha256, self.asked.windows, self.asked.stride]
        if self.asked.passkey_positions:
            keys = passkeys(self.asked.passkey_positions, self.asked.passkey_trials).ravel().tolist()
            PromptMaker(start.tokenizer, config.context_tokens, start.bos_id, keys)  # raises if they do not fit
            measured["passkey"] = [config.context_tokens, self.asked.passkey_positions, self.asked.passkey_trials]
        self.digest = hashlib.sha256(json.dumps(measured).encode()).hexdigest()

    def share_done(self) -> None:
        """Tell all ranks what has been measured already, which rank 0 alone has read from the log."""
        box = [self.done]
        dist.broadcast_object_list(box, src=0)
        self.done = box[0]

    def at(self, step: int, model: CausalLoss) -> dict[str, Any] | None:
        """Results after `step` steps as JSON values; None if none were asked for or they have been measured already.

        To be called on every rank.
        """
        if step not in self.asked.steps or (step, self.digest) in self.done:
            return None
        plain = self.plain(model)
        result: dict[str, Any] = {"step": step, DIGEST: self.digest}
        if self.documents is not None:
            measured = sliding_perplexity(
                plain,
                self.documents.tokens,
                windows=list(self.asked.windows),
                stride=self.asked.stride,
                bos_id=self.start.bos_id,
                names=self.documents.names,
            )
            result["loss_nats"] = {str(one.window): one.loss_nats for one in measured}
            result["loss_nats_stderr"] = {str(one.window): one.loss_nats_stderr for one in measured}
        if self.asked.passkey_positions:
            found = passkey(
                plain,
                self.start.tokenizer,
                context_tokens=self.config.context_tokens,
                positions=self.asked.passkey_positions,
                trials=self.asked.passkey_trials,
                bos_id=self.start.bos_id,
            )
            result |= {"k_max": found.k_max, "accuracy": {str(k): share for k, share in found.accuracy.items()}}
        return result

    def plain(self, model: CausalLoss) -> CausalLM:
        """The model as an ordinary one, ready to evaluate. To be called on every rank.

        In a single process it shares the live weights if they have the right dtype.
        """
        device, dtype = next(model.parameters()).device, getattr(torch, self.config.dtype)
        alone = dist.get_world_size() == 1
        weights = live_weights(model) if alone else whole_weights(model)
        if self.config.lora is not None:
            weights = merged(weights, self.config.lora)
        hf_config = self.start.hf_config()
        with torch.device("meta"):
            plain = empty_model(hf_config, dtype=dtype)
        if alone:
            whole = {name: weight.to(device, dtype) for name, weight in weights.items()}
            plain.load_state_dict(whole, assign=True, strict=False)  # a tied head is not among them
        else:
            plain.to_empty(device=device)
        plain.tie_weights()
        plain.model.rotary_emb = rotary_embedding(hf_config).to(device)
        plain.requires_grad_(False).eval()  # type: ignore[no-untyped-call]  # for all families, not for one
        for name, parameter in plain.named_parameters() if not alone else ():
            if dist.get_rank() == 0:
                parameter.copy_(weights[name])
            dist.broadcast(parameter, src=0)
        return plain
