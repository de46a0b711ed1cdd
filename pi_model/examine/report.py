"""report.html: what one examination found, or two side by side, in one file that needs no network and no script.

The same findings give the same bytes. Every number links to the section that says how it was got.
"""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from pi_model.examine import report_charts as charts
from pi_model.examine.differences import Difference, best, difference, mean
from pi_model.examine.findings import Examination, Measured, Method, Stretch
from pi_model.examine.report_markup import (
    UNKNOWN,
    UNMEASURED,
    Column,
    by,
    code,
    facts,
    got,
    items,
    loss,
    number,
    perplexity,
    share,
    signed,
    table,
    text,
    whole,
)
from pi_model.examine.report_terms import TERMS, WAYS

_NAMES = {
    "none": "as it is", "linear": "linear (PI)", "ntk": "NTK-aware", "dynamic": "dynamic NTK", "yarn": "YaRN",
    "llama3": "Llama 3",
}  # fmt: skip
_WAY = {"proved": "proved", "from the heads": "heads", "measured": "measured", "planned": "planned"}
_SUCCESS = 0.2  # of trials, from which on a distance counts as reached: Chen et al. 2023, Section 3.3
_LETTERS = "AB"  # by which two examinations are told apart


def page(examinations: Sequence[Examination]) -> str:
    """The report as one HTML file.

    Args:
        examinations: one, or two to be compared, such as a model before and after fine-tuning.

    Raises:
        ValueError: there are neither one nor two.
    """
    if len(examinations) not in (1, 2):
        raise ValueError(f"examinations: need one or two, got {len(examinations)}")
    comparison = {"compared": ("The two compared", _compared(*examinations))} if len(examinations) == 2 else {}
    sections = comparison | {
        id: (title, _columns(examinations, content)) for id, (title, content) in _SECTIONS.items()
    }
    sections["how"] = ("How these numbers were got", _how())
    sections["made"] = ("How this report was made", _columns(examinations, _made))
    title = " beside ".join(one.identity.model for one in examinations)
    body = [
        f"<header><h1>{text(title)}</h1>",
        *map(_answer, examinations),
        "</header>",
        '<nav aria-label="Contents"><ul>',
        *(f'<li><a href="#{id}">{name}</a></li>' for id, (name, _) in sections.items()),
        "</ul></nav>\n<main>",
        *(
            f'<section id="{id}" aria-labelledby="{id}-title"><h2 id="{id}-title">{name}</h2>\n{content}</section>'
            for id, (name, content) in sections.items()
        ),
        "</main>",
    ]
    style = Path(__file__).with_suffix(".css").read_text(encoding="utf-8")
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>{text(title)}: a longer window</title>\n<style>\n{style}</style></head>\n"
        f'<body class="{("one", "two")[len(examinations) - 1]}">\n' + "\n".join(body) + "\n</body></html>\n"
    )


def _columns(examinations: Sequence[Examination], content: Callable[[Examination], str]) -> str:
    """What is to be said of each, side by side and under its name where there are two."""
    if len(examinations) == 1:
        return content(examinations[0])
    parts = (
        f"<div><h3>{letter}: {text(one.identity.model)}</h3>\n{content(one)}</div>"
        for letter, one in zip(_LETTERS, examinations, strict=True)
    )
    return '<div class="columns">' + "\n".join(parts) + "</div>"


# ---------------------------------------------------------------------------------------------- what to do


def _answer(one: Examination) -> str:
    """The recommendation in one sentence, and what it is the answer to."""
    method, context = one.recommendation.method, got(whole(one.context_tokens), "context")
    model = text(one.identity.model)
    training = {
        True: "fine-tuning is worth it",
        False: "fine-tuning is not needed",
        None: "whether fine-tuning is worth it cannot be told yet",
    }[one.recommendation.fine_tune]
    if method is None:
        says = f"Which method lets {model} read {context} tokens best cannot be told yet; {training}."
    elif method == "none":
        says = f"Leave {model} as it is to read {context} tokens; {training}."
    else:
        says = f"Extend {model} by {text(_title(one, method))} to read {context} tokens; {training}."
    window, today = got(whole(one.identity.window_tokens), "window"), got(whole(one.identity.context_tokens), "config")
    unfinished = "" if one.complete else f" {_UNFINISHED}"
    return (
        f'<p class="answer">{says}</p>\n<p class="soft">It was trained on windows of {window} tokens and serves '
        f"{today} today.{unfinished}</p>\n"
    )


_UNFINISHED = (
    "Not everything was measured yet: the same command with more <code>--minutes</code> goes on where it stopped and "
    "refines the numbers."
)


def _what_to_do(one: Examination) -> str:
    reasons = [f"{text(reason.text)} {_badge(reason.evidence)}" for reason in one.recommendation.reasons]
    commands = "".join(map(code, one.recommendation.commands))
    return (items(reasons) or "<p>No reasons are known yet.</p>") + (
        f"<p>To type (a click selects a whole command):</p>\n{commands}" if commands else ""
    )


def _badge(evidence: str) -> str:
    way = _WAY.get(evidence, "unknown")
    return f'<a class="badge {way}" href="#how-{way}">{text(evidence)}</a>'


# ---------------------------------------------------------------------------------------------- loss by position


def _loss_by_position(one: Examination) -> str:
    winner = best(one.methods)
    drawn = [
        charts.Line(_name(method), _style(method), method.measured.curve, bold=method is winner)
        for method in one.methods
        if method.measured
    ]
    marks = [
        charts.Mark(one.identity.window_tokens, f"trained window {whole(one.identity.window_tokens)}"),
        charts.Mark(one.context_tokens, f"target {whole(one.context_tokens)}"),
    ]
    caption = (
        "Each line is the mean loss of the documents at that position, read by one method; its value at the end "
        "stands beside it. The thick line has the lowest loss over the whole. ↑: the line leaves the picture at its "
        f'top. <a href="#how-loss">How losses are got</a>, on {text(one.data)}.'
    )
    return _losses("Loss by position, for each method", drawn, marks, one.context_tokens, caption)


def _losses(
    title: str, drawn: Sequence[charts.Line], marks: Sequence[charts.Mark], tokens: int, caption: str
) -> str:
    """The chart of losses by position, and its numbers in a table."""
    drawn = [line for line in drawn if line.points()]
    if not drawn:
        return f"<p>The loss by position is {UNMEASURED} yet.</p>"
    says = " ".join(
        f"{line.label}: {loss(line.points()[0][1])} nats at the start, {loss(line.points()[-1][1])} at the end."
        for line in drawn
    )
    places = sorted({(stretch.start, stretch.end) for line in drawn for stretch in line.curve})
    rows = [
        (f"{whole(start)} to {whole(end)}", [got(_at(line.curve, start, end), "loss") for line in drawn])
        for start, end in places
    ]
    columns = [Column(line.label, "loss") for line in drawn]
    numbers = table("Loss in nats per token between two positions", "tokens", columns, rows)
    return (
        charts.figure(title, says, charts.lines(drawn, marks, tokens), caption)
        + f"<details><summary>The numbers of this chart</summary>{numbers}</details>"
    )


def _at(curve: Sequence[Stretch], start: int, end: int) -> str:
    return loss(next((one.loss_nats for one in curve if (one.start, one.end) == (start, end)), None))


# ---------------------------------------------------------------------------------------------- methods


def _methods(one: Examination) -> str:
    before = [Column("reach", "reach"), Column("resolution, sharpest and flat", "resolution"),
              Column("bends kept", "bend"), Column("displacement", "displacement")]  # fmt: skip
    known = [(text(_title(one, method.method, method)), _known(method)) for method in one.methods]
    after = [Column(f"{name}: loss (perplexity)", "loss") for name in ("inside", "whole", "last")]
    after += [Column("whole, less the best", "difference"), Column("documents", "loss")]
    winner = best(one.methods)
    measured = [
        (text(_title(one, method.method, method)) + " ★" * (method is winner), _measured(method.measured, winner))
        for method in one.methods
    ]
    return table(
        "What is known of each method before anything is measured: reach and resolution from the configuration, the "
        "others from this checkpoint's heads.", "method", before, known,
    ) + table(
        "What was measured, on the same documents by each: loss in nats per token, and perplexity in brackets. ★ has "
        "the lowest loss over the whole; differences are to it, with their standard errors.",
        "method", after, measured,
    )  # fmt: skip


def _known(method: Method) -> list[str]:
    reach = "no limit" if method.reach_tokens is None else whole(method.reach_tokens)
    return [
        got(reach, "reach"),
        got(f"{share(method.resolution)}, {share(method.flat_resolution)}", "resolution"),
        got(share(method.bend), "bend"),
        got(number(method.displacement), "displacement"),
    ]


def _measured(measured: Measured | None, winner: Method | None) -> list[str]:
    if measured is None or not measured.documents:
        return [got(UNMEASURED, "measured")] * 4 + [got("0", "loss")]
    losses = [_loss(part) for part in (measured.inside, measured.whole, measured.last)]
    compared = ""
    if winner and winner.measured and winner.measured is not measured:
        compared = _difference(difference(measured.whole, winner.measured.whole))
    return [*losses, compared or got("the best" if winner else UNMEASURED, "difference"), whole_documents(measured)]


def whole_documents(measured: Measured) -> str:
    return got(whole(measured.documents), "loss")


def _loss(losses: Sequence[float]) -> str:
    value = mean(losses)
    return got(UNMEASURED if value is None else f"{loss(value)} ({perplexity(value)})", "loss")


def _difference(found: Difference | None) -> str:
    """A difference with its standard error, and in per cent of perplexity."""
    if found is None:
        return got(UNMEASURED, "difference")
    error = "" if found.error is None else f" ± {loss(found.error)}"
    more = f" ({_per_cent(found.nats)})" if math.isfinite(found.nats) else ""
    return got(f"{signed(found.nats)}{error}{more}", "difference")


def _per_cent(nats: float) -> str:
    """A difference of losses as one of perplexities; far above, as a multiple."""
    if nats > math.log(3):
        return f"{perplexity(nats)} times the perplexity"
    return f"{'+' * (nats > 0)}{number(100 * math.expm1(nats), 2)}%"


# ---------------------------------------------------------------------------------------------- reach and passkeys


def _reach(one: Examination) -> str:
    drawn = [charts.Bar(_name(method), _style(method), method.reach_tokens) for method in one.methods]
    marks = [
        charts.Mark(one.identity.window_tokens, f"trained window {whole(one.identity.window_tokens)}"),
        charts.Mark(one.context_tokens, f"target {whole(one.context_tokens)}"),
    ]
    says = " ".join(f"{bar.label}: {'no limit' if bar.tokens is None else whole(bar.tokens)}." for bar in drawn)
    caption = (
        "Up to how many tokens each method meets only angles that training has shown, from the configuration alone. "
        'It says how far attention is on known ground, not how good it is there. <a href="#how-reach">More on '
        "reach</a>."
    )
    return charts.figure("Reach of each method against the target, in tokens", says, charts.bars(drawn, marks), caption)


def _passkeys(one: Examination) -> str:
    tried = [method for method in one.methods if method.passkeys]
    if not tried:
        return f"<p>Passkeys are {UNMEASURED} yet.</p>"
    drawn = [charts.Row(_name(method), _style(method), method.passkeys or {}) for method in tried]
    says = " ".join(
        f"{row.label}: " + ", ".join(f"{share(found)} at {whole(k)}" for k, found in sorted(row.shares.items())) + "."
        for row in drawn
    )
    caption = (
        "How often each method finds a number hidden k tokens back; 4k is 4,096 tokens. "
        '<a href="#how-passkey">More on passkeys</a>.'
    )
    furthest = [
        (text(_title(one, method.method, method)), [got(whole(_k_max(method.passkeys or {})), "passkey")])
        for method in tried
    ]
    return charts.figure("Share of passkeys found, by distance", says, charts.shares(drawn), caption) + table(
        "The farthest distance up to which it is found at least one time in five at every distance tried; 0 if at "
        "none", "method", [Column("k_max, in tokens", "passkey")], furthest,
    )  # fmt: skip


def _k_max(found: dict[int, float]) -> int:
    reached = 0
    for distance in sorted(found):
        if not found[distance] >= _SUCCESS:
            break
        reached = distance
    return reached


# ---------------------------------------------------------------------------------------------- the checkpoint


def _checkpoint(one: Examination) -> str:
    its = one.identity
    scaling = "none" if its.method == "none" else f"{_NAMES.get(its.method, its.method)} {by(its.factor)}"
    rows = [
        ("family", text(its.family)),
        ("parameters", got(_millions(its.parameters), "config")),
        ("number format", text(its.dtype)),
        ("layers", got(whole(its.layers), "config")),
        ("heads", f"{got(whole(its.heads), 'config')}, keys and values {got(whole(its.kv_heads), 'config')}"),
        ("head size d", got(whole(its.head_dim), "config")),
        ("RoPE base c", got(whole(int(its.base)) if _is_whole(its.base) else number(its.base), "config")),
        ("trained window", f"{got(whole(its.window_tokens), 'window')} tokens, from {text(its.window_from)}"),
        ("scaling in place", got(scaling, "config")),
        ("serves today", f"{got(whole(its.context_tokens), 'config')} tokens"),
        ("vocabulary", got(whole(its.vocabulary), "config")),
        ("tokenizer", text(its.tokenizer)),
        ("begins a text with", "no token" if its.bos is None else f"<code>{text(its.bos)}</code>"),
    ]
    oddities = [f"<strong>{text(odd.what)}</strong>: {text(odd.means)}" for odd in its.oddities]
    return facts(rows) + (
        f"<h3>What is not as in a plain LLaMA</h3>\n{items(oddities)}"
        if oddities
        else "<p>Everything else is as in a plain LLaMA.</p>"
    )


def _is_whole(value: float | None) -> bool:
    return value is not None and math.isfinite(value) and value == int(value) and abs(value) < 1e15


def _millions(parameters: int) -> str:
    if parameters < 1_000_000:
        return whole(parameters)
    size, word = (1e9, "billion") if parameters >= 1e9 else (1e6, "million")
    return f"{number(parameters / size, 4)} {word}"


def _proved(one: Examination) -> str:
    theorem, size = one.theorem, f"d = {whole(one.identity.head_dim)}, c = {number(one.identity.base, 6)}"
    verdict = "holds" if theorem.published_holds else "does not hold"
    most = got(number(theorem.published_margin, 4), "theorem")
    between = got(number(theorem.between_trained, 5), "proved")
    needless = got(number(theorem.needless_extrapolation), "proved")
    said = [
        f"Theorem 2.1 of Chen et al. 2023 {verdict} for heads of this size and base ({text(size)}): the published "
        f"bound is met {most} times at worst, and it holds if that is at most 1.",
        f"Between two trained positions no score exceeds the trained ones by more than a factor of {between}, that is "
        "sec(1/2), far from the ends of the window.",
        f"Published Position Interpolation asks for {needless} distances just beyond the largest trained one; a "
        "factor of (L′−1)/(L−1), with L the trained window and L′ the target, would ask for none.",
    ]
    sharp = one.sharpness
    heads = (
        f"The heads were {UNMEASURED} yet."
        if sharp is None
        else f"{got(f'{whole(sharp.sharp_heads)} of {whole(sharp.heads)}', 'sharp')} heads are sharp; the sharpest, "
        f"head {got(whole(sharp.sharpest_head), 'sharp')} of layer {got(whole(sharp.sharpest_layer), 'sharp')}, has a "
        f"mean bend of {got(number(sharp.sharpest), 'sharp')} nats."
    )
    return items([f"{sentence} {_badge('proved')}" for sentence in said] + [f"{heads} {_badge('from the heads')}"])


# ---------------------------------------------------------------------------------------------- cost, origin


def _cost(one: Examination) -> str:
    cost = one.cost
    if cost is None:
        return "<p>What fine-tuning would cost could not be planned.</p>"
    fits = {True: "yes", False: "no: see pi-model plan for what would make room"}.get(cost.fits, UNKNOWN)
    rows = [
        ("run", text(cost.run)),
        ("on", f"{got(whole(cost.gpus), 'cost')} × {text(cost.gpu)}"),
        ("time", got(_hours(cost.hours), "cost")),
        ("memory of each GPU", got(f"{number(cost.peak_gib)} GiB", "cost") if cost.peak_gib is not None
         else got(UNKNOWN, "cost")),
        ("has room", got(fits, "cost")),
    ]  # fmt: skip
    return f"{facts(rows)}<p>{_badge('planned')}</p>"


def _hours(hours: float | None) -> str:
    if hours is None or not math.isfinite(hours):
        return number(hours)
    if hours < 1 / 60:
        return f"{number(3600 * hours, 2)} seconds"
    return f"{number(60 * hours, 2)} minutes" if hours < 1 else f"{number(hours)} hours"


def _made(one: Examination) -> str:
    complete = "Everything that was to be measured was." if one.complete else _UNFINISHED
    rows = [
        ("texts", text(one.data)),
        ("ran on", text(one.device)),
        ("measured for", f"{got(number(one.minutes, 2), 'minutes')} minutes"),
        ("complete", complete),
    ]
    return facts(rows)


def _how() -> str:
    def entries(terms: Sequence) -> str:
        return "".join(f'<dt id="how-{one.id}">{text(one.title)}</dt><dd>{text(one.means)}</dd>\n' for one in terms)

    return (
        f"<h3>How something is known</h3>\n<dl>{entries(WAYS)}</dl>\n"
        f"<h3>What the words mean, and how their numbers are got</h3>\n<dl>{entries(TERMS)}</dl>\n"
    )


# ---------------------------------------------------------------------------------------------- two compared


def _compared(first: Examination, second: Examination) -> str:
    both = dict(zip(_LETTERS, (first, second), strict=True))
    plain = {letter: _as_it_is(one) for letter, one in both.items()}
    measured = {letter: method.measured for letter, method in plain.items() if method and method.measured}
    why = _not_alike(first, second)
    drawn = [
        charts.Line(letter, "none" if letter == "A" else "linear", one.curve, bold=letter == "B")
        for letter, one in measured.items()
    ]
    marks = [charts.Mark(max(first.context_tokens, second.context_tokens), "target")]
    windows = {one.identity.window_tokens for one in both.values()}
    marks += [charts.Mark(tokens, f"trained window {whole(tokens)}") for tokens in sorted(windows)[:1]]
    caption = 'Both checkpoints as they are, without any method. <a href="#how-loss">How losses are got</a>.'
    names = "".join(f"<p><strong>{letter}</strong> is {text(one.identity.model)}.</p>" for letter, one in both.items())
    chart = _losses(
        "Loss by position of the two checkpoints as they are", drawn, marks,
        max(first.context_tokens, second.context_tokens), caption,
    )  # fmt: skip
    rows = []
    for name, part in (("inside", "inside"), ("whole", "whole"), ("last", "last")):
        losses = {letter: getattr(one, part) for letter, one in measured.items()}
        pair = difference(losses["B"], losses["A"]) if len(losses) == 2 and not why else None
        cells = [_loss(losses.get(letter, ())) for letter in _LETTERS]
        rows.append((f"{name}: loss (perplexity)", [*cells, _difference(pair)]))
    found = [
        got(UNMEASURED if method is None or not method.passkeys else whole(_k_max(method.passkeys)), "passkey")
        for method in plain.values()
    ]
    rows.append(("k_max of passkeys, in tokens", [*found, ""]))
    columns = [Column("A"), Column("B"), Column("B less A", "difference")]
    note = f"<p>{text(why)}</p>\n" if why else ""
    return names + chart + note + table("The two checkpoints as they are", "measured", columns, rows)


def _as_it_is(one: Examination) -> Method | None:
    return next((method for method in one.methods if method.method == "none"), None)


def _not_alike(first: Examination, second: Examination) -> str:
    """Why losses of the two may not be subtracted, or nothing."""
    if first.data != second.data:
        return "Their losses are not subtracted, because they read different texts."
    if first.context_tokens != second.context_tokens:
        return "Their losses are not subtracted, because they were examined for different windows."
    if first.identity.tokenizer != second.identity.tokenizer:
        return "Their losses are not subtracted, because their tokens are not the same."
    return ""


# ---------------------------------------------------------------------------------------------- names of methods


def _name(method: Method) -> str:
    return _NAMES.get(method.method, method.method)


def _style(method: Method) -> str:
    return method.method if method.method in _NAMES else "other"


def _title(one: Examination, name: str, method: Method | None = None) -> str:
    """The name of a method with its factor."""
    method = method or next((each for each in one.methods if each.method == name), None)
    called = _NAMES.get(name, name)
    return called if method is None or name == "none" else f"{called} {by(method.factor)}"


_SECTIONS: dict[str, tuple[str, Callable[[Examination], str]]] = {
    "do": ("What to do", _what_to_do),
    "loss": ("Loss by position", _loss_by_position),
    "methods": ("The methods compared", _methods),
    "reach": ("How far each method reaches", _reach),
    "passkeys": ("Passkeys", _passkeys),
    "checkpoint": ("What the checkpoint is", _checkpoint),
    "proved": ("What is certain about its heads", _proved),
    "cost": ("What fine-tuning costs", _cost),
}
