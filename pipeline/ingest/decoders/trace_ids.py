"""Which trace ids are kept: what by its content is none, or could be shown nowhere, is passed over, and refuses nothing."""

import re
from collections.abc import Iterable

from opentelemetry.proto.metrics.v1.metrics_pb2 import Exemplar as OtlpExemplar

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.exemplars import Exemplar, kept
from pipeline.ingest.decoders.latency import MAX_DURATION_MS
from pipeline.ingest.decoders.otlp_parts import number_of

_TRACE_ID = re.compile(r"(?!0+\Z)[0-9A-Za-z][0-9A-Za-z_.:-]{0,63}")


def trace_id_of(value: object) -> str:
    """Return a trace id as it was sent; empty: it is none.

    Examples
    --------
    >>> trace_id_of("4bf92f3577b34da6a3ce929d0e0e4736"), trace_id_of("0000"), trace_id_of("<b>"), trace_id_of(7)
    ('4bf92f3577b34da6a3ce929d0e0e4736', '', '', '')

    """
    return value if isinstance(value, str) and _TRACE_ID.fullmatch(value) else ""


def otlp_trace_id(value: bytes) -> str:
    """Return OTLP's 16 bytes as hex digits; empty: they are no id."""
    return value.hex() if len(value) == 16 and any(value) else ""


def otlp_exemplars(
    config: IngestConfig, exemplars: Iterable[OtlpExemplar], *, unit_ms: float, failed: bool, time_ms: int
) -> tuple[Exemplar, ...]:
    """Return those of a histogram's exemplars that name a trace and a duration, as many as are kept."""
    found: list[Exemplar] = []
    for exemplar in exemplars:
        trace_id = otlp_trace_id(exemplar.trace_id)
        value_ms = number_of(exemplar) * unit_ms
        if trace_id and 0 <= value_ms <= MAX_DURATION_MS:
            at_ms = exemplar.time_unix_nano // 1_000_000 or time_ms
            found.append(Exemplar(trace_id=trace_id, time_ms=min(at_ms, time_ms), value_ms=value_ms, failed=failed))
    return tuple(kept(found, config.max_exemplars)) if found else ()
