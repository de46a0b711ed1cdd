"""Shell scripts that start a planned run."""

import math
import shlex
from collections.abc import Sequence
from typing import Literal

from pi_model.errors import RunError, UsageError
from pi_model.gpus import NODE_GPUS
from pi_model.planning.sheet import Plan

# The fields that a plan chooses.
_CHOSEN = ("micro_batch", "activation_checkpointing", "compile")


def script(kind: Literal["torchrun", "slurm"], recipe: str, assignments: Sequence[str], planned: Plan) -> str:
    """A shell script that starts a planned run, or resumes it where it has been started before.

    Args:
        kind: "torchrun" for one machine, "slurm" for one or more.
        recipe: The name of the recipe that `planned.config` is based on.
        assignments: The overrides ("field=value") that `planned.config` has on top of the recipe.
        planned: The plan.

    Raises:
        RunError: The run does not fit.
        UsageError: The GPUs cannot be shared evenly by machines of eight, or torchrun cannot start so many.
    """
    config, gpus = planned.config, planned.gpus
    if not planned.fits:
        raise RunError("script: the run does not fit on these GPUs; the plan without --script says on how many it does")
    machines = math.ceil(gpus / NODE_GPUS)
    if gpus % machines:
        raise UsageError(f"gpus: {gpus} cannot be shared evenly by {machines} machines of up to {NODE_GPUS}")
    if kind == "torchrun" and machines > 1:
        raise UsageError(f"script: torchrun alone starts one machine of up to {NODE_GPUS} GPUs; use --script slurm")
    overrides = [
        *(one for one in assignments if one.partition("=")[0] not in _CHOSEN),
        *(f"{name}={str(getattr(config, name)).lower()}" for name in _CHOSEN),
    ]
    command = shlex.join(["-m", "pi_model.cli.main", "finetune", recipe, *overrides, "--out", f"runs/{recipe}"])
    each, hours = gpus // machines, planned.sheet.run_time
    facts = f"# Planned: {hours:.1f} hours, with at most {planned.peak_gib:.1f} GiB of tensors on each GPU."
    if kind == "torchrun":
        return f"#!/bin/bash\n{facts}\nexec torchrun --standalone --nproc-per-node {each} \\\n  {command}\n"
    return f"""#!/bin/bash
#SBATCH --job-name={recipe}
#SBATCH --nodes={machines}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={each}
#SBATCH --time={max(1, math.ceil(1.5 * hours))}:00:00
#SBATCH --requeue
{facts}
# The time limit is half as long again. A job that is started again resumes from its last checkpoint.
set -euo pipefail
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
srun torchrun --nnodes {machines} --nproc-per-node {each} \\
  --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$head:29500" \\
  {command}
"""
