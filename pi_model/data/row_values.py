"""What a row's column may hold: text or token ids. Anything else is refused where it stands, never converted."""

from typing import Any

from pi_model.errors import RunError

_SHOWN = 40  # characters of a value that a message shows


def cell(row: Any, column: str, where: str) -> Any:
    """What a row holds in a column.

    Args:
        row: anything that a file of rows may give.
        column: the column's name.
        where: file and line, or row, for messages.

    Raises:
        RunError: the row has no columns, or not this one.
    """
    if not isinstance(row, dict):
        hint = "; name the file .json if it is one list of objects" if isinstance(row, list) else ""
        raise RunError(f"{where}: not an object with columns, but {_described(row)}{hint}")
    if column not in row:
        having = ", ".join(map(str, row)) or "no columns"
        raise RunError(f"{where}: no column {column!r}; it has {having}")
    return row[column]


def text(value: Any, column: str, where: str, *, binary: bool = False) -> str:
    """A value that must be text.

    Args:
        value: what the column holds.
        column, where: for messages.
        binary: let the character NUL pass, which tokenizers read like any other.

    Raises:
        RunError: it is not text, or holds what no text has: half a character, or the character NUL.
    """
    if not isinstance(value, str):
        raise RunError(f"{where}: column {column!r} holds {_described(value)}; {_remedy(value, 'give text')}")
    if "\0" in value and not binary:
        raise RunError(
            f"{where}: column {column!r} holds a NUL at character {value.index(chr(0)) + 1}, as binary data does; "
            "leave this row out"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        half = f"U+{ord(value[error.start]):04X}"
        raise RunError(
            f"{where}: column {column!r} holds half a character ({half}) at character {error.start + 1}; mend it or "
            "leave this row out"
        ) from None
    return value


def text_or_ids(value: Any, column: str, where: str, vocabulary: int, *, binary: bool = False) -> str | list[int]:
    """A value that must be text or a list of token ids.

    Args:
        value: what the column holds.
        column, where: for messages.
        vocabulary: how many token ids there are; each id is below it.
        binary: as `text`.

    Raises:
        RunError: as `text`, or a list holds anything but token ids of this vocabulary.
    """
    if not isinstance(value, list):
        return text(value, column, where, binary=binary)
    # A bool is an int to Python, but not to whoever wrote the file.
    wrong = (place for place, token in enumerate(value) if type(token) is not int or not 0 <= token < vocabulary)
    if (place := next(wrong, None)) is None:
        return value
    token = value[place]
    if type(token) is int:
        raise RunError(
            f"{where}: token ids of another tokenizer: {_short(token)} at place {place + 1}, where this one has 0 to "
            f"{vocabulary - 1}; give a column of text"
        )
    raise RunError(
        f"{where}: column {column!r} holds {_described(value)} with {_described(token)} at place {place + 1}; "
        + _remedy(value, f"give text, or token ids from 0 to {vocabulary - 1}")
    )


def _remedy(value: Any, otherwise: str) -> str:
    if _is_chat(value):
        return "write the turns out as text first, as apply_chat_template of the tokenizer does"
    if value is None:
        return f"{otherwise}, or leave this row out"
    return otherwise


def _is_chat(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def _described(value: Any) -> str:
    """A value in words, with its content where that is short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"the number {_short(value)}"
    if isinstance(value, str):
        return f"the text {_short(value)}"
    if isinstance(value, dict):
        return f"an object ({', '.join(map(str, value))[:_SHOWN]})"
    if _is_chat(value):
        return "a list of objects such as chat turns"
    if isinstance(value, list):
        return "a list of whole numbers" if value and all(type(one) is int for one in value) else "a list"
    return f"a value of type {type(value).__name__}"


def _short(value: Any) -> str:
    try:
        written = repr(value)
    except ValueError:  # Python writes no integer of more than some thousand digits.
        return "too long to show"
    return written if len(written) <= _SHOWN else written[: _SHOWN - 3] + "..."
