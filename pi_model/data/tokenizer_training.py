"""A byte-level BPE tokenizer trained on a run's own documents, for models made from nothing."""

from collections.abc import Iterator, Sequence

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from pi_model.data.documents import Source, read_documents
from pi_model.errors import RunError, UsageError
from pi_model.training.config import Corpus

END = "<|endoftext|>"


def train_tokenizer(data: Sequence[Corpus], vocabulary: int) -> PreTrainedTokenizerFast:
    """A tokenizer with exactly `vocabulary` tokens, digits always single (so that every number of five digits is five).

    One token ends documents; none begins them.

    Raises:
        UsageError: a vocabulary below the 257 tokens that bytes and the end take.
        RunError: a source without text, or too little of it for the vocabulary.
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
    tokenizer.train_from_iterator(_texts(data), trainer)
    if tokenizer.get_vocab_size() != vocabulary:
        raise RunError(f"data: too little text for {vocabulary} tokens, only {tokenizer.get_vocab_size()} were found")
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=END)


def _texts(data: Sequence[Corpus]) -> Iterator[str]:
    for corpus in data:
        for name, content in read_documents(Source(corpus.name, corpus.column, corpus.split, corpus.stream_tokens)):
            if not isinstance(content, str):
                raise RunError(f"{name}: token ids; a tokenizer is trained on text")
            yield content
