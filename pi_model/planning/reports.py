"""A plan as JSON values, as a table for people, and as the reason why a run does not fit."""

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from textwrap import TextWrapper
from typing import Any

from pi_model.planning.formulas import formulas, meanings
from pi_model.planning.givens import Givens
from pi_model.planning.levers import Lever
from pi_model.planning.sheet import PARTS, UTILISATION, UTILISATION_COMPILED, UTILISATION_SPREAD, Plan
from pi_theory.console import width, wrap

# where the meanings begin, after a name, a value and its unit
_INDENT = " " * 47

# Models of fewer parameters may be slower than assumed. On one H100, 135M reached at most this share of its peak, and
# 1B a good deal more (see `pi_model.planning.sheet.UTILISATION`).
_SMALL, _SMALL_REACHES = 1e9, 0.3


def report(
    planned: Plan,
    fewest: int | None,
    paper: Sequence[Plan],
    plain: Plan | None = None,
    helping: Sequence[Lever] = (),
    price: float | None = None,
) -> dict[str, Any]:
    """A plan as JSON values: the answer, the givens, and each quantity with its formula, value, unit and meaning.

    Args:
        planned: The plan.
        fewest: What `fewest_gpus` gives for the run at its leanest.
        paper: What `beside_paper` gives for the run.
        plain: Where layers are compiled by advice, the plan without that.
        helping: What `levers` gives for the run.
        price: What an hour of one GPU costs, in any currency; None where nobody said.
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
        "context_parallel": config.context_parallel,
        "run_time_range": _range(planned),
        "price": price,
        "cost": None if price is None else price * _all_hours(planned),
        "advice": [] if plain is None else [_compile_advice(plain, planned)],
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
        "levers": [
            {
                "lever": one.name,
                "settings": list(one.settings),
                "same_result": one.same_result,
                "gpus": one.plan.gpus,
                "gpu": one.plan.gpu.name,
                "fits": one.plan.fits,
                "peak": one.plan.sheet.peak,
                "room": one.plan.sheet.room,
                "run_time": one.plan.sheet.run_time,
                "gpu_hours": one.plan.sheet.gpu_hours,
                "cost": None if price is None else price * _all_hours(one.plan),
            }
            for one in helping
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


def _range(planned: Plan) -> tuple[float, float] | None:
    """Hours of all steps with a little more and a little less of the GPUs' peak; None where a share was asked for."""
    sheet = planned.sheet
    if sheet.utilisation not in (UTILISATION, UTILISATION_COMPILED):
        return None
    more, less = (
        replace(sheet, utilisation=sheet.utilisation + by).run_time for by in (UTILISATION_SPREAD, -UTILISATION_SPREAD)
    )
    return more, less


def _all_hours(planned: Plan) -> float:
    """Hours of all GPUs together, from loading to the export."""
    return planned.gpus * (planned.sheet.run_time + planned.sheet.other_time)


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
            f"memory and time are planned as if layers were not compiled, because compile together with {together} has "
            "not been measured"
        )
    if config.context_parallel > 1:
        notes.append(
            "windows that GPUs share have not been run on a GPU; their memory agrees with what their code allocates on "
            "a CPU"
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
        content: What `report` gives, and under "verified", where a step was simulated, its "simulated_peak" and the
            "planned_peak", in bytes.
        explain: Whether to print the formula below each quantity, and the givens at the end.
    """
    first, *others = _answer(content)
    lines = [wrap(first), "", *(wrap(line, "  ", "") for line in others), *_levers(content)]
    for heading, part in PARTS.items():
        lines += ["", heading]
        for name in (formula.name for formula in formulas(part)):
            quantity = content["quantities"][name]
            value, unit = _readable(quantity["value"], quantity["unit"])
            lines.append(wrap(quantity["meaning"], _INDENT, f"{name:>24} {value:>15} {unit:5} "))
            if explain:
                lines.append(_formula(quantity["formula"]))
    if explain:
        lines += ["", "What the formulas start from"]
        meaning = meanings(Givens)
        for name, value in content["givens"].items():
            lines.append(wrap(meaning[name], _INDENT, f"{name:>24} {_given(value):>15}       "))
        lines += ["", wrap(f"The data sheets are: {content['gpu_facts']['source']}.")]
    return "\n".join(lines)


def _formula(expression: str) -> str:
    """A formula below its quantity, broken between words where it is longer than a line."""
    wrapper = TextWrapper(width(), initial_indent=f"{'':>8}= ", subsequent_indent=f"{'':>10}", break_long_words=False)
    return wrapper.fill(expression)


def _answer(content: dict[str, Any]) -> list[str]:
    values = {name: quantity["value"] for name, quantity in content["quantities"].items()}
    givens, passes = content["givens"], content["accumulation"]
    where = f"on {content['gpus']} x {content['gpu']}"
    answer = f"Yes, it fits {where}" if content["fits"] else f"No, it does not fit {where}"
    model, cost = content["model"] or "a new model", content["cost"]
    takes, costs = ("The run takes", "costs") if content["fits"] else ("If it did, it would take", "cost")
    cost = (
        ""
        if cost is None
        else f", and {costs} {cost:,.0f} at {content['price']:g} an hour and GPU, loading and export included"
    )
    return [
        f"{answer}: each GPU {_needs(values)}. {takes} {_takes(values)}{cost}.",
        f"run: {model} at a context of {content['context_tokens']} tokens, {givens['steps']} steps of "
        f"{content['global_batch']} windows of {content['sequence_tokens']} tokens",
        f"settings: {' '.join(_settings(content))}; each GPU makes {passes} forward "
        f"{'pass' if passes == 1 else 'passes'} a step",
        f"time: of the steps alone, at {_share(content)} of the GPUs' peak; {_time(values['other_time'])} more "
        f"for loading, {'evaluation, ' if givens['evaluations'] else ''}the last checkpoint and the export, and before "
        f"that {_time(values['preparation_time'])} of one core to make tokens of the text",
        f"disk: {values['checkpoints'] / 2**30:,.0f} GiB of checkpoints and {values['exported'] / 2**30:,.0f} GiB for "
        "the exported model",
        *(f"compiled: {_advised(one)}" for one in content["advice"]),
        *_simulated(content),
        *(f"note: {note}" for note in content["notes"]),
        f"fewest GPUs: {_fewest(content)} the settings that take least memory",
        *(
            f"for comparison: the paper used {one['gpus']} A100; planned on {one['gpu']}, each GPU {_needs(one)}, "
            f"and the run takes {_takes(one)}"
            for one in content["paper"]
        ),
    ]


def _share(content: dict[str, Any]) -> str:
    """The share of the peak that is assumed, and what would come of a little more and a little less."""
    share, between = content["givens"]["utilisation"], content["run_time_range"]
    if between is None:
        return f"{share:g}"
    low, high = (f"{share + by:.2f}" for by in (-UTILISATION_SPREAD, UTILISATION_SPREAD))
    return f"{share:g} ({_time(between[1])} at {low}, {_time(between[0])} at {high})"


def _simulated(content: dict[str, Any]) -> list[str]:
    """What a simulated step took, where one was asked for."""
    found = content.get("verified")
    if not found:
        return []
    simulated, planned = found["simulated_peak"], found["planned_peak"]
    compiled = " without compiled layers" if content["compile"] else ""
    return [
        f"simulated: a step{compiled} took {simulated / 2**30:.2f} GiB on a GPU at its peak, where "
        f"{planned / 2**30:.2f} GiB are planned, {100 * abs(planned / simulated - 1):.1f}% "
        f"{'more' if planned >= simulated else 'less'}"
    ]


def _fewest(content: dict[str, Any]) -> str:
    fewest, most = content["fewest_gpus"], content["global_batch"] * content["context_parallel"]
    if fewest is None:
        return "no number is enough, even at"
    return f"{fewest}, at" if fewest <= most else f"{fewest}, but the batch can be shared by {most} at most, at"


def _settings(content: dict[str, Any]) -> list[str]:
    names = ["micro_batch", "activation_checkpointing"]
    names += ["context_parallel"] if content["context_parallel"] > 1 else []
    return [f"{name}={content[name]}" for name in names] + ["compile=true"] * content["compile"]


def _levers(content: dict[str, Any]) -> list[str]:
    """A table of what would help, or nothing where nothing does."""
    found = content["levers"]
    if not found:
        return []
    heading = "With fewer GPUs" if content["fits"] else "What would help"
    priced = content["price"] is not None
    last = f"{'cost':>10}" if priced else f"{'GPU-hours':>10}"
    lines = ["", heading, f"  {'lever':<37} {'GPUs':>5} {'peak GiB':>8} {'fits':>4} {'hours':>8} {last}"]
    for one in found:
        name = one["lever"] + ("" if one["same_result"] else " *")
        end = f"{one['cost']:>10,.0f}" if priced else f"{one['gpu_hours']:>10,.0f}"
        row = (
            f"{one['gpus']:>5} {one['peak'] / 2**30:>8.1f} {'yes' if one['fits'] else 'no':>4} {one['run_time']:>8.1f}"
        )
        # A long name has a line of its own, so that the columns stay where they are.
        lines += [f"  {name:<37} {row} {end}"] if len(name) <= 37 else [f"  {name}", f"  {'':<37} {row} {end}"]
    if not all(one["same_result"] for one in found):
        lines.append("  * trains another model than the run as it stands")
    return lines


def _advised(advice: dict[str, Any]) -> str:
    plain, spared = (advice["peak"] + advice["spared"]) / 2**30, advice["spared"] / 2**30
    difference = f"{abs(spared):.1f} GiB {'more' if spared >= 0 else 'less'}"
    return f"with compile=false each GPU needs {plain:.1f} GiB, {difference}; {advice['why']}"


def _needs(values: dict[str, Any]) -> str:
    return f"needs {values['peak'] / 2**30:.1f} GiB and has room for {values['room'] / 2**30:.1f} GiB"


def _takes(values: dict[str, Any]) -> str:
    together = values["gpu_hours"]
    return f"{_time(values['run_time'])}, {together:.{0 if together >= 10 else 1}f} GPU-hours"


def _time(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.1f} hours"
    return f"{60 * hours:.0f} minutes" if hours >= 1.5 / 60 else "a minute"


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
    most = planned.config.global_batch * planned.config.context_parallel // planned.config.micro_batch
    if fewest > most:
        return f"{need}; {fewest} GPUs would be enough, but the global batch can be shared by {most} at most"
    return f"{need}; {fewest} GPUs would be enough"
