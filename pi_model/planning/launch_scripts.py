"""Shell scripts that start a planned run, on one machine or many, and start it again where it was stopped."""

import math
import shlex
import sys
from collections.abc import Sequence
from typing import Literal

from pi_model.errors import RunError, UsageError
from pi_model.gpus import NODE_GPUS
from pi_model.planning.sheet import Plan

# The fields that a plan chooses.
_CHOSEN = ("micro_batch", "activation_checkpointing", "compile")

# Before its time is up, a job is told so this long, in seconds, and torchrun gives its processes a minute less to write
# a checkpoint.
_NOTICE = 600
_RESTARTS = 3  # of all processes after one has failed, before torchrun gives up

_COLLECTIVES = 2000  # that are kept of each rank

_ENVIRONMENT = f"""\
# A process that is asked to stop writes a checkpoint first; torchrun waits for it so many seconds.
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT={_NOTICE - 60}
# Memory that is freed can be used for tensors of another size.
export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
# Where a collective hangs, each rank writes the last ones into logs/collectives*.
export TORCH_FR_BUFFER_SIZE={_COLLECTIVES} TORCH_NCCL_TRACE_BUFFER_SIZE={_COLLECTIVES} TORCH_NCCL_DUMP_ON_TIMEOUT=1
export TORCH_FR_DUMP_TEMP_FILE="$PWD/logs/collectives" TORCH_NCCL_DEBUG_INFO_TEMP_FILE="$PWD/logs/collectives"
mkdir -p logs
"""


def script(kind: Literal["torchrun", "slurm"], recipe: str, assignments: Sequence[str], planned: Plan) -> str:
    """A shell script that starts a planned run, or resumes it where it has been started before.

    It runs the Python that wrote it, by its whole path, and writes a log for each rank into logs/.

    Args:
        kind: "torchrun" for a script that is started by hand on each machine, "slurm" for one that sbatch takes.
        recipe: The name of the recipe that `planned.config` is based on.
        assignments: The overrides ("field=value") that `planned.config` has on top of the recipe.
        planned: The plan.

    Raises:
        RunError: The run does not fit.
        UsageError: The GPUs cannot be shared evenly by machines of eight.
    """
    config, gpus, sheet = planned.config, planned.gpus, planned.sheet
    if not planned.fits:
        raise RunError("script: the run does not fit on these GPUs; the plan without --script says on how many it does")
    machines = math.ceil(gpus / NODE_GPUS)
    if gpus % machines:
        raise UsageError(f"gpus: {gpus} cannot be shared evenly by {machines} machines of up to {NODE_GPUS}")
    overrides = [
        *(one for one in assignments if one.partition("=")[0] not in _CHOSEN),
        *(f"{name}={str(getattr(config, name)).lower()}" for name in _CHOSEN),
    ]
    folder = f"runs/{recipe}"
    command = shlex.join(["-m", "pi_model.cli.main", "finetune", recipe, *overrides, "--out", folder])
    hours = sheet.run_time + sheet.other_time
    facts = (
        f"# Planned: {hours:.1f} hours, with at most {planned.peak_gib:.1f} GiB of tensors on each GPU. Started again, "
        "the run\n# goes on from its last checkpoint, to the same result.\n"
    )
    torchrun = (
        f"{shlex.quote(sys.executable)} -m torch.distributed.run --nnodes {machines} --nproc-per-node "
        f"{gpus // machines} \\\n  --max-restarts {_RESTARTS} --log-dir logs --redirects 3 --tee 0:3 \\\n"
    )
    if kind == "slurm":
        return _slurm(recipe, machines, gpus // machines, hours, folder, facts, torchrun, command)
    if machines == 1:
        meeting, first = "--standalone", ""
    else:
        meeting = f'--rdzv-backend c10d --rdzv-id {shlex.quote(recipe)} --rdzv-endpoint "$1:29500"'
        first = f': "${{1:?on each of the {machines} machines, start: bash SCRIPT NAME-OF-THE-FIRST-MACHINE}}"\n'
    return f"#!/bin/bash\n{facts}set -euo pipefail\n{first}{_ENVIRONMENT}exec {torchrun}  {meeting} \\\n  {command}\n"


def _slurm(
    recipe: str, machines: int, each: int, hours: float, folder: str, facts: str, torchrun: str, command: str
) -> str:
    return f"""#!/bin/bash
#SBATCH --job-name={recipe}
#SBATCH --nodes={machines}
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node={each}
#SBATCH --time={max(1, math.ceil(1.5 * hours))}:00:00
#SBATCH --signal=TERM@{_NOTICE}
#SBATCH --requeue
#SBATCH --open-mode=append
{facts}# The time limit is half as long again; with a shorter one, the job queues itself again until the run is done.
set -euo pipefail
{_ENVIRONMENT}head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
failed=0
# A task has all CPUs of its machine; when one fails, the others are ended.
srun --kill-on-bad-exit=1 --cpus-per-task="$SLURM_CPUS_ON_NODE" {torchrun}\
  --rdzv-backend c10d --rdzv-id "$SLURM_JOB_ID" --rdzv-endpoint "$head:$((20000 + SLURM_JOB_ID % 10000))" \\
  {command} || failed=$?
left=$((${{SLURM_JOB_END_TIME:-9999999999}} - $(date +%s)))
if ((failed && left <= {_NOTICE})) && [ ! -e {folder}/model/config.json ]; then
  scontrol requeue "$SLURM_JOB_ID"  # the time was up
  exit 0
fi
exit "$failed"
"""
