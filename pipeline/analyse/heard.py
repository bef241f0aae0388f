"""What the detectors read of a record of `tocsin.signals`: no more of it is decoded.

A record of five operations is mostly what people and dashboards read of them, and passing over it is cheaper than making
objects of it. What is read is held to the rules of :mod:`pipeline.contracts.signals`.
"""

from typing import Annotated

import msgspec

from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.partials import CallPartial, ChangeNote, FeedbackNote
from pipeline.contracts.signals import Count, Level, LogLines, Notice, Saturation
from pipeline.errors import RecordInvalid

_MAX_UTILIZATION = 1e100
"""A larger one has no square."""


class HeardLatency(msgspec.Struct, frozen=True, gc=False):
    """Of :class:`pipeline.contracts.signals.Latency`; ms."""

    count: Count
    mean_ms: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None


class HeardTraffic(msgspec.Struct, frozen=True, gc=False):
    """Of :class:`pipeline.contracts.signals.Traffic`."""

    requests: Count
    requests_per_second: float


class HeardErrors(msgspec.Struct, frozen=True, gc=False):
    """Of :class:`pipeline.contracts.signals.Errors`."""

    count: Count


class HeardReadings(msgspec.Struct, frozen=True, gc=False):
    """Of :class:`pipeline.contracts.signals.Completeness`."""

    readings: Count


class Heard(msgspec.Struct, kw_only=True, frozen=True, tag_field="kind", tag="signals"):
    """Of :class:`pipeline.contracts.signals.Signals`, which has the meaning of each field."""

    environment: str
    service: str
    version: str
    window_start_ms: int
    window_end_ms: int
    revision: Annotated[int, msgspec.Meta(ge=1)]
    rollup: bool = False
    latency: HeardLatency | None = None
    traffic: HeardTraffic
    errors: HeardErrors
    saturation: dict[str, Saturation] = {}
    completeness: HeardReadings
    changes: list[ChangeNote] = []
    feedback: list[FeedbackNote] = []
    histogram: Histogram | None = None
    templates: dict[str, LogLines] = {}
    exemplars: list[Exemplar] = []
    calls: dict[str, CallPartial] = {}
    amounts: dict[str, float] = {}
    levels: dict[str, Level] = {}

    @property
    def size_ms(self) -> int:
        """Length of the window, ms."""
        return self.window_end_ms - self.window_start_ms

    @property
    def is_silent(self) -> bool:
        """Nothing was heard of the service itself; see :attr:`pipeline.contracts.signals.Signals.is_silent`."""
        return self.completeness.readings <= len(self.changes) + len(self.feedback)


class HeardLate(msgspec.Struct, frozen=True, tag_field="kind", tag="late"):
    """A count of late readings, of which the detectors read nothing."""


HeardRecord = Heard | HeardLate | Notice
_decoder = msgspec.json.Decoder(HeardRecord)
"""Not asked of the codec: looking a union up takes as long as decoding a tenth of a record."""


def decode_heard(value: bytes) -> HeardRecord:
    """Return what the detectors read of the record of ``tocsin.signals`` that ``value`` holds.

    Raises
    ------
    RecordInvalid
        If it holds none, or one that says what cannot be.

    """
    try:
        record: HeardRecord = _decoder.decode(value)
    except msgspec.DecodeError as problem:
        raise RecordInvalid(f"not Signals: {problem}") from problem
    if isinstance(record, Heard):
        if record.window_end_ms <= record.window_start_ms:
            raise RecordInvalid(f"not Signals: the window from {record.window_start_ms} to {record.window_end_ms} has no length")
        for name, amount in record.amounts.items():
            if not 0 <= amount <= _MAX_UTILIZATION:
                raise RecordInvalid(f"not Signals: {amount} of {name[:40]!r}")
        for name, level in record.levels.items():
            if abs(level.mean) > _MAX_UTILIZATION:
                raise RecordInvalid(f"not Signals: a level of {level.mean} of {name[:40]!r}")
        for resource, usage in record.saturation.items():
            if abs(usage.mean) > _MAX_UTILIZATION:
                raise RecordInvalid(f"not Signals: a utilization of {usage.mean} of {resource[:40]!r}")
    return record
