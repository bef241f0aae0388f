"""OTLP log records: severity, and a request where a record carries a status or a duration."""

from collections.abc import Iterator, Sequence

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.partials import SEVERITIES
from pipeline.contracts.readings import Decoded, LogReading
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders.line_fields import read_line
from pipeline.ingest.decoders.log_fields import asked_of, severity_of
from pipeline.ingest.decoders.otlp_envelope import opened
from pipeline.ingest.decoders.otlp_parts import attributes_of, time_ms
from pipeline.ingest.decoders.trace_ids import otlp_trace_id
from pipeline.ingest.semantics import Semantics, Sender, first_text, semantics_of


def decode_otlp_logs(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what an ``ExportLogsServiceRequest`` holds, in protobuf or JSON."""
    envelope = opened(config, topic, record, ExportLogsServiceRequest, _lines, called="log records")
    if isinstance(envelope, Decoded):
        return envelope
    semantics, published_ms = semantics_of(config), record.timestamp_ms
    return envelope.decoded(lambda who, line: _log(semantics, who, published_ms, line))


def _lines(message: ExportLogsServiceRequest) -> Iterator[tuple[Resource, Iterator[Sequence[LogRecord]]]]:
    for sender in message.resource_logs:
        yield sender.resource, (part.log_records for part in sender.scope_logs)


def _log(semantics: Semantics, who: Sender, published_ms: int, line: LogRecord) -> LogReading:
    config = semantics.config
    attributes = attributes_of(config, line.attributes, "attributes") if line.attributes else {}
    asked = asked_of(semantics, attributes) if attributes else None
    number = line.severity_number
    severity = SEVERITIES[(number - 1) // 4] if 1 <= number <= 24 else severity_of(line.severity_text)
    at_ns, field = line.time_unix_nano, "timeUnixNano"
    if not at_ns:
        at_ns, field = line.observed_time_unix_nano, "observedTimeUnixNano"
    is_bad = severity in {"error", "fatal"}
    return LogReading(
        origin=who.origin("" if asked is None else asked.operation),
        time_ms=time_ms(config, at_ns, field, published_ms) if at_ns else published_ms,
        severity=severity,
        is_error=is_bad if asked is None or asked.has_failed is None else asked.has_failed,
        is_request=asked is not None,
        duration_ms=None if asked is None else asked.duration_ms,
        trace_id=otlp_trace_id(line.trace_id),
        text=_text(semantics, line) if config.max_templates else "",
    )


def _text(semantics: Semantics, line: LogRecord) -> str:
    """Return what a record says: its body's text, or the field of its body that holds it."""
    names = semantics.mapping.logs.body
    if line.body.HasField("kvlist_value"):
        said = {field.key: field.value.string_value for field in line.body.kvlist_value.values if field.key in names}
        return first_text(said, names)
    text = line.body.string_value
    return read_line(semantics.config, text, names).text if text.startswith("{") else text
