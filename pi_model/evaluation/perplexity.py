"""Perplexity by context window: with the sliding window of Press et al. 2021, or of documents cut to each window.

Four things make it cheap without changing a number. Only scored positions go through the last layer's MLP and the LM
head, this in blocks. Keys and values are not kept. Windows share a forward pass up to a budget of tokens. Losses stay
on the device until there is progress to show.

Shape suffixes: B windows in a batch, T tokens, S scored tokens, D model width, V vocabulary.
"""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Float, Int
from tqdm import tqdm

from pi_model.distributed import ranks
from pi_model.errors import RunError, UsageError
from pi_model.evaluation.journal import UNDONE, Journal
from pi_model.evaluation.windows import Window, check_window_and_stride, sliding_windows
from pi_model.models.families import CausalLM
from pi_model.models.rope_parameters import depends_on_context, read_extension, reset_frequencies

Averaging = Literal["token", "window"]

# Number of positions in a block: SmolLM2's float32 logits of one block take 512 x 49152 x 4 bytes = 96 MiB.
HEAD_BLOCK = 512
# Tokens in a forward pass: about as many as a CPU's caches hold, because a tiny model is slower when they overflow, and
# enough to keep a GPU busy.
BATCH_TOKENS_CPU = 1024
BATCH_TOKENS_GPU = 32768
_SECONDS_BETWEEN_SYNCS = 1.0
# A product of fewer rows is computed by another kernel, which rounds otherwise.
_FEWEST_ROWS = 64


@dataclass(frozen=True)
class WindowResult:
    """Perplexity at one window size.

    Attributes:
        window: input length in tokens, BOS included.
        perplexity: exp(loss_nats).
        loss_nats: mean negative log-likelihood of a token, in nats.
        tokens: number of tokens that were scored.
        windows: number of windows in which they were scored.
        loss_nats_stderr: standard error of loss_nats over documents: how much it would vary if other documents of the
            same kind had been drawn. None for a single document.
        document_loss_nats: the mean loss of each document, in order.
    """

    window: int
    perplexity: float
    loss_nats: float
    tokens: int
    windows: int
    loss_nats_stderr: float | None
    document_loss_nats: tuple[float, ...]


@dataclass
class _Batch:
    """Windows that share a forward pass, and their indices among all windows of the run."""

    entries: list[int]
    windows: list[Window]


def sliding_perplexity(
    model: CausalLM,
    documents: Sequence[np.ndarray],
    *,
    windows: Sequence[int],
    stride: int = 256,
    bos_id: int | None = None,
    averaging: Averaging = "token",
    batch_tokens: int | None = None,
    names: Sequence[str] | None = None,
    progress_folder: str | Path | None = None,
    progress: bool = False,
) -> list[WindowResult]:
    """Sliding-window perplexity of documents at each window size (Press et al. 2021, arXiv:2108.12409).

    Args:
        model: in evaluation mode.
        documents: token ids without special tokens, one array for each document. Documents are never joined.
        windows: input lengths in tokens, each greater than the stride.
        stride: S, the number of tokens between the starts of two windows; every window after a document's first scores
            its last S tokens.
        bos_id: token put at the start of every window, where it takes one place. None puts none, and then the first
            token of a document is not scored.
        averaging: "token" weighs every token alike; "window" is the mean of window means, which some tools report.
        batch_tokens: windows share a forward pass up to this many tokens, and a longer window gets a pass of its own.
            Results do not depend on it. None suits the device.
        names: names of the documents, for messages.
        progress_folder: where results are kept as they come, so that an interrupted run goes on where it stopped.
            It must belong to this model and these documents alone, and the caller removes it when all is done.
        progress: show a bar with the tokens per second and the perplexity so far.

    Returns:
        The result at each window size, in the order of `windows`.

    Raises:
        UsageError: an argument is outside its domain.
        RunError: there is nothing to score, or a loss is not finite. The message names the documents; such a loss is
            never averaged away.
    """
    for window in windows:
        check_window_and_stride(window, stride)
    plan = {
        window: [
            piece
            for number, ids in enumerate(documents)
            for piece in sliding_windows(
                len(ids), window=window, stride=stride, bos=bos_id is not None, document=number
            )
        ]
        for window in windows
    }
    pieces = [piece for per_window in plan.values() for piece in per_window]
    if batch_tokens is not None and batch_tokens < 1:
        raise UsageError(f"batch tokens: must be at least 1, got {batch_tokens}")
    if batch_tokens is None:
        batch_tokens = BATCH_TOKENS_CPU if model.device.type == "cpu" else BATCH_TOKENS_GPU
    losses = _score(model, documents, pieces, bos_id, batch_tokens, progress_folder, progress)
    results, first = [], 0
    for window, per_window in plan.items():
        sums = losses[first : first + len(per_window)]
        first += len(per_window)
        results.append(_summary(window, per_window, sums, averaging, documents, names))
    return results


def truncated_perplexity(
    model: CausalLM,
    documents: Sequence[np.ndarray],
    *,
    windows: Sequence[int],
    last_tokens: int | None = None,
    bos_id: int | None = None,
    averaging: Averaging = "token",
    names: Sequence[str] | None = None,
    progress_folder: str | Path | None = None,
    progress: bool = False,
) -> list[WindowResult]:
    """Perplexity of documents that are cut to each window: their first ``window`` tokens, read in one pass.

    A causal model's loss at a token does not depend on what follows, so one pass over the longest cut gives the results
    of all shorter ones. Only under dynamic scaling, where frequencies depend on the input's length, does each cut need
    a pass of its own.

    Args:
        last_tokens: score only this many tokens at the end of each cut, as one step of `sliding_perplexity` with this
            stride does; None scores the whole cut.

    All other arguments, the result and the errors are those of `sliding_perplexity`. A second call with the same
    ``progress_folder`` and another ``last_tokens`` or ``averaging`` makes no new pass.
    """
    if min(windows) < 2:
        raise UsageError(f"windows: must be at least 2 tokens, got {min(windows)}")
    if last_tokens is not None and last_tokens < 1:
        raise UsageError(f"last tokens: must be at least 1, got {last_tokens}")
    bos = bos_id is not None
    first = 0 if bos else 1
    room = {window: window - bos for window in windows}
    passes = list(room.values()) if depends_on_context(read_extension(model.config)) else [max(room.values())]
    pieces = [Window(number, 0, min(len(ids), end), first) for end in passes for number, ids in enumerate(documents)]
    nats = _losses_of_tokens(model, documents, pieces, bos_id, progress_folder, progress)
    results = []
    for window, end in room.items():
        own = passes.index(end) if end in passes else 0
        from_pass = nats[own * len(documents) :]
        cuts, sums = [], []
        for number, ids in enumerate(documents):
            stop = min(len(ids), end)
            score_from = first if last_tokens is None else max(first, stop - last_tokens)
            cuts.append(Window(number, 0, stop, score_from))
            sums.append(from_pass[number][score_from - first : max(stop - first, 0)].sum())
        results.append(_summary(window, cuts, np.array(sums), averaging, documents, names))
    return results


def losses_by_token(model: CausalLM, ids: np.ndarray, bos_id: int | None = None) -> np.ndarray:
    """The loss of every token of a text in nats, each predicted from all before it, in one pass.

    Args:
        model: in evaluation mode.
        ids: token ids without special tokens.
        bos_id: token put before the text. None puts none, and then the first token has no loss.

    Returns:
        float64, one loss for each token, or one less without BOS.
    """
    whole = Window(0, 0, len(ids), 0 if bos_id is not None else 1)
    nats_S = _token_losses(model, _inputs([ids], [whole], bos_id), [whole], bos_id is not None)[0]
    return np.asarray(nats_S.double().cpu().numpy())


def _losses_of_tokens(
    model: CausalLM,
    documents: Sequence[np.ndarray],
    pieces: list[Window],
    bos_id: int | None,
    progress_folder: str | Path | None,
    progress: bool,
) -> list[np.ndarray]:
    """The loss in nats of every scored token, one array for each piece; each piece is a pass of its own."""
    ends = np.cumsum([max(piece.scored, 0) for piece in pieces])
    journal = Journal(int(ends[-1]), progress_folder, f"truncated {bos_id} {pieces}")
    entries = np.split(np.arange(ends[-1]), ends[:-1])
    todo = [
        number
        for number in range(ranks.rank(), len(pieces), ranks.world_size())
        if not journal.done[entries[number]].all()
    ]
    hidden = None if progress and ranks.rank() == 0 else True  # None shows the bar on a terminal only
    for number in tqdm(todo, unit="document", leave=False, disable=hidden):
        ids_BT = _inputs(documents, [pieces[number]], bos_id)
        nats_S = _token_losses(model, ids_BT, [pieces[number]], bos_id is not None)[0]
        journal.write(entries[number], nats_S.double().cpu().numpy())
    return np.split(_joined(journal), ends[:-1])


def _score(
    model: CausalLM,
    documents: Sequence[np.ndarray],
    pieces: list[Window],
    bos_id: int | None,
    batch_tokens: int,
    progress_folder: str | Path | None,
    progress: bool,
) -> np.ndarray:
    """The summed loss of every window, in nats, float64; infinity where one was not finite."""
    bos = bos_id is not None
    journal = Journal(len(pieces), progress_folder, f"sliding {bos_id} {batch_tokens} {pieces}")
    same_length = depends_on_context(read_extension(model.config))
    batches = list(_batches(pieces, bos, batch_tokens, same_length))[ranks.rank() :: ranks.world_size()]
    done = journal.done
    todo = [batch for batch in batches if not done[batch.entries].all()]

    pending: list[tuple[_Batch, torch.Tensor]] = []

    def collect() -> None:
        for batch, sums_B in pending:
            journal.write(batch.entries, sums_B.cpu().numpy())
        pending.clear()

    tokens = sum(piece.end - piece.start for batch in batches for piece in batch.windows)
    skipped = tokens - sum(piece.end - piece.start for batch in todo for piece in batch.windows)
    scored = np.array([piece.scored for piece in pieces])
    hidden = None if progress and ranks.rank() == 0 else True  # None shows the bar on a terminal only
    with tqdm(total=tokens, initial=skipped, unit="tok", unit_scale=True, leave=False, disable=hidden) as bar:
        last = time.monotonic()
        for batch in todo:
            ids_BT = _inputs(documents, batch.windows, bos_id)
            nats = _token_losses(model, ids_BT, batch.windows, bos)
            pending.append((batch, torch.stack([nats_S.double().sum() for nats_S in nats])))
            bar.update(sum(piece.end - piece.start for piece in batch.windows))
            if time.monotonic() - last > _SECONDS_BETWEEN_SYNCS:
                collect()
                here = journal.done
                bar.set_postfix_str(f"perplexity {_exp(journal.values[here].sum() / scored[here].sum()):.4g}")
                last = time.monotonic()
        collect()
    return _joined(journal)


def _joined(journal: Journal) -> np.ndarray:
    """The results of all ranks together, when every rank has come here."""
    losses = ranks.join(journal.values)
    if (losses == UNDONE).any():
        raise RunError("some windows were scored by no rank; remove runs/ in the cache folder and start again")
    return losses


def _batches(pieces: list[Window], bos: bool, batch_tokens: int, same_length: bool) -> Iterator[_Batch]:
    """Group windows of similar length. A batch is padded on the right, which a causal model cannot see.

    The grouping depends on the windows alone, so that results are the same for any number of ranks.

    Args:
        bos: whether each window is read with one token more.
        batch_tokens: how many tokens a batch has at most, padding included; a longer window is a batch by itself.
        same_length: put only windows of the very same length into a batch.
    """
    order = sorted(range(len(pieces)), key=lambda n: pieces[n].start - pieces[n].end)
    batch = _Batch([], [])
    for number in order:
        piece = pieces[number]
        if batch.windows:
            longest = batch.windows[0].end - batch.windows[0].start
            full = (len(batch.windows) + 1) * (longest + bos) > batch_tokens
            if full or (same_length and piece.end - piece.start != longest):
                yield batch
                batch = _Batch([], [])
        batch.entries.append(number)
        batch.windows.append(piece)
    if batch.windows:
        yield batch


def _inputs(documents: Sequence[np.ndarray], windows: Sequence[Window], bos_id: int | None) -> Int[torch.Tensor, "B T"]:
    """The token ids that the model reads, a row for each window, padded with 0 on the right."""
    bos = bos_id is not None
    ids_BT = np.zeros((len(windows), bos + max(piece.end - piece.start for piece in windows)), dtype=np.int64)
    for row, piece in zip(ids_BT, windows, strict=True):
        row[bos : bos + piece.end - piece.start] = documents[piece.document][piece.start : piece.end]
    if bos_id is not None:
        ids_BT[:, 0] = bos_id
    return torch.from_numpy(ids_BT)


@torch.inference_mode()
def _token_losses(
    model: CausalLM, ids_BT: Int[torch.Tensor, "B T"], windows: Sequence[Window], bos: bool
) -> list[Float[torch.Tensor, " S"]]:
    """The loss in nats of every scored token of every window, float32, on the model's device."""
    reset_frequencies(model)
    ids_BT = ids_BT.to(model.device)
    unread = min(piece.score_from - piece.start for piece in windows) + bos - 1
    with _last_layer_from(model, max(0, min(unread, ids_BT.shape[1] - _FEWEST_ROWS))) as skipped:
        hidden_BTD = model.model(input_ids=ids_BT, use_cache=False).last_hidden_state
    losses = []
    for hidden_TD, ids_T, piece in zip(hidden_BTD, ids_BT, windows, strict=True):
        first, last = piece.score_from - piece.start + bos, piece.end - piece.start + bos
        blocks = [
            # The hidden state at position t - 1 predicts token t.
            torch.nn.functional.cross_entropy(
                model.lm_head(hidden_TD[begin - 1 - skipped : min(begin + HEAD_BLOCK, last) - 1 - skipped]).float(),
                ids_T[begin : min(begin + HEAD_BLOCK, last)],
                reduction="none",
            )
            for begin in range(first, last, HEAD_BLOCK)
        ]
        losses.append(torch.cat(blocks))
    return losses


@contextmanager
def _last_layer_from(model: CausalLM, first: int) -> Iterator[int]:
    """Within the block, the last layer gives hidden states from position ``first`` on alone; no layer reads the others.

    Attention is left as it is, because its keys are those of all positions.

    Yields:
        How many positions are left out: ``first``, or none where the layer is compiled or has a forward of its own.
    """
    layer = model.model.layers[-1]
    if layer._compiled_call_impl is not None or "forward" in vars(layer):
        yield 0
        return

    def forward(hidden_states: torch.Tensor, **how: Any) -> torch.Tensor:
        attended_BTD, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden_states), **how)
        hidden_BSD = (hidden_states + attended_BTD)[:, first:]
        return hidden_BSD + layer.mlp(layer.post_attention_layernorm(hidden_BSD))

    layer.forward = forward
    try:
        yield first
    finally:
        del layer.forward


def _summary(
    window: int,
    pieces: Sequence[Window],
    sums: np.ndarray,
    averaging: Averaging,
    documents: Sequence[np.ndarray],
    names: Sequence[str] | None,
) -> WindowResult:
    """The result at one window size, from the summed loss of every window; checks that all losses are finite."""
    if averaging not in get_args(Averaging):
        raise UsageError(f"averaging: unknown {averaging!r}, choose from {', '.join(get_args(Averaging))}")
    scored = np.array([piece.scored for piece in pieces])
    owner = np.array([piece.document for piece in pieces], dtype=int)
    keep = scored > 0
    scored, owner, sums = scored[keep], owner[keep], sums[keep]
    if not len(scored):
        raise RunError("the documents hold no token to score: each is empty, or has one token and there is no BOS")
    if not np.isfinite(sums).all():
        broken = sorted({int(number) for number in owner[~np.isfinite(sums)]})
        which = ", ".join(names[number] if names else f"document {number}" for number in broken)
        raise RunError(f"loss is not finite at window {window} in {len(broken)} of {len(documents)} documents: {which}")
    values, weights = (sums, scored.astype(float)) if averaging == "token" else (sums / scored, np.ones(len(sums)))
    numbers = np.unique(owner)
    by_document = np.array([[values[owner == n].sum(), weights[owner == n].sum()] for n in numbers])
    loss = float(values.sum() / weights.sum())
    return WindowResult(
        window=window,
        perplexity=_exp(loss),
        loss_nats=loss,
        tokens=int(scored.sum()),
        windows=len(sums),
        loss_nats_stderr=_ratio_stderr(by_document[:, 0], by_document[:, 1]),
        document_loss_nats=tuple((by_document[:, 0] / by_document[:, 1]).tolist()),
    )


def _exp(loss_nats: float) -> float:
    """exp, with infinity where math.exp would raise."""
    return math.exp(loss_nats) if loss_nats < 709 else math.inf


def _ratio_stderr(totals: np.ndarray, weights: np.ndarray) -> float | None:
    """Standard error of sum(totals) / sum(weights) over independent documents (linearised ratio estimator)."""
    count = len(totals)
    if count < 2:
        return None
    residuals = totals - totals.sum() / weights.sum() * weights
    return float(np.sqrt(count / (count - 1) * (residuals**2).sum()) / weights.sum())


def table(results: Sequence[WindowResult]) -> str:
    """Results as a table with one line for each window."""
    lines = [f"{'window':>8} {'perplexity':>11} {'loss (nats)':>12} {'+-':>7} {'tokens':>9} {'windows':>8}"]
    for r in results:
        spread = "" if r.loss_nats_stderr is None else f"{r.loss_nats_stderr:.4f}"
        lines.append(f"{r.window:8} {r.perplexity:11.4f} {r.loss_nats:12.5f} {spread:>7} {r.tokens:9} {r.windows:8}")
    return "\n".join(lines)
