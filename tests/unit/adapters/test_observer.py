"""What becomes of published records in the metrics."""

import msgspec

from pipeline.adapters.metrics import RecordingSink, Telemetry
from pipeline.adapters.observer import MetricsObserver
from pipeline.contracts.records import OutRecord


def late(name: str, readings: int) -> OutRecord:
    value = msgspec.json.encode({"kind": "late", "id": name, "readings": readings})
    return OutRecord(topic="signals", key="prod/cart", value=value, partition=3)


def test_late_counts_are_cumulative_by_id_and_counted_once() -> None:
    sink = RecordingSink()
    observer = MetricsObserver(Telemetry(sink), lambda: 0)

    for record in (late("a", 1), late("a", 2), late("b", 5), late("a", 3), late("a", 3)):
        observer.published(record)

    assert sink.counters["tocsin_late_readings_total", "3"] == 8


def test_a_dead_letter_is_counted_for_the_topic_it_was_read_from() -> None:
    sink = RecordingSink()

    MetricsObserver(Telemetry(sink), lambda: 0).published(OutRecord(topic="dead-letters", key="telemetry.metrics/2/77", value=b"x"))

    assert sink.counters["tocsin_dead_letters_total", "telemetry.metrics"] == 1
