"""A plan as JSON values, as a table for people, and as the reason why a run does not fit."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from pi_model.planning.formulas import formulas, meanings
from pi_model.planning.givens import Givens
from pi_model.planning.sheet import PARTS, Plan
from pi_theory.console import wrap

# where the meanings begin, after a name, a value and its unit
_INDENT = " " * 47

# Models of fewer parameters may be slower than assumed. On one H100, 135M reached at most this share of its peak, and
# 1B a good deal more (see `pi_model.planning.sheet.UTILISATION`).
_SMALL, _SMALL_REACHES = 1e9, 0.3


def report(planned: Plan, fewest: int | None, paper: Sequence[Plan], compiled: Plan | None) -> dict[str, Any]:
    """A plan as JSON values: the answer, the givens, and each quantity with its formula, value, unit and meaning.

    Args:
        planned: The plan.
        fewest: What `fewest_gpus` gives for the run at its leanest.
        paper: What `beside_paper` gives for the run.
        compiled: What `advise_compile` gives for the plan.
    """
    config, sheet = planned.config, planned.sheet
    return {
        "model": config.model,
        "context_tokens": config.context_tokens,
        "sequence_tokens": config.training_tokens,
        "global_batch": config.global_batch,
        "dtype": config.dtype,
        "gpus": planned.gpus,
        "gpu": planned.gpu.name,
        "gpu_facts": asdict(planned.gpu),
        "fits": planned.fits,
        "fewest_gpus": fewest,
        "micro_batch": config.micro_batch,
        "accumulation": config.accumulation(planned.gpus),
        "activation_checkpointing": config.activation_checkpointing,
        "compile": config.compile,
        "advice": [] if compiled is None else [_compile_advice(planned, compiled)],
        "notes": _notes(planned),
        "paper": [
            {
                "gpus": one.gpus,
                "gpu": one.gpu.name,
                "fits": one.fits,
                "peak": one.sheet.peak,
                "room": one.sheet.room,
                "run_time": one.sheet.run_time,
                "gpu_hours": one.sheet.gpu_hours,
            }
            for one in paper
        ],
        "givens": {given.name: getattr(sheet, given.name) for given in fields(sheet)},
        "quantities": {
            formula.name: {
                "value": getattr(sheet, formula.name),
                "unit": formula.unit,
                "formula": formula.expression,
                "meaning": formula.meaning,
            }
            for part in PARTS.values()
            for formula in formulas(part)
        },
    }


def _compile_advice(planned: Plan, compiled: Plan) -> dict[str, Any]:
    """The changes that make the compiled run, the bytes it is planned to take at its peak and to spare, and why."""
    config = compiled.config
    return {
        "settings": [
            "compile=true",
            f"micro_batch={config.micro_batch}",
            f"activation_checkpointing={config.activation_checkpointing}",
        ],
        "peak": compiled.sheet.peak,
        "spared": planned.sheet.peak - compiled.sheet.peak,
        "why": "measured on one H100 with 135M and 1B parameters, in windows of 16384 tokens, a step was 1.2 to 1.3 "
        "times as fast compiled, and compiling took 6 to 8 seconds once",
    }


def _notes(planned: Plan) -> list[str]:
    """What a reader has to know of the plan beside its numbers."""
    config, sheet = planned.config, planned.sheet
    notes = []
    if config.compile and not sheet.compiled_away:
        together = "adapters" if config.lora else f"activation_checkpointing={config.activation_checkpointing}"
        notes.append(
            f"memory is planned as if layers were not compiled, because compile together with {together} has not been "
            "measured"
        )
    if sheet.parameters < _SMALL and sheet.utilisation > _SMALL_REACHES:
        notes.append(
            f"time assumes {sheet.utilisation:g} of the GPU's peak, which so small a model may not reach: 135M "
            "parameters reached 0.07 to 0.30 on one H100, least in short windows (--utilisation)"
        )
    return notes


def table(content: dict[str, Any], *, explain: bool) -> str:
    """A report for people: the answer first, then every quantity.

    Args:
        content: What `report` gives.
        explain: Whether to print the formula below each quantity, and the givens at the end.
    """
    lines = [wrap(line, "  ", "") for line in _answer(content)]
    for heading, part in PARTS.items():
        lines += ["", heading]
        for name in (formula.name for formula in formulas(part)):
            quantity = content["quantities"][name]
            value, unit = _readable(quantity["value"], quantity["unit"])
            lines.append(wrap(quantity["meaning"], _INDENT, f"{name:>24} {value:>15} {unit:5} "))
            if explain:
                lines.append(f"{'':>24} = {quantity['formula']}")
    if explain:
        lines += ["", "What the formulas start from"]
        meaning = meanings(Givens)
        for name, value in content["givens"].items():
            lines.append(wrap(meaning[name], _INDENT, f"{name:>24} {_given(value):>15}       "))
        lines += ["", wrap(f"The data sheets are: {content['gpu_facts']['source']}.")]
    return "\n".join(lines)


def _answer(content: dict[str, Any]) -> list[str]:
    values = {name: quantity["value"] for name, quantity in content["quantities"].items()}
    answer = "yes, on" if content["fits"] else "no, not on"
    passes, fewest = content["accumulation"], content["fewest_gpus"]
    return [
        f"fits: {answer} {content['gpus']} x {content['gpu']}; each GPU {_needs(values)}",
        f"time: {_takes(values)} at {content['givens']['utilisation']:g} of the GPUs' peak, evaluation and checkpoints "
        "left out",
        f"run: {content['model'] or 'a new model'}, {content['givens']['steps']} steps of {content['global_batch']} "
        f"windows of {content['sequence_tokens']} tokens",
        f"settings: micro_batch={content['micro_batch']}, "
        f"activation_checkpointing={content['activation_checkpointing']}{', compile=true' * content['compile']}; "
        f"each GPU makes {passes} forward {'pass' if passes == 1 else 'passes'} a step",
        *(f"advice: {_advised(one)}" for one in content["advice"]),
        *(f"note: {note}" for note in content["notes"]),
        f"fewest GPUs: {f'{fewest}, at' if fewest else 'no number is enough, even at'} the settings that take least "
        "memory",
        *(
            f"for comparison: the paper used {one['gpus']} A100; planned on {one['gpu']}, each GPU {_needs(one)}, "
            f"and the run takes {_takes(one)}"
            for one in content["paper"]
        ),
    ]


def _advised(advice: dict[str, Any]) -> str:
    peak, spared = advice["peak"] / 2**30, advice["spared"] / 2**30
    difference = f"{abs(spared):.1f} GiB {'less' if spared >= 0 else 'more'}"
    return f"{' '.join(advice['settings'])}; each GPU would need {peak:.1f} GiB, {difference}; {advice['why']}"


def _needs(values: dict[str, Any]) -> str:
    return f"needs {values['peak'] / 2**30:.1f} GiB and has room for {values['room'] / 2**30:.1f} GiB"


def _takes(values: dict[str, Any]) -> str:
    return f"{values['run_time']:.1f} hours, {values['gpu_hours']:.0f} GPU-hours"


def _readable(value: float, unit: str) -> tuple[str, str]:
    if unit == "bytes":
        return f"{value / 2**30:,.3f}", "GiB"
    if unit == "FLOP":
        return f"{value / 1e15:,.3f}", "PFLOP"
    return (f"{value:,.0f}" if value == int(value) else f"{value:,.3f}"), unit


def _given(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(name.removesuffix("_proj") for name in value) or "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def shortfall(planned: Plan, fewest: int | None) -> str:
    """Why a run does not fit, and what would help.

    Args:
        planned: A plan that does not fit.
        fewest: What `fewest_gpus` gives for the run at its leanest.
    """
    need = (
        f"does not fit: each of {planned.gpus} GPUs needs {planned.peak_gib:.1f} GiB and has room for "
        f"{planned.room_gib:.1f} GiB"
    )
    if fewest is None:
        return f"{need}; no number of these GPUs is enough: use a shorter sequence or a GPU with more memory"
    most = planned.config.global_batch // planned.config.micro_batch
    if fewest > most:
        return f"{need}; {fewest} GPUs would be enough, but the global batch can be shared by {most} at most"
    return f"{need}; {fewest} GPUs would be enough"
