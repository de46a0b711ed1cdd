"""Planning: the memory, arithmetic and time of a training run, before it is paid for.

`sheet` makes a plan, whose formulas stand in `memory`, `peaks` and `speed`, over the numbers in `givens`. `advice`
chooses settings, `paper_runs` compares with the paper, and `reports` and `launch_scripts` write what comes of it.
"""

from pi_model.planning.advice import advise, advise_compile, fewest_gpus, leanest, usable_counts
from pi_model.planning.architectures import Shape, architecture, present_extension
from pi_model.planning.givens import adapter_sizes
from pi_model.planning.launch_scripts import script
from pi_model.planning.paper_runs import beside_paper, paper_gpus, settings
from pi_model.planning.reports import report, shortfall, table
from pi_model.planning.sheet import USABLE, UTILISATION, Plan, plan

__all__ = [
    "USABLE",
    "UTILISATION",
    "Plan",
    "Shape",
    "adapter_sizes",
    "advise",
    "advise_compile",
    "architecture",
    "beside_paper",
    "fewest_gpus",
    "leanest",
    "paper_gpus",
    "plan",
    "present_extension",
    "report",
    "script",
    "settings",
    "shortfall",
    "table",
    "usable_counts",
]
