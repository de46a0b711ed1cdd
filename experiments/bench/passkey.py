"""Speed of passkey retrieval, ours beside transformers' generate() with and without its key-value cache.

Ours needs one forward pass for each trial, because it only checks whether every token of the key is the likeliest, and
it computes the filler text that trials share once.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from experiments.bench.timing import Row, faster, race
from pi_model.evaluation.passkey import Judge, Prompt, PromptMaker, distances
from pi_model.models.families import CausalLM
from pi_model.models.loading import load_checkpoint

MODEL = "smollm2-135m"
# Tokens of context, positions of the key, trials at each, turns, and turns of generate() without its cache.
CASES = [(512, 6, 2, 2, 2), (2048, 4, 1, 2, 0), (2048, 4, 3, 2, 0)]
UNCACHED_AIM = 8


def limit(prompts: Sequence[Sequence[Prompt]]) -> float:
    """How many times as many tokens are read prompt by prompt as where no token is read twice that trials share.

    Trials share what comes before the passkey, and nothing after it, because every later state depends on the key.
    """
    trials = [prompt for row in prompts for prompt in row]
    own = sum(len(prompt.own) + len(prompt.answer) - 1 for prompt in trials)
    whole = sum(prompt.shared + len(prompt.own) + len(prompt.answer) - 1 for prompt in trials)
    return whole / (own + max(prompt.shared for prompt in trials))


def prompts_of(maker: PromptMaker, positions: int, trials: int) -> list[list[Prompt]]:
    """The prompts of all trials, a list for each distance of the key from the end, the nearest first."""
    keys = range(10007, 99999, 601)
    by_distance = distances(maker.context_tokens, positions)
    return [[maker.prompt(keys[row * trials + n], k) for n in range(trials)] for row, k in enumerate(by_distance)]


def ours(model: CausalLM, maker: PromptMaker, prompts: Sequence[Sequence[Prompt]]) -> list[float]:
    """Whether each key is found, 1.0 or 0.0, by teacher forcing."""
    judge = Judge(model, maker.prefix)
    return [float(right) for row in prompts for right in judge.answers(row)]


def theirs(model: CausalLM, maker: PromptMaker, prompts: Sequence[Sequence[Prompt]], use_cache: bool) -> list[float]:
    """Whether each key is found, 1.0 or 0.0, by greedy generation of as many tokens, one trial at a time."""
    found = []
    for prompt in (prompt for row in prompts for prompt in row):
        ids = torch.tensor([maker.prefix[: prompt.shared] + list(prompt.own)], device=model.device)
        made = model.generate(  # type: ignore[misc]
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=len(prompt.answer),
            do_sample=False,
            use_cache=use_cache,
            eos_token_id=None,
            pad_token_id=0,
        )
        found.append(float(tuple(made[0, ids.shape[1] :].tolist()) == prompt.answer))
    return found


def rows() -> Iterator[Row]:
    """How many times as fast ours is, for each case."""
    checkpoint = load_checkpoint(MODEL)
    for context, positions, trials, turns, uncached in CASES:
        maker = PromptMaker(checkpoint.tokenizer, context, checkpoint.bos_id)
        case = (checkpoint.model, maker, prompts_of(maker, positions, trials))
        what = f"passkey, {MODEL}, {positions * trials} trials of {context} tokens"
        found = race({"ours": partial(ours, *case), "theirs": partial(theirs, *case, True)}, repeats=turns)
        most = limit(case[-1])
        yield faster(what, "generate() with cache", found, aim=round(most, 2), limit_by_tokens_read=most)
        if uncached:
            found = race(
                {"ours": partial(ours, *case), "theirs": partial(theirs, *case, False)}, repeats=uncached, warm=True
            )
            yield faster(what, "generate() without cache", found, aim=UNCACHED_AIM)
