"""The benchmarks as a table, from their committed records."""

from typing import Any

from experiments.records.record import NoRecord, read
from figures.tables.table import Block, Table

# part of a record -> what it is called, in the table's order
PARTS = {
    "bench_theory": "Theory",
    "bench_perplexity": "Perplexity",
    "bench_passkey": "Passkey retrieval",
    "bench_training": "Training",
    "bench_peers": "Beside the code of other projects",
    "bench_gpu": "On a CUDA GPU",
    "bench_startup": "What a user waits for",
    "bench_cold": "From a fresh clone",
    "bench_growth": "How time grows",
}
_COMPARED = ("what", "compared with", "times as fast as that", "share of its peak memory", "aim")
_ALONE = ("what", "measured", "aim")
_STEPS = (
    "a step of one window",
    "tokens/s",
    "Trainer's",
    "times as fast",
    "of the matrix product's rate",
    "peak GiB",
    "planned",
    "Trainer's",
    "aim",
)
_FASTER, _LEANER, _UTILISED = "times as fast", "of its peak memory", "of the matrix product's FLOP/s"  # units of rows
_STEP, _TRAINERS = "training step, ", ": Hugging Face Trainer"  # how what was measured on a GPU is named

Part = dict[str, Any]
Row = dict[str, Any]


def parts() -> dict[str, Part]:
    """The parts that the records have. Raises RecordError: one was changed."""
    found: dict[str, Part] = {}
    for study in ("bench", "bench_gpu"):
        try:
            found |= read(study)["metrics"]["parts"]
        except NoRecord:
            continue
    return found


def table() -> Table:
    """What was measured, by part; the caption says how to read it and where it was. Raises as `parts` does."""
    found = parts()
    caption = (
        "Times as fast: the other's time over ours, so above 1 ours is faster. Share of its peak memory: our peak over "
        "the other's, so below 1 ours needs less. Both are medians of turns that ours and the other take in one run, "
        f"with their range in brackets. {_where(found)}"
    )
    blocks = tuple(block for name in PARTS for block in _blocks(name, found.get(name)))
    return Table("Speed and memory", caption.strip(), blocks)


def _blocks(name: str, part: Part | None) -> list[Block]:
    """What was compared with something else, then what was measured by itself; each where there is any."""
    if part is None:
        how = "needs a CUDA GPU" if name == "bench_gpu" else f'needs make bench BENCH_ARGS="{name} --keep"'
        return [Block(PARTS[name], _ALONE, (("not measured", how, ""),))]
    steps = [_of_steps(part)] if name == "bench_gpu" else []
    if steps:
        part = part | {"rows": [row for row in part["rows"] if not row["what"].startswith(_STEP)]}
    together: dict[tuple[str, str], list[Row]] = {}
    alone: list[tuple[str, str, str]] = []
    for row in part["rows"]:
        if row["unit"] in (_FASTER, _LEANER):
            together.setdefault((row["what"], row["beside"]), []).append(row)
        else:
            what = f"{row['what']}, beside {row['beside']}" if row["beside"] else row["what"]
            alone.append((what, _measured(row), _aim(row)))
    if left := part.get("not_measured", []):
        alone.append((f"not measured yet: {', '.join(left)}", "", ""))
    compared = [
        (what, beside, *(_of_unit(rows, unit) for unit in (_FASTER, _LEANER)), "; ".join(filter(None, map(_aim, rows))))
        for (what, beside), rows in together.items()
    ]
    blocks = [Block(PARTS[name], _COMPARED, tuple(compared))] * bool(compared)
    title = f"{PARTS[name]}, by itself" if compared else PARTS[name]
    return steps + blocks + [Block(title, _ALONE, tuple(alone))] * bool(alone)


def _of_steps(part: Part) -> Block:
    """Training steps on a GPU, ours and Trainer's: a row for each model, length and way to keep activations."""
    found: dict[str, dict[str, Row]] = {}
    for row in part["rows"]:
        if row["what"].startswith(_STEP):
            name, _, whose = row["what"].removeprefix(_STEP).partition(": ")
            found.setdefault(name, {})[f": {whose}" if whose else row["unit"]] = row
    rows = []
    for name, measured in found.items():
        own, other = measured.get(_UTILISED), measured.get(_TRAINERS)
        faster, leaner = measured.get(_FASTER), measured.get(_LEANER)
        rows.append(
            (
                name,
                _tokens_per_second(own),
                _tokens_per_second(other) if other else "–",
                f"{_number(faster['value'])}{_spread(faster)}" if faster else "–",
                _number(own["value"]) if own else "–",
                _detail(own, "peak_gib"),
                _detail(own, "planned_gib"),
                _detail(leaner, "theirs_peak_gib"),
                "; ".join(filter(None, (_aim(row) for row in measured.values() if row["unit"] != _LEANER))),
            )
        )
    return Block(f"{PARTS['bench_gpu']}: training beside Hugging Face Trainer with SDPA", _STEPS, tuple(rows))


def _tokens_per_second(row: Row | None) -> str:
    return _detail(row, "tokens_per_second") if row and row["unit"] == _UTILISED else "out of memory"


def _detail(row: Row | None, key: str) -> str:
    return _number(row["detail"][key]) if row else "–"


def _of_unit(rows: list[Row], unit: str) -> str:
    return "; ".join(f"{_number(row['value'])}{_spread(row)}" for row in rows if row["unit"] == unit)


def _measured(row: Row) -> str:
    if row["unit"].startswith("power of"):
        return f"as the power {_number(row['value'])}{_spread(row)} {row['unit'].removeprefix('power ')}"
    return f"{_number(row['value'])} {row['unit']}{_spread(row)}"


def _spread(row: Row) -> str:
    return f" ({_number(row['lowest'])} to {_number(row['highest'])})" if row["n"] > 1 else ""


def _aim(row: Row) -> str:
    """What was aimed for, and whether it was reached."""
    if row["aim"] is None:
        return ""
    reached = row["value"] >= row["aim"] if row["more"] else row["value"] <= row["aim"]
    of = {_FASTER: "speed ", _LEANER: "memory ", _UTILISED: "rate "}.get(row["unit"], "")
    return f"{of}{'≥' if row['more'] else '≤'} {_number(row['aim'])}: {'met' if reached else '🔴 missed'}"


def _number(value: float) -> str:
    """Three digits, and no exponent below a million.

    >>> [_number(value) for value in (0.0421, 1.3, 12.345, 1234.5, 1.5e9)]
    ['0.0421', '1.3', '12.3', '1234', '1.5e+09']
    """
    return f"{value:.0f}" if 1000 <= value < 1e6 else f"{value:.3g}"


def _where(found: dict[str, Part]) -> str:
    """Which parts were measured on which device, when, at which commit."""
    groups: dict[tuple[str, str, str], list[str]] = {}
    for name in filter(found.__contains__, PARTS):
        one = found[name]
        key = (one["device"], one["written"][:10], (one.get("commit") or "no commit")[:10])
        groups.setdefault(key, []).append(PARTS[name][0].lower() + PARTS[name][1:])
    return " ".join(
        f"On {device}, {day}, at {commit}: {', '.join(names)}." for (device, day, commit), names in groups.items()
    )
