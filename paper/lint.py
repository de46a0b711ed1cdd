r"""Finds what main.tex may not say by itself: a number that a record could hold.

Outside mathematics no digit may be typed, except where it names something: a theorem, figure or section of the paper
under study, a model, a data type. Nor may a number be spelled out next to a unit, or from ten on anywhere. Inside,
small integers and fractions are the mathematics itself; what can only have been measured or chosen is not: a decimal
fraction, an integer of three digits or more, a power of ten, a percentage or multiple, a value given to a parameter of
a study, a formula that is nothing but a number above two or gives one to a symbol other than an index, and any number
with a unit after it.
"""

import re
from collections.abc import Iterator

from experiments.records.record import ROOT
from paper.numbers import DECISIONS, NUMBERS, QUOTED

_NAMES = re.compile(
    r"(?:Theorem|Section|Figs?\.|Table|Eq\.)~\(?[\d.]*\d|Theorem 2\.1|SmolLM2|Llama~3|float(?:32|64)|SHA-256"
)
_BRACES = r"\{(?:[^{}]|\{(?:[^{}]|\{[^{}]*\})*\})*\}"
_UNREAD = re.compile(
    r"\\(?:cite[tp]?|ref|eqref|label|input|rows|madetable|awaitedtable|includegraphics|script|IfFileExists|setlength)"
    r"(?:\[[^]]*\])?\{[^{}]*\}(?:\{[^{}]*\})?"
    rf"|\\begin\{{(?:minipage|longtable|tabular)\}}(?:\[[^]]*\])?{_BRACES}|p\{{0\.\d+\\linewidth\}}"
)
_MATH = re.compile(
    r"(?:\$|\\\[|\\begin\{(?P<name>equation|align)\})(?P<it>.+?)(?:\$|\\\]|\\end\{(?P=name)\})", re.DOTALL
)
_UNIT = (
    r"(?:\\?%|per\s?cent|times|tokens?|heads?|layers?|seeds?|steps?|trials?|documents?|books|windows?|parameters?|models?"
    r"|nats?|bits?|digits|seconds?|minutes?|hours?|days?|[KMGT]i?B|GPUs?|cores|processors?|machines?)\b"
)
_BETWEEN = r"(?:\s|~|\\[,;: ]|-|of\s|the\s|all\s|its\s|more\s)*"
_SMALL = r"(?:two|three|four|five|six|seven|eight|nine)"
_SPELLED = re.compile(
    rf"\b(?:{_SMALL}{_BETWEEN}{_UNIT}|(?:ten|eleven|twelve|\w+teen|(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:-\w+)?"
    rf"|dozens?|hundreds?|thousand|millions?|billions?|(?!mani)\w+-?fold|(?:half|halves|thirds?|quarters?|fifths?|tenths?)\s+of"
    rf"|(?:one|{_SMALL})[\s~-](?:half|halves|thirds?|quarters?|fifths?|tenths?)"
    rf"|(?:half|twice|thrice|double)\s+(?:the|as|its|that))\b|per\s?cent\b)",
    re.IGNORECASE,
)
_LONG = r"\d*\.\d+|\d{3,}"
_RELATION = r"(?:[=<>]|\\(?:approx|sim|[lg]eq?(?![a-z])))"
_MEASURED_IN_MATH = re.compile(
    rf"{_LONG}|10\^|\d+\s*\\(?:%|times)|^\W*(?:(?![ijkmn]\s*=)\\?[A-Za-z]+[_'*\w{{}}]*\s*=\s*)?(?:\d{{2,}}|[3-9])\s*$"
    rf"|(?<![A-Za-z\\])(?:[HLdc]'?|\\kappa|\\rho)\s*=\s*[1-9]\d*(?!\d*\s*[\\A-Za-z(^/])"
    rf"|{_RELATION}\s*\d{{2,}}(?!\d*\s*[\\A-Za-z(^/])"
)
_MEASURED_WITH_UNIT = re.compile(rf"(?:(?<=frac)|(?<![A-Za-z_^{{\d]))\d+\s*(?:\$|\\\]|\\\)){_BETWEEN}{_UNIT}")
_TEXT_IN_MATH = re.compile(r"\\(?:text|mbox|mathrm|textrm)\{([^{}]*\d[^{}]*)\}")
_LAYOUT = re.compile(r"\\renewcommand\{\\(?:(?:top|text|floatpage)fraction|arraystretch)\}\{\.\d+\}")
_DEFINITION = re.compile(r"\\(?:(?:re)?newcommand|def)(?![A-Za-z]).*")
_MACRO = re.compile(r"\\([A-Z][A-Za-z]*)")
_FIGURE = re.compile(r"\\begin\{figure\}.*?\\end\{figure\}", re.DOTALL)
_OF_TEX = {"DeclareMathOperator", "IfFileExists", "LTpre", "Delta", "Phi", "Bigl", "Bigr", "H"}


def faults(text: str) -> list[str]:
    """One line for each fault of a TeX source, with its line number; empty when there is none."""
    return [f"main.tex:{line}: {fault}" for line, fault in sorted(_faults(text))]


def pictures(text: str) -> list[str]:
    """The figures that a TeX source includes, each as "figures/NAME"."""
    return re.findall(r"\\includegraphics(?:\[.*?\])?\{\.\./(.+?)\.pdf\}", text)


def _faults(text: str) -> Iterator[tuple[int, str]]:
    text = _blank(re.compile(r"(?<!\\)%.*"), text)

    defined = {one.macro for one in NUMBERS} | {one.macro for one in DECISIONS} | set(QUOTED)
    known = defined | _OF_TEX | set(re.findall(r"\\(?:newcommand|DeclareMathOperator)\{\\([A-Z]\w*)\}", text))
    used = {found[1]: _line(text, found) for found in _MACRO.finditer(text)}
    for macro in sorted(set(used) - known):
        yield used[macro], f"\\{macro} is not in paper/numbers.py"
    for macro in sorted(defined - set(used)):
        yield 1, f"\\{macro} of paper/numbers.py is not used"

    for figure in _FIGURE.finditer(text):
        scripts = {name.replace("\\", "") for name in re.findall(r"\\script\{(.+?)\}", figure[0])}
        for picture in pictures(figure[0]):
            name, *_ = picture.removeprefix("figures/").split("@")  # without the label of the record
            script = f"figures/plots/{name}.py"
            if script not in scripts or not (ROOT / script).exists():
                yield _line(text, figure), f"the figure does not name the script that draws it, {script}"

    preamble, _, _ = _blank(_LAYOUT, text).partition(r"\begin{document}")
    for number in re.finditer(_LONG, _blank(_DEFINITION, preamble)):
        yield _typed(_line(text, number), number[0])
    for definition in _DEFINITION.finditer(preamble):
        for number in re.finditer(r"[\d.]*\d", re.sub(r"#\d|\[\d\]|\\[dt]?frac\d\d", "", definition[0])):
            yield _typed(_line(text, definition), number[0])
    body = _blank(_UNREAD, _blank(re.compile(r"^.*?\\begin\{document\}", re.DOTALL), text))
    for formula in _MATH.finditer(body):
        for measured in _measured(formula["it"]):
            yield _typed(_line(text, formula), measured)
    for found in _MEASURED_WITH_UNIT.finditer(body):
        yield _typed(_line(text, found), found[0])
    prose = _blank(_NAMES, _blank(_MATH, body))
    for found in re.finditer(rf"(?<!#)\d[\d.,]*|{_SPELLED.pattern}", prose, re.IGNORECASE):
        yield _typed(_line(text, found), found[0])


def _measured(formula: str) -> Iterator[str]:
    """The numbers in a formula that must have been measured or chosen."""
    yield from _TEXT_IN_MATH.findall(formula)
    plain = re.sub(r"\\[dt]?frac\d\d", " ", _blank(_TEXT_IN_MATH, formula))
    yield from (number[0] for number in _MEASURED_IN_MATH.finditer(plain))


def _typed(line: int, number: str) -> tuple[int, str]:
    return line, f"{' '.join(number.split())} is typed by hand; make it a macro in paper/numbers.py"


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """The text with every match replaced by as many blanks, so that places stay what they are."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def _line(text: str, found: re.Match[str]) -> int:
    return text.count("\n", 0, found.start()) + 1
