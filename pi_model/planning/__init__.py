"""Planning: the memory, arithmetic and time of a training run, before it is paid for.

`sheet` makes a plan, whose formulas stand in `memory`, `peaks` and `speed`, over the numbers in `givens`. `advice`
chooses settings, `paper_runs` compares with the paper, and `reports` and `launch_scripts` write what comes of it.

The names below are imported when they are first used, so that whoever needs the data sheets in `gpus` alone does not
import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pi_model.planning.advice import advise, fewest_gpus, leanest, usable_counts
    from pi_model.planning.architectures import Shape, architecture
    from pi_model.planning.gpus import GPUS, Gpu
    from pi_model.planning.launch_scripts import script
    from pi_model.planning.paper_runs import beside_paper, paper_gpus, settings
    from pi_model.planning.reports import report, shortfall, table
    from pi_model.planning.sheet import USABLE, UTILISATION, Plan, plan

__all__ = [
    "GPUS",
    "USABLE",
    "UTILISATION",
    "Gpu",
    "Plan",
    "Shape",
    "advise",
    "architecture",
    "beside_paper",
    "fewest_gpus",
    "leanest",
    "paper_gpus",
    "plan",
    "report",
    "script",
    "settings",
    "shortfall",
    "table",
    "usable_counts",
]

_MODULE_OF = {
    "GPUS": "gpus",
    "USABLE": "sheet",
    "UTILISATION": "sheet",
    "Gpu": "gpus",
    "Plan": "sheet",
    "Shape": "architectures",
    "advise": "advice",
    "architecture": "architectures",
    "beside_paper": "paper_runs",
    "fewest_gpus": "advice",
    "leanest": "advice",
    "paper_gpus": "paper_runs",
    "plan": "sheet",
    "report": "reports",
    "script": "launch_scripts",
    "settings": "paper_runs",
    "shortfall": "reports",
    "table": "reports",
    "usable_counts": "advice",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
