"""Requests that repeat one another: their texts are looked up all at once, and their numbers are read as columns of digits.

A sender writes its requests the same way every time: first the texts, which are soon those of a series that was seen before, and
at the end time, duration and status, whose digits stand in few different places. So a message is cut in two. Its *head* is
looked up whole; the typed parser has read it once, in front of other numbers. Its *ending* has one of few layouts, the same bytes
but for digits. A message is recognised only if every byte of it is accounted for; the others are left to the typed parser.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from pipeline.ingest.times import seconds_as_ms, whole_as_ms

LEAST, MOST = 1_024, 16_384
"""Fewer messages are read sooner one by one; more do not come at once."""
FEW = 48
"""So many messages of one layout, or fewer, are read sooner one by one, too."""
_ENDING_BYTES = 72
"""Longest ending that is recognised."""
_SORTED_BYTES = 48
"""The shortest: messages are sorted by so many last bytes."""
_MAX_DIGITS = 16
_EXACT = 2**53
"""Floats hold all integers below it, so that a quotient of one and of a power of ten is what a parser makes of the same digits."""
_MAX_HEAD_BYTES, _MAX_HEADS, _MAX_LAYOUTS = 512, 65_536, 1_024
"""Heads and layouts that are remembered of one partition; past it all are learned again."""
_POOR_RUNS, _RESTED_RUNS = 3, 32
"""After so many runs on end of which less than half was known, so many are left to the typed parser altogether."""
_BLOCK = 512
_KEPT = (np.empty((MOST, _ENDING_BYTES), np.uint8), np.empty((MOST, _ENDING_BYTES), np.uint8))
"""Memory for one run after the other: fresh pages cost more than what is done with them."""
_ZERO = ord("0")
_PADDING = bytes(_ENDING_BYTES)
_FACTORS = np.array([0x9E3779B97F4A7C15 // n | 1 for n in range(1, 1 + _SORTED_BYTES // 8)], np.uint64)
_SPACE = rb"[ \t\r\n]*"
_FIELD = rb'{0},{0}"(time|duration_ms|status)"{0}:{0}(\d+)(?:\.(\d+))?'.replace(b"{0}", _SPACE)
_ENDING = re.compile(_FIELD * 3 + _SPACE + rb"\}\Z")


@dataclass(frozen=True, slots=True)
class _Number:
    """Where the digits of a number stand in an ending, and what each is worth."""

    columns: NDArray[np.int64]
    worth: NDArray[np.int64]
    divisor: float
    is_whole: bool
    has_leading: bool

    def read(self, endings: NDArray[np.uint8], sound: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Return the numbers; those that JSON does not allow, and those that may be inexact, are no longer ``sound``."""
        digits = endings[:, self.columns] - _ZERO
        value = digits @ self.worth
        sound &= value < _EXACT
        if self.has_leading:
            sound &= digits[:, 0] > 0
        return value / self.divisor


@dataclass(frozen=True, slots=True)
class _Layout:
    """An ending with zeros for digits, and where its numbers stand."""

    zeroed: NDArray[np.uint8]
    time: _Number
    duration_ms: _Number
    status: _Number

    def time_ms(self, endings: NDArray[np.uint8], sound: NDArray[np.bool_]) -> NDArray[np.int64]:
        time = self.time.read(endings, sound)
        return whole_as_ms(time.astype(np.int64)) if self.time.is_whole else seconds_as_ms(time)

    def verdict(self, endings: NDArray[np.uint8], sound: NDArray[np.bool_]) -> NDArray[np.int64]:
        status = self.status.read(endings, sound)
        return np.where((status >= 100) & (status <= 599), status >= 500, -1)


@dataclass(frozen=True, slots=True)
class Recognised:
    """What is known of each message of a run.

    Attributes
    ----------
    series
        Number of its series; -1 where the message is not recognised, and the other columns say nothing.
    time_ms, duration_ms
        As the scalar path has them; a negative time is not certain.
    verdict
        1 for a failure, 0 for none, -1 where it is not certain.

    """

    series: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    duration_ms: NDArray[np.float64]
    verdict: NDArray[np.int8]


class Repeats:
    """The heads and layouts of one partition.

    Parameters
    ----------
    series_of
        Returns the number of the series that a head names; -1 if it is none of a request, or says what outcome there was.

    """

    def __init__(self, series_of: Callable[[bytes], int]) -> None:
        self._series_of = series_of
        self._series_by_head = {b"": -1}
        self._layout_by_last_bytes: dict[bytes, _Layout | None] = {}
        self._n_poor = 0
        self._n_to_rest = 0

    def read(self, values: Sequence[bytes | None], max_bytes: int) -> Recognised | None:
        """Return what is known of messages, if they have at most ``max_bytes``; ``None``: of none of them anything."""
        if not LEAST <= len(values) <= MOST:
            return None
        if self._n_to_rest:
            self._n_to_rest -= 1
            return None
        return self._read([value or b"" for value in values] if None in values else cast(Sequence[bytes], values), max_bytes)

    def _read(self, values: Sequence[bytes], max_bytes: int) -> Recognised:
        n = len(values)
        lengths = np.fromiter(map(len, values), np.int64, n)
        endings, zeroed = _endings(values, lengths)
        head_bytes, time_ms = np.zeros(n, np.int64), np.zeros(n, np.int64)
        duration_ms, verdict = np.zeros(n, np.float64), np.zeros(n, np.int8)
        for rows in _alike(zeroed):
            own, own_lengths = endings[rows], lengths[rows]
            layout = self._layout(own[0].tobytes(), zeroed[rows[0], -_SORTED_BYTES:].tobytes())
            if layout is None:
                continue
            n_bytes = len(layout.zeroed)
            sound = (zeroed[rows][:, -n_bytes:] == layout.zeroed).all(axis=1)
            sound &= (own_lengths > n_bytes) & (own_lengths <= max_bytes)
            time_ms[rows] = layout.time_ms(own, sound)
            duration_ms[rows] = layout.duration_ms.read(own, sound)
            verdict[rows] = layout.verdict(own, sound)
            head_bytes[rows] = np.where(sound, own_lengths - n_bytes, 0)
        heads = [value[:end] for value, end in zip(values, head_bytes.tolist(), strict=True)]
        return Recognised(self._series(heads), time_ms, duration_ms, verdict)

    def _series(self, heads: Sequence[bytes]) -> NDArray[np.int64]:
        found = list(map(self._series_by_head.get, heads))
        n_new = found.count(None)
        n_known = len(found) - n_new - found.count(-1)
        if n_new:
            found = [self._learned(heads[at]) if number is None else number for at, number in enumerate(found)]
        self._n_poor = self._n_poor + 1 if n_known * 2 < len(heads) else 0
        if self._n_poor == _POOR_RUNS:
            self._n_poor, self._n_to_rest = 0, _RESTED_RUNS
        return np.array(found, np.int64)

    def _learned(self, head: bytes) -> int:
        known = self._series_by_head.get(head)
        if known is not None:
            return known
        if len(head) > _MAX_HEAD_BYTES:
            return -1
        if len(self._series_by_head) > _MAX_HEADS:  # one sender's odd texts must not keep the others' out for ever
            self._series_by_head = {b"": -1}
        number = self._series_by_head[head] = self._series_of(head)
        return number

    def _layout(self, ending: bytes, last_bytes: bytes) -> _Layout | None:
        """Return the layout of endings that have the same last bytes but for digits.

        The first of them to be seen shows it; others that differ further to the front are not recognised.
        """
        if last_bytes not in self._layout_by_last_bytes:
            if len(self._layout_by_last_bytes) >= _MAX_LAYOUTS:
                self._layout_by_last_bytes.clear()
            self._layout_by_last_bytes[last_bytes] = _layout_of(ending)
        return self._layout_by_last_bytes[last_bytes]


def _endings(values: Sequence[bytes], lengths: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the last bytes of each message, and the same with zeros for digits; they hold until the next call.

    In front of those of a message that is shorter stands the end of the message before.
    """
    endings, zeroed = (kept[: len(values)] for kept in _KEPT)
    for begin in range(0, len(values), _BLOCK):
        block = slice(begin, begin + _BLOCK)
        joined = b"".join((_PADDING, *values[block]))
        windows = np.ndarray((len(joined) - _ENDING_BYTES + 1, _ENDING_BYTES), np.uint8, joined, strides=(1, 1))
        endings[block] = windows[np.cumsum(lengths[block])]
        above_zero = endings[block] - _ZERO  # what is less than a zero wraps
        zeroed[block] = endings[block] - above_zero * (above_zero < 10)
    return endings, zeroed


def _alike(zeroed: NDArray[np.uint8]) -> list[NDArray[np.int64]]:
    """Return the rows of messages that probably end alike, where they are more than a few."""
    words = zeroed.view(np.uint64)[:, -len(_FACTORS) :]
    keys = ((words @ _FACTORS) >> np.uint64(48)).astype(np.uint16)  # 16 bits are sorted by radix
    order = np.argsort(keys, kind="stable")
    bounds = np.flatnonzero(np.diff(keys[order])) + 1
    return [rows for rows in np.split(order, bounds) if len(rows) > FEW]


def _layout_of(ending: bytes) -> _Layout | None:
    """Return where the numbers stand in an ending; ``None`` if it is not long enough, or says anything else."""
    found = _ENDING.search(ending)
    if found is None or len(found[0]) < _SORTED_BYTES:
        return None
    numbers = {found[at]: _number(found, at + 1) for at in (1, 4, 7)}
    if len(numbers) < 3 or not numbers[b"status"].is_whole or max(len(one.columns) for one in numbers.values()) > _MAX_DIGITS:
        return None
    zeroed = np.frombuffer(re.sub(rb"\d", b"0", found[0]), np.uint8)
    return _Layout(zeroed, numbers[b"time"], numbers[b"duration_ms"], numbers[b"status"])


def _number(found: re.Match[bytes], group: int) -> _Number:
    whole, decimals = range(*found.span(group)), range(*found.span(group + 1))  # decimals that are not there: an empty range
    columns = np.array([*whole, *decimals])
    worth = np.array([10**place for place in reversed(range(len(columns)))])
    return _Number(columns, worth, 10.0 ** len(decimals), not decimals, len(whole) > 1)
