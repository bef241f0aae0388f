"""The raw points of a service's cumulative series: those of its open windows, and the last ones before them."""

from collections.abc import Iterable, Iterator
from typing import Self
from zlib import crc32

import msgspec

from pipeline.analyse.increase import in_order, increase
from pipeline.analyse.series_value import Growth, added
from pipeline.contracts.partials import Partial
from pipeline.contracts.points import Point, Series, SeriesMeaning
from pipeline.contracts.window_times import LONGEST_INTERVAL_MS

MAX_SERIES = 20_000
"""Series of a service whose last point is kept; the ones heard of longest ago go."""

Window = tuple[int, int]
"""(start in ms, size in ms)."""


class PointsPart(msgspec.Struct, kw_only=True, frozen=True):
    """The points that one chunk of one source holds for one partial of a window, up to the offset ``through``.

    The partial's own start and size (``start_ms``, ``size_ms``) name it; ``window`` is the one that takes it.
    """

    source: str
    epoch: int
    chunk: int
    through: int
    start_ms: int
    size_ms: int
    window: Window
    series: dict[str, Series]

    @property
    def place(self) -> tuple[str, int, int, int, int]:
        """Which part this is: the same chunk replaces it."""
        return self.source, self.epoch, self.chunk, self.start_ms, self.size_ms


class SeriesRow(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One service's cumulative series.

    What a window's points add depends on the last points before it, so all points of a service stand in one row: it is
    written after the windows that look at it, and what they saw is never ahead of them (docs/adr/0001).

    Attributes
    ----------
    applied
        Offset of the last bundle that changed it.
    last
        Of each series the last point of the windows that are gone.
    parts
        Points of open windows.

    """

    environment: str
    service: str
    applied: int = -1
    last: dict[str, Point] = {}
    parts: tuple[PointsPart, ...] = ()

    def put(self, new: PointsPart) -> Self:
        """Return the row with points in it; a higher ``through`` of the same chunk replaces."""
        for i, part in enumerate(self.parts):
            if part.place == new.place:
                if new.through < part.through:
                    return self
                return msgspec.structs.replace(self, parts=(*self.parts[:i], new, *self.parts[i + 1 :]))
        return msgspec.structs.replace(self, parts=(*self.parts, new))

    def windows(self) -> list[Window]:
        """Return the open windows that hold points, in order of time."""
        return sorted({part.window for part in self.parts})

    def is_first(self, window: Window) -> bool:
        """Return whether a window may go as far as its points are concerned: none is open before it."""
        return not any(part.window < window for part in self.parts) or not self.holds(window)

    def holds(self, window: Window) -> bool:
        """Return whether a window holds points."""
        return any(part.window == window for part in self.parts)

    def value(self, window: Window) -> Partial | None:
        """Return what a window's points add to it; ``None``: it holds none."""
        if not self.holds(window):
            return None
        return added(self.environment, self.service, start_ms=window[0], size_ms=window[1], growths=list(self._growths(window)))

    def mark(self, window: Window) -> int:
        """Return a number that tells whether what a window's points add has changed: of them, and of those before them."""
        if not self.holds(window):
            return 0
        last = self._last_before(window)
        points = [
            (name, [_moment(point) for point in (own if meaning.is_delta else in_order(own))], _moment(last.get(name)))
            for name, (meaning, own) in sorted(self._points(window).items())
        ]
        return crc32(repr(points).encode())

    def without(self, window: Window) -> Self:
        """Return the row after a window is gone: of its points, the last ones stay for the windows to come."""
        if not self.holds(window):
            return self
        last = dict(self.last)
        for name, (meaning, own) in self._points(window).items():
            if meaning.is_delta:
                continue
            newest = in_order(own)[-1]
            known = last.pop(name, None)
            last[name] = newest if known is None or known.time_ms < newest.time_ms else known
        oldest_ms = window[0] + window[1] - LONGEST_INTERVAL_MS
        kept = [(name, point) for name, point in last.items() if point.time_ms >= oldest_ms]
        return msgspec.structs.replace(
            self, last=dict(kept[-MAX_SERIES:]), parts=tuple(part for part in self.parts if part.window != window)
        )

    @property
    def gone_ms(self) -> int:
        """From which watermark on the row says nothing any more, when no window holds points."""
        return max((point.time_ms for point in self.last.values()), default=0) + LONGEST_INTERVAL_MS

    def _growths(self, window: Window) -> Iterator[Growth]:
        last = self._last_before(window)
        for name, (meaning, own) in sorted(self._points(window).items()):
            if meaning.is_delta:
                yield meaning, own
                continue
            before = last.get(name)
            points = [point for point in in_order(own) if before is None or point.time_ms > before.time_ms]
            if meaning.role == "quantile":
                yield meaning, points
                continue
            yield meaning, [grown for grown in _increases(before, points) if grown is not None]

    def _points(self, window: Window) -> dict[str, tuple[SeriesMeaning, list[Point]]]:
        found: dict[str, tuple[SeriesMeaning, list[Point]]] = {}
        for part in self.parts:
            if part.window == window:
                for name, series in part.series.items():
                    found.setdefault(name, (series.meaning, []))[1].extend(series.points)
        return found

    def _last_before(self, window: Window) -> dict[str, Point]:
        """Return the newest point of each cumulative series in the windows before one, gone or open."""
        last = dict(self.last)
        for part in sorted((part for part in self.parts if part.window < window), key=lambda part: part.window):
            for name, series in part.series.items():
                if series.meaning.is_delta:
                    continue
                last[name] = in_order([*series.points, *([last[name]] if name in last else [])])[-1]
        return last


def _increases(before: Point | None, points: Iterable[Point]) -> Iterator[Point | None]:
    for point in points:
        yield increase(before, point)
        before = point


def _moment(point: Point | None) -> tuple[int, int, float] | None:
    return None if point is None else (point.time_ms, point.start_ms, point.value)
