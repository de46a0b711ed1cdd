"""What became of an experiment of the paper: the checks it was broken into, and the verdict that follows from them.

A rule is a function that reads a record and returns a `Decided`; `experiment` registers it, once for each record that
it decides. A check holds or fails where its interval says so, and is open where the interval contains the limit. The
verdict is *reproduced* when every check holds, *refuted* when every one fails, *split* when some hold and some fail,
and *open* otherwise; it is *not tested* when there is no record, or nothing in the record that could decide.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from experiments.records.record import NoRecord, RecordError, read
from figures.verdicts.intervals import Decision

Verdict = Literal["reproduced", "split", "refuted", "open", "not tested"]
Group = Literal["tiny", "SmolLM2", "heads", "other data"]

_VERDICTS: dict[str, Verdict] = {"holds": "reproduced", "fails": "refuted", "open": "open", "split": "split"}
_WORDS: tuple[Decision, ...] = ("holds", "fails", "open")

# what a page calls each group of experiments, in its order
GROUPS: dict[Group, str] = {
    "SmolLM2": "The paper's tables on a released model, SmolLM2-135M",
    "heads": "What trained attention heads do",
    "tiny": "The paper's tables on a tiny LLaMA, fine-tuned for a thousand steps as in the paper",
    "other data": "Benchmarks and summaries",
}


@dataclass(frozen=True)
class Check:
    """One case of a statement, decided by a record.

    Attributes:
        states: what has to be true if the paper is right: a whole sentence, the same for every case of it.
        outcome: whether it holds or fails in this case, or is open.
        measured: the numbers that decided it, each with what it is a number of.
        of: which case it is, apart from the factor, as in "books"; empty where there is only one.
        factor: by how much the window was extended; None where the statement is not about an extension.
        brief: the deciding number with its interval, for a cell of a table.
    """

    states: str
    outcome: Decision
    measured: str
    of: str = ""
    factor: float | None = None
    brief: str = ""

    @property
    def case(self) -> str:
        """As in "×2, books"; empty where there is only one case."""
        return ", ".join(filter(None, ["" if self.factor is None else f"×{self.factor:g}", self.of]))

    def __str__(self) -> str:
        return f"{self.case}: {self.measured}" if self.case else self.measured


def agreed(checks: Sequence[Check]) -> Decision | Literal["split"]:
    """What all checks agree on; "split" where some hold and some fail, and otherwise open."""
    found = {check.outcome for check in checks}
    if len(found) == 1:
        return checks[0].outcome
    return "split" if {"holds", "fails"} <= found else "open"


@dataclass(frozen=True)
class Finding:
    """A statement with all its cases."""

    states: str
    checks: tuple[Check, ...]

    @property
    def outcome(self) -> Decision | Literal["split"]:
        """What it comes to over all cases."""
        return agreed(self.checks)

    @property
    def count(self) -> str:
        """As in "Holds", "Fails in both cases" or "Holds in 2 of 6 cases, fails in 3, open in 1"."""
        number = len(self.checks)
        counts = {word: sum(check.outcome == word for check in self.checks) for word in _WORDS}
        said = [(word, count) for word, count in counts.items() if count]
        if len(said) == 1:
            cases = {1: "", 2: " in both cases"}.get(number, f" in all {number} cases")
            return f"{said[0][0].capitalize()}{cases}"
        (word, count), *others = said
        more = "".join(f", {word} in {count}" for word, count in others)
        return f"{word.capitalize()} in {count} of {number} cases{more}"

    @property
    def example(self) -> Check:
        """The first case that fails, or else the first that is open, or else the first."""
        return min(self.checks, key=lambda check: ("fails", "open", "holds").index(check.outcome))

    def __str__(self) -> str:
        """One sentence, with the numbers of the example."""
        return f"{self.count}: {self.states} ({self.example})."


@dataclass(frozen=True)
class Decided:
    """What a rule found in a record: at what scale the record was measured, in a line, and the checks."""

    scale: str
    checks: tuple[Check, ...]


class NotTested(Exception):
    """There is a record, and it cannot decide; the message is a sentence that says why."""


@dataclass(frozen=True)
class Outcome:
    """What became of an experiment.

    Attributes:
        scale: at what scale the record was measured; empty when it was not tested.
        checks: what the record decided; empty when it was not tested.
        reason: why it was not tested; empty when it was.
    """

    experiment: "Experiment"
    scale: str
    checks: tuple[Check, ...]
    reason: str

    @property
    def verdict(self) -> Verdict:
        """What the checks come to, as the module says; "not tested" where there is none."""
        return _VERDICTS[agreed(self.checks)] if self.checks else "not tested"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The checks by the statement that they are cases of, in their order."""
        cases: dict[str, list[Check]] = {}
        for check in self.checks:
            cases.setdefault(check.states, []).append(check)
        return tuple(Finding(states, tuple(checks)) for states, checks in cases.items())

    @property
    def count(self) -> str:
        """As in "7 of 10 checks hold, 2 fail, 1 is open"."""
        holds, fails, left = (sum(check.outcome == word for check in self.checks) for word in _WORDS)
        failing = [f"{fails} fail{'s' * (fails == 1)}"] * bool(fails)
        undecided = [f"{left} {'is' if left == 1 else 'are'} open"] * bool(left)
        return ", ".join([f"{holds} of {len(self.checks)} checks hold", *failing, *undecided])

    @property
    def found(self) -> str:
        """What was found, a sentence for each statement; why nothing was, where it was not tested."""
        return " ".join(map(str, self.findings)) if self.checks else self.reason

    @property
    def sentence(self) -> str:
        """The verdict and what it rests on, for the caption of a table that has the numbers."""
        if not self.checks:
            return f"Verdict: {self.verdict}. {self.reason}"
        found = " ".join(f"{finding.count}: {finding.states}." for finding in self.findings)
        return f"Verdict: {self.verdict}, {self.count}. {found}"


@dataclass(frozen=True)
class Experiment:
    """An experiment of the paper on one of our records.

    Attributes:
        id: its name on pages and in links.
        study: whose record decides it; empty where no study has the data.
        source: the table or section of the paper.
        says: what the paper says, a sentence that is clear by itself.
        group: under which heading pages list it.
        decide: reads the record. Raises `NotTested` where it cannot decide, `RecordError` where there is none.
        larger: the experiment that asks the same of a larger run; where that has a record, pages leave this one out.
    """

    id: str
    study: str
    source: str
    says: str
    group: Group
    decide: Callable[[], Decided]
    larger: str = ""

    def outcome(self) -> Outcome:
        """What its record says; not tested where there is none or it cannot decide."""
        try:
            tested = self.decide()
        except NotTested as error:
            return Outcome(self, "", (), str(error))
        except RecordError as error:
            return Outcome(self, "", (), f"Not measured on this machine: {error}.")
        return Outcome(self, tested.scale, tested.checks, "")


EXPERIMENTS: dict[str, Experiment] = {}  # by id; `figures.verdicts` fills it

Rule = TypeVar("Rule", bound=Callable[..., Decided])


def experiment(
    *, id: str, study: str, source: str, says: str, group: Group, larger: str = "", **asked: Any
) -> Callable[[Rule], Rule]:
    """Registers the rule below it as what decides an experiment; of several, the one nearest to the rule comes first.

    Args:
        id: its name.
        study: whose record decides it, the rule's first argument.
        source: the table or section of the paper.
        says: what the paper says.
        group: under which heading pages list it.
        larger: the experiment that asks the same of a larger run, if there is one.
        **asked: further arguments of the rule, as the corpus that this experiment asks about.

    Raises:
        ValueError: an experiment of that name is registered already.
    """

    def register(rule: Rule) -> Rule:
        if id in EXPERIMENTS:
            raise ValueError(f"experiment {id!r} is registered twice")
        EXPERIMENTS[id] = Experiment(id, study, source, says, group, lambda: rule(study, **asked), larger)
        return rule

    return register


def counted(verdicts: Sequence[str], noun: str) -> str:
    """How many verdicts of each kind there are, as in "Of these 3 claims, 2 are refuted and 1 holds"."""
    parts = []
    for verdict, number in Counter(verdicts).most_common():
        are = "is" if number == 1 else "are"
        more = {"holds": "holds" if number == 1 else "hold"}
        parts.append(f"{number} {more.get(verdict, f'{are} {verdict}')}")
    listed = " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
    return f"Of these {len(verdicts)} {noun}s, {listed}."


def outcomes() -> list[Outcome]:
    """Those that pages list: by group, and in each the ones that were tested before the others."""
    listed = (one for one in EXPERIMENTS.values() if not (one.larger and _is_measured(EXPERIMENTS[one.larger].study)))
    found = [one.outcome() for one in listed]
    places = list(GROUPS)
    return sorted(found, key=lambda one: (places.index(one.experiment.group), one.verdict == "not tested"))


def _is_measured(study: str) -> bool:
    """Whether there is a record, be it one that cannot decide or was changed since."""
    try:
        read(study)
    except NoRecord:
        return False
    except RecordError:
        return True
    return True
