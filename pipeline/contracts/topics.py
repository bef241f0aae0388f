"""Which topics there are, and what each is like: name, partitions, retention, limits, key and value."""

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, get_args

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS

LogicalName = Literal[
    "telemetry.metrics",
    "telemetry.logs",
    "telemetry.spans",
    "changes",
    "feedback",
    "partials",
    "signals",
    "models",
    "anomalies",
    "alert-events",
    "alerts",
    "topology",
    "remediation.requests",
    "remediation.results",
    "dead-letters",
    "config",
]
"""What code calls a topic; its name on the broker is configuration."""
OPTIONAL: frozenset[LogicalName] = frozenset({"telemetry.spans"})
"""Topics that need not be there."""

Cleanup = Literal["delete", "compact", "compact,delete"]
TimestampType = Literal["create", "append"]
Sharing = Literal["services", "telemetry"]
TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]+$", min_length=1, max_length=249)]
Positive = Annotated[int, Field(ge=1)]
OrUnlimited = Annotated[int, Field(ge=-1)]

_KAFKA_TIMESTAMP_TYPE: Mapping[TimestampType, str] = {"create": "CreateTime", "append": "LogAppendTime"}


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class TopicSpec:
    """One topic.

    Attributes
    ----------
    logical
        What code calls it.
    name
        Its name on the broker; unique.
    partitions
        A count, at least 1; or ``services`` or ``telemetry``, the shared counts of :class:`Topics`.
    key, value
        What the key is, in words; the contract type of the value, as pipeline.contracts names it.
    cleanup
        Kafka's cleanup.policy.
    retention_ms
        How far back by record timestamp, ms; -1 keeps any age. Must be -1 where replayed event times are written: the
        broker deletes what is older within minutes.
    retention_bytes
        How much per partition, bytes; -1 is unlimited. Bounds a topic whatever its timestamps are.
    max_message_bytes
        Largest record batch, bytes, headers included.
    timestamp_type
        ``create``: the producer's (replays need it); ``append``: the broker's clock (live telemetry of many hosts).
    segment_ms, min_cleanable_dirty_ratio, delete_retention_ms, min_compaction_lag_ms
        Of compacted topics: how soon a segment is closed (ms), how much of the log may be stale before it is compacted
        (share, in ``[0, 1]``), how long tombstones stay (ms), how long every record stays (ms). ``None``: the broker's default.

    """

    logical: LogicalName
    name: TopicName
    partitions: Positive | Sharing
    key: str
    value: str
    cleanup: Cleanup = "delete"
    retention_ms: OrUnlimited = -1
    retention_bytes: OrUnlimited = -1
    max_message_bytes: Positive = 1_048_588
    timestamp_type: TimestampType = "create"
    segment_ms: Positive | None = None
    min_cleanable_dirty_ratio: Annotated[float, Field(ge=0, le=1)] | None = None
    delete_retention_ms: Annotated[int, Field(ge=0)] | None = None
    min_compaction_lag_ms: Annotated[int, Field(ge=0)] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The topic's settings in Kafka's own words; compaction's only where given."""
        optional = {
            "segment.ms": self.segment_ms,
            "min.cleanable.dirty.ratio": self.min_cleanable_dirty_ratio,
            "delete.retention.ms": self.delete_retention_ms,
            "min.compaction.lag.ms": self.min_compaction_lag_ms,
        }
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "retention.bytes": str(self.retention_bytes),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": _KAFKA_TIMESTAMP_TYPE[self.timestamp_type],
            **{name: str(value) for name, value in optional.items() if value is not None},
        }


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class Topics:
    """All topics.

    Attributes
    ----------
    service_partitions
        Partitions of every topic and table that is keyed by service, at least 1: a service lives in the same one of all.
    telemetry_partitions
        Partitions of the telemetry topics that we create, at least 1.
    replication_factor
        Copies of each partition; -1 is the broker's own default.
    topics
        One entry for each logical name.

    Raises
    ------
    ValueError
        If a logical name is missing or stands twice, or a name stands twice.

    """

    topics: tuple[TopicSpec, ...]
    service_partitions: Positive = 8
    telemetry_partitions: Positive = 4
    replication_factor: Annotated[int, Field(ge=-1)] = -1

    def __post_init__(self) -> None:
        problems = [
            f"topic {name!r} is missing"
            for name in get_args(LogicalName)
            if name not in {*OPTIONAL, *(spec.logical for spec in self.topics)}
        ]
        problems += [
            f"logical name {name!r} stands twice" for name, n in Counter(spec.logical for spec in self.topics).items() if n > 1
        ]
        problems += [f"topic name {name!r} stands twice" for name, n in Counter(spec.name for spec in self.topics).items() if n > 1]
        if self.replication_factor == 0:
            problems.append("replication_factor must be at least 1, or -1 for the broker's default, got 0")
        if problems:
            raise ValueError("; ".join(problems))

    def by_logical_name(self) -> dict[str, TopicSpec]:
        """Return every topic under what code calls it."""
        return {spec.logical: spec for spec in self.topics}

    def names(self) -> dict[str, str]:
        """Return the name on the broker of every logical name."""
        return {spec.logical: spec.name for spec in self.topics}

    def partitions_of(self, spec: TopicSpec) -> int:
        """Return the partition count of a topic, shared counts resolved."""
        if spec.partitions == "services":
            return self.service_partitions
        if spec.partitions == "telemetry":
            return self.telemetry_partitions
        return spec.partitions

    @property
    def max_message_bytes(self) -> int:
        """Largest record batch that any topic takes, bytes: what a producer must be able to send."""
        return max(spec.max_message_bytes for spec in self.topics)
