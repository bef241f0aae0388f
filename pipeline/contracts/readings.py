"""Readings: what a decoder makes of one telemetry record once it is known to be sound; and why one is not."""

from enum import StrEnum
from typing import Literal

import msgspec

from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.partials import FeedbackVerdict
from pipeline.contracts.points import Point, SeriesMeaning
from pipeline.contracts.trace_samples import SpanStub

Outcome = Literal["mixed", "ok", "failed"]


class Origin(msgspec.Struct, kw_only=True, frozen=True):
    """Whom a reading is about. All texts are bounded, and free of control characters."""

    environment: str
    service: str
    version: str = ""
    operation: str = ""
    instance: str = ""


class RequestReading(msgspec.Struct, kw_only=True, frozen=True):
    """One request that ended at ``time_ms``; ``trace_id`` is empty where none is known."""

    origin: Origin
    time_ms: int
    duration_ms: float
    is_error: bool
    trace_id: str = ""


class SummaryReading(msgspec.Struct, kw_only=True, frozen=True):
    """``requests`` in the ``interval_ms`` before ``time_ms``; latency mergeable, or quantiles only, or none.

    ``quantiles_ms`` maps ``p50 p90 p95 p99 mean`` (any of them) to ms. ``outcome`` says whether all its latencies are of
    successful, or all of failed requests.
    """

    origin: Origin
    time_ms: int
    interval_ms: int
    requests: int
    errors: int
    latency: Histogram | None = None
    quantiles_ms: dict[str, float] | None = None
    outcome: Outcome = "mixed"
    exemplars: tuple[Exemplar, ...] = ()


class GaugeReading(msgspec.Struct, kw_only=True, frozen=True):
    """A resource's utilization, 1 is full, measured at ``time_ms``."""

    origin: Origin
    time_ms: int
    resource: str
    utilization: float


class UsageReading(msgspec.Struct, kw_only=True, frozen=True):
    """How much of a resource is used, or how much there is, or both, measured at ``time_ms``; any unit, the same for both.

    ``is_part`` says that the resource's states come one by one, so that their sums are the whole; else means are compared.
    """

    origin: Origin
    time_ms: int
    resource: str
    used: float = 0.0
    limit: float = 0.0
    is_part: bool = False


class PointsReading(msgspec.Struct, kw_only=True, frozen=True):
    """Points of series of one service that fall into one window, each with its series' name and meaning.

    Points of cumulative series (``interval_ms`` 0) say what they add only beside those before them, behind the re-key;
    deltas cover the ``interval_ms`` before ``time_ms``, and are added up. ``n`` is how many readings it stands for.
    """

    origin: Origin
    time_ms: int
    points: list[tuple[str, SeriesMeaning, Point]]
    interval_ms: int = 0
    n: int = 1
    exemplars: tuple[Exemplar, ...] = ()


class LevelReading(msgspec.Struct, kw_only=True, frozen=True):
    """A value of a gauge that is a named signal, measured at ``time_ms``; in its own unit, of either sign."""

    origin: Origin
    time_ms: int
    signal: str
    value: float


class LogReading(msgspec.Struct, kw_only=True, frozen=True):
    """A log line; with ``is_request`` it also counts as one request (its duration may be unknown).

    ``text`` is what it says, as it came; empty: nothing that is worth a template.
    """

    origin: Origin
    time_ms: int
    severity: str
    is_error: bool
    is_request: bool = False
    duration_ms: float | None = None
    trace_id: str = ""
    text: str = ""


class CallReading(msgspec.Struct, kw_only=True, frozen=True):
    """Something that a service asked of another: ``callee`` by its name, the answer came at ``time_ms``."""

    origin: Origin
    time_ms: int
    callee: str
    is_error: bool


class SampledSpan(msgspec.Struct, kw_only=True, frozen=True):
    """A span of a trace in the sample, which ended at ``time_ms``: no reading, it counts nowhere but in the sample."""

    time_ms: int
    key: str
    stub: SpanStub


class ChangeReading(msgspec.Struct, kw_only=True, frozen=True):
    """Something people did to a service; belongs to the window in which its record was published."""

    origin: Origin
    time_ms: int
    published_ms: int
    type: str
    until_ms: int | None = None
    by: str = ""
    note: str = ""


class FeedbackReading(msgspec.Struct, kw_only=True, frozen=True):
    """What a person said of a service's alerts; belongs to the window in which its record was published."""

    origin: Origin
    time_ms: int
    published_ms: int
    verdict: FeedbackVerdict
    condition: str = ""
    by: str = ""
    note: str = ""


Reading = (
    RequestReading
    | SummaryReading
    | GaugeReading
    | UsageReading
    | PointsReading
    | LevelReading
    | LogReading
    | CallReading
    | ChangeReading
    | FeedbackReading
)


class RejectReason(StrEnum):
    """Why a record cannot be counted; a metric label, and the reason of a dead letter."""

    EMPTY = "empty"
    OVERSIZE = "oversize"
    TOO_DEEP = "too_deep"
    TOO_MANY_RECORDS = "too_many_records"
    INVALID_UTF8 = "invalid_utf8"
    INVALID_JSON = "invalid_json"
    INVALID_PROTOBUF = "invalid_protobuf"
    UNKNOWN_FORMAT = "unknown_format"
    """No decoder knows what the message is."""
    DECODER_FAILED = "decoder_failed"
    """Another package's decoder raised an exception."""
    TOO_MANY_ATTRIBUTES = "too_many_attributes"
    WRONG_TYPE = "wrong_type"
    MISSING_FIELD = "missing_field"
    UNKNOWN_KIND = "unknown_kind"
    INVALID_TEXT = "invalid_text"
    NOT_FINITE = "not_finite"
    OUT_OF_RANGE = "out_of_range"
    INCONSISTENT = "inconsistent"
    ABSURD_TIME = "absurd_time"
    FUTURE_TIME = "future_time"
    PAST_TIME = "past_time"
    BROKEN_CONTRACT = "broken_contract"
    """A record on one of Tocsin's own topics that is none of ours."""
    BATCH_TOO_LARGE = "batch_too_large"
    """A record batch would be larger than is allowed once it is decompressed."""
    UNREADABLE_BATCH = "unreadable_batch"
    """A record batch whose checksum is right, and whose bytes are not what Kafka's protocol says."""


class Rejection(msgspec.Struct, kw_only=True, frozen=True):
    """One record refused: where in its message, which field, and the rule that it breaks.

    ``index`` is the record's place in the message's array; ``None`` when the whole message is refused.
    ``detail`` is one sentence that shows the value (shortened, escaped) and the rule.
    """

    reason: RejectReason
    detail: str
    field: str = ""
    index: int | None = None


class Decoded(msgspec.Struct, kw_only=True, frozen=True):
    """What one message holds: every record is in exactly one of the three.

    ``n_merged`` counts readings that are summed up in others of ``readings``. Of the ignored, ``unmapped`` counts those
    that the mapping does not know, by the metric's name. ``sampled`` is told besides, of spans that are in one of the three.
    """

    readings: list[Reading] = []
    rejections: list[Rejection] = []
    n_ignored: int = 0
    n_merged: int = 0
    unmapped: dict[str, int] = {}
    sampled: list[SampledSpan] = []
