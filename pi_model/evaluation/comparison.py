"""Several models on the same documents, or the same passkeys: their paired differences, to the first of them.

Losses per token can be subtracted only between models that cut a text into the same tokens. For others they become bits
per byte of the text: all that a model spends on a document, over the document's bytes.
"""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from transformers import PreTrainedTokenizerBase

from pi_model.data.documents import Documents, tokenizer_sha256
from pi_model.errors import UsageError
from pi_model.evaluation.differences import Difference, difference
from pi_model.evaluation.passkey import PasskeyResult
from pi_model.evaluation.perplexity import Averaging, WindowResult
from pi_model.evaluation.windows import sliding_windows

Unit = Literal["nats per token", "bits per byte", "share found"]

# By how much two tokenizers may differ in the bytes of one document. Some add a space at its beginning, or change rare
# characters; a text that was cut elsewhere differs by more.
SAME_TEXT = 0.01


@dataclass(frozen=True)
class Reader:
    """How a model reads the documents, known before it is loaded.

    Attributes:
        model: what it is called in messages and tables.
        tokenizer: its own.
        documents: as its tokenizer gives them.
        bos_id: the token that begins every input, or None.
    """

    model: str
    tokenizer: PreTrainedTokenizerBase
    documents: Documents
    bos_id: int | None

    def same_tokens(self, other: "Reader") -> bool:
        """Whether both read the very same tokens."""
        alike = tokenizer_sha256(self.tokenizer) == tokenizer_sha256(other.tokenizer)
        return alike and (self.bos_id is None) == (other.bos_id is None)

    def text_bytes(self) -> np.ndarray:
        """The length of each document's text in bytes of UTF-8."""
        texts = (self.tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in self.documents.tokens)
        return np.array([len(str(text).encode(errors="replace")) for text in texts])

    def weights(self, window: int, stride: int | None, averaging: Averaging) -> np.ndarray:
        """What each document's mean loss counts for: the tokens or the windows that are scored in it.

        Args:
            window: in tokens.
            stride: that of the sliding window; None for documents cut to one window.
            averaging: what the losses are averaged over.
        """
        bos = self.bos_id is not None
        counts = []
        for ids in self.documents.tokens:
            tokens = max(0, (len(ids) if stride else min(len(ids), window - bos)) - (not bos))
            if averaging == "token":
                counts.append(tokens)
            elif stride:
                counts.append(len(sliding_windows(len(ids), window=window, stride=stride, bos=bos)))
            else:
                counts.append(int(tokens > 0))
        return np.array(counts)


@dataclass(frozen=True)
class Compared:
    """One model against the first, at one window of a perplexity or over all distances of a passkey.

    Attributes:
        model, against: the two models.
        window: in tokens; of a passkey the length of the prompts.
        unit: what is compared.
        value, first: the measure of the model and of the first one, in this unit.
        difference: by how much the model's exceeds the first one's; None where nothing was measured twice.
    """

    model: str
    against: str
    window: int
    unit: Unit
    value: float
    first: float
    difference: Difference | None

    @property
    def interval(self) -> tuple[float, float] | None:
        """That of the difference, within what a share can differ by; None where it is not known."""
        found = self.difference.interval if self.difference else None
        if found is None or self.unit != "share found":
            return found
        return max(found[0], -1.0), min(found[1], 1.0)

    def answer(self) -> dict[str, Any]:
        """As JSON values, the interval included."""
        said = asdict(self)
        if self.difference is not None:
            said["difference"]["interval"] = self.interval
        return said

    def said(self, times: float = 1.0, digits: int = 4) -> str:
        """The difference with its interval, in two columns."""
        if self.difference is None:
            return ""
        interval = ""
        if self.interval is not None:
            low, high = (f"{times * end:+.{digits}f}" for end in self.interval)
            interval = f"[{low}, {high}]"
        return f"{times * self.difference.mean:+11.{digits}f} {interval:>18}"


def comparable(readers: Sequence[Reader], *, stride: int | None, averaging: Averaging) -> Unit:
    """The unit in which the losses of models can be compared, known before any is loaded.

    Args:
        readers: the models; all are compared with the first one.
        stride: that of the sliding window; None for documents cut to one window.
        averaging: what the losses are averaged over.

    Raises:
        UsageError: they have different tokenizers, and do not read the same texts for it.
    """
    first = readers[0]
    others = [one for one in readers[1:] if not one.same_tokens(first)]
    if not others:
        return "nats per token"
    told = f"model: {first.model} and {others[0].model} cut a text into different tokens"
    if stride is None:
        raise UsageError(f"{told}, and --truncate gives each another text; leave it out to compare them")
    if averaging == "window":
        raise UsageError(f"{told}, whose windows hold different text; compare them with --averaging token")
    length = first.text_bytes()
    for one in others:
        same = one.documents.names == first.documents.names
        if not same or (np.abs(one.text_bytes() - length) > SAME_TEXT * length + 1).any():
            raise UsageError(
                f"{told}, and do not read the same texts; give documents as text, without --max-tokens and --min-tokens"
            )
    return "bits per byte"


def compared(
    readers: Sequence[Reader],
    results: Sequence[Sequence[WindowResult]],
    *,
    stride: int | None,
    averaging: Averaging,
) -> list[Compared]:
    """The paired differences of several models to the first one, by window.

    Args:
        readers: the models.
        results: of each its result at every window, all at the same windows.
        stride: that of the sliding window; None for documents cut to one window.
        averaging: what the losses were averaged over.

    Raises:
        UsageError: as `comparable`.
    """
    unit = comparable(readers, stride=stride, averaging=averaging)
    length = readers[0].text_bytes() if unit == "bits per byte" else None
    rows = []
    for at, of_first in enumerate(results[0]):
        window = of_first.window
        measured = []
        for reader, of_model in zip(readers, results, strict=True):
            weights = reader.weights(window, stride, averaging)
            losses = np.full(len(weights), np.nan)  # where nothing is scored, a result has no loss
            losses[weights > 0] = of_model[at].document_loss_nats
            if length is not None:
                losses, weights = losses * weights / length / math.log(2), length
            measured.append((losses, weights))
        whole = np.isfinite([losses for losses, _ in measured]).all(axis=0)
        base, weights = measured[0][0][whole], measured[0][1][whole]
        for reader, (losses, _) in list(zip(readers, measured, strict=True))[1:]:
            own = losses[whole]
            value, first = (float((one * weights).sum() / weights.sum()) for one in (own, base))
            found = difference(own.tolist(), base.tolist(), weights.tolist())
            rows.append(Compared(reader.model, readers[0].model, window, unit, value, first, found))
    return rows


def compared_passkeys(results: dict[str, PasskeyResult]) -> list[Compared]:
    """The paired differences of the shares found, distance by distance, of several models to the first one.

    Args:
        results: by model, all with the same prompts' length, distances, trials and seed.
    """
    (base, of_base), *others = results.items()
    rows = []
    for model, result in others:
        shares = [list(one.accuracy.values()) for one in (result, of_base)]
        value, first = (float(np.mean(one)) for one in shares)
        found = difference(shares[0], shares[1])
        rows.append(Compared(model, base, result.context_tokens, "share found", value, first, found))
    return rows


def perplexity_table(models: Sequence[str], results: Sequence[Sequence[WindowResult]], rows: Sequence[Compared]) -> str:
    """Several models' perplexities with their differences to the first, window by window."""
    unit = rows[0].unit
    bits = unit == "bits per byte"
    by_place = {(row.window, row.model): row for row in rows}
    lines = [
        f"{'window':>8} {'bits/byte' if bits else 'perplexity':>11} {'difference':>11} {'95% interval':>18}  model",
        f"{'':8} {'':11} {f'({unit})':>30}",
    ]
    for at, of_first in enumerate(results[0]):
        window = of_first.window
        for model, of_model in zip(models, results, strict=True):
            row = by_place.get((window, model))
            value = of_model[at].perplexity
            if bits:
                value = next(one.first for one in rows if one.window == window) if row is None else row.value
            said = row.said() if row else ""
            lines.append(f"{window:8} {value:11.4f} {said:30}  {model}")
    return "\n".join(lines)


def passkey_table(results: dict[str, PasskeyResult], rows: Sequence[Compared]) -> str:
    """The share that each model found at each distance, k_max, and the differences to the first model."""
    letters = {model: _letter(number) for number, model in enumerate(results)}
    lines = [f"{letter}: {model}" for model, letter in letters.items()]
    lines.append(f"{'k':>8}" + "".join(f"{letter:>7}" for letter in letters.values()))
    for k in next(iter(results.values())).accuracy:
        lines.append(f"{k:8}" + "".join(f"{result.accuracy[k]:7.0%}" for result in results.values()))
    lines.append(f"{'k_max':>8}" + "".join(f"{result.k_max:7}" for result in results.values()))
    for row in rows:
        pair = f"{letters[row.model]} - {letters[row.against]}"
        lines.append(f"{pair:>8} {row.said(100, 1).strip()}")
    lines.append("Differences are means over the distances in points of a hundred, with 95% intervals.")
    return "\n".join(lines)


def _letter(number: int) -> str:
    """A, B, ... Z, then M27, M28, ..."""
    return chr(ord("A") + number) if number < 26 else f"M{number + 1}"
