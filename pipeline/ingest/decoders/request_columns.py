"""Requests as columns: whole runs of messages decoded at once, as far as it is certain what they mean.

A message is certain when a typed parser takes it as it stands, every field has the expected type, and every value keeps
its rule. Whatever is not certain (another kind, an odd type, a refusal, a text beyond plain fields) is named by its
index and left to the scalar decoder, which is the truth: nothing is refused here (docs/adr/0007-columnar-ingest.md).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Literal, NamedTuple, cast

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.records import InRecords
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.latency import MAX_DURATION_MS
from pipeline.ingest.decoders.repeats import Repeats
from pipeline.ingest.times import parse_time, seconds_as_ms, whole_as_ms
from pipeline.ingest.validation import origin

MAX_ORIGINS = 65_536
"""Of one partition, remembered; half a kilobyte each. With more, all are learned again."""
LATEST_MS = 2**32 * 10_000
"""Year 3331: later times are left to the scalar decoder, so that a window's number fits 32 bits."""

_NANOSECONDS = 2**62
"""Integer times from here on (year 2116 in nanoseconds) are left to the scalar decoder, as negative ones are."""
_LONGEST_PLAIN = 4_000
"""Bytes; a longer message may hold an integer of more digits than Python's own parser takes."""
_BROKEN = (msgspec.DecodeError, ValueError, RecursionError)
_OTHER_NUMBERS = b',"time":0,"duration_ms":0}'
_ORIGIN = ("environment", "service", "version", "operation", "instance")
_texts = attrgetter(*_ORIGIN)


class _Known(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """A request of which every field is known, in the order of docs/formats; of a key that occurs twice the last counts."""

    kind: Literal["request"]
    service: str
    time: int | float | str
    duration_ms: float
    environment: str | None = None
    operation: str | None = None
    instance: str | None = None
    status: int | Literal["ok", "error"] | None = None
    version: str | None = None
    error: bool | None = None


class _Wider(_Known, gc=False, forbid_unknown_fields=False):
    """A request with further fields, which are ignored."""


_decode_known = msgspec.json.Decoder(_Known).decode
_decode_wider = msgspec.json.Decoder(_Wider).decode
_decode_array = msgspec.json.Decoder(list[_Known]).decode
_Row = _Known | _Wider


class Series(NamedTuple):
    """What requests are counted under, besides their window."""

    environment: str
    service: str
    version: str
    operation: str


class SeriesIndex:
    """Numbers for the series of one partition, so that they can stand in a column.

    Attributes
    ----------
    series
        By number.
    repeats
        What is known of messages whose texts were seen before.

    """

    def __init__(self, max_text_length: int) -> None:
        self.max_text_length = max_text_length
        self.series: list[Series] = []
        self._number_by_series: dict[Series, int] = {}
        self._number_by_texts: dict[object, int] = {}
        self.repeats = Repeats(self._number_of_head)

    @property
    def is_full(self) -> bool:
        """Whether it should be made anew before the next run."""
        return len(self._number_by_texts) > MAX_ORIGINS

    def numbers(self, rows: Sequence[_Row]) -> NDArray[np.int64]:
        """Return the number of each row's series; -1 where one of its texts is refused."""
        found = list(map(self._number_by_texts.get, map(_texts, rows)))  # a list of tuples would be the collector's work
        if None in found:
            found = [self._learned(_texts(rows[at])) if number is None else number for at, number in enumerate(found)]
        return np.array(found, np.int64)

    def _number_of_head(self, head: bytes) -> int:
        """Return the number of the series that the head of requests names (see repeats.py); -1: it is not certain.

        A text that can be gone on with ``,"time":`` stands before a field of the message's one object: it ends in no text, nor
        in an array. So what was read of it once is what it means in front of any other numbers.
        """
        try:
            row = _decode_known(head + _OTHER_NUMBERS)
        except _BROKEN:
            return -1
        return self._learned(_texts(row)) if row.error is None else -1  # it says what the outcome is, whatever the status

    def _learned(self, texts: Any) -> int:
        known = self._number_by_texts.get(texts)
        if known is not None:
            return known
        try:
            about = origin(dict(zip(_ORIGIN, texts, strict=True)), self.max_text_length)
        except FieldRefused:
            return -1  # not remembered: refusals are not bounded
        series = Series(about.environment, about.service, about.version, about.operation)
        number = self._number_by_series.setdefault(series, len(self.series))
        if number == len(self.series):
            self.series.append(series)
        self._number_by_texts[texts] = number
        return number


@dataclass(frozen=True, slots=True)
class Requests:
    """Sound requests as columns, in the order of their messages.

    Attributes
    ----------
    message
        Index of the message in its run.
    series
        Number in the :class:`SeriesIndex`.
    time_ms, duration_ms, is_error
        As :class:`pipeline.contracts.readings.RequestReading` has them.

    """

    message: NDArray[np.int64]
    series: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    duration_ms: NDArray[np.float64]
    is_error: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.message)

    def chosen(self, which: slice | NDArray[np.bool_]) -> "Requests":
        """Return some of the rows."""
        return Requests(self.message[which], self.series[which], self.time_ms[which], self.duration_ms[which], self.is_error[which])


def no_requests() -> Requests:
    """Return columns without a row."""
    none = np.empty(0, np.int64)
    return Requests(none, none, none, np.empty(0, np.float64), np.empty(0, np.bool_))


def read_requests(config: IngestConfig, records: InRecords, index: SeriesIndex) -> tuple[Requests, list[int]]:
    """Return the requests of all messages that are certain, and the indexes of the others, ascending."""
    known = index.repeats.read(records.values, config.max_message_bytes)
    if known is None:
        return _sound(config, records, *_typed(config, records.values, index))
    columns = _Columns(np.arange(len(records)), known.series, known.time_ms, known.duration_ms, known.verdict)
    left = np.flatnonzero(known.series < 0)
    if not len(left):
        return _sound(config, records, columns, [])
    rest, uncertain = _typed(config, [records.values[at] for at in left.tolist()], index)
    columns = columns.chosen(known.series >= 0).joined(rest._replace(message=left[rest.message]))
    return _sound(config, records, columns.chosen(np.argsort(columns.message, kind="stable")), left[uncertain].tolist())


class _Columns(NamedTuple):
    """Requests as columns, before their values are checked: a ``verdict`` is 1 for a failure, 0 for none, -1 for doubt."""

    message: NDArray[np.int64]
    series: NDArray[np.int64]
    time_ms: NDArray[np.int64]
    duration_ms: NDArray[np.float64]
    verdict: NDArray[np.int8]

    def chosen(self, which: NDArray[Any]) -> "_Columns":
        return _Columns(*(column[which] for column in self))

    def joined(self, others: "_Columns") -> "_Columns":
        both: Iterator[tuple[NDArray[Any], NDArray[Any]]] = zip(self, others, strict=True)
        return _Columns(*map(np.concatenate, both))


def _typed(config: IngestConfig, values: Sequence[bytes | None], index: SeriesIndex) -> tuple[_Columns, list[int]]:
    """Return the requests of all messages that the typed parser takes, and the indexes of the others."""
    rows, message, uncertain = _parsed(config, values)
    duration_ms = np.fromiter(map(attrgetter("duration_ms"), rows), np.float64, len(rows))
    verdict = _verdicts(rows)
    time_ms = _times(list(map(attrgetter("time"), rows)))
    return _Columns(message, index.numbers(rows), time_ms, duration_ms, verdict), uncertain


def _sound(config: IngestConfig, records: InRecords, columns: _Columns, uncertain: list[int]) -> tuple[Requests, list[int]]:
    """Return the requests of messages that keep every rule, and the indexes of all others."""
    message, series, time_ms, duration_ms, verdict = columns
    published_ms = records.timestamps_ms[message]
    earliest_ms = np.maximum(published_ms - config.max_past_ms, config.earliest_time_ms)
    sound = (duration_ms >= 0.0) & (duration_ms <= MAX_DURATION_MS) & (verdict >= 0) & (series >= 0)
    sound &= (time_ms >= earliest_ms) & (time_ms <= published_ms + config.max_future_ms) & (time_ms < LATEST_MS)
    requests = Requests(message, series, time_ms, duration_ms, verdict == 1)
    if sound.all():
        return requests, uncertain
    doubted = np.unique(message[~sound])
    return requests.chosen(~np.isin(message, doubted)), sorted({*uncertain, *doubted.tolist()})


def _parsed(config: IngestConfig, values: Sequence[bytes | None]) -> tuple[list[_Row], NDArray[np.int64], list[int]]:
    """Return the rows, the index of each one's message, and the messages that none were made of."""
    if max(map(len, filter(None, values)), default=0) > config.max_message_bytes:
        values = [value if value is not None and len(value) <= config.max_message_bytes else None for value in values]
    rows: list[_Row] = []
    uncertain: list[int] = []
    lengths: list[tuple[int, int]] = []
    n_arrayed = 0
    source = map(_decode_known, values)  # type: ignore[arg-type] # a tombstone raises, as what is no JSON does
    while True:
        try:
            rows.extend(source)  # goes on where it was when a value raised
            break
        except (*_BROKEN, TypeError):
            at = len(rows) - n_arrayed + len(uncertain)
            found = _second_look(config, values[at])
            if len(found) == 1:
                rows += found
            elif found:
                lengths.append((at, len(found)))
                n_arrayed += len(found) - 1
                rows += found
            else:
                uncertain.append(at)
    n_rows = np.ones(len(values), np.int64)
    n_rows[uncertain] = 0
    for at, n in lengths:
        n_rows[at] = n
    return rows, np.repeat(np.arange(len(values)), n_rows), uncertain


def _second_look(config: IngestConfig, value: bytes | None) -> list[_Row]:
    """Return the rows of a message that is not one request of known fields; none: it is not certain."""
    if value is None:
        return []
    try:
        if value.startswith(b"["):
            found = _decode_array(value) if config.max_depth > 1 else []
            return [*found] if len(found) <= config.max_records_per_message else []
        if config.max_exemplars and b'"trace_id"' in value:
            return []  # kept beside the counts, which columns do not do
        return [_decode_wider(value)] if _is_plain(value) else []
    except _BROKEN:
        return []


def _is_plain(value: bytes) -> bool:
    """Tell whether fields that are passed over cannot hold what a strict parser of all would refuse."""
    is_flat = value.count(b"{") + value.count(b"[") == 1
    return is_flat and len(value) <= _LONGEST_PLAIN and value.isascii() and b"\\" not in value


def _verdicts(rows: Sequence[_Row]) -> NDArray[np.int8]:
    """Return 1 for a failure, 0 for none, -1 where it is not certain."""
    statuses = list(map(attrgetter("status"), rows))
    verdict_by_status = {status: _verdict(status) for status in set(statuses)}
    verdicts = np.fromiter(map(verdict_by_status.__getitem__, statuses), np.int8, len(rows))
    errors = list(map(attrgetter("error"), rows))
    if errors.count(None) < len(errors):  # it wins over a status that is sound, or absent
        told = np.fromiter((-1 if error is None else int(error) for error in errors), np.int8, len(rows))
        absent = np.fromiter((status is None for status in statuses), np.bool_, len(rows))
        verdicts = np.where((told >= 0) & ((verdicts >= 0) | absent), told, verdicts)
    return verdicts


def _verdict(status: int | str | None) -> int:
    if type(status) is int:
        return int(status >= 500) if 100 <= status <= 599 else -1
    return {"ok": 0, "error": 1}.get(status, -1) if type(status) is str else -1


def _times(times: list[int | float | str]) -> NDArray[np.int64]:
    """Return epoch ms as :func:`parse_time` has them; -1 where it is not certain."""
    kinds = set(map(type, times))
    if kinds == {float}:
        found = seconds_as_ms(np.array(times, np.float64))
        if bool((found >= 0).all()):
            return found
    elif kinds == {int} and min(whole := cast(list[int], times)) >= 0 and max(whole) < _NANOSECONDS:
        return whole_as_ms(np.array(whole, np.int64))
    return np.fromiter(map(_one_time, times), np.int64, len(times))


def _one_time(value: float | str) -> int:
    if type(value) is int and not 0 <= value < _NANOSECONDS:
        return -1  # parsers differ in what they make of integers that no machine word holds
    try:
        time_ms = parse_time(value, "time")
    except FieldRefused:
        return -1
    return time_ms if 0 <= time_ms < LATEST_MS else -1
