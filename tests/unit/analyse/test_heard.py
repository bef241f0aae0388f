import msgspec
import pytest

from pipeline.analyse.heard import Heard, decode_heard
from pipeline.analyse.points import WindowPoint
from pipeline.contracts.codec import encode
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.partials import ChangeNote, FeedbackNote, FeedbackVerdict
from pipeline.contracts.signals import (
    Completeness,
    Errors,
    LateCount,
    Latency,
    LogLines,
    OperationSignals,
    Saturation,
    Signals,
    Traffic,
)
from pipeline.errors import RecordInvalid

FULL = Signals(
    id="1",
    environment="prod",
    service="cart",
    version="7",
    window_start_ms=60_000,
    window_end_ms=70_000,
    revision=2,
    latency=Latency(count=9, mean_ms=5.0, p50_ms=4.0, p90_ms=6.0, p95_ms=7.0, p99_ms=8.0),
    traffic=Traffic(requests=9, requests_per_second=0.9),
    errors=Errors(count=3, ratio=1 / 3),
    saturation={"cpu": Saturation(mean=0.25, max=0.5)},
    completeness=Completeness(readings=11, late=1, sources=2, delay_ms=3000),
    operations={"GET /": OperationSignals(traffic=Traffic(requests=9, requests_per_second=0.9), errors=Errors(count=3))},
    changes=[ChangeNote(type="deployment", time_ms=61_000)],
    feedback=[FeedbackNote(verdict=FeedbackVerdict.EXPECTED, time_ms=62_000)],
    histogram=Histogram(counts={70: 9}, sum=45.0),
)


def heard(record: Signals) -> Heard:
    found = decode_heard(encode(record))
    assert isinstance(found, Heard)
    return found


def test_a_point_holds_all_that_is_heard_of_a_window() -> None:
    said = heard(FULL)

    point = WindowPoint.of(said)

    assert msgspec.to_builtins(point) == msgspec.to_builtins(
        WindowPoint(
            start_ms=60_000,
            size_ms=10_000,
            revision=2,
            readings=11,
            requests=9,
            errors=3,
            latency=(9, 5.0, 4.0, 7.0, 8.0),
            saturation={"cpu": (0.25, 0.5)},
            histogram=FULL.histogram,
            changes=FULL.changes,
            feedback=FULL.feedback,
            templates=said.templates,
        )
    )


def test_log_lines_are_heard_and_kept() -> None:
    lines = {"disk <num> is full": LogLines(n=4, severity="error", example="disk 7 is full")}

    said = heard(msgspec.structs.replace(FULL, templates=lines))

    assert said.templates == WindowPoint.of(said).templates == lines


def test_people_are_not_the_service_itself() -> None:
    silent = msgspec.structs.replace(FULL, completeness=Completeness(readings=2, late=0, sources=1, delay_ms=0))

    assert heard(silent).is_silent
    assert WindowPoint.of(heard(silent)).is_silent
    assert not WindowPoint.of(heard(FULL)).is_silent


def test_of_a_late_count_nothing_is_read() -> None:
    late = LateCount(
        id="1",
        environment="prod",
        service="cart",
        version="",
        window_start_ms=0,
        window_end_ms=10_000,
        source="telemetry/0",
        epoch=0,
        chunk=0,
        through=1,
        readings=1,
        requests=1,
        errors=0,
        late_by_ms=5,
    )

    assert not isinstance(decode_heard(encode(late)), Heard)


@pytest.mark.parametrize("value", [b"", b"[]", b'{"kind":"signals"}', encode(FULL).replace(b'"count":3', b'"count":-3')])
def test_what_breaks_the_rules_of_what_is_read_is_refused(value: bytes) -> None:
    with pytest.raises(RecordInvalid):
        decode_heard(value)
