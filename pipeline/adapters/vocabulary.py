"""The vocabulary of Tocsin's metrics: what is measured of itself, in which unit, by which labels."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
MetricName = Literal[
    "tocsin_build_info",
    "tocsin_records_total",
    "tocsin_readings_total",
    "tocsin_rejected_total",
    "tocsin_ignored_total",
    "tocsin_unmapped_total",
    "tocsin_late_readings_total",
    "tocsin_limited_total",
    "tocsin_evicted_total",
    "tocsin_dead_letters_total",
    "tocsin_bundles_total",
    "tocsin_bundle_bytes_total",
    "tocsin_chunks_finished_total",
    "tocsin_checkpoint_duration_seconds",
    "tocsin_window_close_delay_seconds",
    "tocsin_consumer_lag",
    "tocsin_worker_lag",
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
    _counter(
        "tocsin_unmapped_total", "readings", ("topic", "metric"), "Points of metrics that config/semantic.yaml does not know."
    ),
    _counter("tocsin_late_readings_total", "readings", ("partition",), "Readings whose window was gone: published, not added."),
    _counter(
        "tocsin_limited_total",
        "times",
        ("limit",),
        "Times a limit was reached: readings or messages refused, readings of services over the limit (or chunks "
        "that ended for them), partials or windows with names counted as other, conditions not opened.",
    ),
    _counter(
        "tocsin_evicted_total", "entries", ("what",), "Entries that a full state has forgotten, the least recently used first."
    ),
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
    _gauge(
        "tocsin_worker_lag",
        "records",
        ("app",),
        "Sum of the lags of the partitions that this worker owns, for an autoscaler: it grows when the worker cannot keep up.",
    ),
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
