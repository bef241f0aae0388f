"""Which spans travel as a sample of traces: those whose caller, or callee, is not in the same message."""

from collections.abc import Iterable, Iterator

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from pipeline.contracts.codec import encode
from pipeline.contracts.keys import service_key
from pipeline.contracts.readings import SampledSpan
from pipeline.contracts.trace_samples import MAX_NAME_BYTES, SpanStub, hash_below, stub_key
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.calls import CALLING, SERVING, Served, has_failed
from pipeline.ingest.decoders.otlp_parts import attributes_of, time_ms
from pipeline.ingest.decoders.trace_ids import otlp_trace_id
from pipeline.ingest.semantics import Semantics, Sender

_JOINING = frozenset((*CALLING, *SERVING))


def sampled_spans(
    semantics: Semantics, senders: Iterable[tuple[Sender, list[Span]]], known: Served, published_ms: int
) -> list[SampledSpan]:
    """Return the spans of the traces that are selected, but for the pairs that the message itself holds.

    What is wrong with a span refuses it where it is counted; here it is passed over.

    Parameters
    ----------
    semantics, senders, known
        Who sent which spans; who served which of them in this message.
    published_ms
        Timestamp of the record.

    """
    own = list(_selected(semantics.config.trace_sample, senders))
    calling = {(span.trace_id, span.span_id) for _, span, _ in own if span.kind in CALLING}
    found = []
    for who, span, hashed in own:
        is_call = span.kind in CALLING
        is_paired = (span.trace_id, span.span_id) in known if is_call else (span.trace_id, span.parent_span_id) in calling
        if is_paired:
            continue
        try:
            sampled = _sampled(semantics, who, span, hashed, published_ms)
        except FieldRefused:
            continue
        if len(encode(sampled.stub.service)) <= MAX_NAME_BYTES:
            found.append(sampled)
    return found


def _sampled(semantics: Semantics, who: Sender, span: Span, hashed: str, published_ms: int) -> SampledSpan:
    about, is_call = who.origin(), span.kind in CALLING
    failed = is_call and has_failed(semantics, span, attributes_of(semantics.config, span.attributes, "attributes"))
    return SampledSpan(
        time_ms=time_ms(semantics.config, span.end_time_unix_nano, "endTimeUnixNano", published_ms),
        key=stub_key(hashed, span.span_id.hex()),
        stub=SpanStub(
            service=service_key(about.environment, about.service),
            parent="" if is_call else span.parent_span_id.hex(),
            failed=failed,
        ),
    )


def _selected(share: float, senders: Iterable[tuple[Sender, list[Span]]]) -> Iterator[tuple[Sender, Span, str]]:
    """Yield the spans of the sample's traces that can join another one, each with its trace's hash."""
    hash_by_trace: dict[bytes, str] = {}
    for who, spans in senders:
        for span in spans:
            if span.kind not in _JOINING:
                continue
            trace_id = span.trace_id
            hashed = hash_by_trace.get(trace_id)
            if hashed is None:
                hashed = hash_by_trace[trace_id] = hash_below(trace_id, share) if otlp_trace_id(trace_id) else ""
            if hashed and len(span.span_id) == 8 and (span.kind in CALLING or len(span.parent_span_id) == 8):
                yield who, span, hashed
