"""A table as a value, written as Markdown, LaTeX (booktabs) or HTML. Cells are plain text."""

import html
import re
from dataclasses import dataclass

_LATEX = {
    "±": r"$\pm$", "×": r"$\times$", "–": "--", "|": "$|$", "<": "$<$", ">": "$>$", "≤": r"$\leq$", "≥": r"$\geq$",
    "½": "1/2", "¼": "1/4", "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}  # fmt: skip


@dataclass(frozen=True)
class Block:
    """Rows under one heading. The first column names the rows; all rows are as long as ``columns``."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __post_init__(self) -> None:
        if any(len(row) != len(self.columns) for row in self.rows):
            raise ValueError(f"{self.title}: every row needs {len(self.columns)} cells")


@dataclass(frozen=True)
class Table:
    """Blocks of rows, ours beside the paper's; the caption says at what scale, and the verdict."""

    title: str
    caption: str
    blocks: tuple[Block, ...]

    def markdown(self) -> str:
        """Title, each block as a Markdown table, caption."""
        parts = [f"**{self.title}**"]
        for block in self.blocks:
            head = [_row(block.columns), "|---" + "|---:" * (len(block.columns) - 1) + "|"]
            parts += [block.title, "\n".join([*head, *map(_row, block.rows)])]
        return "\n\n".join([*parts, self.caption]) + "\n"

    def latex(self) -> str:
        """A ``table*`` that needs the package booktabs; ``\\label`` is left to who inputs it."""
        width = max(len(block.columns) for block in self.blocks)
        lines = [r"\begin{table*}", r"\centering\small", rf"\begin{{tabular}}{{l{'r' * (width - 1)}}}", r"\toprule"]
        for number, block in enumerate(self.blocks):
            if number:
                lines.append(r"\midrule")
            lines += [rf"\rlap{{\textit{{{latex(block.title)}}}}} \\", _cells(block.columns)]
            lines += [r"\midrule", *map(_cells, block.rows)]
        lines += [r"\bottomrule", r"\end{tabular}"]
        return "\n".join([*lines, rf"\caption{{{latex(f'{self.title}. {self.caption}')}}}", r"\end{table*}", ""])

    def html(self) -> str:
        """Each block as an HTML table, then the caption; the title is left to the page."""
        return "\n".join(_html(block) for block in self.blocks) + f"\n<p>{html.escape(self.caption)}</p>"


def latex(text: str) -> str:
    """Plain text with what is special to LaTeX escaped."""
    return "".join(_LATEX.get(character, character) for character in text).replace(r"k\_max", r"$k_{\max}$")


def cell(text: str) -> str:
    """Plain text inside a Markdown table."""
    return re.sub(r"\s+", " ", text).replace("|", "\\|")


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(map(cell, cells)) + " |"


def _cells(cells: tuple[str, ...]) -> str:
    return " & ".join(map(latex, cells)) + r" \\"


def _html(block: Block) -> str:
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in block.columns)
    rows = "".join(
        f'<tr><th scope="row">{html.escape(first)}</th>'
        + "".join(f"<td>{html.escape(value)}</td>" for value in values)
        + "</tr>"
        for first, *values in block.rows
    )
    title = html.escape(block.title)
    return (
        f'<h4>{title}</h4><div class="wide" role="region" tabindex="0" aria-label="{title}">'
        f'<table aria-label="{title}"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    )
