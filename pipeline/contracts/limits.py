"""What bounds there are on telemetry and on state, as names that metrics and logs may use; docs/architecture.md has them all."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from pipeline.contracts.readings import RejectReason


class Limit(StrEnum):
    """A limit that something arriving can reach; a metric label."""

    MESSAGE_BYTES = "message_bytes"
    BATCH_BYTES = "batch_bytes"
    """Of a record batch, decompressed."""
    DEPTH = "depth"
    RECORDS_PER_MESSAGE = "records_per_message"
    FUTURE_TIME = "future_time"
    PAST_TIME = "past_time"
    SERVICES = "services"
    OPERATIONS = "operations"
    RESOURCES = "resources"
    VERSIONS = "versions"
    CHANGES = "changes"
    TEMPLATES = "templates"
    """Masked log lines of a partial."""
    CALLEES = "callees"
    """What a service calls, of a partial."""
    PUBLISHED_TEMPLATES = "published_templates"
    PUBLISHED_OPERATIONS = "published_operations"
    OPEN_CONDITIONS = "open_conditions"


class Evicted(StrEnum):
    """What is forgotten, the least recently used first, when a stage holds as many as it may; a metric label."""

    KNOWN_SERVICES = "known_services"
    """Of the window stage."""
    DETECTORS = "detectors"
    LOG_TEMPLATES = "log_templates"
    """Kinds of log lines of a service."""
    CONDITIONS = "conditions"
    """Services with open conditions."""
    ALERTS = "alerts"


Bound = Limit | Evicted
"""Their values are distinct: members of two enums of text are equal when their texts are."""

LIMIT_BY_REASON: Mapping[RejectReason, Limit] = MappingProxyType(
    {
        RejectReason.OVERSIZE: Limit.MESSAGE_BYTES,
        RejectReason.BATCH_TOO_LARGE: Limit.BATCH_BYTES,
        RejectReason.TOO_DEEP: Limit.DEPTH,
        RejectReason.TOO_MANY_RECORDS: Limit.RECORDS_PER_MESSAGE,
        RejectReason.FUTURE_TIME: Limit.FUTURE_TIME,
        RejectReason.PAST_TIME: Limit.PAST_TIME,
    }
)
"""Refusals that are a limit reached."""

KEYS: Mapping[Bound, str] = MappingProxyType(
    {
        Limit.MESSAGE_BYTES: "ingest.max_message_bytes",
        Limit.BATCH_BYTES: "ingest.max_batch_bytes",
        Limit.DEPTH: "ingest.max_depth",
        Limit.RECORDS_PER_MESSAGE: "ingest.max_records_per_message",
        Limit.FUTURE_TIME: "ingest.max_future_ms",
        Limit.PAST_TIME: "ingest.max_past_ms",
        Limit.SERVICES: "ingest.max_services",
        Limit.OPERATIONS: "ingest.max_operations",
        Limit.RESOURCES: "ingest.max_resources",
        Limit.VERSIONS: "ingest.max_versions",
        Limit.CHANGES: "ingest.max_changes",
        Limit.TEMPLATES: "ingest.max_templates",
        Limit.CALLEES: "ingest.max_callees",
        Limit.PUBLISHED_TEMPLATES: "windows.max_templates",
        Limit.PUBLISHED_OPERATIONS: "windows.max_operations",
        Limit.OPEN_CONDITIONS: "alerting.max_conditions",
        Evicted.KNOWN_SERVICES: "windows.max_services",
        Evicted.DETECTORS: "detection.max_services",
        Evicted.LOG_TEMPLATES: "detection.templates.max_kinds",
        Evicted.CONDITIONS: "alerting.max_services",
        Evicted.ALERTS: "act.max_alerts",
    }
)
"""The setting of each bound."""
