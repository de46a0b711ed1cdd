"""What a step spends its time on, read from the trace that torch's profiler wrote of it."""

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Event = dict[str, Any]  # of a Chrome trace

STEP = "the measured step"  # its name in a trace
DOMINANT = 12  # kernels that are listed
LARGEST_TRACE = 10 * 2**20  # bytes
NO_KERNELS = "none (CPU)"
# What tells an attention kernel by its name, the first that matches: cuDNN's has "flash" in it, too.
KINDS = {"cudnn": "cudnn", "flash": "flash", "fmha": "mem-efficient", "softmax": "math"}


def step_profile(events: Sequence[Event], step_seconds: float) -> dict[str, Any]:
    """What a training step spends its time on.

    Args:
        events: of a Chrome trace, in which the step is the event named `STEP`.
        step_seconds: how long a step takes when nobody looks.

    Returns:
        The share of the step in which the GPU was busy, while it was traced and measured against `step_seconds`; how
        often the host waited for the device; the dominant kernels and all of attention, each with its share of the
        time of all kernels and how often it ran.
    """
    start, end = next((e["ts"], e["ts"] + e["dur"]) for e in events if e.get("name") == STEP and _is(e, "user_"))
    host = [e for e in events if start <= e.get("ts", -1) <= end]
    work = [(e["ts"], e["ts"] + e["dur"]) for e in events if _is(e, "kernel") or _is(e, "gpu_mem")]
    busy = _covered(work)
    last = max([end, *(until for _, until in work)])
    waits = ("cudaStreamSynchronize", "cudaDeviceSynchronize", "cudaEventSynchronize")
    syncs = {name: sum(e.get("name") == name for e in host) for name in (*waits, "aten::_local_scalar_dense")}
    syncs["Memcpy DtoH"] = sum("DtoH" in str(e.get("name")) for e in events if _is(e, "gpu_mem"))
    ran = sorted(kernels(events).items(), key=lambda item: -item[1][0])
    total = sum(spent for _, (spent, _) in ran)
    shares: list[dict[str, Any]] = [
        {"kernel": name[:160], "share": spent / total, "calls": calls} for name, (spent, calls) in ran
    ]
    ours = [each for each in shares if _kind(each["kernel"])]
    return {
        "busy": busy / (last - start),
        "busy of an untraced step": busy / 1e6 / step_seconds,
        "host waits": sum(syncs[name] for name in waits),
        "copies to the host": syncs["Memcpy DtoH"],
        "attention kernels": attention_kinds([each["kernel"] for each in ours]),
        "attention share": sum(each["share"] for each in ours),
        "syncs": syncs,
        "kernel launches": sum(each["calls"] for each in shares),
        "dominant kernels": shares[:DOMINANT],
        "kernels of attention": ours,
    }


def _is(event: Event, category: str) -> bool:
    return str(event.get("cat", "")).startswith(category)


def kernels(events: Sequence[Event]) -> dict[str, tuple[float, int]]:
    """The microseconds that each kernel took in all, and how often it ran."""
    found: dict[str, tuple[float, int]] = {}
    for event in events:
        if _is(event, "kernel"):
            spent, calls = found.get(event["name"], (0.0, 0))
            found[event["name"]] = (spent + event["dur"], calls + 1)
    return found


def attention_kinds(names: Sequence[str]) -> str:
    """Whose attention some kernels belong to, joined by plus signs."""
    return "+".join(sorted({kind for name in names if (kind := _kind(name))})) or NO_KERNELS


def _kind(kernel: str) -> str | None:
    """Whose attention a kernel belongs to, or None if it is no attention."""
    return next((kind for part, kind in KINDS.items() if part in kernel.lower()), None)


def _covered(intervals: Sequence[tuple[float, float]]) -> float:
    """The length of the union of intervals."""
    covered, end = 0.0, -math.inf
    for start, stop in sorted(intervals):
        covered += max(stop - max(start, end), 0.0)
        end = max(end, stop)
    return covered


def keep_trace(events: Sequence[Event], path: Path) -> None:
    """Writes a trace for ui.perfetto.dev, unless it is large."""
    content = gzip.compress(json.dumps({"traceEvents": events}).encode(), compresslevel=3)
    if len(content) < LARGEST_TRACE:
        path.write_bytes(content)
