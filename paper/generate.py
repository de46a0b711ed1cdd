"""Writes the parts of the report that come from records to paper/generated.

These are the macros of `paper.numbers`, of which those of decisions come from verdicts, and the tables whose cells are
values of a record. With ``--check`` nothing is written, and the command fails if a file there differs from what the
records say.
"""

import argparse
import re
import sys
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from experiments import STUDIES
from experiments.records import record
from experiments.records.record import RecordError, write_atomically
from figures.verdicts import EXPERIMENTS, Outcome
from figures.verdicts.lag_rules import millions
from figures.verdicts.method_names import NOT_TUNED
from paper.numbers import DECISIONS, NUMBERS, QUOTED, Decision, Number

FOLDER = Path(__file__).resolve().parent / "generated"
_REDUCTIONS: dict[str, Callable[[list], Any]] = {"min()": min, "max()": max, "count()": len}
_ROUNDINGS = {"near": ROUND_HALF_EVEN, "down": ROUND_FLOOR, "up": ROUND_CEILING}
_HEADS = ("tiny_heads", "smollm2_heads")
_QUANTITIES = {  # as the heads studies name them
    "published": r"$|a-\alin|$ over Theorem 2.1",
    "taylor": r"\quad over \eqref{eq:taylor}",
    "sharp": r"\quad over the sharp bound",
    "interpolated": r"amplification between trained distances",
    "amplification_2": r"\quad on $[L,2L)$",
    "amplification_4": r"\quad on $[L,4L)$",
    "eq8_first": r"$|a|$ beyond $L$ over \eqref{eq:eight}, first form",
    "eq8_last": r"\quad over its last form",
    "trivial": r"\quad over $\frac d2\hmax$",
    "sum": r"\quad over $\sum_j|h_j|$",
}


def look_up(value: Any, path: str) -> Any:
    """The value at a path of a record; `paper.numbers` says how paths are written.

    Raises:
        KeyError: the path leads nowhere; the message names the part that fails.
    """
    for segment in path.split("/"):
        try:
            value = _step(value, segment)
        except (KeyError, IndexError, TypeError, ValueError):
            raise KeyError(f"{path!r} leads nowhere: no {segment!r}") from None
    return value


def _step(value: Any, segment: str) -> Any:
    if segment in _REDUCTIONS:
        return _REDUCTIONS[segment](_flat(value))
    if not isinstance(value, list):
        return value[segment]
    if re.fullmatch(r"-?\d+", segment):
        return value[int(segment)]
    if "=" not in segment:
        return [element[segment] for element in value]
    wanted = [condition.split("=", 1) for condition in segment.split("&")]
    found = [element for element in value if all(str(element[key]) == text for key, text in wanted)]
    if not found:
        raise KeyError(segment)
    return found[0] if len(found) == 1 else found


def _flat(value: Any) -> list[Any]:
    return [x for element in value for x in _flat(element)] if isinstance(value, list) else [value]


def shown(value: Any, show: str) -> str:
    """A value of a record as TeX, in one of the ways that `Number.show` names.

    >>> shown(1.1148221848, "5 down"), shown(0.62869, "4 up"), shown(3.4454e61, "2 scientific"), shown(10000, "power")
    ('1.11482', '0.6287', '3.45\\\\times10^{61}', '10^{4}')
    """
    match show.split():
        case ["text"]:
            return escaped(str(value))
        case ["integer"]:
            return str(int(value))
        case ["power"]:
            exponent = len(str(int(value))) - 1
            if value != 10**exponent:
                raise ValueError(f"{value} is not a power of ten")
            return f"10^{{{exponent}}}"
        case ["millions"]:
            return millions(value)
        case [digits, "scientific"]:
            mantissa, exponent_text = f"{Decimal(value):.{digits}e}".split("e")
            return rf"{mantissa}\times10^{{{int(exponent_text)}}}"
        case [digits, direction]:
            return str(Decimal(value).quantize(Decimal(1).scaleb(-int(digits)), rounding=_ROUNDINGS[direction]))
    raise ValueError(f"unknown way to show a number: {show!r}")


def escaped(text: str) -> str:
    """Plain text as TeX, with every character that TeX would interpret escaped."""
    names = {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
    names |= {"<": r"$<$", ">": r"$>$", "<=": r"$\le$", ">=": r"$\ge$", "|": r"$|$"}
    return re.sub(r"<=|>=|[\\^~<>|{}$&#%_]", lambda found: names.get(found[0], "\\" + found[0]), text)


def value_of(number: Number, read: Callable[[str], record.Record]) -> str:
    """A number of the report, as its macro shows it.

    Raises:
        RecordError: there is no record, or it does not hold this number; the message names the command that makes it.
    """
    try:
        value = look_up(read(number.study), number.path)
        if number.find:
            found = re.search(number.find, value)
            if found is None:
                raise KeyError(f"{number.find!r} is not in {value!r}")
            value = found[1]
        return shown(value, number.show)
    except (KeyError, ValueError, ArithmeticError, TypeError) as error:
        raise RecordError(
            f"\\{number.macro}: the record of {number.study!r} does not hold it ({error}); "
            f"make it with: python -m experiments --force {number.study}"
        ) from None


def decided(decision: Decision, outcome: Outcome) -> str:
    """What decided a statement, as its macro shows it.

    Raises:
        RecordError: the experiment has no such case; the message names its record.
    """
    for check in outcome.checks:
        if check.states.startswith(decision.states) and (check.of, check.factor) == (decision.of, decision.factor):
            return escaped(check.brief).replace("×", r"$\times$")
    raise RecordError(
        f"\\{decision.macro}: the experiment {decision.experiment!r} has no case of it; make its record with: "
        f"python -m experiments --force {outcome.experiment.study}"
    )


def numbers_tex(read: Callable[[str], record.Record]) -> str:
    """One macro for each number of `paper.numbers`."""
    lines = [f"\\newcommand{{\\{number.macro}}}{{{value_of(number, read)}}}" for number in NUMBERS]
    outcomes = {name: EXPERIMENTS[name].outcome() for name in {one.experiment for one in DECISIONS}}
    lines += [f"\\newcommand{{\\{one.macro}}}{{{decided(one, outcomes[one.experiment])}}}" for one in DECISIONS]
    lines += [f"\\newcommand{{\\{macro}}}{{{value}}} % {place}" for macro, (value, place) in QUOTED.items()]
    return "\n".join(lines) + "\n"


def claims_tex(read: Callable[[str], record.Record]) -> str:
    """One row for each claim: its verdict, its statement and domain, and the evidence."""
    rows = [
        rf"\textsc{{{claim['verdict']}}} & ${claim['statement']}$\newline {_with_powers(claim['domain'])}"
        rf" & {_with_powers(claim['evidence'])} \\"
        for claim in look_up(read("claims"), "metrics/claims")
    ]
    return "\n\\addlinespace[1pt]\n".join(rows) + "\n"


def _with_powers(text: str) -> str:
    """Plain text as TeX, in which 10^4, 5x10^5, 1e+06 and e^-t are set as powers."""
    text = re.sub(r"(?<=\d)e([+-]\d+)", lambda found: f"x10^{int(found[1])}", text)
    between, end = [], 0
    for found in re.finditer(r"(?:([\d.]+)x)?(\w+)\^(-?\w+)", text):
        times = "" if found[1] in (None, "1") else rf"{found[1]}\times"
        between += [escaped(text[end : found.start()]), f"${times}{found[2]}^{{{found[3]}}}$"]
        end = found.end()
    return "".join([*between, escaped(text[end:])])


def models_tex(read: Callable[[str], record.Record]) -> str:
    """One row for each model: d, c, the published and the sharp constant at a midpoint, F, and the smallest valid d."""
    rows = [
        f"{escaped(model['name'])} & {model['head_dim']} & {model['base']} & {shown(model['published'], '5 near')} & "
        f"{shown(model['sharp'], '5 near')} & {shown(model['margin'], '3 near')} & "
        rf"{model['smallest_valid_head_dim']} \\"
        for model in look_up(read("landscape"), "metrics/models")
    ]
    return "\n".join(rows) + "\n"


def smollm2_tex(read: Callable[[str], record.Record]) -> str:
    """A tabular of the perplexity over the last tokens of a window, by method, corpus and window."""
    made = read("smollm2_perplexity")
    config, perplexity = made["config"], made["metrics"]["perplexity"]
    windows = [window for window in config["windows"] if window >= config["windows"][-1] / config["factor"]]
    corpora = list(config["corpora"])
    groups = " & ".join(rf"\multicolumn{{{len(windows)}}}{{c}}{{{escaped(corpus)}}}" for corpus in corpora)
    head = " & ".join(str(window) for _ in corpora for window in windows)
    rows = []
    for method in config["methods"]:
        found = [
            shown(row["perplexity"], "1 near")
            for corpus in corpora
            for row in perplexity[method][corpus]["last"]
            if row["window"] in windows
        ]
        rows.append(f"{NOT_TUNED[method]} & " + " & ".join(found) + r" \\")
    body = "\n".join([rf"\toprule & {groups} \\", rf"window & {head} \\ \midrule", *rows, r"\bottomrule"])
    return f"\\begin{{tabular}}{{l{'r' * len(windows) * len(corpora)}}}\n{body}\n\\end{{tabular}}\n"


def heads_tex(read: Callable[[str], record.Record]) -> str:
    """A tabular of trained heads' scores over their bounds, by model."""
    made = [read(study) for study in _HEADS]
    groups = " & ".join(rf"\multicolumn{{2}}{{c}}{{{escaped(one['metrics']['model']['name'])}}}" for one in made)
    rows = []
    for quantity, says in _QUANTITIES.items():
        found = []
        for one in made:
            by_head = look_up(one, f"metrics/heads/uniform/{quantity}/median")
            largest = max(
                look_up(one, f"metrics/heads/{draw}/{quantity}/max/max()") for draw in ("uniform", "attended")
            )
            found += [shown(median(by_head), "3 near"), shown(largest, "3 near")]
        rows.append(f"{says} & " + " & ".join(found) + r" \\")
    body = [rf"\toprule & {groups} \\", "& median & largest " * len(made) + r"\\ \midrule", *rows, r"\bottomrule"]
    return f"\\begin{{tabular}}{{l{'rr' * len(made)}}}\n" + "\n".join(body) + "\n\\end{tabular}\n"


def heads_verdicts_tex(read: Callable[[str], record.Record]) -> str:
    """One item for each of the paper's claims about heads: what a study found for its model, and by which rule."""
    return "".join(
        rf"\item {escaped(made['metrics']['model']['name'])}: ``{escaped(found['claim'])}'' is "
        f"\\emph{{{escaped(found['verdict'])}}}. The rule: {escaped(found['rule'])}.\n"
        for made in map(read, _HEADS)
        for found in made["metrics"]["verdicts"]
    )


def _exists(study: str) -> bool:
    return any(record.path_of(study, live=live).exists() for live in (True, False))


def records_tex(read: Callable[[str], record.Record]) -> str:
    """One row for each record: study, day, commit, seconds and GiB that it took, GPU or processor, and hash."""
    rows = []
    for study in sorted({number.study for number in NUMBERS} | set(filter(_exists, STUDIES))):
        made = read(study)
        commit = (made["commit"] or "unknown")[:7] + ("+" if made["dirty"] else "")
        at_least = "$>$" if made["metrics"].get("resumed") else ""  # what came before an interruption is not in it
        rows.append(
            rf"\texttt{{{escaped(study)}}} & {made['written'][:10]} & \texttt{{{commit}}} & "
            f"{at_least}{shown(made['wall_seconds'], '1 near')} & {shown(made['peak_memory_gib'], '2 near')} & "
            rf"{escaped(made['device'].split(', CPU, ')[0])} & \texttt{{{made['sha256'][:8]}}} \\"
        )
    return "\n".join(rows) + "\n"


FILES: dict[str, Callable[[Callable[[str], record.Record]], str]] = {
    "numbers.tex": numbers_tex,
    "claims.tex": claims_tex,
    "models.tex": models_tex,
    "smollm2.tex": smollm2_tex,
    "heads.tex": heads_tex,
    "heads_verdicts.tex": heads_verdicts_tex,
    "records.tex": records_tex,
}


def generate() -> dict[str, str]:
    """The text of every generated file, by file name.

    Raises:
        RecordError: a record is missing, was changed by hand, or lacks a number.
    """
    read = cache(record.read)
    return {name: make(read) for name, make in FILES.items()}


def write(folder: Path = FOLDER) -> None:
    """Writes every generated file into ``folder``.

    Raises:
        RecordError: as `generate` raises it; nothing is written then.
    """
    made = generate()
    folder.mkdir(exist_ok=True)
    for name, text in made.items():
        write_atomically(folder / name, text.encode())


def stale(folder: Path = FOLDER) -> list[str]:
    """Where the files in ``folder`` differ from what the records say: each line that does, as "file: line"."""
    found = []
    for name, text in generate().items():
        path = folder / name
        found += [f"{name}: {line}" for line in differing(path.read_text() if path.exists() else "", text)]
    return found


def differing(there: str, expected: str) -> list[str]:
    """The lines that one of two texts has and the other has not."""
    wanted, found = expected.splitlines(), there.splitlines()
    return [line for line in wanted if line not in found] + [line for line in found if line not in wanted]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m paper.generate", description=__doc__, epilog="example: python -m paper.generate --check"
    )
    parser.add_argument("--check", action="store_true", help="compare the files with the records, and write nothing")
    try:
        if not parser.parse_args().check:
            write()
        elif differing := stale():
            print(
                "These lines differ from their records; to write them anew run: python -m paper.generate",
                *differing,
                sep="\n  ",
            )
            return 1
    except RecordError as error:
        print(f"paper: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
