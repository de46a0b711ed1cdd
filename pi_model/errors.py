"""The two ways a command can end badly, each carrying one line that names what is wrong and what to do."""


class UsageError(ValueError):
    """The arguments cannot be meant: exit code 2, before any work is done."""


class RunError(RuntimeError):
    """The arguments are fine and the run is not: a broken file, a missing package, a full disk. Exit code 1."""
