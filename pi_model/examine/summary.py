"""An examination as JSON values, and as text for a terminal."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pi_model.examine.findings import Cost, Examination, Method
from pi_theory.console import counted, wrap

_AS_IT_IS = "as it is"


def answer(examination: Examination) -> dict[str, Any]:
    """The answer as JSON values: what others rely on at the top, and everything else by the names of `findings`."""
    identity, recommendation = examination.identity, examination.recommendation
    return {
        "model": identity.model,
        "window_tokens": identity.window_tokens,
        "window_from": identity.window_from,
        "serves_tokens": identity.context_tokens,
        "context_tokens": examination.context_tokens,
        "methods": [
            {**asdict(method), "loss_nats": None if method.measured is None else method.measured.loss_nats}
            for method in examination.methods
        ],
        "recommended": recommendation.method,
        "fine_tune": recommendation.fine_tune,
        "reasons": [asdict(reason) for reason in recommendation.reasons],
        "commands": list(recommendation.commands),
        "identity": asdict(identity),
        "theorem": asdict(examination.theorem),
        "sharpness": None if examination.sharpness is None else asdict(examination.sharpness),
        "cost": None if examination.cost is None else asdict(examination.cost),
        "data": examination.data,
        "device": examination.device,
        "minutes": examination.minutes,
        "complete": examination.complete,
    }


def headline(examination: Examination) -> str:
    """The recommendation in one sentence."""
    identity, recommendation, asked = examination.identity, examination.recommendation, examination.context_tokens
    if recommendation.method is None:
        return f"It cannot be told yet how to read {asked} tokens."
    if recommendation.method == "none":
        return f"Use it as it is: it reads {asked} tokens."
    factor = asked / identity.context_tokens
    then = {True: ", then fine-tune", False: "; fine-tuning is not needed for that", None: ""}
    return f"Extend by {recommendation.method} x{factor:g} to {asked} tokens{then[recommendation.fine_tune]}."


def text(examination: Examination) -> str:
    """The examination for a terminal."""
    identity = examination.identity
    size = f"{identity.parameters / 1e6:,.1f}M" if identity.parameters < 1e9 else f"{identity.parameters / 1e9:,.1f}B"
    lines = [
        wrap(
            f"{identity.model}: {identity.family}, {size} parameters in {identity.dtype}, trained on "
            f"{identity.window_tokens} tokens ({identity.window_from}), serves {identity.context_tokens}; asked for "
            f"{examination.context_tokens}"
        ),
        "",
        wrap(headline(examination)),
        *(wrap(f"{reason.text} ({reason.evidence})", "    ", "  - ") for reason in examination.recommendation.reasons),
        *(f"  $ {command}" for command in examination.recommendation.commands),
        "",
        *_methods(examination),
    ]
    if examination.cost is not None:
        lines += ["", wrap(f"Fine-tuning would take {_takes(examination.cost)}")]
    if identity.oddities:
        lines += ["", "Not as in a plain LLaMA:"]
        lines += [wrap(f"{oddity.what}: {oddity.means}", "    ", "  - ") for oddity in identity.oddities]
    measured = f"Measured for {examination.minutes:.1f} minutes on {examination.data}; {examination.device}."
    if not examination.device:
        measured = "Nothing was measured: this is what the config alone says."
    more = "" if examination.complete else " The same command with more --minutes refines this."
    return "\n".join([*lines, "", wrap(measured + more)])


def _methods(examination: Examination) -> list[str]:
    lines = [
        f"{'':10} {'reach':>8} {'bends':>6} {'predicted':>10}   {'perplexity':^24} {'passkeys':>9}",
        f"{'':10} {'tokens':>8} {'kept':>6} {'nats more':>10} {'inside':>9} {'whole':>9} {'last':>9} {'found':>9}",
    ]
    for one in examination.methods:
        measured = one.measured
        losses = [] if measured is None else [measured.inside, measured.whole, measured.last]
        cells = [f"{_perplexity(nats):>9}" for nats in losses] or [f"{'-':>9}"] * 3
        reach = "no end" if one.reach_tokens is None else str(one.reach_tokens)
        bend = f"{one.resolution if one.bend is None else one.bend:.2f}"
        costs = "-" if one.predicted is None else f"{one.predicted.low:.2g}-{one.predicted.high:.2g}"
        name = _AS_IT_IS if one.method == "none" else one.method
        lines.append(f"{name:10} {reach:>8} {bend:>6} {costs:>10} {' '.join(cells)} {_passkeys(one):>9}")
    lines.append(
        wrap(
            "reach: tokens up to which every phase is one that training showed; bends kept: how sharply heads still "
            "tell a token from its neighbours; predicted: the loss to be expected at the context, above that of the "
            "model as it is with recent tokens alone, in nats per token, from how far attention is moved, as two other "
            "models have it; perplexity inside the old window, over the whole context and over its last eighth; "
            "passkeys found at some distances"
        )
    )
    return lines


def _passkeys(method: Method) -> str:
    if not method.passkeys:
        return "-"
    return f"{sum(share > 0 for share in method.passkeys.values())} of {len(method.passkeys)}"


def _perplexity(nats: Sequence[float]) -> str:
    value = math.exp(min(float(np.mean(nats)), 700))
    return f"{value:.4g}"


def _takes(cost: Cost) -> str:
    if cost.hours < 1 / 60:
        time = f"{cost.hours * 3600:.0f} seconds"
    elif cost.hours < 1:
        time = f"{cost.hours * 60:.0f} minutes"
    else:
        time = f"{cost.hours:.1f} hours"
    room = "which has room" if cost.fits else "which does not have room"
    return f"{time} on {counted(cost.gpus, cost.gpu)}, {room} ({cost.peak_gib:.1f} GiB each): {cost.run}."
