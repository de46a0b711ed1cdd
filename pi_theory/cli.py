"""The `pi-theory` command: arguments in, numbers out. Heavy imports wait until a command needs them."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any, NoReturn

METHODS = ("none", "linear", "ntk", "dynamic", "yarn", "llama3")

Result = dict[str, Any]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _number(text: str) -> Fraction:
    """A decimal taken exactly: 0.1 is 1/10."""
    try:
        return Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise argparse.ArgumentTypeError(f"not a finite number: {text!r}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command; returns 0 done, 1 failed (or undecided), 2 wrong usage."""
    parser = _build_parser()
    arguments = parser.parse_args(argv)
    command = f"pi-theory {arguments.command}"
    try:
        result = arguments.run(arguments)
    except ValueError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return 2
    except (ArithmeticError, MemoryError) as error:
        print(f"{command}: {error or 'out of memory'}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{command}: interrupted", file=sys.stderr)
        return 1
    try:
        print(json.dumps(result, indent=2) if arguments.json else arguments.show(result), flush=True)
    except BrokenPipeError:  # `| head` is no failure
        sys.stderr.close()
    return 0


def _build_parser() -> _Parser:
    parser = _Parser(prog="pi-theory", description="Bounds of attention scores under Position Interpolation.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(
        name: str, help: str, example: str, run: Callable[..., Result], show: Callable[[Result], str]
    ) -> _Parser:
        sub: _Parser = commands.add_parser(
            name,
            help=help,
            description=help,
            epilog=f"example: pi-theory {name} {example}",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        sub.add_argument("--json", action="store_true", help="print JSON")
        sub.set_defaults(run=run, show=show)
        return sub

    def head(sub: _Parser) -> None:
        sub.add_argument("--head-dim", type=int, default=128, metavar="D", help="dimension of a head, even")
        sub.add_argument("--base", type=_number, default=Fraction(10000), metavar="C", help="RoPE base c > 1")

    sub = command(
        "bounds",
        "Interpolation bounds at the midpoint of a unit interval, max|h| = 1, and the ~600x ratio under each reading.",
        "--head-dim 128 --base 10000",
        _bounds,
        _show_bounds,
    )
    head(sub)
    sub.add_argument("--upto", type=int, default=4096, metavar="S", help="range [0, S] for the minimum of B")

    sub = command(
        "extrapolation",
        "Certified minimum of B(s)/d and its first crossing below 1.",
        "--head-dim 128 --base 10000 --upto 32768 --integers",
        _extrapolation,
        _show_extrapolation,
    )
    head(sub)
    sub.add_argument("--upto", type=int, default=4096, metavar="S", help="range of s: [0, S]")
    sub.add_argument("--integers", action="store_true", help="integer s only")

    sub = command(
        "amplification",
        "The largest score at a position among heads with |a(n)| <= 1 at the trained positions n = 0..L.",
        "--head-dim 64 --base 10000 --window 512 --factor 2 --method linear --hmax 1",
        _amplification,
        _show_amplification,
    )
    head(sub)
    sub.add_argument("--window", type=int, default=512, metavar="L", help="trained window in tokens")
    sub.add_argument("--factor", type=_number, default=Fraction(2), metavar="F", help="extended over trained window")
    sub.add_argument("--method", choices=METHODS, default="linear", help="scaling of the positions")
    sub.add_argument("--hmax", type=_number, default=Fraction(1), metavar="H", help="bound of |Re h_j| and |Im h_j|")
    sub.add_argument(
        "--position",
        type=_number,
        action="append",
        metavar="S",
        help="a real position in [0, F L]; may be repeated (default: 24 integers and half-integers)",
    )

    sub = command(
        "fit",
        "Fig. 2: random points on 0..L-1 fitted by the functions of a score, and what comes out on [L, 2L).",
        "--head-dim 128 --base 10000 --window 2048 --seed 0 --digits 10",
        _fit,
        _show_fit,
    )
    head(sub)
    sub.add_argument("--window", type=int, default=2048, metavar="L", help="number of points")
    sub.add_argument("--seed", type=int, default=0, help="of the points")
    sub.add_argument("--ridge", type=_number, metavar="X", help="add X sum|h|^2 to what is minimised")
    sub.add_argument("--digits", type=int, metavar="N", help="also solve exactly, to N certified digits")

    command(
        "claims", "Every claim with its verdict and evidence (about half a minute).", "--json", _claims, _show_claims
    )
    return parser


def _bounds(args: argparse.Namespace) -> Result:
    from pi_theory.amplification import stability_constant
    from pi_theory.arguments import check_base, check_count, check_head_dim
    from pi_theory.certified.envelope import minimum
    from pi_theory.certified.interpolation import (
        published_interpolation_ball,
        published_margin_ball,
        sharp_interpolation_ball,
        taylor_interpolation_ball,
    )

    d, base = check_head_dim(args.head_dim), check_base(args.base)
    check_count(args.upto, "upto")
    published = float(published_interpolation_ball(d, base))
    taylor = float(taylor_interpolation_ball(d, base))
    sharp = float(sharp_interpolation_ball(d, base))
    margin = published_margin_ball(d, base)
    verdict = "holds" if margin <= 1 else "refuted" if margin > 1 else "undecided"
    smallest = minimum(0, args.upto, head_dim=d, base=base).value
    on_range = f"s in [0, {args.upto}]"
    if_published = "which is a bound here" if verdict == "holds" else "were that a bound"
    return {
        "head_dim": d,
        "base": float(base),
        "published_interpolation": published,
        "taylor_interpolation": taylor,
        "sharp_interpolation": sharp,
        "published_ratio": 2 * d / published,
        "sharp_ratio": d / 2 / sharp,
        "amplification": stability_constant(),
        "published_verdict": verdict,
        "witness": {"h": "h_j = -exp(-i theta_j/2)", "s1": 0, "s2": 1, "s": 0.5, "left": sharp, "right": published}
        if verdict == "refuted"
        else None,
        "upto": args.upto,
        "min_B_over_d": [smallest.lower, smallest.upper],
        "ratios": [
            {
                "ratio": 2 * d / published,
                "what": "2d over the published bound (the paper's ~600)",
                "true_when": f"where B(s) >= d; {if_published}",
            },
            {
                "ratio": 2 * d * smallest.lower / published,
                "what": "min 2B over the published bound",
                "true_when": f"{on_range}; {if_published}",
            },
            {
                "ratio": 2 * d * smallest.lower / taylor,
                "what": "min 2B over the Taylor bound",
                "true_when": f"{on_range}; both are bounds",
            },
            {
                "ratio": 2 * d * smallest.lower / sharp,
                "what": "min 2B over the sharp bound",
                "true_when": f"{on_range}; 2B is never attained",
            },
            {
                "ratio": d / 2 / sharp,
                "what": "largest score over largest interpolation error",
                "true_when": "every s; both are attained",
            },
        ],
    }


def _show_bounds(r: Result) -> str:
    lines = [
        f"d = {r['head_dim']}, c = {r['base']:g}; error of linear interpolation at s = 1/2 between 0 and 1, max|h| = 1",
        f"  published (Thm 2.1)  {r['published_interpolation']:.6f}   {r['published_verdict']}",
        f"  Taylor               {r['taylor_interpolation']:.6f}   holds",
        f"  sharp                {r['sharp_interpolation']:.6f}   attained by h_j = -exp(-i theta_j/2)",
        f"score between trained positions over its largest trained value: at most {r['amplification']:.6f} = sec(1/2)",
        f"min B(s)/d on [0, {r['upto']}]: {r['min_B_over_d'][0]:.6f}",
        "how many times smaller is the interpolation bound?",
    ]
    lines += [f"  {row['ratio']:9.2f}  {row['what']}  [{row['true_when']}]" for row in r["ratios"]]
    return "\n".join(lines)


def _extrapolation(args: argparse.Namespace) -> Result:
    from pi_theory.arguments import check_base, check_count, check_head_dim
    from pi_theory.certified.envelope import first_below, integer_scan, minimum

    d, base, upto = check_head_dim(args.head_dim), check_base(args.base), check_count(args.upto, "upto")
    first: list[float] | None
    if args.integers:
        scan = integer_scan(upto, head_dim=d, base=base)
        value, argmin = scan.minimum, float(scan.argmin)
        first = None if scan.first_below is None else [scan.first_below, scan.first_below]
    else:
        found = minimum(0, upto, head_dim=d, base=base)
        crossing = first_below(0, upto, head_dim=d, base=base)
        value, argmin = found.value, found.argmin
        first = None if crossing is None else [crossing.lower, crossing.upper]
    return {
        "head_dim": args.head_dim,
        "base": float(args.base),
        "upto": upto,
        "integers": args.integers,
        "min_over_d": [value.lower, value.upper],
        "argmin": argmin,
        "first_below_d": first,
        "certified": True,  # undecided ends in an error instead
    }


def _show_extrapolation(r: Result) -> str:
    kind = "integer" if r["integers"] else "real"
    first = r["first_below_d"]
    crossing = "never" if first is None else f"{first[0]:.12g} .. {first[1]:.12g}"
    return "\n".join(
        [
            f"B(s)/d, d = {r['head_dim']}, c = {r['base']:g}, {kind} s in [0, {r['upto']}], certified",
            f"  minimum      {r['min_over_d'][0]:.12g} .. {r['min_over_d'][1]:.12g} at s = {r['argmin']:.12g}",
            f"  below 1 from {crossing}",
        ]
    )


def _amplification(args: argparse.Namespace) -> Result:
    from tqdm import tqdm

    from pi_theory.amplification import FiniteWindow, stability_constant, study_positions
    from pi_theory.arguments import check_factor, check_positive
    from pi_theory.scaling import scaling_by_name

    factor, hmax = float(check_factor(args.factor)), float(check_positive(args.hmax, "hmax"))
    program = FiniteWindow(
        head_dim=args.head_dim, base=args.base, window=args.window, scaling=scaling_by_name(args.method, factor)
    )
    last = factor * args.window
    positions = study_positions(args.window, factor) if args.position is None else args.position
    for position in positions:
        if not 0 <= position <= last:
            raise ValueError(f"position: must lie in [0, {last:g}], the extended window, got {float(position):g}")
    bar = tqdm(positions, desc="linear programs", delay=1, leave=False, disable=None)
    cases = [program.worst_case(float(position), hmax) for position in bar]
    inside = [case for case in cases if case.position <= args.window]
    beyond = [case for case in cases if case.position > args.window]

    def largest(cases: list[Any], field: str) -> float | None:
        return max((getattr(case, field) for case in cases), default=None)

    return {
        "head_dim": args.head_dim,
        "base": float(args.base),
        "window": args.window,
        "factor": factor,
        "method": args.method,
        "hmax": hmax,
        "inside": largest(inside, "value"),
        "beyond": largest(beyond, "value"),
        "certified_inside": largest(inside, "upper_bound"),
        "certified_beyond": largest(beyond, "upper_bound"),
        "all_reals_all_integers_trained": stability_constant(),
        "positions": [
            {"position": case.position, "value": case.value, "upper_bound": case.upper_bound} for case in cases
        ],
    }


def _show_amplification(r: Result) -> str:
    def row(name: str, key: str) -> str:
        value = r[key]
        if value is None:
            return f"  {name:22} no position asked for"
        return f"  {name:22} {value:.6g} attained, at most {r['certified_' + key]:.6g} (certified)"

    return "\n".join(
        [
            f"largest score over {len(r['positions'])} positions, d = {r['head_dim']}, c = {r['base']:g}, "
            f"L = {r['window']}, {r['method']} x{r['factor']:g}, |a(n)| <= 1 for n = 0..L, "
            f"|Re h|, |Im h| <= {r['hmax']:g}",
            row("inside  (s <= L)", "inside"),
            row("beyond  (s > L)", "beyond"),
            f"  sec(1/2) = {r['all_reals_all_integers_trained']:.6f} is the constant when every integer is trained",
        ]
    )


def _fit(args: argparse.Namespace) -> Result:
    import numpy as np

    from pi_theory.arguments import check_base, check_count, check_head_dim
    from pi_theory.certified.balls import enclosure
    from pi_theory.certified.least_squares import exact_least_squares
    from pi_theory.leastsquares import Arithmetic, evaluate, fit, random_points, ridge_bound

    check_head_dim(args.head_dim)
    check_base(args.base)
    window = check_count(args.window)
    if args.seed < 0:
        raise ValueError(f"seed: must be >= 0, got {args.seed}")
    if args.digits is not None and args.digits < 1:
        raise ValueError(f"digits: must be >= 1, got {args.digits}")
    if args.digits is not None and args.ridge:
        raise ValueError("digits: the exact solution is of the problem without --ridge; leave one of them out")
    ridge = float(args.ridge or 0)
    points = random_points(window, args.seed)
    rows = []
    for arithmetic in Arithmetic:
        row: Result = {"arithmetic": str(arithmetic), "max_inside": None, "max_beyond": None, "residual_rms": None}
        try:
            h = fit(points, head_dim=args.head_dim, base=args.base, arithmetic=arithmetic, ridge=ridge)
            inside = evaluate(h, np.arange(window), base=args.base)
            beyond = evaluate(h, np.arange(window, 2 * window), base=args.base)
            row["max_inside"], row["max_beyond"] = float(np.abs(inside).max()), float(np.abs(beyond).max())
            row["residual_rms"] = float(np.sqrt(np.mean((inside - points) ** 2)))
        except np.linalg.LinAlgError:
            row["failed"] = "the matrix is singular in this arithmetic"
        rows.append(row)
    result: Result = {
        "head_dim": args.head_dim,
        "base": float(args.base),
        "window": window,
        "seed": args.seed,
        "ridge": ridge,
        "fits": rows,
        "ridge_bound": ridge_bound(points, ridge, args.head_dim) if ridge else None,
    }
    if args.digits is not None:
        last = 2 * window - 1
        exact_fit = exact_least_squares(points, [last], head_dim=args.head_dim, base=args.base, digits=args.digits)
        value, deviation = exact_fit.values[0], exact_fit.standard_deviations[0]
        result["exact"] = {
            "position": last,
            "value": value.str(args.digits, radius=False),
            "enclosure": [enclosure(value).lower, enclosure(value).upper],
            "standard_deviation": deviation.str(args.digits, radius=False),
            "bits": exact_fit.bits,
        }
    return result


def _show_fit(r: Result) -> str:
    lines = [
        f"{r['window']} N(0, 1) points (seed {r['seed']}) fitted by {r['head_dim']} functions, c = {r['base']:g}, "
        f"ridge {r['ridge']:g}",
        f"  {'arithmetic':28}{'max on [0, L)':>15}{'max on [L, 2L)':>16}",
    ]
    for row in r["fits"]:
        if "failed" in row:
            lines.append(f"  {row['arithmetic']:28}{row['failed']}")
        else:
            lines.append(f"  {row['arithmetic']:28}{row['max_inside']:15.4g}{row['max_beyond']:16.4g}")
    if r["ridge_bound"] is not None:
        lines.append(f"  at every real s the exact ridge fit is at most {r['ridge_bound']:.4g}")
    if "exact" in r:
        exact = r["exact"]
        lines.append(f"  exact at s = {exact['position']}: {exact['value']} (certified digits, {exact['bits']} bits)")
        lines.append(f"    over random points its standard deviation is {exact['standard_deviation']}")
    return "\n".join(lines)


def _claims(args: argparse.Namespace) -> Result:
    from tqdm import tqdm

    import pi_theory.claims
    from pi_theory.verdicts import REGISTRY

    del pi_theory  # imported to fill the registry
    bar = tqdm(REGISTRY.values(), desc="claims", delay=1, leave=False, disable=None)
    return {"claims": [bound.settle().row() for bound in bar]}


def _show_claims(r: Result) -> str:
    import shutil
    import textwrap

    width = min(120, shutil.get_terminal_size((100, 24)).columns)

    def paragraph(text: str) -> str:
        return textwrap.fill(text, width, initial_indent="           ", subsequent_indent="           ")

    lines = []
    for row in r["claims"]:
        lines.append(f"{row['verdict'].upper():10} {row['id']}  ({row['seconds']:.2f} s)")
        lines.append(paragraph(row["says"]))
        lines.append(paragraph(f"domain: {row['domain']}"))
        lines.append(paragraph(f"source: {row['source']}"))
        lines.append(paragraph(f"evidence: {row['evidence']}"))
        lines.append("")
    verdicts = [row["verdict"] for row in r["claims"]]
    lines.append(", ".join(f"{verdicts.count(v)} {v}" for v in ("holds", "refuted", "undecided")))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
