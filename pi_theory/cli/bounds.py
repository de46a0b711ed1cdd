"""`pi-theory bounds`: the paper's interpolation bound, its repairs, and the ratio of about 600."""

import argparse
from typing import Any

from pi_theory.cli.options import add_head, add_upto, expect
from pi_theory.console import Command, show, wrap


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_head(parser)
    add_upto(parser, "The minimum of the extrapolation bound B(s) is taken over positions s in [0, S].")


def _run(arguments: argparse.Namespace) -> None:
    from pi_theory.amplification import stability_constant
    from pi_theory.certified.envelope import search_seconds
    from pi_theory.ratios import bound_ratios
    from pi_theory.verdicts import Verdict

    d = arguments.head_dim
    expect(
        search_seconds(arguments.upto, head_dim=d, base=arguments.base), "upto", "choose a smaller --upto or --head-dim"
    )
    found = bound_ratios(d, arguments.base, arguments.upto)
    published, sharp = found.published_interpolation, found.sharp_interpolation
    witness = {"h": "h_j = -exp(-i theta_j/2)", "s1": 0, "s2": 1, "s": 0.5, "left": sharp, "right": published}
    answer = {
        "head_dim": d,
        "base": float(arguments.base),
        "published_interpolation": published,
        "taylor_interpolation": found.taylor_interpolation,
        "sharp_interpolation": sharp,
        "published_ratio": 2 * d / published,
        "sharp_ratio": d / 2 / sharp,
        "amplification": stability_constant(),
        "published_verdict": found.published_verdict.value,
        "witness": witness if found.published_verdict is Verdict.REFUTED else None,
        "upto": arguments.upto,
        "min_B_over_d": [found.min_B_over_d.lower, found.min_B_over_d.upper],
        "ratios": [{"ratio": row.ratio, "what": row.what, "true_when": row.true_when} for row in found.ratios],
    }
    show(arguments, answer, text(answer))


def text(answer: dict[str, Any]) -> str:
    """The answer in words."""
    indent = " " * 13

    def bound(value: float, says: str) -> str:
        return wrap(says, indent, f"  {value:9.6f}  ")

    lines = [
        wrap(
            f"Error of linear interpolation halfway between the positions 0 and 1, for d = {answer['head_dim']}, "
            f"c = {answer['base']:g} and max |h_j| = 1, is at most"
        ),
        bound(
            answer["published_interpolation"],
            f"by the paper (Theorem 2.1). Verdict on this bound: {answer['published_verdict']}.",
        ),
        bound(answer["taylor_interpolation"], "by Taylor's theorem, which holds."),
        bound(answer["sharp_interpolation"], "by the sharp bound, which h_j = -exp(-i theta_j/2) attains."),
        wrap(
            f"A score between trained positions is at most {answer['amplification']:.6f} = sec(1/2) times its largest "
            "value at them."
        ),
        wrap(f"The minimum of B(s)/d for s in [0, {answer['upto']}] is {answer['min_B_over_d'][0]:.6f}."),
        "",
        wrap("How many times smaller the interpolation bound is than the extrapolation bound, under each reading:"),
    ]
    for row in answer["ratios"]:
        lines.append(wrap(f"{row['what']}, {row['true_when']}", indent, f"  {row['ratio']:9.2f}  "))
    return "\n".join(lines)


BOUNDS = Command(
    name="bounds",
    summary="Computes the bounds of the interpolation error and the paper's ratio of about 600.",
    details="The bounds limit the error of linear interpolation halfway between two neighbouring positions: the "
    "paper's Theorem 2.1 and two that repair it. The ratio says how many times smaller such a bound is than the "
    "paper's extrapolation bound 2 B(s); it is given under each reading of that sentence.",
    example="pi-theory bounds --head-dim 128 --base 10000",
    add_arguments=_add_arguments,
    run=_run,
    less_memory="use a smaller --upto",
)
