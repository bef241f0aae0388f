"""What Tocsin measures of itself: the vocabulary of its metrics, and the typed methods that speak it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from pipeline.contracts.alerts import Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.remediation import Action, ResultStatus

Kind = Literal["counter", "gauge", "histogram"]
MetricName = Literal[
    "tocsin_build_info",
    "tocsin_records_total",
    "tocsin_readings_total",
    "tocsin_rejected_total",
    "tocsin_ignored_total",
    "tocsin_late_readings_total",
    "tocsin_dead_letters_total",
    "tocsin_bundles_total",
    "tocsin_bundle_bytes_total",
    "tocsin_chunks_finished_total",
    "tocsin_checkpoint_duration_seconds",
    "tocsin_window_close_delay_seconds",
    "tocsin_consumer_lag",
    "tocsin_offset_jumps_total",
    "tocsin_offset_jump_records_total",
    "tocsin_watermark_age_seconds",
    "tocsin_open_windows",
    "tocsin_services_known",
    "tocsin_state_rows",
    "tocsin_state_bytes",
    "tocsin_models_cold",
    "tocsin_alarm_marks",
    "tocsin_alert_events_total",
    "tocsin_remediation_requests_total",
    "tocsin_remediation_results_total",
]
MAX_SERIES = 2_000
"""Label combinations of one metric; further ones are counted under ``other``. Bounds memory and the size of a scrape."""
OTHER = "other"
_CHECKPOINT_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CLOSE_DELAY_SECONDS = (1.0, 2.0, 3.0, 3.5, 4.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 300.0, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One word of the vocabulary: what is measured, in which unit, by which labels."""

    name: MetricName
    kind: Kind
    unit: str
    labels: tuple[str, ...]
    meaning: str
    buckets: tuple[float, ...] = ()


def _counter(name: MetricName, unit: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(name=name, kind="counter", unit=unit, labels=labels, meaning=meaning)


def _gauge(name: MetricName, unit: str, labels: tuple[str, ...], meaning: str) -> Metric:
    return Metric(name=name, kind="gauge", unit=unit, labels=labels, meaning=meaning)


METRICS: tuple[Metric, ...] = (
    _gauge("tocsin_build_info", "1", ("version", "app", "role"), "Always 1; its labels say what runs."),
    _counter("tocsin_records_total", "records", ("topic",), "Kafka records read."),
    _counter("tocsin_readings_total", "readings", ("topic",), "Sound readings found in them; a record may hold many."),
    _counter("tocsin_rejected_total", "readings", ("topic", "reason"), "Readings or whole messages refused, by rule."),
    _counter("tocsin_ignored_total", "readings", ("topic",), "Readings left out because the configuration says so."),
    _counter("tocsin_late_readings_total", "readings", ("partition",), "Readings whose window was gone: published, not added."),
    _counter("tocsin_dead_letters_total", "records", ("topic",), "Records written to the dead-letter topic, by origin."),
    _counter("tocsin_bundles_total", "records", ("topic",), "Bundles of partials sent, by source topic."),
    _counter("tocsin_bundle_bytes_total", "bytes", ("topic",), "Their size."),
    _counter("tocsin_chunks_finished_total", "chunks", ("topic",), "Chunks whose bundles are acknowledged and offset committed."),
    Metric(
        name="tocsin_checkpoint_duration_seconds",
        kind="histogram",
        unit="seconds",
        labels=("stage",),
        meaning="From the start of a checkpoint until its changelog is acknowledged.",
        buckets=_CHECKPOINT_SECONDS,
    ),
    Metric(
        name="tocsin_window_close_delay_seconds",
        kind="histogram",
        unit="seconds",
        labels=(),
        meaning="Clock time of a window's first publication, less its end: how fresh the signals are.",
        buckets=_CLOSE_DELAY_SECONDS,
    ),
    _gauge("tocsin_consumer_lag", "records", ("app", "topic", "partition"), "End of the log less the position reached."),
    _counter(
        "tocsin_offset_jumps_total", "jumps", ("topic", "partition"), "Times the next offset delivered was not the one expected."
    ),
    _counter("tocsin_offset_jump_records_total", "records", ("topic", "partition"), "Offsets those jumps passed over, either way."),
    _gauge("tocsin_watermark_age_seconds", "seconds", ("partition",), "Clock time less the watermark of a partials partition."),
    _gauge("tocsin_open_windows", "windows", ("partition",), "Windows held open or within their grace."),
    _gauge("tocsin_services_known", "services", ("partition",), "Services for which windows are published."),
    _gauge("tocsin_state_rows", "rows", ("table", "partition"), "Rows of a table."),
    _gauge("tocsin_state_bytes", "bytes", ("table", "partition"), "Bytes of a table's rows."),
    _gauge("tocsin_models_cold", "models", ("partition",), "Models that could not be read back and started cold."),
    _gauge(
        "tocsin_alarm_marks",
        "alarms",
        ("partition", "condition", "mark"),
        "Alarms of detectors by kind of condition: opened, and what people said of them.",
    ),
    _counter("tocsin_alert_events_total", "events", ("transition", "severity"), "Steps in the lives of alerts."),
    _counter("tocsin_remediation_requests_total", "events", ("action", "dry_run"), "Remediation events published."),
    _counter("tocsin_remediation_results_total", "events", ("status",), "What bots reported of them."),
)


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

    def late_readings(self, partition: int, n: int = 1) -> None:
        """Count readings that came when their window was gone."""
        self._sink.add("tocsin_late_readings_total", (str(partition),), n)

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
