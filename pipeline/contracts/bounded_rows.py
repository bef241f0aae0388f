"""Which rows a stage keeps: the most recently written ones, up to a bound that survives a restart."""

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from pipeline.contracts.rows import pack

T = TypeVar("T")


class BoundedRows(Generic[T]):
    """States of one partition by name, at most ``limit``; past it the one written longest ago goes.

    Age is the offset of the record that wrote a row last, so that a restored stage drops the same rows in the same order
    as one that was never stopped. A changelog may bring dropped rows back; ``gone_through``, kept in the stage's head row,
    tells them: every row at or below it was dropped.

    Parameters
    ----------
    limit
        Rows kept, at least 1.
    gone_through
        From the head row; -1 when nothing was ever dropped for want of room.
    rows
        (name, applied, state) of the rows read back, in any order.

    Raises
    ------
    ValueError
        If ``limit`` is below 1.

    """

    def __init__(self, limit: int, gone_through: int = -1, rows: Iterable[tuple[str, int, T]] = ()) -> None:
        if limit < 1:
            raise ValueError(f"limit must be at least 1, got {limit}")
        self._limit = limit
        self.gone_through = gone_through
        by_age = sorted(rows, key=lambda row: (row[1], row[0]))
        self._rows: dict[str, tuple[int, T]] = {name: (at, state) for name, at, state in by_age if at > gone_through}
        self._changed: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, name: str) -> T | None:
        """Return a state; ``None`` when there is none."""
        row = self._rows.get(name)
        return None if row is None else row[1]

    def applied(self, name: str) -> int:
        """Return the offset of the record that wrote this row last; -1 when there is none."""
        row = self._rows.get(name)
        return -1 if row is None else row[0]

    def items(self) -> list[tuple[str, T]]:
        """Return (name, state) of every row, the one written longest ago first."""
        return [(name, state) for name, (_, state) in self._rows.items()]

    def put(self, name: str, state: T, applied: int) -> list[tuple[str, T]]:
        """Write a row on behalf of the record at offset ``applied``; return what had to go for it."""
        self._rows.pop(name, None)
        self._rows[name] = (applied, state)
        self._changed[name] = None
        gone: list[tuple[str, T]] = []
        while len(self._rows) > self._limit:
            oldest = next(iter(self._rows))
            age, dropped = self._rows.pop(oldest)
            self.gone_through = max(self.gone_through, age)
            self._changed[oldest] = None
            gone.append((oldest, dropped))
        return gone

    def delete(self, name: str) -> None:
        """Drop a row; the stage's head row must tell why it is gone."""
        if self._rows.pop(name, None) is not None:
            self._changed[name] = None

    def take_changes(self, encode: Callable[[T], bytes]) -> dict[str, bytes | None]:
        """Return the rows written or dropped since the last call, as bytes; ``None``: dropped."""
        changes: dict[str, bytes | None] = {}
        for name in self._changed:
            row = self._rows.get(name)
            changes[name] = None if row is None else pack(row[0], encode(row[1]))
        self._changed = {}
        return changes
