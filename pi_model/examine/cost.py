"""What fine-tuning to the context would take, by the planner, with the paper's settings."""

from pathlib import Path

from pi_model import planning
from pi_model.errors import RunError, UsageError
from pi_model.examine.findings import Cost
from pi_model.gpus import GPUS
from pi_model.training.overrides import override
from pi_model.training.recipes import recipe


def cost(folder: Path, context_tokens: int, *, window_tokens: int | None, gpu: str, gpus: int | None) -> Cost | None:
    """Plan a fine-tuning of the checkpoint to the context.

    Args:
        folder: where the checkpoint's config.json is.
        context_tokens: L', the window that was asked for.
        window_tokens: the window that the model was trained on, where its config does not say so.
        gpu: a key of `pi_model.gpus.GPUS`.
        gpus: how many of them; None takes the fewest that have room.

    Returns:
        None where it cannot be planned, for instance because layers have a sliding window.
    """
    try:
        name, changes = planning.settings(str(folder), context_tokens, window_tokens)
        config = override(recipe(name), [*changes, "device=cuda"])
        planned = planning.advise(config, planning.Shape.of_run(config), GPUS[gpu], gpus)
    except (UsageError, RunError):
        return None
    run = (
        f"{config.steps} steps of {config.global_batch} windows of {config.training_tokens} tokens, the paper's "
        f"settings, micro_batch={planned.config.micro_batch}, "
        f"activation_checkpointing={planned.config.activation_checkpointing}" + ", compiled" * planned.config.compile
    )
    return Cost(
        gpu=gpu,
        gpus=planned.gpus,
        hours=planned.sheet.run_time,
        peak_gib=planned.peak_gib,
        fits=planned.fits,
        run=run,
    )
