"""What a reading adds to the partial of its service and window, and which window that is.

A service's totals are the merge of its operations (``""`` for readings that name none), so they are not kept twice.
"""

from collections.abc import Container, Sized
from typing import Protocol

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.keys import service_key
from pipeline.contracts.partials import OTHER, ChangeNote, FeedbackNote, GaugePartial, OperationPartial, Partial, Quantile
from pipeline.contracts.readings import (
    ChangeReading,
    FeedbackReading,
    GaugeReading,
    LogReading,
    Reading,
    RequestReading,
    SummaryReading,
)
from pipeline.contracts.window_times import BASE_SIZE_MS, size_for_interval, window_start

PartialKey = tuple[str, int, int]
"""(service key, window start in ms, window size in ms)."""


def fold(partials: dict[PartialKey, Partial], reading: Reading, config: IngestConfig) -> PartialKey:
    """Add a reading to its partial, which is made when it is the first, and return the partial's key.

    Each reading counts in exactly one partial. What is over a cardinality limit of ``config`` counts as ``other``.
    """
    time_ms, size_ms = _place(reading)
    origin = reading.origin
    start_ms = window_start(time_ms, size_ms)
    key = (service_key(origin.environment, origin.service), start_ms, size_ms)
    partial = partials.get(key)
    if partial is None:
        partial = Partial(environment=origin.environment, service=origin.service, start_ms=start_ms, size_ms=size_ms)
        partials[key] = partial
    partial.readings += 1
    if origin.version:
        version = _limited(origin.version, partial.versions, config.max_versions)
        partial.versions[version] = partial.versions.get(version, 0) + 1
    match reading:
        case RequestReading():
            _add_request(_operation(partial, origin.operation, config), reading.is_error, reading.duration_ms)
        case SummaryReading():
            _add_summary(_operation(partial, origin.operation, config), reading)
        case GaugeReading():
            _add_gauge(partial, reading, config)
        case LogReading():
            partial.logs[reading.severity] = partial.logs.get(reading.severity, 0) + 1
            if reading.is_request:
                _add_request(_operation(partial, origin.operation, config), reading.is_error, reading.duration_ms)
        case ChangeReading():
            _add_change(partial, reading, config)
        case FeedbackReading():
            _add_feedback(partial, reading, config)
    return key


def _place(reading: Reading) -> tuple[int, int]:
    """Return the time (ms) whose window a reading belongs to, and that window's size (ms).

    A summary belongs whole to the window that holds its last millisecond; a gauge counts as measured at the end of
    its interval, likewise; a change, and feedback, belongs where it was published.
    """
    match reading:
        case SummaryReading():
            return reading.time_ms - 1, size_for_interval(reading.interval_ms)
        case GaugeReading():
            return reading.time_ms - 1, BASE_SIZE_MS
        case ChangeReading() | FeedbackReading():
            return reading.published_ms, BASE_SIZE_MS
        case _:
            return reading.time_ms, BASE_SIZE_MS


class _Names(Container[str], Sized, Protocol):
    """The names that are in use."""


def _limited(name: str, known: _Names, limit: int) -> str:
    """Return the name under which to count: itself while there is room, else ``other``, which takes no room."""
    if name in known or len(known) - (OTHER in known) - ("" in known) < limit:
        return name
    return OTHER


def _operation(partial: Partial, name: str, config: IngestConfig) -> OperationPartial:
    operations = partial.operations
    operation = operations.get(name)
    if operation is None:
        name = _limited(name, operations, config.max_operations) if name else name
        operation = operations.get(name)
        if operation is None:
            operation = operations[name] = OperationPartial()
    return operation


def _add_request(operation: OperationPartial, is_error: bool, duration_ms: float | None) -> None:
    operation.requests += 1
    if is_error:
        operation.errors += 1
        if duration_ms is not None:
            if operation.latency_failed is None:
                operation.latency_failed = Histogram()
            operation.latency_failed.add(duration_ms)
    elif duration_ms is not None:
        if operation.latency_ok is None:
            operation.latency_ok = Histogram()
        operation.latency_ok.add(duration_ms)


def _add_summary(operation: OperationPartial, summary: SummaryReading) -> None:
    operation.requests += summary.requests
    operation.errors += summary.errors
    if summary.latency is not None:
        if operation.latency_mixed is None:
            operation.latency_mixed = Histogram()
        operation.latency_mixed.absorb(summary.latency)
    if summary.quantiles_ms and summary.requests:
        for name, value_ms in summary.quantiles_ms.items():
            quantile = operation.quantiles.get(name)
            if quantile is None:
                quantile = operation.quantiles[name] = Quantile()
            quantile.weight += summary.requests
            quantile.weighted_ms += summary.requests * value_ms


def _add_gauge(partial: Partial, reading: GaugeReading, config: IngestConfig) -> None:
    name = _limited(reading.resource, partial.gauges, config.max_resources)
    gauge = partial.gauges.get(name)
    if gauge is None:
        gauge = partial.gauges[name] = GaugePartial()
    gauge.n += 1
    gauge.sum += reading.utilization
    gauge.max = max(gauge.max, reading.utilization)


def _add_change(partial: Partial, change: ChangeReading, config: IngestConfig) -> None:
    if len(partial.changes) < config.max_changes:
        partial.changes.append(
            ChangeNote(
                type=change.type,
                time_ms=change.time_ms,
                until_ms=change.until_ms,
                version=change.origin.version,
                by=change.by,
                note=change.note,
            )
        )


def _add_feedback(partial: Partial, said: FeedbackReading, config: IngestConfig) -> None:
    if len(partial.feedback) < config.max_changes:
        partial.feedback.append(
            FeedbackNote(verdict=said.verdict, time_ms=said.time_ms, condition=said.condition, by=said.by, note=said.note)
        )
