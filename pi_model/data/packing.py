"""Pack documents into training windows. Which window is read when depends on seed, step, rank and world size alone.

For every epoch the documents of a source are put in a new random order. They follow one another, each between the
tokens that the tokenizer marks its beginning and end with, and this stream is cut into windows of L' tokens (T),
wherever documents begin or end. Attention crosses the boundaries, and the end token is a target like any other, so the
model learns to forget what came before it. The paper does not say how it packs; LLaMA's own training is known to do
this. In each epoch every token is the target of one prediction, except the first token of the stream and the last ones,
which do not fill a window; which tokens these are changes with the order.

Documents with summaries are not packed: each pair has a padded window of its own, and the loss counts its summary only.

Shape suffixes: B windows, T tokens; next is T + 1.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from jaxtyping import Int

from pi_model.data.documents import Documents
from pi_model.errors import RunError


class Stream:
    """The windows of one source, epoch after epoch.

    Args:
        documents: the source's documents, without special tokens.
        tokens: T, the length of a window.
        seed: determines the order; any sequence of numbers that numpy takes as a seed.
        bos_id: token put before every document, or None.
        eos_id: token put after every document, or None.

    Attributes:
        windows: number of windows in an epoch.
        total_tokens: number of tokens in an epoch, those that begin and end documents included.

    Raises:
        RunError: the documents do not fill a single window.
    """

    def __init__(
        self,
        documents: Documents,
        tokens: int,
        seed: Sequence[int] = (0,),
        bos_id: int | None = None,
        eos_id: int | None = None,
    ) -> None:
        self.documents, self.tokens, self.seed = documents, tokens, tuple(seed)
        self._bos = np.array([] if bos_id is None else [bos_id], dtype=np.int64)
        self._eos = np.array([] if eos_id is None else [eos_id], dtype=np.int64)
        self._lengths = documents.lengths + len(self._bos) + len(self._eos)
        self.total_tokens = int(self._lengths.sum())
        self.windows = (self.total_tokens - 1) // tokens
        if self.windows < 1:
            raise RunError(
                f"data: {len(documents.names)} documents of {self.total_tokens} tokens in all do not fill one "
                f"window of {tokens}; give more data, or a smaller factor"
            )
        self._order = lru_cache(maxsize=2)(self._draw)

    def _draw(self, epoch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """An epoch's order of the documents, the ends of the documents in the stream, and the order of the windows."""
        draw = np.random.default_rng([*self.seed, epoch])
        documents = draw.permutation(len(self._lengths))
        return documents, np.cumsum(self._lengths[documents]), draw.permutation(self.windows)

    def _span(self, number: int) -> tuple[np.ndarray, np.ndarray, int]:
        """The documents' order and ends in a window's epoch, and where in the stream the window starts."""
        documents, ends, windows = self._order(number // self.windows)
        return documents, ends, int(windows[number % self.windows]) * self.tokens

    def window(self, number: int) -> Int[np.ndarray, " next"]:
        """A window by its number: T + 1 token ids, of which [:-1] are inputs and [1:] targets."""
        documents, ends, start = self._span(number)
        stop = start + self.tokens + 1
        first = int(np.searchsorted(ends, start, side="right"))
        pieces, at = [], int(ends[first] - self._lengths[documents[first]])
        begin = at
        while at < stop:
            pieces += [self._bos, self.documents.tokens[documents[first]].astype(np.int64), self._eos]
            at = int(ends[first])
            first += 1
        return np.concatenate(pieces)[start - begin : stop - begin]

    def names(self, number: int) -> list[str]:
        """The names of the documents that a window has tokens of."""
        documents, ends, start = self._span(number)
        first = np.searchsorted(ends, start, side="right")
        last = np.searchsorted(ends, start + self.tokens, side="right")
        return [self.documents.names[document] for document in documents[first : last + 1]]


class PairStream:
    """The windows of one source of prompts with their answers: each pair has a window, in a new order every epoch.

    The prompt and the padding are read without loss; `pi_model.training.loss.CausalLoss` says how such tokens are
    marked. Padding comes last, so a causal model never sees it before a token that counts.

    Args:
        prompts: the prompts.
        targets: what is to follow each prompt, in the same order.
        tokens: T, the length of a window.
        seed: determines the order; any sequence of numbers that numpy takes as a seed.

    Attributes:
        windows: number of windows in an epoch.
        total_tokens: number of tokens in an epoch, without padding.

    Raises:
        RunError: a pair is longer than the window.
    """

    def __init__(self, prompts: Documents, targets: Documents, tokens: int, seed: Sequence[int] = (0,)) -> None:
        self.prompts, self.targets, self.tokens, self.seed = prompts, targets, tokens, tuple(seed)
        self.windows = len(prompts.names)
        self.total_tokens = int(prompts.lengths.sum() + targets.lengths.sum())
        # The last token is predicted but never read.
        for pair in np.flatnonzero(prompts.lengths + targets.lengths > tokens + 1).tolist():
            together = f"{prompts.lengths[pair]} + {targets.lengths[pair]} tokens"
            raise RunError(f"{prompts.names[pair]}: {together} do not fit a window of {tokens}")
        self._order = lru_cache(maxsize=2)(self._draw)

    def _draw(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([*self.seed, epoch]).permutation(self.windows)

    def _pair(self, number: int) -> int:
        """The index of the pair that a window holds."""
        return int(self._order(number // self.windows)[number % self.windows])

    def window(self, number: int) -> Int[np.ndarray, " next"]:
        """A window by its number: T + 1 token ids, those that are read without loss as ~id."""
        pair = self._pair(number)
        prompt, target = (ids[pair].astype(np.int64) for ids in (self.prompts.tokens, self.targets.tokens))
        padding = np.full(self.tokens + 1 - len(prompt) - len(target), ~0)
        return np.concatenate([~prompt, target, padding])

    def names(self, number: int) -> list[str]:
        """The name of the document that a window holds, in a list."""
        return [self.prompts.names[self._pair(number)]]


class Batches:
    """The mixture of several sources, dealt out to steps and ranks.

    The sources take turns, so that after any number of windows each has given its share of them to within a window or
    so.

    Args:
        streams: the sources.
        weights: each source's share of the windows, relative to the others.
        global_batch: number of windows in a step, over all ranks.
        steps: number of steps in the run.
    """

    def __init__(
        self, streams: Sequence[Stream | PairStream], weights: Sequence[float], global_batch: int, steps: int
    ) -> None:
        self.streams, self.global_batch = list(streams), global_batch
        shares = np.asarray(weights, dtype=float) / sum(weights)
        counts = [math.ceil(global_batch * steps * share) + 2 for share in shares]
        # The j-th window of a source with share w is due at (j + 1/2) / w.
        due = np.concatenate([(np.arange(count) + 0.5) / share for count, share in zip(counts, shares, strict=True)])
        order = np.argsort(due, kind="stable")[: global_batch * steps]
        self._source = np.repeat(np.arange(len(counts)), counts)[order]
        self._number = np.concatenate([np.arange(count) for count in counts])[order]

    def windows(self, step: int, rank: int = 0, world_size: int = 1) -> Int[np.ndarray, "B next"]:
        """The windows of one rank at one step. The ranks' windows, one after the other, are the global batch."""
        return np.stack([self.streams[source].window(number) for source, number in self._own(step, rank, world_size)])

    def names(self, step: int, rank: int = 0, world_size: int = 1) -> list[str]:
        """The names of the documents in `windows`, each once."""
        own = self._own(step, rank, world_size)
        return list(dict.fromkeys(name for source, number in own for name in self.streams[source].names(number)))

    def _own(self, step: int, rank: int, world_size: int) -> list[tuple[int, int]]:
        """(source, number of its window) for each window of one rank at one step."""
        share = self.global_batch // world_size
        first = step * self.global_batch + rank * share
        own = slice(first, first + share)
        return list(zip(self._source[own].tolist(), self._number[own].tolist(), strict=True))
