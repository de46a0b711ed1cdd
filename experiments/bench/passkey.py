"""Passkey retrieval beside generate() with and without its cache.

Ours judges a trial by one teacher-forced pass, and trials share the pass over the filler text before their keys.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from transformers import LlamaForCausalLM

from experiments.bench.timing import Row, faster, race
from pi_model.evaluation.passkey import Judge, Prompt, PromptMaker, distances
from pi_model.models.loading import load_checkpoint

MODEL = "smollm2-135m"
# context in tokens, positions, trials at each, turns, and turns of generate() without its cache
CASES = [(512, 6, 2, 2, 2), (2048, 4, 1, 2, 0)]
UNCACHED_AIM = 8


def prompts_of(maker: PromptMaker, positions: int, trials: int) -> list[list[Prompt]]:
    """The prompts of all trials, by distance, the farthest first."""
    keys = range(10007, 99999, 601)
    by_distance = distances(maker.context_tokens, positions)[::-1]
    return [[maker.prompt(keys[row * trials + n], k) for n in range(trials)] for row, k in enumerate(by_distance)]


def ours(model: LlamaForCausalLM, maker: PromptMaker, prompts: Sequence[Sequence[Prompt]]) -> list[float]:
    """For each trial 1 where the model finds the key, else 0."""
    judge = Judge(model, maker.prefix)
    return [float(right) for row in prompts for right in judge.answers(row)]


def theirs(
    model: LlamaForCausalLM, maker: PromptMaker, prompts: Sequence[Sequence[Prompt]], use_cache: bool
) -> list[float]:
    """Generates as many tokens as the key has, greedily and one trial at a time: for each, 1 where it is the key."""
    found = []
    for prompt in (prompt for row in prompts for prompt in row):
        ids = torch.tensor([maker.prefix[: prompt.shared] + list(prompt.own)])
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
    checkpoint = load_checkpoint(MODEL)
    for context, positions, trials, turns, uncached in CASES:
        maker = PromptMaker(checkpoint.tokenizer, context, checkpoint.bos_id)
        case = (checkpoint.model, maker, prompts_of(maker, positions, trials))
        what = f"passkey, {MODEL}, {positions * trials} trials of {context} tokens"
        found = race({"ours": partial(ours, *case), "theirs": partial(theirs, *case, True)}, repeats=turns)
        yield faster(what, "generate() with cache", found)
        if uncached:
            found = race(
                {"ours": partial(ours, *case), "theirs": partial(theirs, *case, False)}, repeats=uncached, warm=True
            )
            yield faster(what, "generate() without cache", found, aim=UNCACHED_AIM)
