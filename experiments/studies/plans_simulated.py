"""The memory of the paper's training runs, as it is planned and in a simulated step of their own size."""

import sys
from typing import Any

from experiments.records.study import Study
from pi_model.gpus import GPUS
from pi_model.planning import Shape, architecture, plan
from pi_model.planning.simulation import simulate
from pi_model.training.overrides import override
from pi_model.training.recipes import recipe


def run(config: dict[str, Any]) -> dict[str, Any]:
    runs = []
    for name, gpus, *changes in config["runs"]:
        asked = override(recipe(name), ["compile=false", *changes])
        model = architecture(asked)
        planned = plan(asked, Shape.of(model), GPUS[config["gpu"]], gpus)
        simulated = simulate(asked, model, gpus)
        runs.append(
            {
                "recipe": name,
                "changes": changes,
                "gpus": gpus,
                "activation_checkpointing": asked.activation_checkpointing,
                "planned_bytes": planned.sheet.peak,
                "simulated_bytes": simulated.peak,
                "room_bytes": planned.sheet.room,
                "host_waits": simulated.host_waits,
                "largest_numbers": simulated.largest,
            }
        )
        print(f"{name} on {gpus}: {planned.sheet.peak / simulated.peak - 1:+.2%}", file=sys.stderr, flush=True)
    return {"runs": runs}


def _conclusion(metrics: dict[str, Any]) -> str:
    off = [abs(one["planned_bytes"] / one["simulated_bytes"] - 1) for one in metrics["runs"]]
    return f"{len(off)} runs, planned within {max(off):.2%} of the simulated peak"


STUDY = Study(
    name="plans_simulated",
    says="Planned memory is that of a simulated step, for the paper's models of 7B to 65B on 32 to 128 GPUs",
    config={
        "gpu": "a100-80",
        "runs": [
            ["llama_7b_8192_pi", 32],
            ["llama_7b_8192_pi", 32, "activation_checkpointing=none"],
            ["llama_7b_8192_pi_lora", 32],
            ["llama_7b_32768_pi", 128],
            ["llama_7b_32768_pi", 128, "context_parallel=4", "activation_checkpointing=none"],
            ["llama_13b_8192_pi", 32, "activation_checkpointing=selective"],
            ["llama_13b_16384_pi", 128, "activation_checkpointing=selective"],
            ["llama_13b_32768_pi", 128],
            ["llama_33b_8192_pi", 32],
            ["llama_33b_8192_pi", 64, "activation_checkpointing=none"],
            ["llama_33b_16384_pi_lora", 128],
            ["llama_65b_8192_pi", 128],
            ["llama_65b_8192_pi_lora", 64],
            ["llama_65b_32768_pi", 128],
        ],
    },
    run=run,
    live=False,
    minutes=15,
    cores=1,
    conclusion=_conclusion,
    profiles={
        "toy": {
            "runs": [
                ["tiny_512_pi", 2, "device=cuda", "micro_batch=1"],
                ["tiny_512_pi", 2, "device=cuda", "micro_batch=2", "lora.rank=4", "activation_checkpointing=selective"],
                [
                    "tiny_512_pi",
                    4,
                    "device=cuda",
                    "micro_batch=1",
                    "context_parallel=2",
                    "activation_checkpointing=full",
                ],
            ]
        }
    },
)
