"""Many texts in one flat array: where each begins and ends are two numbers, and not a Python object of its own."""

from collections.abc import Iterator, Sequence
from typing import SupportsIndex, overload

import numpy as np
from jaxtyping import Int

_RUN = 2**22  # entries that are given out at a time


class Pieces(Sequence[np.ndarray]):
    """A sequence of arrays, each a view of one flat array.

    Args:
        flat: what all pieces lie in.
        starts: where in it each piece starts.
        stops: one after where each ends.
    """

    def __init__(self, flat: np.ndarray, starts: Int[np.ndarray, " pieces"], stops: Int[np.ndarray, " pieces"]) -> None:
        self._flat, self._starts, self._stops = flat, starts, stops

    @classmethod
    def ending_at(cls, flat: np.ndarray, ends: Int[np.ndarray, " pieces"]) -> "Pieces":
        """Pieces that follow one another, from the places where they end."""
        starts = np.zeros_like(ends)
        starts[1:] = ends[:-1]
        return cls(flat, starts, ends)

    @property
    def lengths(self) -> Int[np.ndarray, " pieces"]:
        """The length of each piece."""
        return self._stops - self._starts

    def chosen(self, numbers: Int[np.ndarray, " chosen"] | slice, longest: int | None = None) -> "Pieces":
        """Some of the pieces in the order given, each cut to `longest` entries."""
        starts, stops = self._starts[numbers], self._stops[numbers]
        return Pieces(self._flat, starts, stops if longest is None else np.minimum(stops, starts + longest))

    def runs(self) -> Iterator[np.ndarray]:
        """All pieces one after the other, in as few arrays of moderate size as they lie in."""
        breaks = np.flatnonzero(self._starts[1:] != self._stops[:-1]) + 1
        firsts, lasts = (np.append(*ends) for ends in ((0, breaks), (breaks, len(self))))
        for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
            if last > first:
                whole = self._flat[int(self._starts[first]) : int(self._stops[last - 1])]
                yield from (whole[at : at + _RUN] for at in range(0, len(whole), _RUN))

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, number: SupportsIndex) -> np.ndarray: ...
    @overload
    def __getitem__(self, number: slice) -> "Pieces": ...
    def __getitem__(self, number: SupportsIndex | slice) -> "np.ndarray | Pieces":
        if isinstance(number, slice):
            return self.chosen(number)
        return self._flat[int(self._starts[number]) : int(self._stops[number])]


class Names(Sequence[str]):
    """A sequence of strings in one flat array of their bytes; equal to any sequence of the same strings.

    Args:
        pieces: the UTF-8 bytes of each string.
    """

    def __init__(self, pieces: Pieces) -> None:
        self._pieces = pieces

    def chosen(self, numbers: Int[np.ndarray, " chosen"] | slice) -> "Names":
        """Some of the strings in the order given."""
        return Names(self._pieces.chosen(numbers))

    def __len__(self) -> int:
        return len(self._pieces)

    @overload
    def __getitem__(self, number: SupportsIndex) -> str: ...
    @overload
    def __getitem__(self, number: slice) -> "Names": ...
    def __getitem__(self, number: SupportsIndex | slice) -> "str | Names":
        if isinstance(number, slice):
            return self.chosen(number)
        return self._pieces[number].tobytes().decode(errors="surrogatepass")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(str.__eq__, self, other))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return repr(tuple(self))
