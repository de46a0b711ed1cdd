"""Which device a command runs on."""

import re

import torch

from pi_model.errors import UsageError

DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")


def chosen_device(asked: str) -> str:
    """The device that was asked for, after checking that it is there.

    Args:
        asked: "cpu", "cuda", "cuda:N", or "auto", which is CUDA where there is a CUDA device and else the CPU.

    Raises:
        UsageError: there is no such device.
    """
    if not DEVICE.fullmatch(asked):
        raise UsageError(f"device: unknown {asked!r}, give auto, cpu, cuda or cuda:N")
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if asked == "auto":
        return "cuda" if there else "cpu"
    if asked != "cpu" and int(asked.partition(":")[2] or 0) >= there:
        found = f"only {there} of them" if there else "none"
        raise UsageError(f"device: no {asked} here, CUDA finds {found}; use cpu, or auto for whatever there is")
    return asked


def fast_dtype(device: str) -> str:
    """The number format in which a device multiplies matrices fastest: "bfloat16", or "float32" on many CPUs.

    Args:
        device: as `chosen_device` gives it.
    """
    if device != "cpu":
        return "bfloat16"
    capable = torch.cpu.get_capabilities()
    return "bfloat16" if capable.get("amx_bf16") or capable.get("avx512_bf16") else "float32"


def stated(asked: str, chosen: str) -> str | None:
    """One line that says which device was chosen; None where the caller chose it."""
    if asked != "auto":
        return None
    return f"device: {chosen}" + ("" if chosen != "cpu" else ", as CUDA finds no GPU")
