"""Passkey retrieval (Mohtashami and Jaggi 2023, arXiv:2305.16300, as used by Chen et al. 2023, Section 3.3).

A number is hidden in filler text, and the end of the text asks for it. One forward pass over text and answer decides a
trial, because greedy decoding gives the passkey exactly when each of its tokens is the argmax after the tokens before
it. The argmax after the whole passkey must not begin with a digit, because 26540 is not an answer where 2654 is asked
for. The filler before the passkey is the same in every trial at every distance. Its attention keys and values are
computed once and reused, which is exact for a causal model. Under dynamic scaling the frequencies depend on the length
of the input, so there every trial is a whole pass.

Shape suffixes: B trials in a batch, T tokens, A answer tokens.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Int
from tqdm import tqdm
from transformers import DynamicCache, PreTrainedTokenizerBase

from pi_model.data.passkey_wording import FILLER, KEY_LINE, QUESTION, TASK
from pi_model.data.token_seams import ids_after, plain_ids
from pi_model.distributed import ranks
from pi_model.errors import UsageError
from pi_model.evaluation.journal import Journal
from pi_model.evaluation.windows import check_positions
from pi_model.models.families import CausalLM, sliding_window
from pi_model.models.rope_parameters import depends_on_context, read_extension, reset_frequencies

SUCCESS = 0.2  # share of successful trials from which on a distance counts as reached, Section 3.3

# Number of query tokens in a pass after kept keys, which needs a mask and computes all of queries x keys: few enough to
# waste little, enough to keep the cores busy.
CHUNK_TOKENS = 512
# Number of tokens in a pass that needs no mask.
WHOLE_TOKENS = 2048
# Tokens in a pass of whole prompts.
BATCH_TOKENS = {"cpu": 8192, "cuda": 65536}


@dataclass(frozen=True)
class Prompt:
    """One trial as tokens: the shared beginning, then this trial's own tokens, then the answer, which fill the window.

    Attributes:
        shared: how many tokens of the beginning that all trials share come first.
        own: token ids from the line with the passkey to the question.
        answer: token ids of the passkey as they follow the question.
    """

    shared: int
    own: tuple[int, ...]
    answer: tuple[int, ...]

    @property
    def distance(self) -> int:
        """Number of tokens from the start of the passkey's line to the end of the question."""
        return len(self.own)


class PromptMaker:
    """Builds passkey prompts of an exact length in tokens, for any tokenizer.

    The pieces of the prompt are tokenised as they stand in it, and the filler is cut between two tokens, so every
    prompt gets exactly the length that is asked for.

    Args:
        tokenizer: any tokenizer.
        context_tokens: length of BOS, prompt and answer together.
        bos_id: token that begins the prompt, or None.
        keys: the passkeys that will be asked for. Some tokenizers take more tokens for one number than for another.

    Attributes:
        prefix: token ids of the beginning that all prompts share, as long as any needs.

    Raises:
        UsageError: the context cannot even hold the prompt of each key without filler, or the tokenizer has no tokens
            for text like this.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        context_tokens: int,
        bos_id: int | None,
        keys: Iterable[int] = (10000, 12345, 77777, 99999),
    ) -> None:
        self.tokenizer = tokenizer
        self.context_tokens = context_tokens
        self._parts: dict[int, tuple[list[int], list[int]]] = {}
        self._question = ids_after(tokenizer, ".", "\n" + QUESTION)
        head = [] if bos_id is None else [bos_id]
        head += plain_ids(tokenizer, TASK)
        line = ids_after(tokenizer, ".", "\n" + FILLER)
        again = ids_after(tokenizer, ".", " " + FILLER)
        if not (again and self._line_and_answer(10000)[1]):
            raise UsageError("model: its tokenizer gives no tokens for plain English or for numbers")
        repeats = context_tokens // len(again) + 1
        self._filler = line + again * repeats
        self.prefix = head + self._filler
        self._head = len(head)
        self._refuse_above(max(map(self._fixed_tokens, keys), default=0))

    def _refuse_above(self, needed: int) -> None:
        if needed > self.context_tokens:
            raise UsageError(
                f"context: {self.context_tokens} tokens cannot hold a passkey prompt; use at least {needed}"
            )

    def _fixed_tokens(self, key: int) -> int:
        line, answer = self._line_and_answer(key)
        return self._head + len(line) + len(self._question) + len(answer)

    def _line_and_answer(self, key: int) -> tuple[list[int], list[int]]:
        """Token ids of a passkey's line, and of the passkey as it follows the question."""
        if key not in self._parts:
            line = ids_after(self.tokenizer, ".", "\n" + KEY_LINE.format(key=key))
            self._parts[key] = line, ids_after(self.tokenizer, QUESTION, f" {key}")
        return self._parts[key]

    def goes_on(self, answer: Sequence[int], token: int) -> bool:
        """Whether a token after an answer makes it a longer number, as 0 does after 2654."""
        text, longer = (
            str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
            for ids in (answer, [*answer, token])
        )
        return longer[len(text) :][:1].isdigit()

    def prompt(self, key: int, distance: int) -> Prompt:
        """The prompt that asks for `key`, whose line begins `distance` tokens before the prompt's end.

        If the fixed parts of the prompt leave no room for this distance, the nearest possible one is used, which
        `Prompt.distance` tells.

        Raises:
            UsageError: the context cannot hold the fixed parts of this key's prompt.
        """
        self._refuse_above(self._fixed_tokens(key))
        line, answer = self._line_and_answer(key)
        prompt_tokens = self.context_tokens - len(answer)
        distance = min(max(distance, len(line) + len(self._question)), prompt_tokens - self._head)
        filler = distance - len(line) - len(self._question)
        own = line + self._filler[:filler] + self._question
        return Prompt(prompt_tokens - distance, tuple(own), tuple(answer))


@dataclass(frozen=True)
class PasskeyResult:
    """Outcome of a passkey evaluation.

    Attributes:
        context_tokens: length of prompt and answer together.
        k_max: the largest distance k such that at least 20% of the trials succeed at every k' <= k; 0 if there is none.
        accuracy: share of trials that succeed, by distance k in tokens from the prompt's end.
        distance: the mean distance really used, by k. It is k itself unless the prompt's fixed parts leave no room.
        trials: number of trials at each k.
    """

    context_tokens: int
    k_max: int
    accuracy: dict[int, float]
    distance: dict[int, float]
    trials: int

    def table(self) -> str:
        """The accuracy at each k as a bar chart, with k_max below it."""
        lines = [f"{k:8} {share:6.0%} {'#' * round(20 * share)}".rstrip() for k, share in self.accuracy.items()]
        return "\n".join([f"{'k':>8} {'found':>6}", *lines, f"k_max = {self.k_max} of {self.context_tokens}"])


def passkeys(positions: int, trials: int, seed: int = 0) -> Int[np.ndarray, "positions trials"]:
    """The random five-digit numbers that are hidden, one for each trial at each position."""
    return np.random.default_rng(seed).integers(10000, 100000, size=(positions, trials))


def distances(context_tokens: int, positions: int) -> list[int]:
    """Distances k spread uniformly over the window: context/positions, 2 context/positions, ..., context."""
    return [context_tokens * step // positions for step in range(1, positions + 1)]


def largest_reached(accuracy: dict[int, float]) -> int:
    """k_max: the largest distance up to which every distance is reached, given the accuracy by distance."""
    reached = 0
    for k in sorted(accuracy):
        if accuracy[k] < SUCCESS:
            break
        reached = k
    return reached


def passkey(
    model: CausalLM,
    tokenizer: PreTrainedTokenizerBase,
    *,
    context_tokens: int,
    positions: int = 32,
    trials: int = 10,
    seed: int = 0,
    bos_id: int | None = None,
    progress_folder: str | Path | None = None,
    progress: bool = False,
) -> PasskeyResult:
    """Measure how far back a model finds a passkey: its accuracy at each distance, and k_max.

    Args:
        model: in evaluation mode.
        tokenizer: the model's own.
        context_tokens: length of every prompt together with its answer.
        positions: number of distances, spread uniformly over the window.
        trials: number of random five-digit passkeys at each distance.
        seed: seed of the passkeys.
        bos_id: token that begins the prompt, or None.
        progress_folder: where outcomes are kept as they come, so that an interrupted run goes on where it stopped. It
            must belong to this model alone, and the caller removes it when all is done.
        progress: show a bar.

    Raises:
        UsageError: positions or trials are below 1, or the context is too short for the prompt.
    """
    check_positions(positions, trials, context_tokens)
    keys = passkeys(positions, trials, seed)
    maker = PromptMaker(tokenizer, context_tokens, bos_id, keys.ravel().tolist())
    at = distances(context_tokens, positions)
    prompts = [[maker.prompt(int(key), k) for key in row] for k, row in zip(at, keys, strict=True)]
    described = f"passkey, no digit after it, {context_tokens} {positions} {trials} {seed} {bos_id}"
    journal = Journal(positions * trials, progress_folder, described)
    entries = np.arange(positions * trials).reshape(positions, trials)
    judge = Judge(model, maker.prefix, maker.goes_on)
    # The longest shared beginning comes first, so that it is read in one go and only cut afterwards.
    todo = [
        (row, group)
        for row in range(positions)
        for group in _like_shaped(prompts[row], range(trials), BATCH_TOKENS[model.device.type])
    ]
    own = todo[ranks.rank() :: ranks.world_size()]
    hidden = None if progress and ranks.rank() == 0 else True  # None shows the bar on a terminal only
    with tqdm(total=sum(len(group) for _, group in own), unit="trial", leave=False, disable=hidden) as bar:
        for row, group in own:
            if left := [column for column in group if not journal.done[entries[row, column]]]:
                right = judge.answers([prompts[row][column] for column in left])
                journal.write(entries[row, left], np.asarray(right, dtype=float))
            bar.update(len(group))
    outcomes = ranks.join(journal.values).reshape(positions, trials)
    accuracy = {k: float(row.mean()) for k, row in zip(at, outcomes, strict=True)}
    used = {k: float(np.mean([prompt.distance for prompt in row])) for k, row in zip(at, prompts, strict=True)}
    return PasskeyResult(context_tokens, largest_reached(accuracy), accuracy, used, trials)


def _like_shaped(prompts: Sequence[Prompt], columns: Sequence[int], batch_tokens: int) -> list[list[int]]:
    """Group columns so that the prompts of a group stack without padding and fit the budget of tokens."""
    shapes: dict[tuple[int, int, int], list[int]] = {}
    for column in columns:
        prompt = prompts[column]
        shapes.setdefault((prompt.shared, len(prompt.own), len(prompt.answer)), []).append(column)
    groups = []
    for (shared, own, answer), members in shapes.items():
        size = max(1, batch_tokens // (shared + own + answer))
        groups += [members[first : first + size] for first in range(0, len(members), size)]
    return groups


class Judge:
    """Decides whether trials succeed, for one model and one shared beginning, whose keys and values it keeps on a CPU.

    Args:
        model: in evaluation mode.
        prefix: token ids from which every prompt takes its shared beginning.
        goes_on: whether a token after an answer belongs to it. If it does, what the model says only begins with the
            answer, and the trial fails. None asks for nothing beyond the answer.
    """

    def __init__(
        self, model: CausalLM, prefix: Sequence[int], goes_on: Callable[[Sequence[int], int], bool] | None = None
    ) -> None:
        self.model, self.goes_on = model, goes_on
        self.prefix_T = torch.tensor(prefix, device=model.device)
        # A pass after kept keys needs a mask of queries x keys, which takes the fast attention kernels of a GPU away.
        extension = read_extension(model.config)
        # A layer with a sliding window forgets keys, so that a beginning cannot be cut out of what it keeps.
        forgets = sliding_window(model.config, math.inf) is not None
        # Ranks that share a model share its passes, which FSDP gives copies of what is kept.
        alone = ranks.world_size() == 1
        self.reuse = alone and model.device.type == "cpu" and not forgets and not depends_on_context(extension)
        self.cache: Any = DynamicCache(config=model.config)

    @torch.inference_mode()
    def answers(self, prompts: Sequence[Prompt]) -> Bool[np.ndarray, " B"]:
        """Whether greedy decoding gives each prompt's answer; the prompts must all have the same shape."""
        reset_frequencies(self.model)
        shared, answer = prompts[0].shared, len(prompts[0].answer)
        # The last answer token is predicted, and read only if what follows it counts.
        read = answer - (self.goes_on is None)
        own_BT = torch.tensor([prompt.own + prompt.answer[:read] for prompt in prompts], device=self.model.device)
        answer_BA = torch.tensor([prompt.answer for prompt in prompts], device=self.model.device)
        # Of a short beginning less would be saved than the mask costs.
        if self.reuse and (8 * shared >= own_BT.shape[1] or shared + own_BT.shape[1] > WHOLE_TOKENS):
            hidden_BTD = self._after_shared(shared, own_BT)
        else:
            whole_BT = torch.cat([self.prefix_T[:shared].expand(len(prompts), -1), own_BT], dim=1)
            hidden_BTD = self.model.model(input_ids=whole_BT, use_cache=False).last_hidden_state
        guess_BA = self.model.lm_head(hidden_BTD[:, -read - 1 :]).argmax(-1)
        right = (guess_BA[:, :answer] == answer_BA).all(-1).cpu().numpy()
        if self.goes_on is not None:
            for row in np.flatnonzero(right).tolist():
                right[row] = not self.goes_on(prompts[row].answer, int(guess_BA[row, -1]))
        return right

    def _after_shared(self, shared: int, own_BT: Int[torch.Tensor, "B T"]) -> torch.Tensor:
        """Hidden states of the prompts' own tokens after the shared beginning; the last ones are enough."""
        kept = self.cache.get_seq_length()
        if kept < shared:
            for chunk_T in self.prefix_T[kept:shared].split(CHUNK_TOKENS if kept else WHOLE_TOKENS):
                self.model.model(input_ids=chunk_T[None], past_key_values=self.cache, use_cache=True)
        rows = len(own_BT)
        cache = DynamicCache(config=self.model.config)
        if shared:
            # These are views. The cache copies keys and values when it appends, so the shared ones stay as they are.
            cache = DynamicCache(
                [
                    (
                        layer.keys[:, :, :shared].expand(rows, -1, -1, -1),
                        layer.values[:, :, :shared].expand(rows, -1, -1, -1),
                    )
                    for layer in self.cache.layers
                ]
            )
        chunks = own_BT.split(CHUNK_TOKENS, dim=1)
        hidden = [
            self.model.model(input_ids=c, past_key_values=cache, use_cache=True).last_hidden_state for c in chunks
        ]
        return torch.cat(hidden[-2:], dim=1)
