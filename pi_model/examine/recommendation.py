"""What to do, sentence by sentence, each with how it is known. It says so where it does not know."""

import math
from collections.abc import Sequence

import numpy as np

from pi_model.evaluation.differences import difference
from pi_model.examine.findings import Identity, Method, Reason, Recommendation

PROVED, HEADS, MEASURED, UNKNOWN = "proved", "from the heads", "measured", "not known"
TIE = math.log(1.02)  # methods whose perplexity differs by less than 2% are not told apart
_WORSE = math.log(1.05)  # from here on a loss is worth mending by fine-tuning


def recommend(identity: Identity, context_tokens: int, methods: Sequence[Method], source: str) -> Recommendation:
    """Draw conclusions from what is known so far.

    Args:
        identity: the checkpoint.
        context_tokens: L', the window that was asked for.
        methods: the ways, the checkpoint as it is first.
        source: the name of the model as it is given to commands.
    """
    as_it_is = methods[0]
    if context_tokens <= identity.context_tokens:
        text = f"it serves {identity.context_tokens} tokens already"
        return Recommendation("none", False, (Reason(text, PROVED),), ())
    measured = [method for method in methods if method.measured]
    reasons = [_of_reach(methods, context_tokens)]
    if len(measured) == len(methods):
        best, said = _best_measured(measured)
    else:
        best, said = _best_predicted(methods, context_tokens)
    reasons += said
    if best.method != "none" and best.measured and as_it_is.measured:
        reasons += _against_today(best, as_it_is, identity)
    fine_tune, why = _fine_tuning(best, as_it_is)
    reasons.append(why)
    return Recommendation(
        best.method, fine_tune, tuple(reasons), _commands(source, best, identity, context_tokens, fine_tune)
    )


def predicted_order(methods: Sequence[Method], context_tokens: int) -> list[Method]:
    """The methods from the one that should lose least.

    By displacement where heads were looked at, or else by reach first and then by resolution.
    """

    def worth(method: Method) -> tuple[bool, float]:
        if method.displacement is not None:
            return False, method.displacement
        short = method.reach_tokens is not None and method.reach_tokens < 0.9 * context_tokens
        return short, -method.flat_resolution

    return sorted(methods, key=worth)


def _of_reach(methods: Sequence[Method], context_tokens: int) -> Reason:
    far = [m.method for m in methods if m.reach_tokens is None or m.reach_tokens >= 0.99 * context_tokens]
    near = [f"{m.method} ends at {m.reach_tokens}" for m in methods if m.method not in far]
    text = f"phases stay known up to {context_tokens} tokens by {_listed(far) or 'no method'}"
    return Reason(text + (f"; {', '.join(near)}" if near else ""), PROVED)


def _best_measured(measured: Sequence[Method]) -> tuple[Method, list[Reason]]:
    order = sorted(measured, key=lambda method: method.measured.loss_nats if method.measured else math.inf)
    best, tied = order[0], [order[0].method]
    assert best.measured is not None
    for method in order[1:]:
        assert method.measured is not None
        gap = difference(method.measured.whole, best.measured.whole)
        if gap is None or gap.mean - 2 * (gap.error or 0.0) < TIE:
            tied.append(method.method)
    number = best.measured.documents
    texts = f"{number} text{'s' * (number > 1)}"
    text = f"{best.method} has the lowest perplexity over the whole context, {math.exp(best.measured.loss_nats):.4g}"
    reasons = [Reason(f"{text} on {texts}", MEASURED)]
    if len(tied) > 1:
        reasons.append(
            Reason(
                f"on {texts} these cannot be told apart by 2% in perplexity: {_listed(tied)}; more texts can "
                "(--minutes, --data)",
                UNKNOWN,
            )
        )
    return best, reasons


def _best_predicted(methods: Sequence[Method], context_tokens: int) -> tuple[Method, list[Reason]]:
    order = predicted_order(methods, context_tokens)
    best = order[0]
    if best.displacement is None:
        text = f"of the methods that reach, {best.method} leaves most of the bends of an even head"
        reasons = [Reason(f"{text}, {best.flat_resolution:.2f}", PROVED)]
    else:
        text = f"{best.method} moves the heads' attention least ({best.displacement:.3g} over all heads)"
        if costs := best.predicted:
            text += f", which may cost {costs.low:.2g} to {costs.high:.2g} nats per token"
        order_said = f"predicted order: {_listed([m.method for m in order])}"
        reasons = [Reason(f"{text}; {order_said}", HEADS)]
    reasons.append(Reason("not every method was measured yet; more --minutes decide", UNKNOWN))
    return best, reasons


def _against_today(best: Method, as_it_is: Method, identity: Identity) -> list[Reason]:
    assert best.measured is not None
    assert as_it_is.measured is not None
    inside = float(np.mean(best.measured.inside) - np.mean(as_it_is.measured.inside))
    percent = 100 * math.expm1(inside)
    how = "costs" if inside > 0 else "gains"
    return [
        Reason(
            f"inside the old window of {identity.context_tokens} tokens {best.method} {how} {abs(percent):.2g}% in "
            "perplexity, without training",
            MEASURED,
        )
    ]


def _fine_tuning(best: Method, as_it_is: Method) -> tuple[bool | None, Reason]:
    if best.measured is None or as_it_is.measured is None:
        return None, Reason("whether fine-tuning is worth it shows when losses are measured", UNKNOWN)
    level = float(np.mean(as_it_is.measured.inside))
    end = float(np.mean(best.measured.last))
    inside = float(np.mean(best.measured.inside)) - level
    if inside > _WORSE or end - level > _WORSE:
        more = 100 * math.expm1(max(inside, end - level))
        text = f"fine-tuning is worth it: without it, {best.method} has {more:.2g}% more perplexity than today inside"
        return True, Reason(f"{text} the old window", MEASURED)
    return False, Reason(
        f"without fine-tuning {best.method} predicts the end of the context within 5% of what it does inside the old "
        "window today; passkeys and your own tasks may still gain from it",
        MEASURED,
    )


def _commands(
    source: str, best: Method, identity: Identity, context_tokens: int, fine_tune: bool | None
) -> tuple[str, ...]:
    if best.method == "none":
        return ()
    factor = context_tokens / identity.context_tokens
    window = f" --window {identity.window_tokens}" if "--window" in identity.window_from else ""
    commands = [f"pi-model extend {source} --method {best.method} --factor {factor:g}{window} --out extended"]
    if fine_tune:
        longer = f"--model {source} --context {context_tokens}{window}"
        commands += [
            f"pi-model plan {longer}",
            f"pi-model finetune {longer} --method {best.method} --data my.jsonl --out tuned",
        ]
    return tuple(commands)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
