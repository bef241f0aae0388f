"""OTLP spans: those of servers and consumers are requests; those of clients and producers say whom their service calls."""

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import CallReading, Decoded, RejectReason, RequestReading
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.calls import CALLING, SERVING, Served, callee_of, served
from pipeline.ingest.decoders.harvest import Harvest, refused_message
from pipeline.ingest.decoders.latency import MAX_DURATION_MS
from pipeline.ingest.decoders.otlp_parts import attributes_of, message_of, time_ms
from pipeline.ingest.decoders.sampling import sampled_spans
from pipeline.ingest.decoders.traces import otlp_trace_id
from pipeline.ingest.semantics import Semantics, Sender, joined, semantics_of
from pipeline.ingest.validation import missing, number, refused


def decode_otlp_spans(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what an ``ExportTraceServiceRequest`` holds, in protobuf or JSON."""
    found = message_of(config, ExportTraceServiceRequest, record.value or b"")
    if isinstance(found, Decoded):
        return found
    message, rejections = found
    n_spans = sum(len(part.spans) for sender in message.resource_spans for part in sender.scope_spans)
    if n_spans > config.max_records_per_message:
        detail = f"a message must hold at most {config.max_records_per_message} spans, holds {n_spans}"
        return refused_message(RejectReason.TOO_MANY_RECORDS, detail)
    harvest, semantics = Harvest(), semantics_of(config)
    harvest.rejections.extend(rejections)
    senders: list[tuple[Sender | FieldRefused, list[Span]]] = []
    for sender in message.resource_spans:
        spans = [span for part in sender.scope_spans for span in part.spans]
        try:
            senders.append(
                (semantics.sender(topic, attributes_of(config, sender.resource.attributes, "resource.attributes")), spans)
            )
        except FieldRefused as refusal:
            senders.append((refusal, spans))
    heard = [(who, spans) for who, spans in senders if not isinstance(who, FieldRefused)]
    known = served(heard)
    if config.trace_sample:
        harvest.sampled += sampled_spans(semantics, heard, known, record.timestamp_ms)
    for who, spans in senders:
        if isinstance(who, FieldRefused):
            harvest.refuse_rest(who, len(spans))
            continue
        for span in spans:
            harvest.index += 1
            try:
                reading = _reading(semantics, who, record.timestamp_ms, span, known)
            except FieldRefused as refusal:
                harvest.refuse(refusal)
                continue
            if reading is None:
                harvest.n_ignored += 1
            else:
                harvest.readings.append(reading)
    return harvest.decoded()


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
        is_error=span.status.code == Status.StatusCode.STATUS_CODE_ERROR or semantics.has_failed(attributes),
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
        is_error=span.status.code == Status.StatusCode.STATUS_CODE_ERROR or semantics.has_failed(attributes),
        trace_id=otlp_trace_id(span.trace_id),
    )
