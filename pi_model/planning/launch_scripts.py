"""Shell scripts that start a planned run."""

import math
import shlex

from pi_model.errors import RunError, UsageError
from pi_model.planning.sheet import NODE_GPUS, Plan


def script(kind: str, recipe: str, assignments: list[str], planned: Plan) -> str:
    """A shell script that starts the run, or goes on with it.

    Args:
        kind: "torchrun" for one machine, or "slurm".
        recipe, assignments: what `planned.config` came from.

    Raises:
        RunError: the run does not fit. UsageError: GPUs that cannot be shared out over machines of eight.
    """
    config, gpus = planned.config, planned.gpus
    if not planned.fits:
        raise RunError("script: the run does not fit on these GPUs; see the plan for how many do")
    machines = math.ceil(gpus / NODE_GPUS)
    if gpus % machines:
        raise UsageError(f"gpus: {gpus} cannot be shared evenly by {machines} machines of up to {NODE_GPUS}")
    if kind == "torchrun" and machines > 1:
        raise UsageError(f"script: torchrun alone starts one machine of up to {NODE_GPUS} GPUs; use --script slurm")
    chosen = [
        *(one for one in assignments if one.partition("=")[0] not in ("micro_batch", "activation_checkpointing")),
        f"micro_batch={config.micro_batch}",
        f"activation_checkpointing={config.activation_checkpointing}",
    ]
    command = shlex.join(["-m", "pi_model.cli.main", "finetune", recipe, *chosen, "--out", f"runs/{recipe}"])
    each = gpus // machines
    facts = f"# Expected: {planned['run_time']:.1f} h, {planned['peak'] / 2**30:.1f} GiB a GPU at the peak."
    if kind == "torchrun":
        return f"#!/bin/bash\n{facts}\nexec torchrun --standalone --nproc-per-node {each} \\\n  {command}\n"
    return f"""#!/bin/bash
#SBATCH --job-name={recipe}
#SBATCH --nodes={machines}
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={each}
#SBATCH --time={max(1, math.ceil(1.5 * planned["run_time"]))}:00:00
#SBATCH --requeue
{facts} The time asked for is half as long again; started again, the run goes on.
set -euo pipefail
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
srun torchrun --nnodes {machines} --nproc-per-node {each} \\
  --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$head:29500" \\
  {command}
"""
