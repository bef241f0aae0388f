"""What Tocsin measures of itself: the typed methods that speak the vocabulary of its metrics, and where it goes."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from pipeline.adapters.vocabulary import METRICS, Metric, MetricName
from pipeline.contracts.alerts import Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.limits import Bound, Limit
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.remediation import Action, ResultStatus

MAX_SERIES = 2_000
"""Label combinations of one metric; further ones are counted under ``other``. Bounds memory and the size of a scrape."""
OTHER = "other"


class Sink(Protocol):
    """Where measurements go: Prometheus, or a test's memory. ``labels`` are values in the vocabulary's order."""

    def add(self, name: MetricName, labels: tuple[str, ...], n: float) -> None:
        """Raise a counter by ``n``, at least 0."""
        ...

    def set(self, name: MetricName, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: MetricName, labels: tuple[str, ...], value: float) -> None:
        """Put a value into a histogram."""
        ...

    def forget(self, name: MetricName, labels: tuple[str, ...]) -> None:
        """Drop a gauge's series, if there is one."""
        ...


class Telemetry:
    """Everything that Tocsin says of itself as numbers; one small method a fact."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def build(self, *, version: str, app: str, role: str) -> None:
        """State what runs."""
        self._sink.set("tocsin_build_info", (version, app, role), 1)

    def records_in(self, topic: str, n: int = 1) -> None:
        """Count records read."""
        self._sink.add("tocsin_records_total", (topic,), n)

    def readings(self, topic: str, n: int = 1) -> None:
        """Count sound readings."""
        self._sink.add("tocsin_readings_total", (topic,), n)

    def rejected(self, topic: str, reason: RejectReason, n: int = 1) -> None:
        """Count readings, or whole messages, refused."""
        self._sink.add("tocsin_rejected_total", (topic, reason.value), n)

    def ignored(self, topic: str, n: int = 1) -> None:
        """Count readings that the configuration leaves out."""
        self._sink.add("tocsin_ignored_total", (topic,), n)

    def unmapped(self, topic: str, metric: str, n: int = 1) -> None:
        """Count points of a metric that means nothing here."""
        self._sink.add("tocsin_unmapped_total", (topic, metric), n)

    def late_readings(self, partition: int, n: int = 1) -> None:
        """Count readings that came when their window was gone."""
        self._sink.add("tocsin_late_readings_total", (str(partition),), n)

    def bound_reached(self, bound: Bound, n: int) -> None:
        """Count how often a limit was reached, or entries that had to go for want of room."""
        if isinstance(bound, Limit):
            self._sink.add("tocsin_limited_total", (bound.value,), n)
        else:
            self._sink.add("tocsin_evicted_total", (bound.value,), n)

    def dead_letter(self, topic: str, n: int = 1) -> None:
        """Count records of ``topic`` written to the dead letters."""
        self._sink.add("tocsin_dead_letters_total", (topic,), n)

    def bundle_sent(self, topic: str, n_bytes: int) -> None:
        """Count one bundle of the source topic, and its bytes."""
        self._sink.add("tocsin_bundles_total", (topic,), 1)
        self._sink.add("tocsin_bundle_bytes_total", (topic,), n_bytes)

    def chunk_finished(self, topic: str) -> None:
        """Count one chunk of the source topic."""
        self._sink.add("tocsin_chunks_finished_total", (topic,), 1)

    def checkpoint(self, stage: str, duration_ms: float) -> None:
        """Record how long a checkpoint of a stage took, ms."""
        self._sink.observe("tocsin_checkpoint_duration_seconds", (stage,), duration_ms / 1000)

    def window_published(self, window_end_ms: int, now_ms: int) -> None:
        """Record the close delay of a window's first publication."""
        self._sink.observe("tocsin_window_close_delay_seconds", (), max(0, now_ms - window_end_ms) / 1000)

    def lag(self, app: str, topic: str, partition: int, n_records: int) -> None:
        """Set how many records a partition is behind."""
        self._sink.set("tocsin_consumer_lag", (app, topic, str(partition)), n_records)

    def worker_lag(self, app: str, n_records: int) -> None:
        """Set how many records the worker is behind in all partitions that it owns."""
        self._sink.set("tocsin_worker_lag", (app,), n_records)

    def offset_jump(self, topic: str, partition: int, *, expected: int, delivered: int) -> None:
        """Count a jump: another offset than the expected one was delivered."""
        labels = (topic, str(partition))
        self._sink.add("tocsin_offset_jumps_total", labels, 1)
        self._sink.add("tocsin_offset_jump_records_total", labels, abs(delivered - expected))

    def watermark(self, partition: int, watermark_ms: int, now_ms: int) -> None:
        """Set how old a partition's watermark is."""
        self._sink.set("tocsin_watermark_age_seconds", (str(partition),), (now_ms - watermark_ms) / 1000)

    def windows(self, partition: int, *, n_open: int, n_services: int) -> None:
        """Set how many windows are open, and how many services are known, in a partition."""
        self._sink.set("tocsin_open_windows", (str(partition),), n_open)
        self._sink.set("tocsin_services_known", (str(partition),), n_services)

    def state(self, table: str, partition: int, *, n_rows: int, n_bytes: int) -> None:
        """Set the size of a table's partition."""
        self._sink.set("tocsin_state_rows", (table, str(partition)), n_rows)
        self._sink.set("tocsin_state_bytes", (table, str(partition)), n_bytes)

    def models_cold(self, partition: int, n: int) -> None:
        """Set how many models of a partition started cold though something was stored."""
        self._sink.set("tocsin_models_cold", (str(partition),), n)

    def alarm_mark(self, partition: int, condition: str, mark: str, n: int) -> None:
        """Set how many alarms of a kind of condition opened, or were marked so by people."""
        self._sink.set("tocsin_alarm_marks", (str(partition), condition, mark), n)

    def models_revoked(self, partition: int, marks: Iterable[tuple[str, str]]) -> None:
        """Drop the gauges of a partition's models, of these conditions and marks."""
        self._sink.forget("tocsin_models_cold", (str(partition),))
        for condition, mark in marks:
            self._sink.forget("tocsin_alarm_marks", (str(partition), condition, mark))

    def alert_event(self, transition: Transition, severity: Severity) -> None:
        """Count one step in the life of an alert."""
        self._sink.add("tocsin_alert_events_total", (transition.value, severity.value), 1)

    def remediation_requested(self, action: Action, *, dry_run: bool) -> None:
        """Count one remediation event."""
        self._sink.add("tocsin_remediation_requests_total", (action.value, str(dry_run).lower()), 1)

    def remediation_result(self, status: ResultStatus) -> None:
        """Count one report of a bot."""
        self._sink.add("tocsin_remediation_results_total", (status.value,), 1)

    def input_assigned(self, topic: str, partition: int) -> None:
        """Begin the jump counters of a partition at 0, so that its first jump is seen as an increase."""
        self._sink.add("tocsin_offset_jumps_total", (topic, str(partition)), 0)
        self._sink.add("tocsin_offset_jump_records_total", (topic, str(partition)), 0)

    def input_revoked(self, app: str, topic: str, partition: int) -> None:
        """Drop the lag of a partition that another worker reads now: an old number would look like a stall."""
        self._sink.forget("tocsin_consumer_lag", (app, topic, str(partition)))

    def windows_revoked(self, partition: int) -> None:
        """Drop the gauges of a partials partition that another worker holds now."""
        self._sink.forget("tocsin_watermark_age_seconds", (str(partition),))
        self._sink.forget("tocsin_open_windows", (str(partition),))
        self._sink.forget("tocsin_services_known", (str(partition),))

    def state_revoked(self, table: str, partition: int) -> None:
        """Drop the size of a table's partition that another worker holds now."""
        self._sink.forget("tocsin_state_rows", (table, str(partition)))
        self._sink.forget("tocsin_state_bytes", (table, str(partition)))


class PrometheusSink:
    """Measurements for /metrics, in a registry of their own.

    Notes
    -----
    At most :data:`MAX_SERIES` label combinations a metric; those beyond share the labels ``other``.

    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._series: dict[MetricName, set[tuple[str, ...]]] = {metric.name: set() for metric in METRICS}
        self._counters = {m.name: Counter(*_spelled(m), registry=registry) for m in METRICS if m.kind == "counter"}
        self._gauges = {m.name: Gauge(*_spelled(m), registry=registry) for m in METRICS if m.kind == "gauge"}
        self._histograms = {
            m.name: Histogram(*_spelled(m), registry=registry, buckets=m.buckets) for m in METRICS if m.kind == "histogram"
        }

    def add(self, name: MetricName, labels: tuple[str, ...], n: float) -> None:
        """Raise a counter by ``n``, at least 0."""
        counter = self._counters[name]
        (counter.labels(*self._bounded(name, labels)) if labels else counter).inc(n)

    def set(self, name: MetricName, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge."""
        gauge = self._gauges[name]
        (gauge.labels(*self._bounded(name, labels)) if labels else gauge).set(value)

    def observe(self, name: MetricName, labels: tuple[str, ...], value: float) -> None:
        """Put a value into a histogram."""
        histogram = self._histograms[name]
        (histogram.labels(*self._bounded(name, labels)) if labels else histogram).observe(value)

    def forget(self, name: MetricName, labels: tuple[str, ...]) -> None:
        """Drop a gauge's series, if there is one."""
        if labels in self._series[name]:
            self._series[name].discard(labels)
            self._gauges[name].remove(*labels)

    def _bounded(self, name: MetricName, labels: tuple[str, ...]) -> tuple[str, ...]:
        seen = self._series[name]
        if labels in seen:
            return labels
        if len(seen) >= MAX_SERIES:
            return (OTHER,) * len(labels)
        seen.add(labels)
        return labels


@dataclass(slots=True)
class RecordingSink:
    """Measurements in memory, for tests: sums of counters, last values of gauges, all values of histograms."""

    counters: dict[tuple[str, ...], float] = field(default_factory=dict)
    gauges: dict[tuple[str, ...], float] = field(default_factory=dict)
    histograms: dict[tuple[str, ...], list[float]] = field(default_factory=dict)

    def add(self, name: MetricName, labels: tuple[str, ...], n: float) -> None:
        """Raise a counter by ``n``, at least 0."""
        if n < 0:
            raise ValueError(f"a counter only grows, got {n} for {name}")
        self.counters[name, *labels] = self.counters.get((name, *labels), 0) + n

    def set(self, name: MetricName, labels: tuple[str, ...], value: float) -> None:
        """Set a gauge."""
        self.gauges[name, *labels] = value

    def observe(self, name: MetricName, labels: tuple[str, ...], value: float) -> None:
        """Put a value into a histogram."""
        self.histograms.setdefault((name, *labels), []).append(value)

    def forget(self, name: MetricName, labels: tuple[str, ...]) -> None:
        """Drop a gauge's series, if there is one."""
        self.gauges.pop((name, *labels), None)


def prometheus_telemetry() -> tuple[Telemetry, CollectorRegistry]:
    """Return a telemetry and the registry that /metrics shows of it."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a "_created" series beside each counter would double a scrape
    registry = CollectorRegistry()
    return Telemetry(PrometheusSink(registry)), registry


def _spelled(metric: Metric) -> tuple[str, str, tuple[str, ...]]:
    return metric.name, f"{metric.meaning} Unit: {metric.unit}.", metric.labels
