"""What a measurement within some minutes says: losses by position of every way to a context, and a few passkeys.

What is most worth knowing comes first: one text by every way, in the order that theory predicts; passkeys of the
checkpoint as it is and of the best way; then more texts, always by every way, so that differences are paired. Each
result is kept in a file, so that the same command goes on where it stopped, and more minutes refine the answer.
"""

import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pi_model.errors import UsageError
from pi_model.evaluation.passkey import PromptMaker, passkey
from pi_model.evaluation.perplexity import losses_by_token
from pi_model.examine.certainty import Way
from pi_model.examine.findings import Measured, Stretch
from pi_model.examine.rescaled import rescaled
from pi_model.examine.texts import Texts
from pi_model.files import write_text
from pi_model.models.loading import Checkpoint
from pi_model.models.rope_parameters import depends_on_context

STRETCHES = 32  # of the loss by position
LAST = 8  # the last eighth of the context is looked at by itself
PASSKEY_DISTANCES, PASSKEY_KEYS = 4, 2


@dataclass(frozen=True)
class _Unit:
    """A piece of work: the losses of a way on a text, or its passkeys where there is no text."""

    way: Way
    text: int | None

    @property
    def file(self) -> str:
        """The name of the file that keeps its result."""
        return f"passkeys-{self.way.name}.json" if self.text is None else f"losses-{self.way.name}-{self.text}.npy"


class Measurement:
    """Measures ways on texts, most valuable first, for some seconds.

    Args:
        checkpoint: the model.
        content: the content of its config.json.
        ways: the ways, the checkpoint as it is first and then in the order in which theory predicts them.
        texts: what is read.
        context_tokens: L', the window that was asked for.
        folder: where results are kept. It must belong to this model, these texts and this context alone.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        content: dict[str, object],
        ways: Sequence[Way],
        texts: Texts,
        *,
        context_tokens: int,
        folder: Path,
    ) -> None:
        self.checkpoint, self.content, self.ways, self.texts = checkpoint, content, list(ways), texts
        self.context_tokens, self.folder = context_tokens, folder
        self.bos = checkpoint.bos_id is not None
        try:
            PromptMaker(checkpoint.tokenizer, context_tokens, checkpoint.bos_id)
            self.asks_for_passkeys = True
        except UsageError:  # the context is too short for a prompt
            self.asks_for_passkeys = False
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def seconds(self) -> float:
        """How long the results took, in all sittings."""
        return sum(json.loads(path.read_text())["seconds"] for path in self.folder.glob("*.time"))

    def run(self, seconds: float, *, progress: bool = False) -> bool:
        """Measure for so long, and at least one text as the model is.

        Args:
            seconds: the time to spend, of which no piece of work that is expected to end later is begun.
            progress: show a bar with what is measured and the time that is left.

        Returns:
            Whether everything is measured.
        """
        begun = time.monotonic()
        rate: float | None = None  # seconds for a unit of estimated work
        with tqdm(total=len(self._units()), unit="measurement", leave=False, disable=None if progress else True) as bar:
            bar.update(len(self._units()) - len(list(self._todo())))
            while (unit := next(self._todo(), None)) is not None:
                left = seconds - (time.monotonic() - begun)
                expected = 0.0 if rate is None else rate * self._work(unit)
                if expected > left and self._done("none", 0):
                    return False
                what = "passkeys" if unit.text is None else self.texts.texts[unit.text].name
                bar.set_postfix_str(f"{unit.way.name} on {what}, {max(left, 0):.0f} s left")
                started = time.monotonic()
                self._measure(unit)
                took = time.monotonic() - started
                rate = took / self._work(unit)
                write_text(self.folder / f"{unit.file}.time", json.dumps({"seconds": took}))
                bar.update()
        return True

    def losses(self) -> dict[str, Measured]:
        """What was measured of each way, on the texts that all measured ways have been read on."""
        measured = [way for way in self.ways if self._done(way.name, 0)]
        common = next(
            (n for n in range(len(self.texts.texts)) if not all(self._done(way.name, n) for way in measured)),
            len(self.texts.texts),
        )
        return {way.name: self._summary(way, range(max(common, 1))) for way in measured}

    def passkeys(self) -> dict[str, dict[int, float]]:
        """The share of passkeys found by distance, of each way that it was measured of."""
        paths = {way.name: self.folder / _Unit(way, None).file for way in self.ways}
        return {
            name: {int(k): share for k, share in json.loads(path.read_text()).items()}
            for name, path in paths.items()
            if path.exists()
        }

    def _units(self) -> list[_Unit]:
        """All the work, most valuable first."""
        losses = [_Unit(way, number) for number in range(len(self.texts.texts)) for way in self.ways]
        if not self.asks_for_passkeys:
            return losses
        best = min(self.losses().items(), key=lambda item: item[1].loss_nats, default=("none", None))[0]
        keys = [_Unit(way, None) for way in sorted(self.ways, key=lambda way: way.name not in ("none", best))]
        first = len(self.ways)
        return losses[:first] + keys[:2] + losses[first:] + keys[2:]

    def _todo(self) -> Iterator[_Unit]:
        """What is not measured yet."""
        return (unit for unit in self._units() if not (self.folder / unit.file).exists())

    def _done(self, way: str, text: int) -> bool:
        return (self.folder / f"losses-{way}-{text}.npy").exists()

    def _work(self, unit: _Unit) -> float:
        """How long a unit takes, in passes over a text."""
        passes = 1 + (unit.text is not None and depends_on_context(unit.way.extension)) * 0.5
        return passes if unit.text is not None else 1 + PASSKEY_DISTANCES * PASSKEY_KEYS * 0.5

    def _measure(self, unit: _Unit) -> None:
        checkpoint = self.checkpoint
        with rescaled(checkpoint.model, dict(self.content), unit.way.extension) as model:
            if unit.text is None:
                found = passkey(
                    model,
                    checkpoint.tokenizer,
                    context_tokens=self.context_tokens,
                    positions=PASSKEY_DISTANCES,
                    trials=PASSKEY_KEYS,
                    bos_id=checkpoint.bos_id,
                ).accuracy
                write_text(self.folder / unit.file, json.dumps(found))
                return
            ids = self.texts.texts[unit.text].ids
            nats = losses_by_token(model, ids, checkpoint.bos_id)
            inside = nats[: self._inside]
            if depends_on_context(unit.way.extension):  # then a text of the old window's length is read otherwise
                inside = losses_by_token(model, ids[: self._inside + (not self.bos)], checkpoint.bos_id)
        partial = self.folder / f".{unit.file}.{os.getpid()}"
        with partial.open("wb") as file:
            np.save(file, np.concatenate([inside, nats]).astype(np.float32))
        os.replace(partial, self.folder / unit.file)

    @property
    def _scored(self) -> int:
        """Tokens of a text that have a loss."""
        return self.texts.tokens - (not self.bos)

    @property
    def _inside(self) -> int:
        """Of these, how many lie in the window that the checkpoint serves today."""
        return min(self.ways[0].extension.context_tokens - 1, self._scored)

    def _summary(self, way: Way, numbers: Sequence[int]) -> Measured:
        kept = np.stack([np.load(self.folder / f"losses-{way.name}-{number}.npy") for number in numbers]).astype(float)
        inside, nats = kept[:, : self._inside], kept[:, self._inside :]
        last = max(1, self._scored // LAST)
        edges = np.unique(np.linspace(0, self._scored, STRETCHES + 1).astype(int)).tolist()
        return Measured(
            documents=len(kept),
            whole=tuple(nats.mean(axis=1).tolist()),
            inside=tuple(inside.mean(axis=1).tolist()),
            last=tuple(nats[:, -last:].mean(axis=1).tolist()),
            curve=tuple(
                # The first token that has a loss stands at position 1, after BOS or after a token that has none.
                Stretch(start + 1, end + 1, float(nats[:, start:end].mean()))
                for start, end in pairwise(edges)
            ),
        )
