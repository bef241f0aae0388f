"""What becomes of published records in the metrics."""

from operator import attrgetter

import msgspec
import pytest
from structlog.testing import capture_logs

from pipeline.adapters.metrics import RecordingSink, Telemetry
from pipeline.adapters.observer import ANNOUNCE_EVERY_MS, MetricsObserver
from pipeline.contracts.limits import KEYS, LIMIT_BY_REASON, Evicted, Limit
from pipeline.contracts.readings import RejectReason
from pipeline.contracts.records import OutRecord
from pipeline.ingest.source import ReadCounts
from pipeline.settings import load_settings


def late(name: str, readings: int) -> OutRecord:
    value = msgspec.json.encode({"kind": "late", "id": name, "readings": readings})
    return OutRecord(topic="signals", key="prod/cart", value=value, partition=3)


def test_late_counts_are_cumulative_by_id_and_counted_once() -> None:
    sink = RecordingSink()
    observer = MetricsObserver(Telemetry(sink), lambda: 0)

    for record in (late("a", 1), late("a", 2), late("b", 5), late("a", 3), late("a", 3)):
        observer.published(record)

    assert sink.counters["tocsin_late_readings_total", "3"] == 8


def test_the_delay_of_a_window_is_measured_when_it_is_published_for_the_first_time() -> None:
    sink = RecordingSink()
    observer = MetricsObserver(Telemetry(sink), lambda: 13_500)
    value = msgspec.json.encode({"kind": "signals", "revision": 2, "window_end_ms": 10_000})

    observer.published(OutRecord(topic="signals", key="prod/cart", value=value, partition=3, closes_ms=10_000))
    observer.published(OutRecord(topic="signals", key="prod/cart", value=value, partition=3))

    assert sink.histograms == {("tocsin_window_close_delay_seconds",): [3.5]}
    assert sink.counters == {}


def test_a_dead_letter_is_counted_for_the_topic_it_was_read_from() -> None:
    sink = RecordingSink()

    MetricsObserver(Telemetry(sink), lambda: 0).published(OutRecord(topic="dead-letters", key="telemetry.metrics/2/77", value=b"x"))

    assert sink.counters["tocsin_dead_letters_total", "telemetry.metrics"] == 1


def test_a_limit_that_is_reached_again_and_again_is_counted_and_logged_once_an_hour() -> None:
    sink, now_ms = RecordingSink(), 0
    observer = MetricsObserver(Telemetry(sink), lambda: now_ms)

    with capture_logs() as logs:
        for n in range(100):
            observer.bounds_reached("telemetry.metrics", {Limit.SERVICES: 5, Evicted.DETECTORS: 1})
            now_ms = n * ANNOUNCE_EVERY_MS // 50

    assert sink.counters["tocsin_limited_total", "services"] == 500
    assert sink.counters["tocsin_evicted_total", "detectors"] == 100
    assert [(said["bound"], said["setting"]) for said in logs] == 2 * [
        ("services", "ingest.max_services"),
        ("detectors", "detection.max_services"),
    ]


def test_a_refusal_that_is_a_limit_counts_as_one() -> None:
    sink = RecordingSink()

    MetricsObserver(Telemetry(sink), lambda: 0).ingested(
        "telemetry.metrics", ReadCounts(n_records=3, n_rejected_by_reason={"oversize": 2, "wrong_type": 1})
    )

    assert sink.counters["tocsin_rejected_total", "telemetry.metrics", "oversize"] == 2
    assert {key: n for key, n in sink.counters.items() if key[0] == "tocsin_limited_total"} == {
        ("tocsin_limited_total", "message_bytes"): 2
    }


@pytest.mark.parametrize("bound", [*Limit, *Evicted])
def test_each_bound_names_a_setting_that_there_is(bound: Limit | Evicted) -> None:
    assert attrgetter(KEYS[bound])(load_settings()) > 0


def test_each_limit_of_a_message_is_a_reason_to_refuse_it() -> None:
    assert set(LIMIT_BY_REASON) < set(RejectReason)


def test_no_two_bounds_have_one_name() -> None:
    assert len({*Limit, *Evicted}) == len(Limit) + len(Evicted) == len(KEYS)
