"""The training loop: Position Interpolation, direct fine-tuning and pretraining, on one process or many."""

import json
import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor
from torch.optim import Optimizer

from pi_model.distributed import ranks
from pi_model.distributed.devices import chosen_device
from pi_model.distributed.process_group import (
    GETTING_READY,
    IN_A_STEP,
    process_group,
    wait_at_most,
)
from pi_model.errors import RunError, UsageError
from pi_model.files import write_text
from pi_model.models.families import CausalLM, sliding_window
from pi_model.training.checkpoints import Checkpoints
from pi_model.training.config import Config
from pi_model.training.export import export, rehearse_export
from pi_model.training.loss import CausalLoss
from pi_model.training.meter import Meter, collected_together, flops_per_token, profiled
from pi_model.training.midrun_evaluation import DIGEST, MidrunEvaluation
from pi_model.training.preparation import Preparation, prepare, weight_reader
from pi_model.training.run_folder import (
    MANIFEST,
    alone,
    base_identity,
    identity,
    refuse_difference,
    refuse_different_ranks,
    refuse_other_run,
)
from pi_model.training.run_log import Display, Log, Scalars
from pi_model.training.sharding import local, sharded_model
from pi_model.training.stop_requests import stop_requests


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        model: the folder of the exported model.
        steps: number of optimiser steps in the whole run.
        resumed_at: how many of them earlier commands had done.
        loss_nats: loss of the last step before its update, in nats; None if no step was left to do.
    """

    model: Path
    steps: int
    resumed_at: int
    loss_nats: float | None


def train(
    config: Config,
    out: str | Path,
    *,
    fall_back: bool = False,
    progress: bool = False,
    profile_step: int | None = None,
    measure: Mapping[int, Callable[[CausalLM], None]] | None = None,
    announce: Callable[[Config, Preparation], None] | None = None,
) -> Outcome:
    """Train to the end of a config, going on from the newest checkpoint in `out`.

    Under torchrun every rank calls this in the same way. The run's folder receives run.json (the config and the hashes
    of the data), steps.jsonl and evaluations.jsonl (a line for each), the same numbers for TensorBoard in tensorboard/,
    and checkpoints/. At the end it receives model/, the exported model, and adapter/ if adapters were trained.

    Args:
        config: the run.
        out: the run's folder, new or of the same run. Whatever the result depends on must be as it was when the run
            began.
        fall_back: if the newest checkpoint is broken, go on from the one before it.
        progress: show a bar, or a line for each step where standard error is not a terminal.
        profile_step: write a trace of this step, counted from 1, of every rank into profile/.
        measure: by the number of steps done, 0 included, a function to call with the model as it is then, ready to
            evaluate. It is called on every rank, and again for a step that a resumed run begins at. There is a
            checkpoint of that step, and Ctrl-C interrupts the function at once.
        announce: called once on rank 0 with the config and what the run starts from, before any weight is read.

    Raises:
        UsageError: the config does not fit the model, the number of processes or the folder; no weight has been read.
        RunError: the model, the data or a checkpoint is broken or missing, or a loss or gradient is not finite.
        KeyboardInterrupt: SIGINT or SIGTERM came; the step was finished and has a checkpoint.
    """
    out = Path(out)
    config = replace(config, device="cpu" if chosen_device(config.device) == "cpu" else "cuda")
    refuse_other_run(config, out)
    with process_group(config.device) as device, alone(out), ExitStack() as stack:
        rank, world_size = dist.get_rank(), dist.get_world_size()
        accumulation = config.accumulation(world_size)
        fetched = "rank 0, which fetches and tokenises what the run reads"
        start = ranks.rank_zero_first(lambda: prepare(config, out, progress=progress and rank == 0), fetched)
        run = identity(config, start)
        refuse_difference(run, out)
        evaluation = ranks.rank_zero_first(lambda: MidrunEvaluation(config, start), fetched)
        refuse_different_ranks(config, start, run, evaluation.digest)
        if announce and rank == 0:
            announce(config, start)
        model = sharded_model(
            start.hf_config(),
            weight_reader(config, start),
            device,
            lora=config.lora,
            context_parallel=config.context_parallel,
            dtype=config.dtype,
            activation_checkpointing=config.activation_checkpointing,
            compile_layers=config.compile,
        )
        optimizer = adamw(model, config)
        if config.lora is not None:
            run |= ranks.rank_zero_alone(lambda: base_identity(start), "rank 0, which hashes the weights")
        checkpoints = stack.enter_context(Checkpoints(out / "checkpoints", run, config.keep))
        first = checkpoints.load_newest(model, optimizer, fall_back=fall_back)
        if first > config.steps:
            raise UsageError(f"steps: {out} has done {first} steps already; give at least as many, or another folder")
        if rank == 0:
            about = {"config": config.as_json(), "attention": model.attention, "run": run}
            write_text(out / MANIFEST, json.dumps(about, indent=1) + "\n")
            scalars = Scalars(out / "tensorboard")
            steps, evaluations = (Log(out / f"{name}.jsonl", first, scalars) for name in ("steps", "evaluations"))
            evaluation.done = {(line["step"], line.get(DIGEST)) for line in evaluations.lines}
            if first < config.steps:
                # Remove what an earlier, shorter run exported.
                for exported in ("model", "adapter"):
                    shutil.rmtree(out / exported, ignore_errors=True)
        if first < config.steps:
            rehearse_export(model, start, config, out)
        evaluation.share_done()
        display = Display(config.steps, first, show=progress and rank == 0)
        for remark in config.remarks():
            display.say(f"pi-model: warning: {remark}")
        display.say(f"processes: {world_size}, attention: {model.attention}")
        if hidden := sliding_window(start.hf_config(), config.training_tokens):
            display.say(f"{hidden}; windows have {config.training_tokens}")
        if not Scalars.installed:
            display.say("no scalars for TensorBoard: pip install tensorboard")
        flops = flops_per_token(start.hf_config(), config.training_tokens, frozen=config.lora is not None)
        # Compiled layers are one piece, in which nothing can be watched.
        watched = [] if config.compile else [layer.mlp for layer in model.llama.model.layers]
        meter = Meter(flops, device, watched)
        loss, stopping, saved = None, False, first

        with stop_requests() as stop, collected_together() as collect:
            for step in range(first, config.steps + 1):
                if measured := evaluation.at(step, model):
                    if rank == 0:
                        evaluations.write(measured)
                    display.say(f"evaluation {json.dumps(measured)}")
                if measure and step in measure:
                    if step > saved:
                        checkpoints.save(step, model, optimizer)
                        saved = step
                    with stop.acted_on():
                        measure[step](evaluation.plain(model))
                if step == config.steps:
                    break
                collect(step)
                meter.start()
                own = start.batches.windows(
                    step, rank // config.context_parallel, world_size // config.context_parallel
                )
                windows = torch.from_numpy(own)
                if device.type == "cuda":  # pinned, so that the host need not wait for the copy
                    windows = windows.pin_memory().to(device, non_blocking=True)
                meter.read()
                if config.lora is not None and config.lora.dropout:
                    # Dropout is all that is random within a step. Seeding every step makes a resumed run draw the same.
                    torch.manual_seed(int(np.random.SeedSequence([config.seed, step, rank]).generate_state(1)[0]))
                rate = config.learning_rate(step)
                with profiled(out / "profile" / f"rank-{rank:05}.json") if step + 1 == profile_step else nullcontext():
                    loss, norm = optimizer_step(model, optimizer, windows, accumulation, rate, config.clip_norm)
                if not (math.isfinite(loss) and math.isfinite(norm)):
                    names = ", ".join(start.batches.names(step)[:8])
                    checkpoints.wait()
                    raise RunError(
                        f"step {step + 1}: not finite, loss {loss} and gradient norm {norm}; no weight was changed. "
                        f"Windows {step * config.global_batch} to {(step + 1) * config.global_batch - 1}, from {names}"
                    )
                line: dict[str, Any] = {
                    "step": step + 1,
                    "loss_nats": loss,
                    "gradient_norm": norm,
                    "learning_rate": rate,
                }
                speed, (stopping, failed) = meter.stop(
                    config.global_batch * config.training_tokens, stop.asked(), checkpoints.failed()
                )
                line |= speed
                if rank == 0:
                    steps.write(line)
                display.step(line)
                if failed:
                    checkpoints.wait()
                if step == first:
                    wait_at_most(IN_A_STEP, checkpoints.group)
                if (step + 1) % config.checkpoint_every == 0 or step + 1 == config.steps or stopping:
                    checkpoints.save(step + 1, model, optimizer)
                    saved = step + 1
                if stopping:
                    break
        display.close()
        if rank == 0:
            scalars.close()
        checkpoints.wait()
        if stopping:
            raise KeyboardInterrupt
        if not ranks.rank_zero_alone((out / "model" / "config.json").exists, "rank 0"):
            wait_at_most(GETTING_READY, checkpoints.group)  # for the disk that rank 0 writes to
            export(model, start, config, out)
        ranks.rank_zero_alone(lambda: None, "rank 0, which completes the exported model")
        return Outcome(out / "model", config.steps, first, loss)


def adamw(model: CausalLoss, config: Config) -> Optimizer:
    """AdamW over the parameters that are trained."""
    return torch.optim.AdamW(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=config.peak_lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )


def optimizer_step(
    model: CausalLoss, optimizer: Optimizer, windows_BT: Tensor, accumulation: int, rate: float, clip_norm: float | None
) -> tuple[float, float]:
    """Update the weights once from this rank's windows; if loss or gradient are not finite, change nothing.

    Gradients are reduced to their shards after every forward pass rather than once a step. That is more traffic where
    gradients accumulate, but no rank ever holds a whole gradient.

    Args:
        model: the model in training.
        optimizer: its optimiser.
        windows_BT: this rank's windows, T + 1 tokens each.
        accumulation: number of forward passes to split them into.
        rate: learning rate of this step.
        clip_norm: the whole gradient is scaled down to this norm where it is larger; None never clips.

    Returns:
        The loss in nats, mean over all ranks' windows, and the gradient's norm before clipping.
    """
    optimizer.zero_grad()
    total = torch.zeros((), device=windows_BT.device)
    for part in windows_BT.chunk(accumulation):
        loss = model(part) / accumulation
        loss.backward()
        total += loss.detach()
    # Work on the local shards: going through DTensor costs more than the arithmetic itself.
    gradients = [local(one.grad) for one in model.parameters() if one.grad is not None]
    sums = torch.stack([total, torch.nn.utils.get_total_norm(gradients) ** 2])
    dist.all_reduce(sums)
    whole_norm = sums[1].sqrt()
    # The only place of a step where the host waits for its GPU.
    loss_sum, norm = torch.stack([sums[0], whole_norm]).tolist()
    mean = loss_sum / dist.get_world_size()
    if math.isfinite(mean) and math.isfinite(norm):
        if clip_norm is not None and norm > clip_norm:
            torch._foreach_mul_(gradients, clip_norm / whole_norm)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
    return mean, norm
