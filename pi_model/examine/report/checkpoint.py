"""What a report says of the checkpoint: what it is, what is certain about its heads, what fine-tuning it costs."""

from pi_model.examine.findings import Examination
from pi_model.examine.report.markup import (
    UNMEASURED,
    badge,
    facts,
    got,
    items,
    number,
    plain,
    text,
    titled,
    whole,
)


def identity(one: Examination) -> str:
    """What it is, and its oddities."""
    its = one.identity
    scaling = "none" if its.method == "none" else titled(its.method, its.factor)
    rows = [
        ("family", text(its.family)),
        ("parameters", got(_millions(its.parameters), "config")),
        ("number format", text(its.dtype)),
        ("layers", got(whole(its.layers), "config")),
        ("heads", f"{got(whole(its.heads), 'config')}, keys and values {got(whole(its.kv_heads), 'config')}"),
        ("head size d", got(whole(its.head_dim), "config")),
        ("RoPE base c", got(plain(its.base), "config")),
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


def _millions(parameters: int) -> str:
    if parameters < 1_000_000:
        return whole(parameters)
    size, word = (1e9, "billion") if parameters >= 1e9 else (1e6, "million")
    return f"{number(parameters / size, 4)} {word}"


def proved(one: Examination) -> str:
    """What is proved for every head of its size, and what its own heads say."""
    theorem, size = one.theorem, f"d = {whole(one.identity.head_dim)}, c = {plain(one.identity.base)}"
    verdict = "holds" if theorem.published_holds else "does not hold"
    most = got(number(theorem.published_margin, 4), "theorem")
    between = got(number(theorem.between_trained, 5), "proved")
    needless = got(plain(theorem.needless_extrapolation), "proved")
    said = [
        f"Theorem 2.1 of Chen et al. 2023 {verdict} for heads of this size and base ({text(size)}): the worst head "
        f"moves {most} times as far as its bound allows, and it holds if that is at most 1.",
        f"Between two trained positions no score exceeds the trained ones by more than a factor of {between}, that is "
        "sec(1/2), far from the ends of the window.",
        f"Of the largest distances, published Position Interpolation leaves {needless} beyond the trained ones; a "
        "factor of (L′−1)/(L−1), with L the trained window and L′ the target, would leave none.",
    ]
    sharp = one.sharpness
    heads = (
        f"The heads were {UNMEASURED} yet."
        if sharp is None
        else f"{got(f'{whole(sharp.sharp_heads)} of {whole(sharp.heads)}', 'sharp')} heads are sharp; the sharpest, "
        f"head {got(whole(sharp.sharpest_head), 'sharp')} of layer {got(whole(sharp.sharpest_layer), 'sharp')}, has a "
        f"mean bend of {got(number(sharp.sharpest), 'sharp')} nats."
    )
    return items([f"{sentence} {badge('proved')}" for sentence in said] + [f"{heads} {badge('from the heads')}"])


def cost(one: Examination) -> str:
    """What fine-tuning to the target would take."""
    planned = one.cost
    if planned is None:
        return "<p>What fine-tuning would cost could not be planned.</p>"
    fits = "yes" if planned.fits else "no: pi-model plan says what would make room"
    rows = [
        ("run", text(planned.run)),
        ("on", f"{got(whole(planned.gpus), 'cost')} × {text(planned.gpu)}"),
        ("time", got(_hours(planned.hours), "cost")),
        ("memory of each GPU", got(f"{number(planned.peak_gib)} GiB", "cost")),
        ("has room", got(fits, "cost")),
    ]
    return f"{facts(rows)}<p>{badge('planned')}</p>"


def _hours(hours: float) -> str:
    if hours < 1 / 60:
        return f"{number(3600 * hours, 2)} seconds"
    return f"{number(60 * hours, 2)} minutes" if hours < 1 else f"{number(hours)} hours"
