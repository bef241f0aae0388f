"""Bytes that real senders wrote, byte for byte, where they once were misunderstood (docs/formats.md, "Seen from real senders")."""

import pytest

from pipeline.contracts.readings import LogReading, RequestReading
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.ingest.decoders.detect import format_of
from tests.senders.arrived import config_for

TOPIC = "telemetry.logs"
SEEN_MS = 1_795_624_747_800
RESOURCE = (
    b'\n"\x12\x08\n\x06python\n\x16telemetry.sdk.language\n%\x12\x0f\n\ropentelemetry\n\x12telemetry.sdk.name'
    b"\n!\x12\x08\n\x061.45.2\n\x15telemetry.sdk.version"
    b"\n=\x12&\n$3d99892e-d356-45f1-aafb-b9bf49f64b8c\n\x13service.instance.id"
)
END = b"\n\x1a\x12\x07\n\x051.4.2\n\x0fservice.version\n%\x12\x06\n\x04prod\n\x1bdeployment.environment.name"
COLLECTOR_LOGS = (
    b"\n\xb6\x03\x12\xa8\x01\x12NR\x00J\x002\x07\x12\x02\x18\x00\n\x01n*+\n)order 0 of user 40 went wrong at 10.0.0.0\x10\t"
    b"Y\x15\x07\xd0\xe31W\xeb\x18\t\t\xe2\xcf\xe31W\xeb\x18"
    b"\x12NR\x00J\x002\x07\x12\x02\x18\x01\n\x01n*+\n)order 1 of user 41 went wrong at 10.0.0.1\x10\t"
    b"Y\xa8\x16\xd1\xe31W\xeb\x18\t\xd1\r\xd1\xe31W\xeb\x18\n\x06\n\x04shop"
    b"\n\x88\x02" + RESOURCE + b"\n\x16\x12\x06\n\x04logs\n\x0cservice.name" + END
)
COLLECTOR_SPANS = (
    b"\n\x9a\x04\x12\x8b\x02\x12bz\x00J\x1e\x12\x0c\n\npostgresql\n\x0edb.system.nameA\x10\xb6\x01\xe41W\xeb\x18"
    b'9t\xaf\x01\xe41W\xeb\x180\x03*\x06SELECT\x85\x01\x00\x01\x00\x00"\x00\x12\x08\xb5\x1f\xf4#\xf6\x89\xc4\xc5'
    b"\n\x10\xa2n\x98p\x8d\x95M\xf2C4\x80\xf2\xcc$]\x9a"
    b"\x12\x9c\x01z\x02\x18\x02J\x1c\x12\x05\n\x03GET\n\x13http.request.methodJ\x14\x12\x06\n\x04/pay\n\nhttp.route"
    b"J \x12\x03\x18\xf7\x03\n\x19http.response.status_codeA\x84H\xff\xe31W\xeb\x189\xfb\xfb\xba\xe01W\xeb\x180\x02*\x08GET /pay"
    b'\x85\x01\x00\x01\x00\x00"\x00\x12\x08\x8a\xee\x1ak[EY$\n\x10\x93\xda\x93\xbe\xc9;<\xda\xa9VHqE\xed\x1dr\n\x06\n\x04shop'
    b"\n\x89\x02" + RESOURCE + b"\n\x17\x12\x07\n\x05spans\n\x0cservice.name" + END
)
"""OpenTelemetry Collector 0.155.0, otlp_proto: fields from the last to the first. A client's span and a server's."""


def test_the_collectors_logs_are_known_although_their_fields_come_from_the_last_to_the_first() -> None:
    found = decode(config_for("auto", topic=TOPIC), TOPIC, InRecord(0, SEEN_MS, None, COLLECTOR_LOGS))

    assert format_of(COLLECTOR_LOGS) == "otlp_logs"
    assert [type(reading) for reading in found.readings] == [LogReading, LogReading]
    assert {(one.origin.service, one.origin.environment, one.origin.version) for one in found.readings} == {
        ("logs", "prod", "1.4.2")
    }
    assert found.rejections == []


def test_the_collectors_spans_are_known_although_their_fields_come_from_the_last_to_the_first() -> None:
    found = decode(config_for("auto", topic=TOPIC), TOPIC, InRecord(0, SEEN_MS, None, COLLECTOR_SPANS))

    assert format_of(COLLECTOR_SPANS) == "otlp_spans"
    (request,) = [reading for reading in found.readings if isinstance(reading, RequestReading)]
    assert (request.origin.operation, request.is_error) == ("GET /pay", True)
    assert request.duration_ms == pytest.approx(54.8077, abs=0.0001)


@pytest.mark.parametrize(
    ("line", "severity"),
    [
        (b"<14>Nov 25 16:39:07 web1 shop[4711] order 0 is paid", "info"),  # rsyslog 8.2302, TraditionalForwardFormat of RFC 5424
        (b"<11>2026-11-25T16:39:07.755Z web1 shop[4711] order 0 is paid", "error"),  # ForwardFormat
        (b"2026-11-25T16:39:07.755Z web1 shop[4711] order 0 is paid\n", "info"),  # FileFormat
        (b"Nov 25 16:39:07 web1 shop[4711] order 0 is paid\n", "info"),  # TraditionalFileFormat
        (b"<11>Nov 25 16:39:07 web1 shop order 0 is paid", "error"),  # no process id either
        (b"<14>1 2026-11-25T16:39:07+00:00 web1 shop 4711 - -  order 0 is paid\n", "info"),  # SyslogProtocol23Format of RFC 3164
        (  # syslog-ng 3.38, $(format-json --scope selected-macros)
            (
                b'{"TAGS":".source.lines","SOURCEIP":"127.0.0.1","SOURCE":"lines","PROGRAM":"shop","PRIORITY":"warning","PID":"4711",'
                b'"MSGID":"ID47","MESSAGE":"order 0 is paid","HOST_FROM":"localhost","HOST":"web1","FACILITY":"user",'
                b'"DATE":"Nov 25 16:39:07"}'
            ),
            "warn",
        ),
    ],
)
def test_lines_of_log_shippers_name_program_severity_and_time(line: bytes, severity: str) -> None:
    found = decode(config_for("auto", topic=TOPIC), TOPIC, InRecord(0, SEEN_MS, None, line))

    assert found.rejections == []
    (log,) = found.readings
    assert isinstance(log, LogReading)
    assert (log.origin.service, log.severity) == ("shop", severity)
    assert log.time_ms // 1000 == 1_795_624_747


def test_a_line_with_a_time_and_words_is_no_syslog() -> None:
    line = b"2026-11-25 16:39:07 INFO main began: all is well"

    found = decode(config_for("auto", topic=TOPIC, service="given"), TOPIC, InRecord(0, SEEN_MS, None, line))

    assert [reading.origin.service for reading in found.readings] == ["given"]
