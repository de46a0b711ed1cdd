"""Let a model summarise long documents and score it by ROUGE (Chen et al. 2023, arXiv:2306.15595, Section 3.5).

Every document has a random stream of its own. So, except for rounding, a summary depends neither on the other documents
in its batch nor on where a run was interrupted.

Shape suffixes: B documents in a batch, T tokens, V vocabulary.
"""

import hashlib
import importlib.metadata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm
from transformers import DynamicCache

from pi_model.data.summaries import SUMMARY_TOKENS, SummaryPrompts
from pi_model.errors import RunError, UsageError
from pi_model.evaluation.journal import LineJournal
from pi_model.models.families import CausalLM
from pi_model.models.rope_parameters import depends_on_context, read_extension, reset_frequencies

CHUNK_TOKENS = 1024  # number of query tokens in a pass while reading the prompts, which keeps the mask small
ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@dataclass(frozen=True)
class Sampling:
    """How summaries are drawn; the defaults are the paper's.

    Attributes:
        temperature: the logits are divided by it; 0 takes the likeliest token.
        top_p: tokens are drawn from the smallest set of likeliest tokens that has at least this probability.
        max_tokens: a summary is cut at this length if it does not end by itself.
        seed: seed of the random draws.

    Raises:
        UsageError: a value is outside its domain.
    """

    temperature: float = 0.5
    top_p: float = 0.95
    max_tokens: int = SUMMARY_TOKENS
    seed: int = 0

    def __post_init__(self) -> None:
        if not (0 <= self.temperature < float("inf")):
            raise UsageError(f"temperature: must be at least 0, got {self.temperature}")
        if not 0 < self.top_p <= 1:
            raise UsageError(f"top_p: must be above 0 and at most 1, got {self.top_p}")
        if self.max_tokens < 1:
            raise UsageError(f"max_tokens: must be at least 1, got {self.max_tokens}")
        if self.seed < 0:
            raise UsageError(f"seed: must be at least 0, got {self.seed}")


@dataclass(frozen=True)
class Summary:
    """The summary that a model wrote of a document.

    Attributes:
        name: the document's name.
        text: the summary.
        reference: the document's own summary, which it is compared with.
        tokens: number of tokens that the model wrote, without the end token.
        ended: whether the summary came to an end by itself.
        rouge: F1 by ROUGE type, from 0 to 1.
    """

    name: str
    text: str
    reference: str
    tokens: int
    ended: bool
    rouge: dict[str, float]


def summarize(
    model: CausalLM,
    maker: SummaryPrompts,
    pairs: Sequence[tuple[str, str, str]],
    sampling: Sampling,
    *,
    batch_tokens: int = 8192,
    progress_folder: str | Path | None = None,
    progress: bool = False,
) -> list[Summary]:
    """Let a model write a summary of every document, and score it against the document's reference summary.

    Args:
        model: in evaluation mode.
        maker: makes the prompts; its tokenizer must be the model's own.
        pairs: (name, document, reference summary) for each document; all names must differ.
        sampling: how tokens are drawn.
        batch_tokens: documents are put in batches of at most this many tokens, including room for their summaries.
        progress_folder: where summaries are kept as they come, so that an interrupted run goes on where it stopped. It
            must belong to this model and these pairs alone, and the caller removes it when all is done.
        progress: show a bar.

    Returns:
        The summaries, in the order of the documents.

    Raises:
        RunError: rouge-score is not installed, or two documents have the same name.
    """
    scorer = rouge_scorer()
    names = [name for name, _, _ in pairs]
    if len(set(names)) < len(names):
        raise RunError(f"{max(names, key=names.count)}: two documents of this name")
    # The prompt about an empty document is part of the key because it tells whether there is a BOS token.
    journal = LineJournal(progress_folder, f"summaries {sampling} {maker.document_tokens} {maker.prompt('')}")
    ends = _end_ids(model, maker)
    with tqdm(total=len(pairs), unit="doc", leave=False, disable=None if progress else True) as bar:
        bar.update(len(journal.done))
        todo = {name: maker.prompt(document) for name, document, _ in pairs if name not in journal.done}
        for batch in _batches(model, todo, sampling.max_tokens, batch_tokens):
            seeds = [[sampling.seed, *hashlib.sha256(name.encode()).digest()] for name in batch]
            written = generate(model, [todo[name] for name in batch], sampling, seeds, ends)
            for name, ids in zip(batch, written, strict=True):
                ended = bool(ids) and ids[-1] in ends
                text = str(maker.tokenizer.decode(ids[: len(ids) - ended], skip_special_tokens=True))
                journal.write(name, {"text": text.strip(), "tokens": len(ids) - ended, "ended": ended})
                bar.update()
    return [
        Summary(name, reference=reference, rouge=scorer(reference, journal.done[name]["text"]), **journal.done[name])
        for name, _, reference in pairs
    ]


def _end_ids(model: CausalLM, maker: SummaryPrompts) -> set[int]:
    """The tokens that end a summary: the tokenizer's, which our training uses, and those of the model's own config."""
    of_model = model.generation_config.eos_token_id if model.generation_config else None
    ids = of_model if isinstance(of_model, list) else [of_model]
    return {int(one) for one in [*ids, maker.tokenizer.eos_token_id] if one is not None}


def _batches(model: CausalLM, prompts: dict[str, list[int]], max_tokens: int, batch_tokens: int) -> list[list[str]]:
    """Names in batches of similar prompt length. The longest come first, so that what is too large fails at once."""
    # Under dynamic scaling a longer prompt in the batch would change the frequencies of all.
    alone = depends_on_context(read_extension(model.config))
    batches: list[list[str]] = []
    longest = 0
    for name in sorted(prompts, key=lambda name: (-len(prompts[name]), name)):
        if not batches or alone or (len(batches[-1]) + 1) * (longest + max_tokens) > batch_tokens:
            batches.append([])
            longest = len(prompts[name])
        batches[-1].append(name)
    return batches


@torch.inference_mode()
def generate(
    model: CausalLM,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    seeds: Sequence[Sequence[int]],
    ends: set[int],
) -> list[list[int]]:
    """Let a model write after each prompt.

    Args:
        model: in evaluation mode.
        prompts: token ids of the prompts. Shorter ones are padded on the left, where the model does not look.
        sampling: how tokens are drawn.
        seeds: for each prompt a seed of its random stream, any sequence of numbers that numpy takes.
        ends: token ids that end a text.

    Returns:
        The token ids written after each prompt, including the end token if the text came to an end.
    """
    reset_frequencies(model)
    device = model.device
    longest = max(map(len, prompts))
    ids_BT = torch.tensor([[0] * (longest - len(ids)) + list(ids) for ids in prompts], device=device)
    seen_BT = torch.tensor([[0] * (longest - len(ids)) + [1] * len(ids) for ids in prompts], device=device)
    position_BT = (seen_BT.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=model.config)

    def read(part_BT: Tensor, at_BT: Tensor, mask_BT: Tensor) -> Tensor:
        return model.model(
            input_ids=part_BT, position_ids=at_BT, attention_mask=mask_BT, past_key_values=cache, use_cache=True
        ).last_hidden_state[:, -1]

    for start in range(0, longest, CHUNK_TOKENS):
        part = slice(start, start + CHUNK_TOKENS)
        last_BD = read(ids_BT[:, part], position_BT[:, part], seen_BT[:, : part.stop])

    streams = [np.random.default_rng(seed) for seed in seeds]
    written: list[list[int]] = [[] for _ in prompts]
    rows = list(range(len(prompts)))  # the prompts whose text has not ended yet
    while True:
        uniform_B = torch.tensor([streams[row].random() for row in rows], device=device)
        next_B = draw(model.lm_head(last_BD).float(), sampling.temperature, sampling.top_p, uniform_B)
        for row, token in zip(rows, next_B.tolist(), strict=True):
            written[row].append(token)
        going = [
            place
            for place, row in enumerate(rows)
            if written[row][-1] not in ends and len(written[row]) < sampling.max_tokens
        ]
        if not going:
            return written
        if len(going) < len(rows):
            rows, kept = [rows[place] for place in going], torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            next_B, seen_BT = next_B[kept], seen_BT[kept]
        seen_BT = torch.cat([seen_BT, seen_BT.new_ones(len(rows), 1)], dim=1)
        last_BD = read(next_B[:, None], seen_BT.sum(1, keepdim=True) - 1, seen_BT)


def draw(
    logits_BV: Float[Tensor, "B V"], temperature: float, top_p: float, uniform_B: Float[Tensor, " B"]
) -> Int[Tensor, " B"]:
    """Draw one token for each row by temperature and nucleus sampling (Holtzman et al. 2019, arXiv:1904.09751).

    Args:
        logits_BV: the logits.
        temperature: the logits are divided by it; 0 takes the likeliest token.
        top_p: the nucleus is the smallest set of likeliest tokens with at least this probability.
        uniform_B: numbers in [0, 1), which pick a token of the nucleus by the inverse of its distribution function.
    """
    if temperature == 0:
        return logits_BV.argmax(-1)
    share_BV, order_BV = (logits_BV / temperature).softmax(-1).sort(dim=-1, descending=True, stable=True)
    before_BV = share_BV.cumsum(-1) - share_BV
    nucleus_BV = before_BV < top_p
    below_BV = share_BV.where(nucleus_BV, 0.0).cumsum(-1)
    place_B1 = torch.searchsorted(below_BV, uniform_B[:, None].to(below_BV) * below_BV[:, -1:], right=True)
    # Rounding may put the place one beyond the last token of the nucleus.
    return order_BV.gather(1, place_B1.minimum(nucleus_BV.sum(1, keepdim=True) - 1))[:, 0]


def rouge_scorer() -> Any:
    """A function (reference, summary) -> F1 by ROUGE type, from rouge-score with stemming and its own tokenizer.

    rougeL takes a summary as one sequence, and rougeLsum takes its lines as sentences. rouge-score is not asked to
    split lines into sentences.

    Raises:
        RunError: rouge-score is not installed.
    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise RunError("ROUGE needs a package: pip install rouge-score") from error
    scorer = RougeScorer(list(ROUGE_TYPES), use_stemmer=True, split_summaries=False)

    def score(reference: str, summary: str) -> dict[str, float]:
        return {kind: float(found.fmeasure) for kind, found in scorer.score(reference, summary).items()}

    return score


def rouge_settings() -> dict[str, Any]:
    """Everything that a ROUGE score depends on besides the texts, as JSON values."""
    version = importlib.metadata.version
    return {
        "package": f"rouge-score {version('rouge-score')}",
        "tokenizer": "rouge-score's own: lower case, runs of a-z and 0-9",
        "stemming": True,
        "stemmer": f"Porter's, of words longer than 3, nltk {version('nltk')}",
        "split_summaries": False,
        "score": "F1 x 100",
    }


def mean_rouge(summaries: Sequence[Summary]) -> dict[str, dict[str, float | None]]:
    """The mean F1 of each ROUGE type over documents in per cent, and its standard error (None for one document)."""
    out: dict[str, dict[str, float | None]] = {}
    for kind in ROUGE_TYPES:
        values = 100 * np.array([summary.rouge[kind] for summary in summaries])
        error = float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else None
        out[kind] = {"mean": float(values.mean()), "stderr": error}
    return out


def rouge_table(rouge: dict[str, dict[str, float | None]]) -> str:
    """What `mean_rouge` returns as a table."""
    lines = [f"{'':10} {'F1 (%)':>7} {'+-':>5}"]
    for kind, found in rouge.items():
        spread = "" if found["stderr"] is None else f"{found['stderr']:.2f}"
        lines.append(f"{kind:10} {found['mean']:7.2f} {spread:>5}")
    return "\n".join(lines)
