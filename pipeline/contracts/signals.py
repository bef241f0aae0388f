"""Golden signals of a service's window, what came too late for one, and notices: the records of `tocsin.signals`."""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.partials import CallPartial, ChangeNote, FeedbackNote

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
Count = Annotated[int, msgspec.Meta(ge=0)]
Ratio = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Latency(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Latency of requests, ms. ``count`` is how many requests it rests on.

    ``relative_error`` bounds the quantiles' error; ``approximate`` says that (some) quantiles arrived ready-made.
    """

    count: Count
    mean_ms: float | None = None
    p50_ms: float | None = None
    p90_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    relative_error: float = 0.0
    approximate: bool = False


class Traffic(msgspec.Struct, kw_only=True, frozen=True):
    """How much is asked of the service."""

    requests: Count
    requests_per_second: float


class Errors(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Explicit errors; and implicit ones, requests slower than the service's threshold (``None``: no threshold)."""

    count: Count
    ratio: Ratio | None = None
    slow: Count | None = None
    slow_ratio: Ratio | None = None
    threshold_ms: float | None = None


class Saturation(msgspec.Struct, kw_only=True, frozen=True):
    """Utilization of one resource in the window, 1 is full."""

    mean: float
    max: float


class Level(msgspec.Struct, kw_only=True, frozen=True):
    """What a gauge that is a named signal showed in the window, in its own unit."""

    mean: float
    min: float
    max: float


class OperationSignals(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """The request signals of one operation; latency of all requests, and of successful and failed ones where known apart."""

    latency: Latency | None = None
    latency_ok: Latency | None = None
    latency_failed: Latency | None = None
    traffic: Traffic
    errors: Errors


class Completeness(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What the window rests on.

    ``readings`` counted in it; ``late`` readings of the service so far that came too late for their windows;
    ``sources`` (topic partitions) that contributed; ``delay_ms`` that was waited before the first publication;
    ``over_limit``, points of cumulative series for which there was no room, and which are in no signal.
    """

    readings: Count
    late: Count
    sources: Count
    delay_ms: Count
    over_limit: Count = 0


class LogLines(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Log lines of the window that say the same: how many, the worst severity, and the earliest of them, cut."""

    n: Count
    severity: str
    example: str = ""


class Signals(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="signals"):
    """The four golden signals of a service in ``[window_start_ms, window_end_ms)``.

    ``id`` is the same for every revision; the highest revision counts. A window without readings is published too.
    ``rollup`` marks five-minute sums of whole base windows. ``histogram`` is that of all requests' latencies.
    ``calls`` counts what it asked of others, by their names; ``amounts`` has what named signals counted in the window,
    ``levels`` what gauges that are named signals showed.
    ``exemplars`` are few of its requests, the slowest and the failed ones, by their trace ids.
    ``templates`` has log lines by what they say, masked; the rest, for which there was no room, under ``(other lines)``.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    id: str
    environment: str
    service: str
    version: str
    window_start_ms: int
    window_end_ms: int
    revision: Annotated[int, msgspec.Meta(ge=1)]
    rollup: bool = False
    latency: Latency | None = None
    latency_ok: Latency | None = None
    latency_failed: Latency | None = None
    traffic: Traffic
    errors: Errors
    saturation: dict[str, Saturation] = {}
    most_constrained: str | None = None
    completeness: Completeness
    operations: dict[str, OperationSignals] = {}
    logs: dict[str, Count] = {}
    versions: dict[str, Count] = {}
    changes: list[ChangeNote] = []
    feedback: list[FeedbackNote] = []
    histogram: Histogram | None = None
    exemplars: list[Exemplar] = []
    calls: dict[str, CallPartial] = {}
    amounts: dict[str, float] = {}
    templates: dict[str, LogLines] = {}
    levels: dict[str, Level] = {}

    @property
    def size_ms(self) -> int:
        """Length of the window, ms."""
        return self.window_end_ms - self.window_start_ms

    @property
    def is_silent(self) -> bool:
        """Nothing was heard of the service itself in this window; what people said of it is not its own word."""
        return self.completeness.readings <= len(self.changes) + len(self.feedback)


class LateCount(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="late"):
    """Readings that came when their window was gone: counted here, not added to it.

    Cumulative per (service, window, source, epoch, chunk), which ``id`` names: the highest ``through`` counts,
    and different ids add up.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    id: str
    environment: str
    service: str
    version: str
    window_start_ms: int
    window_end_ms: int
    source: str
    epoch: Count
    chunk: Count
    through: int
    readings: Count
    requests: Count
    errors: Count
    late_by_ms: int


class NoticeKind(StrEnum):
    """What Tocsin announces once."""

    WINDOW_WIDENED = "window_widened"
    DELAY_LENGTHENED = "delay_lengthened"
    SOURCE_LEFT_BEHIND = "source_left_behind"
    TOPIC_RECREATED = "topic_recreated"
    SERVICE_RETIRED = "service_retired"
    SERVICES_OVER_LIMIT = "services_over_limit"


class Notice(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, tag_field="kind", tag="notice"):
    """Something about a service or a source that people should know once; ``text`` is a sentence."""

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    id: str
    notice: NoticeKind
    at_ms: int
    text: str
    environment: str = ""
    service: str = ""
    version: str = ""


SignalsRecord = Signals | LateCount | Notice
"""What a value on `tocsin.signals` may be; ``kind`` tells."""

GoldenSignal = Literal["latency", "traffic", "errors", "saturation"]
