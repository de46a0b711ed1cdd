"""The two errors that a command can end with. Each carries one line that says what is wrong and what to do about it."""


class UsageError(ValueError):
    """The arguments are wrong. The command ends with exit code 2 before it has done any work."""


class RunError(RuntimeError):
    """The arguments are right, but the work fails: a broken file, a missing package, a full disk. Exit code 1."""
