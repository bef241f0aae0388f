"""Partials: what one chunk of one source partition adds to a window of a service; bundles carry them.

The records of `tocsin.partials`. Partials merge in any order to the same numbers; see docs/adr/0001-window-protocol.md.
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Annotated

import msgspec

from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.points import Series
from pipeline.contracts.trace_samples import TraceSample

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
OTHER = "other"
"""Where what is over a cardinality limit is counted."""

OTHER_TEMPLATE = "(other lines)"
"""Where log lines are counted for which there is no room."""
SEVERITY_RANK: Mapping[str, int] = MappingProxyType({"trace": 0, "debug": 1, "info": 2, "warn": 3, "error": 4, "fatal": 5})
"""How bad a log line is, by its severity."""
SEVERITIES = tuple(SEVERITY_RANK)
"""In OpenTelemetry's order: four of its numbers each, from 1."""
UNKNOWN_SEVERITY = "info"
"""What a line counts as that names none, or one that nobody knows."""

Count = Annotated[int, msgspec.Meta(ge=0)]


def rank(severity: str) -> int:
    """Return how bad a log line of this severity is.

    Examples
    --------
    >>> rank("trace"), rank("info"), rank("whatever"), rank("fatal")
    (0, 2, 2, 5)

    """
    return SEVERITY_RANK.get(severity, SEVERITY_RANK[UNKNOWN_SEVERITY])


class Quantile(msgspec.Struct, kw_only=True):
    """A quantile (or mean) that arrived ready-made: mean of what came, weighted by requests."""

    weight: float = 0.0
    weighted_ms: float = 0.0

    def absorb(self, other: "Quantile") -> None:
        """Add another's requests."""
        self.weight += other.weight
        self.weighted_ms += other.weighted_ms


class OperationPartial(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Requests of one operation. ``latency_mixed`` holds those whose outcome is not known one by one (summaries)."""

    requests: Count = 0
    errors: Count = 0
    latency_ok: Histogram | None = None
    latency_failed: Histogram | None = None
    latency_mixed: Histogram | None = None
    quantiles: dict[str, Quantile] = {}

    def absorb(self, other: "OperationPartial") -> None:
        """Add another's requests, in place; the other stays as it is, and nothing of it is shared."""
        self.requests += other.requests
        self.errors += other.errors
        self.latency_ok = _both(self.latency_ok, other.latency_ok)
        self.latency_failed = _both(self.latency_failed, other.latency_failed)
        self.latency_mixed = _both(self.latency_mixed, other.latency_mixed)
        for name, quantile in other.quantiles.items():
            self.quantiles.setdefault(name, Quantile()).absorb(quantile)


class GaugePartial(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Utilization of one resource, 1 is full: how many readings, their sum, the highest.

    Where no reading says the utilization itself, ``used`` and ``limit`` (sums, in the same unit) give it; where these come
    as readings of their own, perhaps not equally often, ``n_used`` and ``n_limit`` count them.
    """

    n: Count = 0
    sum: float = 0.0
    max: float = 0.0
    used: float = 0.0
    limit: float = 0.0
    n_used: Count = 0
    n_limit: Count = 0

    def absorb(self, other: "GaugePartial") -> None:
        """Add another's readings."""
        self.n += other.n
        self.sum += other.sum
        self.max = max(self.max, other.max)
        if other.used or other.limit:
            self.used += other.used
            self.limit += other.limit
            self.n_used += other.n_used
            self.n_limit += other.n_limit


class LevelPartial(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Values of a gauge that is a named signal: how many, their sum, the lowest and the highest of them."""

    n: Count = 0
    sum: float = 0.0
    min: float = 0.0
    max: float = 0.0

    def absorb(self, n: int, total: float, lowest: float, highest: float) -> None:
        """Add ``n`` values."""
        self.min = min(self.min, lowest) if self.n else lowest
        self.max = max(self.max, highest) if self.n else highest
        self.n += n
        self.sum += total


class TemplatePartial(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Log lines that are the same but for numbers, ids, addresses and quoted text: how many, and the first of them.

    Attributes
    ----------
    n
        Lines.
    severity
        The worst of them.
    example, time_ms
        The earliest line (of equal times, the first by its text), cut, and its time.

    """

    n: Count = 0
    severity: str = "trace"
    example: str = ""
    time_ms: int = 0

    def absorb(self, n: int, severity: str, example: str, time_ms: int) -> None:
        """Add ``n`` lines, the earliest of which is ``example``."""
        if not self.n or (time_ms, example) < (self.time_ms, self.example):
            self.example, self.time_ms = example, time_ms
        self.n += n
        self.severity = SEVERITIES[max(rank(severity), rank(self.severity))]


class CallPartial(msgspec.Struct, kw_only=True, omit_defaults=True):
    """How often something was called, and how often the caller saw it fail."""

    calls: Count = 0
    errors: Count = 0


class ChangeNote(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A change event, as it travels with the window in which it was published."""

    type: str
    time_ms: int
    until_ms: int | None = None
    version: str = ""
    by: str = ""
    note: str = ""


class FeedbackVerdict(StrEnum):
    """What a person says of an alert."""

    FALSE_POSITIVE = "false_positive"
    """Nothing was wrong: it takes more to be told of this again, for a while."""
    EXPECTED = "expected"
    """It is real, and known of: a sale, a test. Not learned; told by day, not by night, until it is over."""
    NEW_NORMAL = "new_normal"
    """It stays like this: learn it anew."""


class FeedbackNote(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a person said of a service's alerts, as it travels with the window in which it was published.

    ``condition`` is whose alert it was; empty: of every condition that is in alarm.
    """

    verdict: FeedbackVerdict
    time_ms: int
    condition: str = ""
    by: str = ""
    note: str = ""


class Partial(msgspec.Struct, kw_only=True, omit_defaults=True):
    """What a chunk holds so far for one service and window ``[start_ms, start_ms + size_ms)``.

    ``operations`` has ``""`` for what names none. ``versions`` counts readings by the service's version.
    ``readings`` counts every reading: requests, summaries, gauges, points, logs, calls, changes, feedback. ``points`` holds
    those of cumulative series as they came; ``over_limit`` counts those for which there was no room. ``exemplars`` are few
    of its requests, the slowest and the failed ones; ``templates`` has log lines by what they say, masked.
    ``amounts`` has what named signals counted, ``levels`` what gauges that are named signals showed. ``calls`` counts what
    the service asked of others, by their names (:func:`pipeline.contracts.topology.callee_name`). ``traces`` is alone in
    a partial of its own, of five minutes, that stands under :data:`pipeline.contracts.trace_samples.KEY`; its ``readings``
    count spans.
    """

    environment: str
    service: str
    start_ms: int
    size_ms: int
    readings: Count = 0
    operations: dict[str, OperationPartial] = {}
    gauges: dict[str, GaugePartial] = {}
    logs: dict[str, Count] = {}
    versions: dict[str, Count] = {}
    changes: list[ChangeNote] = []
    points: dict[str, Series] = {}
    over_limit: Count = 0
    feedback: list[FeedbackNote] = []
    exemplars: list[Exemplar] = []
    calls: dict[str, CallPartial] = {}
    amounts: dict[str, float] = {}
    templates: dict[str, TemplatePartial] = {}
    traces: TraceSample | None = None
    levels: dict[str, LevelPartial] = {}


class Bundle(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One flush of one source partition for one target partition: cumulative within its chunk.

    Attributes
    ----------
    schema
        Version of this record.
    source
        ``topic/partition`` that was read.
    epoch
        Raised when the source topic was created anew; (epoch, chunk) compare as a pair.
    chunk, through
        Offset of the chunk's first record; offset of the last one folded in. ``through = chunk - 1``: nothing yet.
    watermark_ms
        Highest record time seen in the source (plus the time since, while idle); ``None``: no record ever.
    idle
        Its owner has caught up, and has heard nothing for ``idle_ms``.
    generation
        Of the ingest consumer group, when it was sent.
    config
        Hash of the ingest configuration that decides this chunk's content.
    partitions
        How many partitions each telemetry topic in the configuration has: the sources of the watermark.
    partials
        Of the services of the target partition that were touched since the last flush; everything of the chunk so far.

    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    source: str
    epoch: Count = 0
    chunk: Count
    through: int
    watermark_ms: int | None = None
    idle: bool = False
    generation: int = 0
    config: str = ""
    partitions: dict[str, Count] = {}
    partials: list[Partial] = []


def _both(total: Histogram | None, part: Histogram | None) -> Histogram | None:
    """Return the sum of two, made in the first one where there is one."""
    if part is None:
        return total
    if total is None:
        return part.copied()
    total.absorb(part)
    return total
