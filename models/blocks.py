"""Sums over many windows without keeping the windows: blocks of six, and blocks of thirty."""

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from models.errors import numbers, reading

Sums = tuple[float, float, float]


class Blocks:
    """Block sums of triples, fine ones within coarse ones.

    Attributes
    ----------
    is_fine_end, is_coarse_end
        Whether the next window is the last one of its block.

    Parameters
    ----------
    fine, coarse
        Windows in a block; ``coarse`` is a multiple of ``fine``.
    n_fine, n_coarse
        How many blocks the longest sum of each takes.

    Notes
    -----
    Memory O(n_fine + n_coarse); time O(1) a window, O(blocks) at the end of a block.

    """

    __slots__ = (
        "_coarse", "_coarse_blocks", "_coarse_sum", "_fine", "_fine_blocks", "_fine_sum", "_n", "_n_coarse", "_n_fine",
        "is_coarse_end", "is_fine_end",
    )  # fmt: skip

    def __init__(self, fine: int, coarse: int, *, n_fine: int, n_coarse: int) -> None:
        if fine < 1 or coarse % fine:
            raise ValueError(f"coarse ({coarse}) must be a multiple of fine ({fine})")
        self._fine, self._coarse = fine, coarse
        self._n_fine, self._n_coarse = max(n_fine - 1, 0), max(n_coarse - 1, 0)
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._count(0)
        self._fine_sum: Sums = (0.0, 0.0, 0.0)
        self._coarse_sum: Sums = (0.0, 0.0, 0.0)
        self._fine_blocks, self._coarse_blocks = array("d"), array("d")
        """Three numbers a block, oldest first."""

    def _count(self, n: int) -> None:
        """Have ``n`` windows in the coarse block."""
        self._n = n
        self.is_fine_end = (n + 1) % self._fine == 0
        self.is_coarse_end = n + 1 == self._coarse

    def fine_sum(self, n_blocks: int, item: Sums) -> Sums | None:
        """Return the sum over ``n_blocks`` fine blocks, the last one completed by ``item``; ``None``: not so many yet."""
        return _summed(self._fine_blocks, n_blocks - 1, self._fine_sum, item)

    def coarse_sum(self, n_blocks: int, item: Sums) -> Sums | None:
        """Return the same over coarse blocks."""
        x, y, z = self._fine_sum
        a, b, c = self._coarse_sum
        return _summed(self._coarse_blocks, n_blocks - 1, (x + a, y + b, z + c), item)

    def push(self, item: Sums) -> None:
        """Add one window."""
        a, b, c = item
        x, y, z = self._fine_sum
        self._fine_sum = (x + a, y + b, z + c)
        if self.is_fine_end:
            self._end_block()
        else:
            self._n = n = self._n + 1
            if (n + 1) % self._fine == 0:
                self.is_fine_end, self.is_coarse_end = True, n + 1 == self._coarse

    def _end_block(self) -> None:
        x, y, z = self._fine_sum
        a, b, c = self._coarse_sum
        self._coarse_sum = (x + a, y + b, z + c)
        self._fine_blocks.extend(self._fine_sum)
        del self._fine_blocks[: max(len(self._fine_blocks) - 3 * self._n_fine, 0)]
        self._fine_sum = (0.0, 0.0, 0.0)
        if not self.is_coarse_end:
            self._count(self._n + 1)
            return
        self._coarse_blocks.extend(self._coarse_sum)
        del self._coarse_blocks[: max(len(self._coarse_blocks) - 3 * self._n_coarse, 0)]
        self._coarse_sum = (0.0, 0.0, 0.0)
        self._count(0)

    def to_state(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "kind": "blocks",
            "v": 1,
            "n": self._n,
            "fine": list(self._fine_blocks),
            "coarse": list(self._coarse_blocks),
            "fine_sum": list(self._fine_sum),
            "coarse_sum": list(self._coarse_sum),
        }

    def from_state(self, state: Mapping[str, Any]) -> "Blocks":
        """Take plain data over."""
        with reading(state, "blocks", 1):
            self._count(int(state["n"]))
            self._fine_blocks = _triples(state["fine"])
            self._coarse_blocks = _triples(state["coarse"])
            self._fine_sum, self._coarse_sum = _triple(state["fine_sum"]), _triple(state["coarse_sum"])
        return self


def _summed(blocks: "array[float]", n_before: int, filling: Sums, item: Sums) -> Sums | None:
    start = len(blocks) - 3 * n_before
    if start < 0:
        return None
    return (
        sum(blocks[start::3], filling[0] + item[0]),
        sum(blocks[start + 1 :: 3], filling[1] + item[1]),
        sum(blocks[start + 2 :: 3], filling[2] + item[2]),
    )


def _triple(values: Sequence[Any]) -> Sums:
    a, b, c = numbers(values)
    return a, b, c


def _triples(values: Sequence[Any]) -> "array[float]":
    found = array("d", numbers(values))
    if len(found) % 3:
        raise ValueError(f"{len(found)} numbers are no triples")
    return found
