"""OTLP spans: those of servers and consumers are requests; those of clients and producers say whom their service calls."""

from collections.abc import Iterator, Sequence

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import CallReading, Decoded, RejectReason, RequestReading
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders.calls import CALLING, SERVING, Served, callee_of, has_failed, served
from pipeline.ingest.decoders.latency import MAX_DURATION_MS
from pipeline.ingest.decoders.otlp_envelope import opened
from pipeline.ingest.decoders.otlp_parts import attributes_of, time_ms
from pipeline.ingest.decoders.sampling import sampled_spans
from pipeline.ingest.decoders.trace_ids import otlp_trace_id
from pipeline.ingest.semantics import Semantics, Sender, joined, semantics_of
from pipeline.ingest.validation import missing, number, refused


def decode_otlp_spans(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what an ``ExportTraceServiceRequest`` holds, in protobuf or JSON."""
    envelope = opened(config, topic, record, ExportTraceServiceRequest, _spans, called="spans")
    if isinstance(envelope, Decoded):
        return envelope
    semantics, published_ms, heard = semantics_of(config), record.timestamp_ms, list(envelope.known())
    known = served(heard)
    sampled = sampled_spans(semantics, heard, known, published_ms) if config.trace_sample else []
    return envelope.decoded(lambda who, span: _reading(semantics, who, published_ms, span, known), sampled)


def _spans(message: ExportTraceServiceRequest) -> Iterator[tuple[Resource, Iterator[Sequence[Span]]]]:
    for sender in message.resource_spans:
        yield sender.resource, (part.spans for part in sender.scope_spans)


def _reading(
    semantics: Semantics, who: Sender, published_ms: int, span: Span, known: Served
) -> RequestReading | CallReading | None:
    """Return what a span says; ``None``: nothing that is looked for."""
    if span.kind in SERVING:
        return _request(semantics, who, published_ms, span) if semantics.counts_spans else None
    return _call(semantics, who, published_ms, span, known) if span.kind in CALLING else None


def _call(semantics: Semantics, who: Sender, published_ms: int, span: Span, known: Served) -> CallReading | None:
    config = semantics.config
    attributes = attributes_of(config, span.attributes, "attributes")
    callee = callee_of(who, span, attributes, known, semantics.mapping.spans.peer)
    if not callee:
        return None
    return CallReading(
        origin=who.origin(),
        time_ms=time_ms(config, span.end_time_unix_nano, "endTimeUnixNano", published_ms),
        callee=callee,
        is_error=has_failed(semantics, span, attributes),
    )


def _request(semantics: Semantics, who: Sender, published_ms: int, span: Span) -> RequestReading:
    config = semantics.config
    attributes = attributes_of(config, span.attributes, "attributes")
    end_ms = time_ms(config, span.end_time_unix_nano, "endTimeUnixNano", published_ms)
    if not span.start_time_unix_nano:
        raise missing("startTimeUnixNano")
    lasted_ns = span.end_time_unix_nano - span.start_time_unix_nano
    if lasted_ns < 0:
        raise refused(RejectReason.INCONSISTENT, "endTimeUnixNano", "must not be before startTimeUnixNano", span.end_time_unix_nano)
    return RequestReading(
        origin=who.origin(joined(attributes, semantics.mapping.spans.operation) or span.name),
        time_ms=end_ms,
        duration_ms=number(lasted_ns / 1e6, "duration", 0.0, MAX_DURATION_MS),
        is_error=has_failed(semantics, span, attributes),
        trace_id=otlp_trace_id(span.trace_id),
    )
