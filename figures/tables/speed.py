"""The benchmarks as a table, from their committed records."""

from typing import Any

from experiments.records.record import NoRecord, read
from figures.tables.table import Block, Table, cell

# part of a record -> what it is called, in the table's order
PARTS = {
    "bench_theory": "Theory",
    "bench_perplexity": "Perplexity",
    "bench_passkey": "Passkey retrieval",
    "bench_training": "Training",
    "bench_gpu": "On a CUDA GPU",
    "bench_startup": "What a user waits for",
    "bench_cold": "From a fresh clone",
    "bench_growth": "How time grows",
}
_COLUMNS = ("what", "beside", "measured", "aim")

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
    """A block a part, and in the caption how to read it and where each part was measured. Raises as `parts` does."""
    found = parts()
    blocks = [Block(says, _COLUMNS, _rows(name, found.get(name))) for name, says in PARTS.items()]
    caption = (
        "Ratios are medians of turns taken in one run, with their range; ours is the better one above 1 in speed and "
        f"below 1 in memory. {_where(found)}"
    )
    return Table("Speed and memory", caption.strip(), tuple(blocks))


def markdown(shown: Table) -> str:
    """All blocks as one Markdown table, and the caption."""
    lines = [_line(_COLUMNS), "|---" * len(_COLUMNS) + "|"]
    for block in shown.blocks:
        lines += [_line((f"**{block.title}**", "", "", "")), *map(_line, block.rows)]
    return "\n".join([*lines, "", shown.caption]) + "\n"


def _rows(name: str, part: Part | None) -> tuple[tuple[str, ...], ...]:
    if part is None:
        how = "needs a CUDA GPU" if name == "bench_gpu" else f'needs make bench BENCH_ARGS="{name} --keep"'
        return (("not measured", "", how, ""),)
    together: dict[tuple[str, str], list[Row]] = {}
    for row in part["rows"]:
        together.setdefault((row["what"], row["beside"]), []).append(row)
    left = part.get("not_measured", [])
    rest = [(f"not measured yet: {', '.join(left)}", "", "", "")] if left else []
    return (
        *(
            (what, beside, "; ".join(map(_measured, rows)), "; ".join(filter(None, map(_aim, rows))))
            for (what, beside), rows in together.items()
        ),
        *rest,
    )


def _measured(row: Row) -> str:
    spread = f" ({_number(row['lowest'])} to {_number(row['highest'])})" if row["n"] > 1 else ""
    if row["unit"].startswith("power of"):
        return f"as the power {_number(row['value'])}{spread} {row['unit'].removeprefix('power ')}"
    return f"{_number(row['value'])} {row['unit']}{spread}"


def _aim(row: Row) -> str:
    """What was aimed for, and whether it was reached."""
    if row["aim"] is None:
        return ""
    reached = row["value"] >= row["aim"] if row["more"] else row["value"] <= row["aim"]
    return f"{'≥' if row['more'] else '≤'} {_number(row['aim'])}: {'met' if reached else 'missed'}"


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
        key = (one["device"], one["written"][:10], (one["commit"] or "no commit")[:10])
        groups.setdefault(key, []).append(PARTS[name].lower())
    return " ".join(
        f"On {device}, {day}, at {commit}: {', '.join(names)}." for (device, day, commit), names in groups.items()
    )


def _line(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(cell, cells)) + " |"
