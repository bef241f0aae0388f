"""What a log line says: found in each format, masked, and harmless whatever it holds."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from pipeline.contracts.readings import LogReading
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.ingest.masking import clean_line, example_of, masked
from pipeline.settings import load_settings

NOW_MS = 1_767_571_210_000
TOPIC = "telemetry.logs"
INGEST = load_settings(env={}).ingest


def texts(decoder: str, value: bytes) -> list[str]:
    record = InRecord(offset=0, timestamp_ms=NOW_MS, key=None, value=value, headers=(("service", b"cart"),))
    decoded = decode(replace(INGEST, decoders={TOPIC: decoder}), TOPIC, record)
    assert not decoded.rejections
    return [reading.text for reading in decoded.readings if isinstance(reading, LogReading)]


@pytest.mark.parametrize("decoder", ["lines", "auto"])
@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("no route to 10.0.0.1", "no route to 10.0.0.1"),
        ('level=warn msg="no route" ip=10.0.0.1', "no route"),
        ("user=17 gave up", "user=17 gave up"),
        ("<11>Jan  5 00:00:10 web1 shop[7]: no route to 10.0.0.1", "no route to 10.0.0.1"),
        ('<11>Jan  5 00:00:10 web1 shop[7]: {"message": "no route", "x": 1}', "no route"),
        ('10.0.0.9 - - [05/Jan/2026:00:00:10 +0000] "GET /cart/17 HTTP/1.1" 503 17 "-" "curl" 0.250', ""),
    ],
)
def test_what_a_line_says(decoder: str, line: str, text: str) -> None:
    assert texts(decoder, line.encode()) == [text]


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"message": "no route to 10.0.0.1"}, "no route to 10.0.0.1"),
        ({"log": 'level=error msg="no route" n=3'}, "no route"),
        ({"log": '{"msg": "no route", "level": "error"}'}, "no route"),
        ({"level": "error"}, ""),
    ],
)
def test_what_a_json_line_says(fields: dict[str, str], text: str) -> None:
    assert texts("json_logs", json.dumps(fields).encode()) == [text]


def test_what_a_native_line_says() -> None:
    record = {"kind": "log", "service": "cart", "time": NOW_MS, "severity": "info", "body": "no route"}

    assert texts("native", json.dumps(record).encode()) == ["no route"]


def test_what_an_otlp_record_says() -> None:
    message = ExportLogsServiceRequest()
    sender = message.resource_logs.add()
    sender.resource.attributes.add(key="service.name").value.string_value = "cart"
    lines = sender.scope_logs.add().log_records
    for _ in range(4):
        lines.add(time_unix_nano=NOW_MS * 1_000_000, severity_number=17)
    lines[0].body.string_value = "no route to 10.0.0.1"
    lines[1].body.string_value = '{"msg": "no route"}'
    lines[2].body.kvlist_value.values.add(key="message").value.string_value = "from a map"

    assert texts("otlp_logs", message.SerializeToString()) == ["no route to 10.0.0.1", "no route", "from a map", ""]


@pytest.mark.parametrize(
    ("line", "template"),
    [
        ("GC pause 12.5ms heap 512MB of 2048MB", "GC pause <*> heap <*> of <*>"),
        ("session 5f3a9c22-1b2c-4d5e-8f90-abcdefabcdef, trace=abc123def456", "session <*>, trace=<*>"),
        ("retry 3/5 in 50% of 1,234 cases", "retry <*> in <*> of <*> cases"),
        ("peer fe80::1ff:fe23:4567:890a is gone", "peer <*> is gone"),
        ("mail to jo.doe@example.org bounced", "mail to <*> bounced"),
        ("see https://example.org/a?b=1 for more", "see <*> for more"),
        ("don't 'stop' it", "don't <*> it"),
        ('{"a": "b c", "n": 3}', "{<*>}"),
        ("values 1, 2, 3", "values <*>"),
        ("http2 on s3 of k8s", "http2 on s3 of k8s"),
    ],
)
def test_masking(line: str, template: str) -> None:
    assert masked(line, 200) == template


@given(st.text(max_size=2_000))
def test_whatever_a_line_holds_it_becomes_short_printable_text(text: str) -> None:
    line = clean_line(text, 100)

    for said in (masked(line, 100), example_of(line, 100)):
        assert len(said) <= 100
        said.encode()
        assert "\n" not in said
    assert masked(clean_line(text, 100), 100) == masked(line, 100)
