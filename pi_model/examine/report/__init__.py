"""report.html: what one examination found, or two side by side, in one file that needs no network and no script.

The same findings give the same bytes. Every number links to the section that says how it was got.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from pi_model.examine.findings import Examination
from pi_model.examine.report.checkpoint import cost, identity, proved
from pi_model.examine.report.comparison import LETTERS, compared
from pi_model.examine.report.markup import badge, code, facts, got, items, number, text, whole
from pi_model.examine.report.methods import loss_by_position, methods_compared, passkeys, reach
from pi_model.examine.report.terms import TERMS, WAYS, Term
from pi_model.examine.summary import headline

_UNFINISHED = (
    "Not everything was measured yet: the same command with more <code>--minutes</code> goes on where it stopped and "
    "refines the numbers."
)


def page(examinations: Sequence[Examination]) -> str:
    """The report as one HTML file.

    Args:
        examinations: one, or two to be compared, such as a model before and after fine-tuning.

    Raises:
        ValueError: there are neither one nor two.
    """
    if len(examinations) not in (1, 2):
        raise ValueError(f"examinations: need one or two, got {len(examinations)}")
    sections = {id: (title, _columns(examinations, content)) for id, (title, content) in _SECTIONS.items()}
    if len(examinations) == 2:
        sections = {"compared": ("The two compared", compared(*examinations))} | sections
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
    style = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
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
        for letter, one in zip(LETTERS, examinations, strict=True)
    )
    return '<div class="columns">' + "\n".join(parts) + "</div>"


def _answer(one: Examination) -> str:
    """The recommendation in one sentence, and what it is the answer to."""
    asked = got(whole(one.context_tokens), "context")
    window, today = got(whole(one.identity.window_tokens), "window"), got(whole(one.identity.context_tokens), "config")
    unfinished = "" if one.complete else f" {_UNFINISHED}"
    return (
        f'<p class="answer">{text(headline(one))}</p>\n<p class="soft">{text(one.identity.model)} was trained on '
        f"{window} tokens and serves {today} today; asked for: {asked}.{unfinished}</p>\n"
    )


def _what_to_do(one: Examination) -> str:
    reasons = [f"{text(reason.text)} {badge(reason.evidence)}" for reason in one.recommendation.reasons]
    commands = "".join(map(code, one.recommendation.commands))
    return (items(reasons) or "<p>No reasons are known yet.</p>") + (
        f"<p>To type (a click selects a whole command):</p>\n{commands}" if commands else ""
    )


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
    def entries(terms: Sequence[Term]) -> str:
        return "".join(f'<dt id="how-{one.id}">{text(one.title)}</dt><dd>{text(one.means)}</dd>\n' for one in terms)

    return (
        f"<h3>How something is known</h3>\n<dl>{entries(WAYS)}</dl>\n"
        f"<h3>What the words mean, and how their numbers are got</h3>\n<dl>{entries(TERMS)}</dl>\n"
    )


_SECTIONS: dict[str, tuple[str, Callable[[Examination], str]]] = {
    "do": ("What to do", _what_to_do),
    "loss": ("Loss by position", loss_by_position),
    "methods": ("The methods compared", methods_compared),
    "reach": ("How far each method reaches", reach),
    "passkeys": ("Passkeys", passkeys),
    "checkpoint": ("What the checkpoint is", identity),
    "proved": ("What is certain about its heads", proved),
    "cost": ("What fine-tuning costs", cost),
}
