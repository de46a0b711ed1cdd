"""Planning: the memory, arithmetic and time of a training run, before it is paid for.

`sheet` makes a plan, whose formulas stand in `memory`, `peaks`, `speed` and `surroundings`, over the numbers in
`givens`. `known_models` has published models by name. `advice` chooses settings, `levers` tells what would help,
`paper_runs` compares with the paper, and `reports` and `launch_scripts` write what comes of it.
"""

from pi_model.planning.advice import advise, fewest_gpus, leanest, usable_counts
from pi_model.planning.architectures import Shape, architecture, present_extension
from pi_model.planning.givens import adapter_sizes
from pi_model.planning.launch_scripts import script
from pi_model.planning.levers import Lever, levers
from pi_model.planning.paper_runs import beside_paper, paper_gpus, settings
from pi_model.planning.reports import report, shortfall, table
from pi_model.planning.sheet import USABLE, UTILISATION, UTILISATION_COMPILED, Plan, plan

__all__ = [
    "USABLE",
    "UTILISATION",
    "UTILISATION_COMPILED",
    "Lever",
    "Plan",
    "Shape",
    "adapter_sizes",
    "advise",
    "architecture",
    "beside_paper",
    "fewest_gpus",
    "leanest",
    "levers",
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
