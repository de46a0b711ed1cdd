"""Lines on standard error about what was understood: said once, and by one process of a torchrun."""

import os
from functools import cache

from pi_theory.console import warn


@cache
def say(message: str) -> None:
    """Print a message as a warning, unless it has been printed before or another rank prints it."""
    if os.environ.get("RANK", "0") == "0":
        warn("pi-model", message)


def tell_which(name: str, what: str) -> None:
    """Say what a known name was taken for, where a file or folder here is called the same.

    A known name means the same wherever a command is started, so that recipes and records do not depend on what lies in
    the current folder. A path that begins with ``./`` is never a known name.

    Args:
        name: the known name.
        what: what it stands for, such as "the corpus".
    """
    if os.path.lexists(name):
        here = "folder" if os.path.isdir(name) else "file"
        say(f"{name} means {what}; for the {here} {name} here write ./{name}")
