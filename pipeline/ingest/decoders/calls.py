"""Whom a client's or producer's span asks: the server's span of the same message, else what its attributes say."""

from collections.abc import Iterable

from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from pipeline.contracts.topology import CalleeKind, callee_name
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.trace_ids import otlp_trace_id
from pipeline.ingest.semantics import Attributes, Semantics, Sender, first_text, joined, text
from pipeline.ingest.validation import origin

CALLING = (Span.SpanKind.SPAN_KIND_CLIENT, Span.SpanKind.SPAN_KIND_PRODUCER)
SERVING = (Span.SpanKind.SPAN_KIND_SERVER, Span.SpanKind.SPAN_KIND_CONSUMER)
_DESTINATION = ("messaging.destination.name", "messaging.destination")
Served = dict[tuple[bytes, bytes], Sender]
"""Who served the call of a client's span: by its trace id and span id."""


def served(senders: Iterable[tuple[Sender, list[Span]]]) -> Served:
    """Return who served which span; empty where nobody of the message calls."""
    told = list(senders)
    if not any(span.kind in CALLING for _, spans in told for span in spans):
        return {}
    return {
        (span.trace_id, span.parent_span_id): who
        for who, spans in told
        for span in spans
        if span.kind in SERVING and len(span.parent_span_id) == 8 and otlp_trace_id(span.trace_id)
    }


def callee_of(who: Sender, span: Span, attributes: Attributes, known: Served, peers: Iterable[str]) -> str:
    """Return the name of what a span calls; empty: nothing says it.

    Parameters
    ----------
    who, span, attributes
        The caller, and what it says.
    known
        Who served the spans of the same message.
    peers
        Attributes that name what is called; the first that is there.

    """
    try:
        server = known.get((span.trace_id, span.span_id))
        if server is not None:
            about = server.origin()
            return callee_name(CalleeKind.SERVICE, about.environment, about.service)
        for name in peers:
            value = attributes.get(name)
            if value is None or value == "":
                continue
            kind = _kind(name)
            called = text(value)
            if kind is CalleeKind.MESSAGING:
                called = joined({"system": called, "to": first_text(attributes, _DESTINATION)}, ("system", "to"))
            about = origin({"service": called, "environment": who.environment}, who.max_length)
            return callee_name(kind, about.environment, about.service)
    except FieldRefused:
        return ""
    return ""


def has_failed(semantics: Semantics, span: Span, attributes: Attributes) -> bool:
    """Return whether a span failed, by its status or by its attributes."""
    return span.status.code == Status.StatusCode.STATUS_CODE_ERROR or semantics.has_failed(attributes)


def _kind(attribute: str) -> CalleeKind:
    if attribute.startswith("db."):
        return CalleeKind.DATABASE
    if attribute.startswith("messaging."):
        return CalleeKind.MESSAGING
    return CalleeKind.SERVICE if "service" in attribute else CalleeKind.HOST
