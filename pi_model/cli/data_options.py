"""The arguments of every command that reads documents, and what is done with them."""

import argparse
from typing import TYPE_CHECKING

from pi_theory.console import word

if TYPE_CHECKING:
    from pi_model.data.documents import Source

FILES = (
    "files or folders of files (.txt, .md, .jsonl, .json, .csv, .tsv, .parquet, .arrow; packed as .gz, .bz2, .xz, "
    ".zst or .zip as well), patterns such as 'data/*.jsonl', - for standard input"
)


def add_data(
    parser: argparse.ArgumentParser, what: str, *, column: str, column_help: str, required: bool = True
) -> None:
    """Declares where documents come from and how they are read.

    Args:
        parser: The command's.
        what: What the help says of --data.
        column: The default column.
        column_help: What the help says of --column.
        required: Whether there must be some.
    """
    parser.add_argument("--data", type=word, nargs="+", action="extend", required=required, metavar="DATA", help=what)
    parser.add_argument("--column", type=word, default=column, help=column_help)
    parser.add_argument(
        "--split", type=word, default="test", help="Split of a corpus or dataset: train, validation or test."
    )
    parser.add_argument(
        "--control-tokens",
        action="store_true",
        help="Read special tokens that the documents spell, such as <|endoftext|>, as control tokens. Without it they "
        "are text like any other.",
    )


def sources(arguments: argparse.Namespace) -> "list[Source]":
    """The sources that were asked for, in order."""
    from pi_model.data.documents import Source

    return [
        Source(name, arguments.column, arguments.split, control_tokens=arguments.control_tokens)
        for name in arguments.data or ()
    ]
