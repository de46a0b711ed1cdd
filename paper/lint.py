r"""What main.tex may not say by itself: a number that a record could hold.

Outside mathematics no digit may be typed, except where it names something: a theorem, figure or section of the paper
under study, a model, a data type. Inside, small integers and fractions are the mathematics itself; a decimal
fraction, an integer of three digits or more, and a formula that is nothing but a number of two digits are not.
"""

import re
from collections.abc import Iterator

from experiments.record import ROOT
from paper.numbers import NUMBERS, QUOTED

_NAMES = re.compile(
    r"(?:Theorem|Section|Figs?\.|Table|Eq\.)~\(?[\d.]*\d|Theorem 2\.1|SmolLM2|Llama~3|float(?:32|64)|SHA-256"
)
_UNREAD = re.compile(
    r"\\(?:cite[tp]?|ref|eqref|label|input|rows|madetable|includegraphics|script|texttt|IfFileExists|setlength)"
    r"(?:\[[^]]*\])?\{[^{}]*\}(?:\{[^{}]*\})?|\\begin\{(?:minipage|longtable|tabular)\}.*"
)
_MATH = re.compile(
    r"(?:\$|\\\[|\\begin\{(?P<name>equation|align)\})(?P<it>.+?)(?:\$|\\\]|\\end\{(?P=name)\})", re.DOTALL
)
_LONG = r"\d+\.\d+|\d{3,}"
_MEASURED_IN_MATH = re.compile(rf"{_LONG}|^\s*\d{{2,}}\s*$")
_MACRO = re.compile(r"\\([A-Z][A-Za-z]*)")
_FIGURE = re.compile(r"\\begin\{figure\}.*?\\end\{figure\}", re.DOTALL)
_OF_TEX = {"DeclareMathOperator", "IfFileExists", "FloatBarrier", "Phi", "Bigl", "Bigr", "H"}


def faults(text: str) -> list[str]:
    """One line for each fault of a TeX source, with its line number; empty when there is none."""
    return [f"main.tex:{line}: {fault}" for line, fault in sorted(_faults(text))]


def pictures(text: str) -> list[str]:
    """The figures that a TeX source includes, as "figures/NAME"."""
    return re.findall(r"\\includegraphics(?:\[.*?\])?\{\.\./(.+?)\.pdf\}", text)


def _faults(text: str) -> Iterator[tuple[int, str]]:
    text = _blank(re.compile(r"(?<!\\)%.*"), text)

    defined = {number.macro for number in NUMBERS} | set(QUOTED)
    known = defined | _OF_TEX | set(re.findall(r"\\(?:newcommand|DeclareMathOperator)\{\\([A-Z]\w*)\}", text))
    used = {found[1]: _line(text, found) for found in _MACRO.finditer(text)}
    for macro in sorted(set(used) - known):
        yield used[macro], f"\\{macro} is not in paper/numbers.py"
    for macro in sorted(defined - set(used)):
        yield 1, f"\\{macro} of paper/numbers.py is not used"

    for figure in _FIGURE.finditer(text):
        scripts = {name.replace("\\", "") for name in re.findall(r"\\script\{(.+?)\}", figure[0])}
        for picture in pictures(figure[0]):
            if f"{picture}.py" not in scripts or not (ROOT / f"{picture}.py").exists():
                yield _line(text, figure), f"the figure does not name its script {picture}.py"

    preamble, _, _ = text.partition(r"\begin{document}")
    for number in re.finditer(_LONG, preamble):
        yield _line(text, number), f"{number[0]} is typed by hand; make it a macro in paper/numbers.py"
    body = _blank(_UNREAD, _blank(re.compile(r"^.*?\\begin\{document\}", re.DOTALL), text))
    for formula in _MATH.finditer(body):
        for number in _MEASURED_IN_MATH.finditer(re.sub(r"\\[dt]?frac\d\d|\\[A-Za-z]+", " ", formula["it"])):
            yield _line(text, formula), f"{number[0].strip()} is typed by hand; make it a macro in paper/numbers.py"
    prose = _blank(_NAMES, _blank(_MATH, body))
    for number in re.finditer(r"(?<!#)\d[\d.,]*", prose):
        yield _line(text, number), f"{number[0]} is typed by hand; make it a macro in paper/numbers.py"


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with every match replaced by as many blanks, so that places stay what they are."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1
