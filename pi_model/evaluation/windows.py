"""Which tokens a sliding-window evaluation scores in which window (Press et al. 2021, arXiv:2108.12409, Appendix B).

What is asked of windows is checked here, in a module that can be imported without torch.
"""

from dataclasses import dataclass

from pi_model.errors import UsageError


@dataclass(frozen=True)
class Window:
    """One input of the model: it reads tokens [start, end) of a document, of which [score_from, end) are scored.

    Attributes:
        document: number of the document.
        start: the first token that is read.
        end: one after the last.
        score_from: the first token that is scored.
    """

    document: int
    start: int
    end: int
    score_from: int

    @property
    def scored(self) -> int:
        """Number of tokens that are scored."""
        return self.end - self.score_from


def check_window_and_stride(window: int, stride: int) -> None:
    """Check the input length and the stride of a sliding window, both in tokens.

    Raises:
        UsageError: unless 1 <= stride < window.
    """
    if window < 2:
        raise UsageError(f"windows: must be at least 2 tokens, got {window}")
    if stride < 1:
        raise UsageError(f"stride: must be at least 1 token, got {stride}")
    if stride >= window:
        # One place of a window is taken by BOS or, without BOS, by the token before the first scored one.
        raise UsageError(
            f"stride: {stride} would leave tokens unscored in windows of {window}; use at most {window - 1}"
        )


def check_positions(positions: int, trials: int, context_tokens: int) -> None:
    """Check at how many positions of a context passkeys are hidden, and how often at each.

    Raises:
        UsageError: unless both are at least 1 and the positions fit into the context.
    """
    for name, number in (("positions", positions), ("trials", trials)):
        if number < 1:
            raise UsageError(f"{name}: must be at least 1, got {number}")
    if positions > context_tokens:
        raise UsageError(f"positions: {positions} do not fit in {context_tokens} tokens; use at most {context_tokens}")


def sliding_windows(tokens: int, *, window: int, stride: int, bos: bool, document: int = 0) -> list[Window]:
    """Windows over one document that together score each of its tokens once (without BOS, all but the first).

    They start at multiples of ``stride``, and the last one ends with the document. The first window scores every token
    it can; each later one scores those that no window before it has scored.

    Args:
        tokens: length of the document.
        window: the model's input length in tokens, BOS included.
        stride: number of tokens between the starts of two windows, less than `window`.
        bos: whether BOS takes the first place of each window.
        document: number of the document, which each `Window` carries.

    Raises:
        UsageError: unless 1 <= stride < window.

    >>> [(w.start, w.end, w.score_from) for w in sliding_windows(10, window=6, stride=3, bos=True)]
    [(0, 5, 0), (3, 8, 5), (6, 10, 8)]
    """
    check_window_and_stride(window, stride)
    room = window - bos
    windows = []
    scored = 0 if bos else 1
    start = 0
    while scored < tokens:
        end = min(start + room, tokens)
        windows.append(Window(document, start, end, scored))
        scored = end
        start += stride
    return windows
