"""The metrics vocabulary: what the methods say, what /metrics shows of it, and that labels stay bounded."""

from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from pipeline.adapters.metrics import MAX_SERIES, PrometheusSink, RecordingSink, Telemetry, prometheus_telemetry
from pipeline.adapters.vocabulary import METRICS
from pipeline.contracts.alerts import Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.limits import Evicted, Limit
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.remediation import Action, ResultStatus

DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
NAMES = [metric.name for metric in METRICS]

EVERYTHING: list[Callable[[Telemetry], None]] = [
    lambda t: t.build(version="0.1.0", app="tocsin", role="ingest"),
    lambda t: t.records_in("telemetry.metrics", 5),
    lambda t: t.readings("telemetry.metrics", 7),
    lambda t: t.rejected("telemetry.metrics", RejectReason.INVALID_JSON),
    lambda t: t.ignored("telemetry.logs"),
    lambda t: t.unmapped("telemetry.metrics", "go_goroutines", 2),
    lambda t: t.late_readings(3, 2),
    lambda t: t.bound_reached(Limit.SERVICES, 7),
    lambda t: t.bound_reached(Evicted.ALERTS, 2),
    lambda t: t.worker_lag("ingest", 9_000),
    lambda t: t.dead_letter("telemetry.metrics"),
    lambda t: t.bundle_sent("telemetry.metrics", 1_024),
    lambda t: t.chunk_finished("telemetry.metrics"),
    lambda t: t.checkpoint("windows", 250.0),
    lambda t: t.window_published(10_000, 13_400),
    lambda t: t.lag("ingest", "telemetry.metrics", 3, 5_031),
    lambda t: t.offset_jump("telemetry.metrics", 3, expected=10, delivered=15),
    lambda t: t.watermark(3, 9_000, 13_000),
    lambda t: t.windows(3, n_open=7, n_services=20),
    lambda t: t.state("windows", 3, n_rows=40, n_bytes=9_000),
    lambda t: t.models_cold(3, 1),
    lambda t: t.alarm_mark(3, "latency", "opened", 2),
    lambda t: t.alert_event(Transition.FIRED, Severity.PAGE),
    lambda t: t.remediation_requested(Action.RESTART, dry_run=True),
    lambda t: t.remediation_result(ResultStatus.SUCCEEDED),
]


def samples(registry: CollectorRegistry) -> dict[tuple[str, frozenset[str]], float]:
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(s.name, frozenset(s.labels.values())): s.value for family in families for s in family.samples}


def labelled(*values: str) -> frozenset[str]:
    return frozenset(values)


def test_a_scrape_shows_what_was_said() -> None:
    telemetry, registry = prometheus_telemetry()

    for say in EVERYTHING:
        say(telemetry)

    seen = samples(registry)
    assert seen["tocsin_records_total", labelled("telemetry.metrics")] == 5
    assert seen["tocsin_rejected_total", labelled("telemetry.metrics", "invalid_json")] == 1
    assert seen["tocsin_bundle_bytes_total", labelled("telemetry.metrics")] == 1_024
    assert seen["tocsin_checkpoint_duration_seconds_sum", labelled("windows")] == 0.25
    assert seen["tocsin_window_close_delay_seconds_sum", labelled()] == 3.4
    assert seen["tocsin_consumer_lag", labelled("ingest", "telemetry.metrics", "3")] == 5_031
    assert seen["tocsin_offset_jump_records_total", labelled("telemetry.metrics", "3")] == 5
    assert seen["tocsin_watermark_age_seconds", labelled("3")] == 4
    assert seen["tocsin_remediation_requests_total", labelled("restart", "true")] == 1
    assert seen["tocsin_remediation_results_total", labelled("succeeded")] == 1


def test_every_metric_of_the_vocabulary_can_be_said() -> None:
    sink = RecordingSink()
    telemetry = Telemetry(sink)

    for say in EVERYTHING:
        say(telemetry)

    said = {key[0] for key in [*sink.counters, *sink.gauges, *sink.histograms]}
    assert said == set(NAMES)


def test_names_are_unique_and_carry_their_unit() -> None:
    assert len(set(NAMES)) == len(NAMES)
    for metric in METRICS:
        assert metric.name.startswith("tocsin_")
        assert (metric.kind == "counter") == metric.name.endswith("_total")
        assert (metric.unit == "seconds") == ("_seconds" in metric.name)
        assert (metric.kind == "histogram") == bool(metric.buckets)


def test_two_telemetries_do_not_share_a_registry() -> None:
    first, first_registry = prometheus_telemetry()
    _, second_registry = prometheus_telemetry()

    first.records_in("telemetry.metrics")

    assert ("tocsin_records_total", labelled("telemetry.metrics")) in samples(first_registry)
    assert ("tocsin_records_total", labelled("telemetry.metrics")) not in samples(second_registry)


def test_label_combinations_beyond_the_bound_are_counted_together() -> None:
    registry = CollectorRegistry()
    sink = PrometheusSink(registry)

    for i in range(MAX_SERIES + 3):
        sink.add("tocsin_records_total", (f"topic-{i}",), 1)

    seen = samples(registry)
    assert seen["tocsin_records_total", labelled("other")] == 3
    assert sum(name == "tocsin_records_total" for name, _ in seen) == MAX_SERIES + 1


def test_a_revoked_partition_leaves_the_scrape() -> None:
    telemetry, registry = prometheus_telemetry()
    telemetry.lag("ingest", "telemetry.metrics", 3, 5_031)
    telemetry.windows(3, n_open=7, n_services=20)
    telemetry.state("windows", 3, n_rows=40, n_bytes=9_000)

    telemetry.input_revoked("ingest", "telemetry.metrics", 3)
    telemetry.windows_revoked(3)
    telemetry.state_revoked("windows", 3)
    telemetry.state_revoked("windows", 4)  # never held: nothing to drop

    assert [name for name, labels in samples(registry) if "3" in labels] == []


def test_the_first_jump_of_an_assigned_partition_is_an_increase() -> None:
    telemetry, registry = prometheus_telemetry()

    telemetry.input_assigned("telemetry.metrics", 3)

    assert samples(registry)["tocsin_offset_jumps_total", labelled("telemetry.metrics", "3")] == 0


def test_a_window_published_before_its_end_by_a_slow_clock_counts_as_no_delay() -> None:
    sink = RecordingSink()

    Telemetry(sink).window_published(10_000, 9_000)

    assert sink.histograms["tocsin_window_close_delay_seconds",] == [0]


def test_the_fake_refuses_what_prometheus_refuses() -> None:
    with pytest.raises(ValueError, match="only grows"):
        Telemetry(RecordingSink()).records_in("telemetry.metrics", -1)
    with pytest.raises(ValueError, match="non-negative"):
        prometheus_telemetry()[0].records_in("telemetry.metrics", -1)


def test_the_document_lists_exactly_the_vocabulary() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| `tocsin_")]

    expected = [
        f"| `{m.name}` | {m.kind} | {m.unit} | {', '.join(f'`{label}`' for label in m.labels) or 'none'} | {m.meaning} |"
        for m in METRICS
    ]
    assert rows == expected
