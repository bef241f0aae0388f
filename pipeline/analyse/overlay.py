"""Rows of one kind, seen through the changes that a step has made to them so far."""

from collections.abc import Container, Mapping
from typing import Generic, TypeVar

import msgspec

from pipeline.analyse.contributions import LateRow, WindowRow
from pipeline.analyse.rollup import RollupRow
from pipeline.analyse.series import SeriesRow

K = TypeVar("K")
R = TypeVar("R", WindowRow, RollupRow, SeriesRow, LateRow)


class Overlay(Generic[K, R]):
    """The stored rows stay as they are, but for the sum that a rollup adds up in place.

    ``changed`` holds what is new, ``None`` for a row that goes.

    ``own`` are the rows that this very bundle has changed before, and which are stored by now.
    """

    def __init__(self, stored: Mapping[K, R], offset: int, own: Container[K] = ()) -> None:
        self._stored: Mapping[K, R] = stored
        self._offset = offset
        self._own = own
        self.changed: dict[K, R | None] = {}
        self._last: dict[K, R] = {}

    def get(self, key: K) -> R | None:
        """Return a row as it is by now."""
        return self.changed[key] if key in self.changed else self._stored.get(key)

    def __setitem__(self, key: K, row: R | None) -> None:
        self.changed[key] = row

    def drop(self, key: K) -> None:
        """Let a row go; what it was at last is kept for the checkpoint."""
        row = self.get(key)
        if row is not None:
            self._last[key] = self._stamp(row) if key in self.changed else row
            self.changed[key] = None

    def is_ahead(self, key: K) -> bool:
        """Return whether a row was written, before a crash, with this bundle in it: then it stays as it is."""
        row = self._stored.get(key)
        return row is not None and key not in self.changed and row.applied >= self._offset and key not in self._own

    def stamped(self) -> dict[K, R | None]:
        """Return the changes, each row with the offset that is now applied in it."""
        return {key: None if row is None else self._stamp(row) for key, row in self.changed.items()}

    def dropped(self) -> dict[K, R]:
        """Return what the rows that go were at last."""
        return self._last

    def _stamp(self, row: R) -> R:
        return msgspec.structs.replace(row, applied=self._offset)
