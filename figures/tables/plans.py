"""Planned memory beside that of simulated steps, from the committed record."""

from typing import Any

from experiments.records.record import read
from figures.tables.table import Block, Table

_COLUMNS = ("run", "GPUs", "activations", "planned GiB", "simulated GiB", "planned over simulated", "fits 80 GB")


def table() -> Table:
    """The paper's runs, by model; the caption says how far off the plan is at most. Raises NoRecord without one."""
    runs = read("plans_simulated")["metrics"]["runs"]
    off = max(abs(one["planned_bytes"] / one["simulated_bytes"] - 1) for one in runs)
    waits = max(one["host_waits"] for one in runs)
    caption = (
        f"{len(runs)} runs, in which the plan is {off:.2%} off at most. In a step the host waits for its GPU "
        f"{'once' if waits == 1 else f'{waits} times'}. A run fits where the simulated peak is at most nine tenths of "
        "the GPU's memory."
    )
    return Table("Planned and simulated memory", caption, (Block("", _COLUMNS, tuple(map(_row, runs))),))


def _row(one: dict[str, Any]) -> tuple[str, ...]:
    changes = [change for change in one["changes"] if not change.startswith("activation_checkpointing")]
    planned, simulated = one["planned_bytes"], one["simulated_bytes"]
    return (
        " ".join([one["recipe"], *changes]),
        str(one["gpus"]),
        {"none": "all kept", "selective": "products kept", "full": "recomputed"}[one["activation_checkpointing"]],
        f"{planned / 2**30:.2f}",
        f"{simulated / 2**30:.2f}",
        f"{planned / simulated - 1:+.2%}",
        "yes" if simulated <= one["room_bytes"] else "no",
    )
