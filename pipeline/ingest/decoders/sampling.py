"""Which spans travel as a sample of traces: those whose caller, or callee, is not in the same message."""

from collections.abc import Iterable

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pipeline.contracts.keys import service_key
from pipeline.contracts.readings import SampledSpan
from pipeline.contracts.traces import SpanStub, is_below, stub_key, trace_hash
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.calls import CALLING, SERVING, Served
from pipeline.ingest.decoders.otlp_parts import attributes_of, time_ms
from pipeline.ingest.semantics import Semantics, Sender


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
    selected = _Selection(semantics.config.trace_sample)
    own = [(who, span, hashed) for who, spans in senders for span in spans if (hashed := selected.hash_of(span))]
    calling = {(span.trace_id, span.span_id) for _, span, _ in own if span.kind in CALLING}
    found = []
    for who, span, hashed in own:
        is_call = span.kind in CALLING
        is_paired = (span.trace_id, span.span_id) in known if is_call else (span.trace_id, span.parent_span_id) in calling
        if is_paired:
            continue
        try:
            found.append(_sampled(semantics, who, span, hashed, published_ms))
        except FieldRefused:
            continue
    return found


def _sampled(semantics: Semantics, who: Sender, span: Span, hashed: str, published_ms: int) -> SampledSpan:
    about = who.origin()
    failed = span.status.code == Status.StatusCode.STATUS_CODE_ERROR
    failed = failed or semantics.has_failed(attributes_of(semantics.config, span.attributes, "attributes"))
    return SampledSpan(
        time_ms=time_ms(semantics.config, span.end_time_unix_nano, "endTimeUnixNano", published_ms),
        key=stub_key(hashed, span.span_id.hex()),
        stub=SpanStub(
            service=service_key(about.environment, about.service),
            parent="" if span.kind in CALLING else span.parent_span_id.hex(),
            failed=failed,
        ),
    )


class _Selection:
    """Which traces are in the sample; a trace of many spans is hashed once."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._known: dict[bytes, str] = {}

    def hash_of(self, span: Span) -> str:
        """Return the hash of a span's trace; empty: it is not in the sample, or the span joins nothing."""
        is_call = span.kind in CALLING
        if not is_call and span.kind not in SERVING:
            return ""
        trace_id = span.trace_id
        hashed = self._known.get(trace_id)
        if hashed is None:
            hashed = trace_hash(trace_id) if len(trace_id) == 16 and any(trace_id) else ""
            hashed = self._known[trace_id] = hashed if hashed and is_below(hashed, self._share) else ""
        if len(span.span_id) != 8 or not (is_call or len(span.parent_span_id) == 8):
            return ""
        return hashed
