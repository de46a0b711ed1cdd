"""The command of lm-evaluation-harness, in a process of its own."""

from pathlib import Path

from tests.commands import Ending
from tests.forks import Forked


def harness(folder: Path, *words: object) -> Ending:
    """Evaluates a model's folder on a CPU.

    Args:
        folder: of the model.
        words: the rest of the command line.
    """
    command = ["--model", "hf", "--device", "cpu", "--model_args", f"pretrained={folder},dtype=float32"]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder.parent / "hub")}
    return Forked(_harness, argv=[*command, *words], environment=offline).ending()


def _harness() -> None:
    from lm_eval.__main__ import cli_evaluate
    from lm_eval.loggers import utils

    utils.get_pretty_env_info = str  # it asks pip and the compilers for their versions, for seconds
    cli_evaluate()
