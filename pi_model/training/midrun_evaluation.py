"""Measure perplexity and passkey retrieval of a model in training, by the same code that evaluates finished models.

Several ranks share the windows and the passkeys, and keep the model as sharded as it is in training.
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
from pi_model.training.export import whole_weights
from pi_model.training.lora import merged
from pi_model.training.loss import CausalLoss
from pi_model.training.preparation import Preparation
from pi_model.training.shared_passes import evaluated

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
                min_tokens=max(self.asked.windows),
                max_tokens=self.asked.max_tokens,
                samples=self.asked.samples,
                only_every=self.asked.held_out_every,
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
        result: dict[str, Any] = {"step": step, DIGEST: self.digest}
        if dist.get_world_size() == 1:
            result |= self._measured(self.plain(model))
        else:
            evaluated(model, lambda llama: result.update(self._measured(llama)))
        return result

    def _measured(self, plain: CausalLM) -> dict[str, Any]:
        """Results of an ordinary model or, on every rank at once, of one whose passes they share."""
        result: dict[str, Any] = {}
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
        """The model as an ordinary one, ready to evaluate, whole on every rank. To be called on every rank.

        In a single process it shares the live weights if they have the right dtype.
        """
        device, dtype = next(model.parameters()).device, getattr(torch, self.config.dtype)
        weights = dict(whole_weights(model))
        if self.config.lora is not None:
            weights = merged(weights, self.config.lora)
        hf_config = self.start.hf_config()
        with torch.device("meta"):
            plain = empty_model(hf_config, dtype=dtype)
        own = {name: weight.to(device, dtype) for name, weight in weights.items()}
        plain.load_state_dict(own, assign=True, strict=False)  # a tied head is not among them
        plain.tie_weights()
        plain.model.rotary_emb = rotary_embedding(hf_config).to(device)
        plain.requires_grad_(False).eval()  # type: ignore[no-untyped-call]  # for all families, not for one
        return plain
