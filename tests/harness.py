"""The command of lm-evaluation-harness, in a process of its own."""

import os
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
    return Forked(_harness, argv=[*command, *words], environment={"HF_HOME": str(folder.parent / "hub")}).ending()


def _harness() -> None:
    from huggingface_hub import constants

    constants.HF_HUB_OFFLINE = True
    os.environ["HF_HUB_OFFLINE"] = "1"  # for what is imported from here on
    from lm_eval.__main__ import cli_evaluate
    from torch.utils import collect_env

    collect_env.get_pretty_env_info = str  # it asks pip and the compilers for their versions, for seconds
    cli_evaluate()
