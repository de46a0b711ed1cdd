"""figures/index.html: every claim, experiment, table and figure with its verdict, command and record, in one file.

It needs no network and no script, and the same records give the same bytes.
"""

import base64
import html
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.records import source_hashes as code
from experiments.records.record import Record
from figures.tables.table import Table
from figures.verdicts.experiments import Outcome

_STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --soft: #555; --paper: #fff; --card: #f5f5f3; --line: #d0d0cc;
  --good: #00593f; --bad: #9a3200; --mixed: #6b4e00; --none: #555; --link: #00568a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e6; --soft: #b0b0ac; --paper: #161616; --card: #222;
  --line: #444; --good: #5fd0a8; --bad: #ff9a66; --mixed: #f0c050; --none: #b0b0ac; --link: #7cc4f4; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: break-word; }
a { color: var(--link); } h1 { line-height: 1.2; } h2 { margin-top: 3rem; border-bottom: 1px solid var(--line); }
nav ul { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: 0; list-style: none; }
.list { display: grid; gap: .6rem; padding: 0; list-style: none;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 30rem), 1fr)); align-items: start; }
.list > li, article { background: var(--card); border: 1px solid var(--line); border-radius: .4rem;
  padding: .7rem 1rem; }
article { margin: 1.2rem 0; }
article h3 { margin: .2rem 0 .6rem; }
.list p, .list ul { margin: .3rem 0; } .list ul { padding-left: 1.2rem; }
small, .soft { color: var(--soft); font-size: .875rem; }
.verdict { font-weight: 700; } .good { color: var(--good); } .bad { color: var(--bad); }
.mixed { color: var(--mixed); } .none { color: var(--none); }
.stale { color: var(--bad); font-weight: 700; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto; padding: .5rem; background: #fff; }
img.page { min-width: 40rem; }
figure { margin: 0; }
h4 { margin: 1rem 0 .2rem; }
.wide { overflow-x: auto; margin: .8rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap; }
th:first-child { text-align: left; }
code { font-size: .875rem; } dt { font-weight: 600; } dd { margin: 0 0 .4rem; }
summary { cursor: pointer; padding: .2rem 0; }
"""

Stale = dict[str, list[str]]  # record -> modules that changed since

_SECTIONS = ("experiments", "claims", "tables", "figures", "records")
_MOST_CHECKS = 4  # shown without unfolding
_KIND = {
    "holds": "good", "reproduced": "good", "refuted": "bad",
    "partly": "mixed", "undecided": "mixed", "not tested": "none",
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A figure (its PNG and what it says) or a table, with the records it was made from by their names."""

    name: str
    says: str
    content: bytes | Table
    records: dict[str, Record]
    claims: Sequence[str] = ()  # ids of the claims that it illustrates
    experiments: Sequence[str] = ()  # names of the paper's experiments that it illustrates
    outcome: Outcome | None = None


def page(shown: Sequence[Shown], settled: Record, outcomes: Sequence[Outcome], awaiting: dict[str, str]) -> str:
    """The whole page.

    Args:
        shown: figures and tables, in their order.
        settled: the record of the claims.
        outcomes: of the paper's experiments.
        awaiting: figures and tables whose record has not been made yet, and the command that makes it, in words.
    """
    claims = settled["metrics"]["claims"]
    records = {"claims": settled} | {name: record for one in shown for name, record in one.records.items()}
    figures = [one for one in shown if isinstance(one.content, bytes)]
    tables = [one for one in shown if isinstance(one.content, Table)]
    stale = {name: changed for name, record in records.items() if (changed := code.changed(record))}
    verdicts = {f"claim-{claim['id']}": claim["verdict"] for claim in claims}
    verdicts |= {f"experiment-{one.experiment.name}": one.verdict for one in outcomes}
    counts = (
        f"{len(claims)} claims about attention scores: {_count(claim['verdict'] for claim in claims)}. "
        f"{len(outcomes)} experiments of the paper: {_count(outcome.verdict for outcome in outcomes)}."
    )
    body = [
        "<header><h1>Position Interpolation, examined</h1>",
        "<p>Chen et al. 2023, "
        "<cite>Extending Context Window of Large Language Models via Position Interpolation</cite> "
        '(<a href="https://arxiv.org/abs/2306.15595">arXiv:2306.15595</a>): what it claims and measures, and what '
        "became of it here.</p>",
        f"<p>{counts}</p>",
        "<nav aria-label='Contents'><ul>",
        *(f'<li><a href="#{id}">{id.title()}</a></li>' for id in _SECTIONS),
        "</ul></nav></header><main>",
        _section("experiments", "The paper's experiments", _list(_outcome(one, records, stale) for one in outcomes)),
        _section(
            "claims", "Claims about attention scores", _sources(["claims"], records, stale) + _list(map(_claim, claims))
        ),
        _section("tables", "Tables", "".join(_table(one, stale) for one in tables)),
        _section("figures", "Figures", "".join(_figure(one, stale, verdicts) for one in figures) + _awaiting(awaiting)),
        _section("records", "Records", "".join(_record(n, r, stale.get(n)) for n, r in sorted(records.items()))),
        "</main>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        f"<title>Position Interpolation, examined</title><style>{_STYLE}</style></head>\n<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _section(id: str, title: str, content: str) -> str:
    return f'<section id="{id}" aria-labelledby="{id}-title"><h2 id="{id}-title">{title}</h2>\n{content}</section>'


def _list(items: Iterable[str]) -> str:
    return '<ul class="list">' + "\n".join(items) + "</ul>"


def _count(verdicts: Iterable[str]) -> str:
    return ", ".join(f"{verdict} {number}" for verdict, number in Counter(verdicts).most_common())


def _verdict(verdict: str) -> str:
    return f'<span class="verdict {_KIND[verdict]}">{verdict}</span>'


def _outcome(outcome: Outcome, records: dict[str, Record], stale: Stale) -> str:
    one = outcome.experiment
    found = _checks(outcome) + _soft(f"Tested on: {outcome.scale}") if outcome.checks else _soft(outcome.reason)
    return (
        f'<li id="experiment-{one.name}">{_verdict(outcome.verdict)} <small>{_text(one.source)}</small>'
        f"<p>{_text(one.says)}</p>{found}{_sources([one.study], records, stale)}</li>"
    )


def _checks(outcome: Outcome) -> str:
    """All of them; many are folded under their count."""
    checks = "".join(
        f"<li>{_held(check.holds)}: {_text(check.says)} <small>({_text(check.evidence)})</small></li>"
        for check in outcome.checks
    )
    if len(outcome.checks) <= _MOST_CHECKS:
        return f"<ul>{checks}</ul>"
    return f"<details><summary>{outcome.count}</summary><ul>{checks}</ul></details>"


def _held(holds: bool) -> str:
    return f'<span class="{"good" if holds else "bad"}">{"holds" if holds else "fails"}</span>'


def _claim(claim: dict[str, Any]) -> str:
    return (
        f'<li id="claim-{_text(claim["id"])}">{_verdict(claim["verdict"])} <small>{_text(claim["source"])}</small>'
        f"<p>{_text(claim['says'])}</p><small>{_text(claim['domain'])}</small><p>{_text(claim['evidence'])}</p></li>"
    )


def _table(one: Shown, stale: Stale) -> str:
    assert isinstance(one.content, Table)
    verdict = f"<p>{_verdict(one.outcome.verdict)}: {_text(one.outcome.experiment.says)}</p>" if one.outcome else ""
    title = f'<h3 id="{one.name}-title">{_text(one.content.title)}</h3>'
    return (
        f'<article id="{one.name}" aria-labelledby="{one.name}-title">{title}{verdict}{one.content.html()}'
        f"{_sources(one.records, one.records, stale)}</article>\n"
    )


def _figure(one: Shown, stale: Stale, verdicts: dict[str, str]) -> str:
    assert isinstance(one.content, bytes)
    width, height = (int.from_bytes(one.content[start : start + 4]) // 2 for start in (16, 20))  # 150 pixels an inch
    kind = ' class="page"' if width > 600 else ""
    picture = base64.b64encode(one.content).decode()
    links = [f"claim-{id}" for id in one.claims] + [f"experiment-{name}" for name in one.experiments]
    illustrated = "".join(
        f'<li>{_verdict(verdicts[link])}: <a href="#{link}">{link.partition("-")[2]}</a></li>' for link in links
    )
    return (
        f'<article id="{one.name}"><figure>'
        f'<div class="wide" role="region" tabindex="0" aria-label="{one.name}"><img{kind} width="{width}" '
        f'height="{height}" alt="{_text(one.says)}" src="data:image/png;base64,{picture}"/></div>'
        f"<figcaption><p>{_text(one.says)}</p></figcaption></figure>{f'<ul>{illustrated}</ul>' if links else ''}"
        f"{_sources(one.records, one.records, stale)}</article>\n"
    )


def _awaiting(awaiting: dict[str, str]) -> str:
    lines = "".join(f"<li>{name}: {_text(why)}</li>" for name, why in awaiting.items())
    return f"<h3>Figures and tables whose record has not been made yet</h3><ul>{lines}</ul>" if lines else ""


def _sources(names: Iterable[str], records: dict[str, Record], stale: Stale) -> str:
    lines = [
        f'<a href="#record-{name}">{name}</a>{_stale(stale.get(name))}, <code>{_text(records[name]["command"])}</code>'
        for name in names
        if name in records
    ]
    return f'<p class="soft">From: {"; ".join(lines)}</p>' if lines else ""


def _stale(changed: list[str] | None) -> str:
    return ' <span class="stale">(code changed since)</span>' if changed else ""


def _record(name: str, record: Record, changed: list[str] | None) -> str:
    config = record["config"]
    versions = {"python": record["python"], **record["versions"]}
    rows = {
        "what": record.get("says", ""),
        "command": record["command"],
        "written": f"{record['written']}, commit {record['commit']}" + (" with changes" if record["dirty"] else ""),
        "device": record["device"],
        "versions": ", ".join(f"{key} {value}" for key, value in versions.items()),
        "time and memory": f"{record['wall_seconds']:.0f} s, {record['peak_memory_gib']:.1f} GiB",
        "config": ", ".join(f"{key} = {value}" for key, value in config.items()) or "none",
        "inputs": ", ".join(f"{key} {value[:12]}" for key, value in record.get("inputs", {}).items()) or "none",
        "code changed since": ", ".join(changed or []) or "nothing",
        "SHA-256": record["sha256"],
    }
    items = "".join(f"<dt>{key}</dt><dd>{_text(value)}</dd>" for key, value in rows.items())
    return (
        f'<details id="record-{name}"><summary>{name}, {record["kept"]}{_stale(changed)}</summary>'
        f"<dl>{items}</dl></details>\n"
    )


def _soft(text: str) -> str:
    return f'<p class="soft">{_text(text)}</p>'


def _text(text: str) -> str:
    return html.escape(text)
