"""A tokenizer as GGUF's metadata have it: written from a folder's tokenizer.json, and read into one.

GGUF has two kinds. "gpt2" merges bytes by a list of merges, after splitting text in a way that has a name. "llama" is
SentencePiece, as in LLaMA 1 and 2: scores say which merge comes first.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerBase

from pi_model.errors import RunError

if TYPE_CHECKING:
    from gguf import GGUFWriter

# How text is split before bytes are merged, by llama.cpp's name: patterns that are applied one after the other.
# The first two are what the tokenizers library has classes for, ByteLevel's own pattern and single digits.
_WORDS, _DIGITS = "words", "digits"
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: dict[str, list[str]] = {
    "gpt-2": [_WORDS],
    "smollm": [_DIGITS, _WORDS],
    "llama-bpe": [_LLAMA3],
    "qwen2": [_LLAMA3.replace("{1,3}", "")],
    "tekken": [_TEKKEN],
    "deepseek-coder": [r"[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", r"[一-龥ࠀ-一가-퟿]+", _DIGITS],
    "default": [
        r"[\p{P}\$\+<=>\^~\|]+",
        r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
        r"\p{N}+",
        r"[0-9][0-9][0-9]",
    ],
}
_SAME_SPLIT = {
    **dict.fromkeys(("phi-2", "mpt", "olmo", "jais"), "gpt-2"),
    **dict.fromkeys(("starcoder", "refact", "command-r", "codeshell", "exaone"), "smollm"),
    **dict.fromkeys(("llama3", "llama-v3", "falcon3", "pixtral"), "llama-bpe"),
    **dict.fromkeys(("deepseek-r1-qwen", "stablelm2"), "qwen2"),
}
# Tokenizers with these take a whole word that is a token as it is, and put BOS first unless the file says otherwise.
_WHOLE_WORDS = ("llama-bpe", "tekken")

_SPACE = "▁"  # stands for a space in SentencePiece
# What GGUF calls the special tokens, and the number that they have in a SentencePiece file that does not say.
_SPECIAL = {"bos": ("bos", 1), "eos": ("eos", 2), "unk": ("unknown", 0), "pad": ("padding", None)}
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = range(1, 7)
_WHOLE = (_UNKNOWN, _CONTROL, _USER_DEFINED)  # found in a text before anything is split or merged


def write_tokenizer(
    writer: "GGUFWriter", folder: Path, tokenizer: PreTrainedTokenizerBase, vocabulary_size: int
) -> None:
    """Write a folder's tokenizer: its tokens, merges or scores, special tokens and chat template.

    Args:
        writer: takes the metadata.
        folder: holds tokenizer.json.
        tokenizer: the same as transformers has loaded it.
        vocabulary_size: number of the model's embeddings; GGUF has a token for each.

    Raises:
        RunError: there is no tokenizer.json, or GGUF has nothing like it.
    """
    path = folder / "tokenizer.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        model, added = content["model"], content["added_tokens"]
        vocabulary, merges = model["vocab"], model["merges"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: holds no byte-pair tokenizer that can be read: {error}") from error
    if not merges:
        raise RunError(f"{path}: the tokenizer has no merges, and llama.cpp does not load such a one")
    pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in merges]
    tokens = [f"[PAD{number}]" for number in range(vocabulary_size)]
    kinds = [_UNUSED] * vocabulary_size
    for token, number in vocabulary.items():
        tokens[number], kinds[number] = token, _NORMAL
    for entry in added:
        tokens[entry["id"]] = entry["content"]
        kinds[entry["id"]] = _CONTROL if entry["special"] else _USER_DEFINED
    if model.get("byte_fallback"):
        for number in range(256):
            kinds[vocabulary[f"<0x{number:02X}>"]] = _BYTE
        if unknown := model.get("unk_token"):
            kinds[vocabulary[unknown]] = _UNKNOWN
        # Only the scores' order counts.
        rank: dict[str, int] = {}
        for number, pair in enumerate(pairs):
            rank.setdefault("".join(pair), number)
        writer.add_tokenizer_model("llama")
        writer.add_token_scores([-float(rank.get(token, len(pairs))) for token in tokens])
        writer.add_add_space_prefix(tokenizer.tokenize("a", add_special_tokens=False)[0].startswith(_SPACE))
    else:
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(split_name(content, path))
        writer.add_token_merges([" ".join(pair) for pair in pairs])
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    ids = tokenizer("a")["input_ids"]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and ids[0] == tokenizer.bos_token_id)
    writer.add_add_eos_token(tokenizer.eos_token_id is not None and ids[-1] == tokenizer.eos_token_id)
    for add, number in (
        (writer.add_bos_token_id, tokenizer.bos_token_id),
        (writer.add_eos_token_id, tokenizer.eos_token_id),
        (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):
        if number is not None:
            add(number)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def split_name(content: dict[str, Any], path: Path) -> str:
    """llama.cpp's name for the way in which a byte-level tokenizer splits text before it merges bytes.

    Args:
        content: that of tokenizer.json.
        path: where it is, for messages.

    Raises:
        RunError: there is no name for it.
    """
    split = content.get("pre_tokenizer") or {}
    *parts, level = split.get("pretokenizers", [split])
    patterns: list[str | None] = []
    for part in parts:
        match part:
            case {"type": "Digits", "individual_digits": True}:
                patterns.append(_DIGITS)
            case {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated"} if not part.get("invert"):
                patterns.append(pattern)
            case _:
                patterns.append(None)
    if level.get("type") == "ByteLevel" and not level.get("add_prefix_space"):
        patterns += [_WORDS] if level.get("use_regex", True) else []
        for name, known in SPLITS.items():
            if patterns == known:
                return name
    raise RunError(f"{path}: GGUF has no name that is known here for a tokenizer which splits text by {split}")


def read_tokenizer(said: dict[str, Any], folder: Path, *, split: str | None = None) -> int:
    """Make the tokenizer's files from a GGUF file's metadata: tokenizer.json, its config and the chat template.

    Args:
        said: the metadata.
        folder: where the files go.
        split: llama.cpp's name for how text is split, if what the file says is to be overruled.

    Returns:
        The number of tokens.

    Raises:
        RunError: there is no tokenizer, or it is of a kind that is not known here.
    """
    said = {name.removeprefix("tokenizer.ggml."): value for name, value in said.items()}
    tokens, kinds = said.get("tokens"), said.get("token_type")
    if not isinstance(tokens, list) or not tokens:
        raise RunError("it holds no tokenizer (tokenizer.ggml.tokens)")
    if not isinstance(kinds, list) or len(kinds) != len(tokens):
        raise RunError("its tokenizer has no kinds of tokens (tokenizer.ggml.token_type)")
    sentencepiece = said.get("model") == "llama"
    special: dict[str, int] = {}
    for name, (theirs, default) in _SPECIAL.items():
        number = said.get(f"{theirs}_token_id", default if sentencepiece else None)
        # An ordinary token stays one, for transformers would no longer merge others into a special one.
        if type(number) is int and 0 <= number < len(tokens) and kinds[number] in _WHOLE:
            special[name] = number
    if sentencepiece:
        content = _sentencepiece(said, tokens, kinds, special)
        adds_bos = True
    elif said.get("model") == "gpt2":
        name = split or said.get("pre", "default")
        name = _SAME_SPLIT.get(name, name)
        content, adds_bos = _byte_level(said, tokens, name), name in _WHOLE_WORDS
    else:
        raise RunError(f"its tokenizer is of kind {said.get('model')!r}; supported are 'gpt2' and 'llama'")
    first = [special["bos"]] if said.get("add_bos_token", adds_bos) and "bos" in special else []
    last = [special["eos"]] if said.get("add_eos_token", False) and "eos" in special else []
    content["post_processor"] = _template(tokens, first, last)
    content["added_tokens"] = [
        {"id": number, "content": tokens[number], "single_word": False, "lstrip": False, "rstrip": False}
        | {"normalized": False, "special": kind != _USER_DEFINED}
        for number, kind in enumerate(kinds)
        if kind in _WHOLE and tokens[number]
    ]
    content = {"version": "1.0", "truncation": None, "padding": None} | content
    try:
        Tokenizer.from_str(json.dumps(content)).save(str(folder / "tokenizer.json"))
    except Exception as error:  # the library raises nothing narrower
        raise RunError(f"its tokenizer cannot be read: {error}") from error
    names = {f"{name}_token": tokens[number] for name, number in special.items()}
    # This class takes tokenizer.json as it is; those named after a model put their own parts in its place.
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False} | names
    config["model_input_names"] = ["input_ids", "attention_mask"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    if isinstance(said.get("tokenizer.chat_template"), str):
        (folder / "chat_template.jinja").write_text(said["tokenizer.chat_template"], encoding="utf-8")
    return len(tokens)


def _byte_level(said: dict[str, Any], tokens: list[str], split: str) -> dict[str, Any]:
    """The content of tokenizer.json for a tokenizer that merges bytes."""
    if split not in SPLITS:
        raise RunError(f"its tokenizer splits text by {split!r}; supported are {', '.join(SPLITS)}")
    merges = [pair.split(" ") for pair in said.get("merges", [])]
    if not merges or any(len(pair) != 2 for pair in merges):
        raise RunError("its tokenizer has no merges that can be read (tokenizer.ggml.merges)")
    patterns = SPLITS[split]
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": _WORDS in patterns}
    parts = [
        {"type": "Digits", "individual_digits": True}
        if pattern == _DIGITS
        else {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
        if pattern != _WORDS
    ]
    return {
        "normalizer": {"type": "NFC"} if split == "qwen2" else None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*parts, level]} if parts else level,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": _pairs(tokens, merges) | {"ignore_merges": split in _WHOLE_WORDS},
    }


def _sentencepiece(
    said: dict[str, Any], tokens: list[str], kinds: list[int], special: dict[str, int]
) -> dict[str, Any]:
    """The content of tokenizer.json for a tokenizer whose merges follow from scores."""
    scores = said.get("scores")
    if not isinstance(scores, list) or len(scores) != len(tokens):
        raise RunError("its tokenizer has no scores (tokenizer.ggml.scores)")
    numbers = {token: number for number, token in enumerate(tokens) if kinds[number] == _NORMAL}
    merges = []
    for token, number in numbers.items():
        cuts = [(token[:cut], token[cut:]) for cut in range(1, len(token))]
        found = [(left, right) for left, right in cuts if left in numbers and right in numbers]
        found.sort(key=lambda pair: (numbers[pair[0]], numbers[pair[1]]))
        merges += [(scores[number], left, right) for left, right in found]
    merges.sort(key=lambda merge: -merge[0])
    spaces = [{"type": "Replace", "pattern": {"String": " "}, "content": _SPACE}]
    back: list[dict[str, Any]] = [
        {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if said.get("add_space_prefix", True):
        spaces.insert(0, {"type": "Prepend", "prepend": _SPACE})
        back.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    model = _pairs(tokens, [[left, right] for _, left, right in merges])
    return {
        "normalizer": {"type": "Sequence", "normalizers": spaces},
        "pre_tokenizer": None,
        "decoder": {"type": "Sequence", "decoders": back},
        "model": model | {"unk_token": tokens[special["unk"]], "fuse_unk": True, "byte_fallback": _BYTE in kinds},
    }


def _pairs(tokens: list[str], merges: list[list[str]]) -> dict[str, Any]:
    return {
        "type": "BPE",
        "dropout": None,
        "unk_token": None,
        "continuing_subword_prefix": "",
        "end_of_word_suffix": "",
        "fuse_unk": False,
        "byte_fallback": False,
        "ignore_merges": False,
        "vocab": {token: number for number, token in enumerate(tokens)},
        "merges": merges,
    }


def _template(tokens: list[str], first: list[int], last: list[int]) -> dict[str, Any]:
    """A post-processor that puts the special tokens around one text or two."""

    def around(name: str, kind: int) -> list[dict[str, Any]]:
        before, after = (
            [{"SpecialToken": {"id": tokens[number], "type_id": kind}} for number in numbers]
            for numbers in (first, last)
        )
        return [*before, {"Sequence": {"id": name, "type_id": kind}}, *after]

    return {
        "type": "TemplateProcessing",
        "single": around("A", 0),
        "pair": around("A", 0) + around("B", 1),
        "special_tokens": {
            tokens[number]: {"id": tokens[number], "ids": [number], "tokens": [tokens[number]]}
            for number in [*first, *last]
        },
    }
