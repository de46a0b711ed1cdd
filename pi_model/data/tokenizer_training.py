"""Train a byte-level BPE tokenizer on a run's own documents, for a model that is made from nothing."""

from collections.abc import Iterator, Sequence
from typing import cast

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pi_model.data.documents import Source, read_documents
from pi_model.errors import RunError, UsageError

END = "<|endoftext|>"


def train_tokenizer(sources: Sequence[Source], vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer with exactly `vocabulary` tokens. One of them ends documents; none begins them.

    Digits are always single tokens, so that every number of five digits has five.

    Args:
        sources: the texts to train on.
        vocabulary: number of tokens.

    Raises:
        UsageError: the vocabulary is smaller than the 257 tokens needed for all bytes and the end.
        RunError: a source is not text, or holds too little of it for the vocabulary.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocabulary <= len(alphabet):
        raise UsageError(f"vocabulary: must be above {len(alphabet)}, got {vocabulary}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, special_tokens=[END], initial_alphabet=sorted(alphabet), show_progress=False
    )
    tokenizer.train_from_iterator(_texts(sources), trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise RunError(f"data: too little text for {vocabulary} tokens, only {tokenizer.get_vocab_size()} were found")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)


def _texts(sources: Sequence[Source]) -> Iterator[str]:
    for source in sources:
        for _, content in read_documents(source):
            yield cast(str, content)  # without a vocabulary, token ids are refused
