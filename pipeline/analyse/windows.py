"""The window stage: one partition's bundles in, golden signals of every window of every known service out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeVar

from pipeline.analyse.contributions import LateRow, WindowRow
from pipeline.analyse.params import WindowParams
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import RollupRow
from pipeline.analyse.series import SeriesRow
from pipeline.analyse.watermarks import SCHEMA, Head
from pipeline.analyse.window_drops import Leftover, let_go
from pipeline.analyse.window_outputs import Outputs, Rollup
from pipeline.analyse.window_state import Changes, WindowState
from pipeline.analyse.window_step import step
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound
from pipeline.contracts.partials import Bundle
from pipeline.contracts.records import InRecord
from pipeline.contracts.rows import HEAD, pack, read_row
from pipeline.errors import RecordInvalid, StateError

__all__ = ["WindowParams", "WindowStage", "restore"]

T = TypeVar("T")
Row = RollupRow | WindowRow | SeriesRow | LateRow | Profile
ROW_TYPES: Mapping[str, type[Row]] = {
    "rollup": RollupRow,
    "window": WindowRow,
    "series": SeriesRow,
    "late": LateRow,
    "profile": Profile,
}
"""Kinds of rows, as their names begin, in the order in which a checkpoint writes them; the head comes last.

A kind looks only at kinds written after it, so no row ever sees another one that is ahead of its own time.
"""
_NAMES: Mapping[str, str] = {
    "rollup": "rollup|%s|%s",
    "window": "window|%s|%s|%s",
    "series": "series|%s",
    "late": "late|%s|%s|%s|%s|%s|%s",
    "profile": "profile|%s",
}
"""How a row is named, of its key's parts."""


class WindowStage:
    """One partition's windows: see :class:`pipeline.contracts.stage.Stage` and docs/adr/0001-window-protocol.md."""

    def __init__(self, params: WindowParams, directory: Directory, partition: int, state: WindowState) -> None:
        self._params, self._directory, self._partition, self._state = params, directory, partition, state
        self._changed: dict[str, dict[Any, Row | None]] = {kind: {} for kind in ROW_TYPES}
        self._written_applied = state.head.applied
        self._gone: dict[str, None] = {}
        self._last: dict[str, dict[Any, Row]] = {kind: {} for kind in ROW_TYPES}
        self._now_ms = 0
        self._written_ms: dict[str, dict[Any, int | None]] = {kind: {} for kind in ROW_TYPES}  # the one written longest ago first
        self._forgotten: set[str] = set()
        self._reached: Counter[Bound] = Counter()
        self._leftover: tuple[Leftover, Changes, Sequence[Rollup]] | None = None

    @property
    def applied(self) -> int:
        """Offset of the last bundle folded in; -1 at first."""
        return self._state.head.applied

    @property
    def bounds_reached(self) -> Mapping[Bound, int]:
        """Services forgotten for want of room; windows published with fewer operations than they hold."""
        return self._reached

    @property
    def n_rows(self) -> int:
        """Rows held: windows, rollups, series, late counts and profiles."""
        state = self._state
        return len(state.windows) + len(state.rollups) + len(state.series) + len(state.lates) + len(state.profiles)

    @property
    def n_open_windows(self) -> int:
        """Windows that may still change."""
        return len(self._state.windows)

    @property
    def n_services(self) -> int:
        """Services for which windows are published."""
        return len(self._state.profiles)

    @property
    def low_ms(self) -> int | None:
        """The partition's watermark, epoch ms."""
        return self._state.head.low_ms

    def step(self, record: InRecord, now_ms: int) -> Outputs:  # noqa: ARG002 - a Stage's signature; no clock here
        """Fold one bundle in; return what to publish, in order; it is made as it is asked for, rollups after all windows.

        Raises
        ------
        RecordInvalid
            If the record is no bundle; the state is as before.

        """
        if record.value is None:
            raise RecordInvalid(f"a bundle has a value, got a tombstone at offset {record.offset}")
        self._let_go()
        changes, outputs, leftover = step(
            params=self._params,
            directory=self._directory,
            partition=self._partition,
            state=self._state,
            bundle=decode(record.value, Bundle),
            offset=record.offset,
            record_ms=record.timestamp_ms,
        )
        self._now_ms = max(self._now_ms, record.timestamp_ms)
        self._state.apply(changes)
        self._note(changes)
        self._reached.update(changes.reached)
        self._leftover = None if leftover is None else (leftover, changes, outputs.rollups)
        return outputs

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows changed since the last call, in the order of ``ROW_TYPES``, the head last; ``None`` deletes.

        What is gone is deleted one call later, when the head that vouches for its going is written.
        """
        self._let_go()
        self._let_profiles_go()
        rows: dict[str, bytes | None] = dict.fromkeys(self._gone)
        self._gone.clear()
        self._refresh()
        for kind, changed in self._changed.items():
            named, last, written_ms = _NAMES[kind], self._last[kind], self._written_ms[kind]
            for key, row in changed.items():
                name = named % key
                rows.pop(name, None)
                written_ms.pop(key, None)
                if row is None:
                    self._gone[name] = None
                    written = last[key]
                    if written.applied > self._written_applied:  # as any row that has changed; a second run must find it
                        rows[name] = pack(written.applied, encode(written))
                else:
                    written_ms[key] = self._now_ms
                    rows[name] = pack(row.applied, encode(row))
            changed.clear()
            last.clear()
        head = self._state.head
        if rows or head.applied > self._written_applied:
            rows[HEAD] = pack(head.applied, encode(head))
        self._written_applied = head.applied
        return rows

    def put_rows(self, found: Mapping[str, Mapping[str, Row]]) -> None:
        """Put stored rows in, by kind and name; those that the head calls gone are deleted at the next checkpoint."""
        for row in sorted(found["profile"].values(), key=lambda row: row.applied):
            if isinstance(row, Profile):
                self._state.put_profile(service_key(row.environment, row.service), row)
        self._forgotten = {service for service, profile in self._state.profiles.items() if profile.is_forgotten}
        for kind in (
            "series",
            "window",
            "rollup",
            "late",
        ):  # a rollup is kept while one of its windows is, a window while its series wait
            for name, row in found[kind].items():
                if not self._state.take(row):
                    self._gone[name] = None
        self._state.let_wait()
        self._written_ms = {kind: dict.fromkeys(self._state.rows(kind)) for kind in ROW_TYPES}

    def _let_go(self) -> None:
        """Let go what the last step has left: it is not seen from outside whether that is done yet."""
        if self._leftover is not None:
            (leftover, changed, rollups), self._leftover = self._leftover, None  # sums are made in place, and so once
            for rollup in rollups:
                rollup.settle()
            changes = let_go(self._state, leftover, changed)
            self._state.apply(changes)
            self._note(changes)

    def _let_profiles_go(self) -> None:
        """Drop forgotten profiles whose mark is written, with a head that knows of it."""
        for service in sorted(self._forgotten):
            profile = self._state.profiles.get(service)
            if profile is None or not profile.is_forgotten:
                self._forgotten.discard(service)
            elif profile.applied <= self._written_applied:
                self._state.put_profile(service, None)
                self._forgotten.discard(service)
                self._gone[_NAMES["profile"] % service] = None

    def _refresh(self) -> None:
        """Write again what this owner never wrote, or not for long: then it stands behind whatever a zombie wrote."""
        recent_ms = self._now_ms - self._params.refresh_ms
        for kind, written in self._written_ms.items():
            rows, changed = self._state.rows(kind), self._changed[kind]
            due = [key for key, _ in takewhile(lambda one: one[1] is None or one[1] <= recent_ms, written.items())]
            for key in due:
                del written[key]
                row = rows.get(key)
                if row is not None:
                    changed.setdefault(key, row)

    def _note(self, changes: Changes) -> None:
        self._changed["rollup"].update(changes.rollups)
        self._changed["window"].update(changes.windows)
        self._changed["series"].update(changes.series)
        self._changed["late"].update(changes.lates)
        self._changed["profile"].update(changes.profiles)
        for kind, rows in changes.last.items():
            self._last[kind].update(rows)
        self._forgotten.update(service for service, profile in changes.profiles.items() if profile.is_forgotten)


def restore(params: WindowParams, directory: Directory, partition: int, rows: Mapping[str, bytes]) -> WindowStage:
    """Return the stage that a partition's rows describe.

    Parameters
    ----------
    rows
        By name; of each the one with the highest offset applied that was ever written, deletions disregarded: the
        head tells what is gone.

    Raises
    ------
    StateError
        If a row cannot be read.

    """
    state = WindowState(params)
    if HEAD in rows:
        state.head = _read(HEAD, rows[HEAD], Head)
        if state.head.schema != SCHEMA:
            raise StateError(f"the head row has schema {state.head.schema}, this version reads {SCHEMA}")
    stage = WindowStage(params, directory, partition, state)
    found: dict[str, dict[str, Row]] = {kind: {} for kind in ROW_TYPES}
    for name, row in rows.items():
        if name != HEAD:
            kind = name.partition("|")[0]
            if kind not in ROW_TYPES:
                raise StateError(f"a row is one of {', '.join(ROW_TYPES)} or {HEAD}, got {name!r}")
            found[kind][name] = _read(name, row, ROW_TYPES[kind])
    stage.put_rows(found)
    return stage


def _read(name: str, row: bytes, row_type: type[T]) -> T:
    applied, read = read_row(name, row, row_type)
    if getattr(read, "applied", applied) != applied:
        raise StateError(f"row {name!r} says that {applied} is applied before its body, and another offset inside")
    return read
