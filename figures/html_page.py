"""figures/index.html: what was found, then claims, experiments, figures, tables and records, in one file.

It needs no network, can be read without its script, and the same records give the same bytes.
"""

import base64
import html
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.records import source_hashes
from experiments.records.record import Record
from figures.drawing import Shown
from figures.headlines import Headline
from figures.tables.table import Table
from figures.verdicts import GROUPS, Outcome, counted

_HERE = Path(__file__).parent
_ARXIV = "https://arxiv.org/abs/2306.15595"
_SECTIONS = {
    "found": "What was found",
    "claims": "Claims about attention scores",
    "experiments": "The paper's experiments",
    "figures": "Figures",
    "tables": "Tables",
    "records": "Records",
}
_KIND = {
    "holds": "good", "reproduced": "good", "refuted": "bad",
    "fails": "bad", "split": "mixed", "undecided": "mixed", "open": "mixed", "not tested": "none",
}  # fmt: skip


def page(
    shown: Sequence[Shown],
    headlines: Sequence[Headline],
    settled: Record,
    outcomes: Sequence[Outcome],
    awaiting: dict[str, str],
) -> str:
    """The whole page.

    Args:
        shown: figures and tables, in their order.
        headlines: what was found, in a few sentences.
        settled: the record of the claims.
        outcomes: of the paper's experiments, sorted by group.
        awaiting: figures and tables whose record has not been made yet, and the command that makes it, in words.
    """
    claims = sorted(settled["metrics"]["claims"], key=lambda claim: claim["verdict"] == "undecided")
    records = {"claims": settled} | {name: record for one in shown for name, record in one.records.items()}
    figures = [one for one in shown if isinstance(one.content, bytes)]
    tables = [one for one in shown if isinstance(one.content, Table)]
    verdicts = {f"claim-{claim['id']}": claim["verdict"] for claim in claims}
    verdicts |= {f"experiment-{one.experiment.id}": one.verdict for one in outcomes}
    drawn = {one.name for one in shown}
    body = [
        "<header><h1>Position Interpolation, examined</h1>",
        f'<p>Position Interpolation (Chen et al. 2023, <a href="{_ARXIV}">arXiv:2306.15595</a>) lets a language model '
        "read texts longer than those it was trained on, by dividing their positions by a factor. This page says what "
        "became of everything the paper claims and measures: claims about attention scores are settled by proof, by "
        "certified arithmetic or by counterexample; experiments were tried again at small size.</p></header>",
        "<nav aria-label='Contents'><ul>",
        *(f'<li><a href="#{id}">{id.title()}</a></li>' for id in _SECTIONS),
        "</ul></nav><main>",
        _section("found", _cards(headlines, verdicts, drawn)),
        _section("claims", _claims(claims)),
        _section("experiments", _experiments(outcomes, records, drawn)),
        _section("figures", _figures(figures, verdicts) + _awaiting(awaiting)),
        _section("tables", "".join(map(_table, tables))),
        _section("records", _records(records)),
        "</main>",
    ]
    style, script = ((_HERE / name).read_text() for name in ("page.css", "page.js"))
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>Position Interpolation, examined</title>\n<style>\n{style}{_filter_rules(verdicts.values())}</style>"
        f"</head>\n<body>\n{_lines(body)}\n<script>/*<![CDATA[*/\n{script}/*]]>*/</script>\n</body></html>\n"
    )


def _section(id: str, content: str) -> str:
    title = f'<h2 id="{id}-title">{_SECTIONS[id]}</h2>'
    return f'<section id="{id}" aria-labelledby="{id}-title">{title}\n{content}</section>'


def _cards(headlines: Sequence[Headline], verdicts: dict[str, str], drawn: set[str]) -> str:
    cards = []
    for one in headlines:
        links = ", ".join(_link(id, verdicts) for id in one.links if id in verdicts or id in drawn)
        picture = _picture(one.picture, one.title, 250) if one.picture else ""
        said = f"<h3>{_text(one.title)}</h3><p>{_text(one.says)}</p>"
        cards.append(f'<article class="card">{picture}{said}<p class="soft">Evidence: {links}</p></article>')
    return f'<div class="cards">{_lines(cards)}</div>'


def _link(id: str, verdicts: dict[str, str]) -> str:
    kind, _, name = id.partition("-")
    if id in verdicts:
        return f'<a href="#{id}">{kind} {_text(name)}</a> ({_verdict(verdicts[id])})'
    return f'<a href="#{id}">figure {_text(id)}</a>'


def _claims(claims: Sequence[dict[str, Any]]) -> str:
    groups = {
        "Claims of the paper": [one for one in claims if one["id"].startswith("chen2023")],
        "Claims of this package": [one for one in claims if not one["id"].startswith("chen2023")],
    }
    verdicts = counted([one["verdict"] for one in claims], "claim")
    parts = [
        "<p>A claim holds or is refuted by a proof or by certified arithmetic; a sample never settles one. "
        f'{verdicts} All come from the record <a href="#record-claims">claims</a>.</p>',
        _filter("claims", [one["verdict"] for one in claims]),
    ]
    for title, found in groups.items():
        if found:
            parts += [f"<h3>{title}</h3>", *map(_claim, found)]
    return _lines(parts)


def _claim(claim: dict[str, Any]) -> str:
    return _row(
        f"claim-{claim['id']}",
        claim["verdict"],
        f'<p class="says">{_text(claim["says"])}</p><p>{_text(claim["evidence"])}</p>'
        f'<p class="soft">Asked for {_text(claim["domain"])}. From {_text(claim["source"])}.</p>',
    )


def _experiments(outcomes: Sequence[Outcome], records: dict[str, Record], drawn: set[str]) -> str:
    verdicts = counted([one.verdict for one in outcomes], "experiment")
    parts = [
        "<p>Each experiment is broken into statements, and a record decides each by its 95% interval: it holds, fails, "
        "or is open where the interval contains the limit. An experiment is reproduced when all hold, refuted when all "
        f"fail, split when some hold and some fail, and otherwise open. {verdicts}</p>",
        _filter("experiments", [one.verdict for one in outcomes]),
    ]
    for group, title in GROUPS.items():
        parts.append(f"<h3>{_text(title)}</h3>")
        parts += [_outcome(one, records, drawn) for one in outcomes if one.experiment.group == group]
    return _lines(parts)


def _outcome(outcome: Outcome, records: dict[str, Record], drawn: set[str]) -> str:
    one = outcome.experiment
    links = [f'<a href="#record-{one.study}">record {one.study}</a>'] * (one.study in records)
    links += [f'<a href="#{one.id}">table {one.id}</a>'] * (one.id in drawn)
    about = [_text(one.source), *([_text(f"Tested on {outcome.scale}")] if outcome.scale else []), *links]
    return _row(
        f"experiment-{one.id}",
        outcome.verdict,
        f'<p class="says">The paper: {_text(one.says)}</p>'
        + (_findings(outcome) if outcome.checks else f"<p>{_text(outcome.reason)}</p>")
        + f'<p class="soft">{". ".join(about)}.</p>',
    )


def _findings(outcome: Outcome) -> str:
    """A line for each statement, and all numbers folded under their count."""
    found = "".join(
        f'<li><span class="{_KIND[one.outcome]}">{one.count}</span>: {_text(one.states)} '
        f"<small>({_text(str(one.example))})</small></li>"
        for one in outcome.findings
    )
    checks = "".join(
        f'<li><span class="{_KIND[check.outcome]}">{check.outcome}</span>: '
        f"{_text(check.states)} "
        f"<small>({_text(str(check))})</small></li>"
        for check in outcome.checks
    )
    return f"<ul>{found}</ul><details><summary>{outcome.count}: all of them</summary><ul>{checks}</ul></details>"


def _row(id: str, verdict: str, content: str) -> str:
    kind = verdict.replace(" ", "-")
    return f'<article class="row {kind}" id="{_text(id)}"><div>{_verdict(verdict)}</div><div>{content}</div></article>'


def _filter(section: str, verdicts: Sequence[str]) -> str:
    """Buttons that show the rows of one verdict."""
    counts = Counter(verdicts)
    buttons = []
    for verdict, number in {"all": len(verdicts), **counts}.items():
        kind = verdict.replace(" ", "-")
        id = f"{section}-only-{kind}"
        checked = ' checked="checked"' * (verdict == "all")
        buttons.append(
            f'<span><input type="radio" name="{section}-only" id="{id}" class="only-{kind}"{checked}/>'
            f'<label for="{id}">{verdict} ({number})</label></span>'
        )
    return f'<fieldset class="filter" aria-label="Show only one verdict">{_lines(buttons)}</fieldset>'


def _filter_rules(verdicts: Iterable[str]) -> str:
    """The style that hides the rows of other verdicts when the button of one is chosen."""
    kinds = sorted({verdict.replace(" ", "-") for verdict in verdicts})
    return "".join(f"section:has(.only-{kind}:checked) .row:not(.{kind}) {{ display: none; }}\n" for kind in kinds)


def _figures(figures: Sequence[Shown], verdicts: dict[str, str]) -> str:
    return f'<div class="figures">{"".join(_figure(one, verdicts) for one in figures)}</div>'


def _figure(one: Shown, verdicts: dict[str, str]) -> str:
    assert isinstance(one.content, bytes)
    asked = [f"claim-{id}" for id in one.claims] + [f"experiment-{id}" for id in one.experiments]
    links = [link for link in asked if link in verdicts]  # a smaller run's is not listed once there is a larger one
    shows = f'<p class="soft">Shows {", ".join(_link(link, verdicts) for link in links)}.</p>' if links else ""
    return (
        f'<article class="card" id="{one.name}"><figure>{_picture(one.content, one.finding, 150, scroll=one.name)}'
        f"<figcaption><h3>{_text(one.finding)}</h3><p>{_text(one.protocol)}</p></figcaption></figure>{shows}"
        f"{_sources(one.records)}</article>\n"
    )


def _picture(png: bytes, says: str, per_inch: int, *, scroll: str = "") -> str:
    """A picture at so many of its pixels an inch of the screen; a wide one scrolls inside its box."""
    width, height = (int.from_bytes(png[start : start + 4]) * 100 // per_inch for start in (16, 20))
    wide = ' class="page"' * (width > 800)
    picture = (
        f'<img{wide} width="{width}" height="{height}" alt="{_text(says)}" '
        f'src="data:image/png;base64,{base64.b64encode(png).decode()}"/>'
    )
    return f'<div class="wide" role="region" tabindex="0" aria-label="{scroll}">{picture}</div>' if scroll else picture


def _awaiting(awaiting: dict[str, str]) -> str:
    lines = "".join(f"<li>{name}: {_text(why)}</li>" for name, why in awaiting.items())
    return f"<h3>Figures and tables whose record has not been made yet</h3><ul>{lines}</ul>" if lines else ""


def _table(one: Shown) -> str:
    assert isinstance(one.content, Table)
    verdict = f": {_verdict(one.outcome.verdict)}" if one.outcome else ""
    return (
        f'<details class="block" id="{one.name}"><summary>{_text(one.content.title)} <small>{one.name}</small>{verdict}'
        f"</summary>{one.content.html()}{_sources(one.records)}</details>\n"
    )


def _sources(records: Mapping[str, Record]) -> str:
    """Where the numbers are from, and on which machine and day these were measured."""
    links = "; ".join(
        f'<a href="#record-{name}">{name}</a> ({_text(record["device"])}, {record["written"][:10]})'
        for name, record in records.items()
    )
    return f'<p class="soft">From the record {links}.</p>' if links else ""


def _records(records: dict[str, Record]) -> str:
    return "<p>Every number on this page comes from one of these files; make verify-results checks them.</p>" + "".join(
        _record(name, record) for name, record in sorted(records.items())
    )


def _record(name: str, record: Record) -> str:
    """When and where a record was made and whether its code is current; the rest is folded under that."""
    in_parts = "parts" in record["metrics"]  # the benchmarks: each part has a device, day and hash of its own
    changed = [] if in_parts else source_hashes.changed(record)
    state = '<span class="bad">code changed since</span>' if changed else '<span class="good">current</span>'
    kept = "made live" if record["kept"] == "live" else "recorded"
    items = "".join(f"<dt>{key}</dt><dd>{_text(value)}</dd>" for key, value in _about(record, changed).items())
    return (
        f'<details class="block" id="record-{name}"><summary>{name}: {kept} {record["written"][:10]} on '
        f"{_text(record['device'])}, {'part by part' if in_parts else state}</summary><dl>{items}</dl></details>\n"
    )


def _about(record: Record, changed: Sequence[str]) -> dict[str, str]:
    """What a record says of itself, as terms and what they are."""
    versions = {"python": record["python"], **record["versions"]}
    by_commit = f"commit {record.get('commit') or 'unknown'}" + (" with changes" if record.get("dirty") else "")
    since = " since it went on after an interruption" if record["metrics"].get("resumed") else ""
    carried = [f"from {one['from'][:10]} to {one['to'][:10]}: {one['how']}" for one in record.get("carried", [])]
    return {
        "what": record.get("says", ""),
        "command": record["command"],
        "written": f"{record['written']}, {by_commit}",
        "device": record["device"],
        "versions": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "time and memory": f"{record['wall_seconds']:.0f} s{since}, {record['peak_memory_gib']:.1f} GiB",
        "config": ", ".join(f"{key} = {value}" for key, value in record["config"].items()) or "none",
        "inputs": ", ".join(f"{key} {value[:12]}" for key, value in record.get("inputs", {}).items()) or "none",
        **({"code changed since": ", ".join(changed)} if changed else {}),
        **({"carried over": "; ".join(carried)} if carried else {}),
        "SHA-256": record["sha256"],
    }


def _verdict(verdict: str) -> str:
    return f'<span class="verdict {_KIND[verdict]}">{verdict}</span>'


def _lines(parts: Iterable[str]) -> str:
    return "\n".join(parts)


def _text(text: str) -> str:
    return html.escape(text)
