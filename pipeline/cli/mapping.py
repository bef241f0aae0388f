"""What a sample of telemetry becomes, and by which rule of the mapping: decided here, shown by `tocsin explain-mapping`."""

import dataclasses
from collections import Counter
from collections.abc import Iterator

import msgspec
import orjson
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from pipeline.cli.wording import safe
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import (
    CallReading,
    ChangeReading,
    Decoded,
    GaugeReading,
    LevelReading,
    LogReading,
    PointsReading,
    Reading,
    RequestReading,
    SummaryReading,
)
from pipeline.contracts.records import InRecord
from pipeline.errors import UsageError
from pipeline.ingest.decoders import DECODERS, decode
from pipeline.ingest.decoders.detect import format_of
from pipeline.ingest.decoders.otlp_parts import message_of
from pipeline.ingest.semantics import semantics_of

MAX_SHOWN = 20
"""Different readings, rejections and metrics that are shown."""
_TEN_YEARS_MS = 10 * 366 * 86_400_000


class Becomes(msgspec.Struct, kw_only=True, frozen=True):
    """Readings of a sample that say the same kind of thing of the same service: how many, and which signals they feed."""

    service: str
    operation: str
    signals: str
    n: int


class Rule(msgspec.Struct, kw_only=True, frozen=True):
    """A metric of the sample, and by which rule it means something; ``rule`` empty: it means nothing here."""

    metric: str
    rule: str


class Explanation(msgspec.Struct, kw_only=True, frozen=True):
    """All that is said of a sample."""

    decoder: str
    becomes: list[Becomes]
    rules: list[Rule]
    refused: list[str]
    n_ignored: int


def explanation(config: IngestConfig, topic: str, decoder: str, value: bytes, *, now_ms: int) -> Explanation:
    """Return what a message would become.

    Raises
    ------
    UsageError
        If there is no such decoder.

    """
    if decoder not in DECODERS:
        raise UsageError(f"--decoder must be one of {', '.join(sorted(DECODERS))}, got {decoder!r}")
    lenient = dataclasses.replace(
        config,
        decoders={topic: decoder},
        earliest_time_ms=0,
        max_future_ms=_TEN_YEARS_MS,
        max_past_ms=now_ms,
        max_message_bytes=max(len(value), 1),
    )
    decoded = decode(lenient, topic, InRecord(0, now_ms, None, value))
    found = format_of(value) if decoder == "auto" else decoder
    return Explanation(
        decoder=found,
        becomes=list(_becomes(decoded)),
        rules=[_rule(lenient, name) for name in _metrics(lenient, found, value)],
        refused=[
            f"{'the message' if refusal.index is None else f'reading {refusal.index}'}: {refusal.reason.value}: {refusal.detail}"
            for refusal in decoded.rejections
        ],
        n_ignored=decoded.n_ignored,
    )


def lines_of(found: Explanation) -> Iterator[str]:
    """Yield an explanation as lines; nothing in it is trusted."""
    yield f"read by     {found.decoder}"
    for rule in found.rules[:MAX_SHOWN]:
        yield f"metric      {safe(rule.metric)}: {safe(rule.rule, 200) or 'means nothing here; config/semantic.yaml may name it'}"
    for one in found.becomes[:MAX_SHOWN]:
        about = f"{safe(one.service)}" + (f", {safe(one.operation)}" if one.operation else "")
        yield f"becomes     {one.n} x {one.signals} of {about}"
    for refusal in found.refused[:MAX_SHOWN]:
        yield f"refused     {safe(refusal, 300)}"
    for what, n in (("metrics", len(found.rules)), ("kinds", len(found.becomes)), ("refusals", len(found.refused))):
        if n > MAX_SHOWN:
            yield f"            {n - MAX_SHOWN} more {what} (--json has all)"
    if found.n_ignored:
        yield f"ignored     {found.n_ignored}: they mean nothing here, or say that nothing was measured"


def _becomes(decoded: Decoded) -> Iterator[Becomes]:
    counted: Counter[tuple[str, str, str]] = Counter()
    for reading in decoded.readings:
        about = f"{reading.origin.environment}/{reading.origin.service}"
        if isinstance(reading, PointsReading):
            for _, meaning, _ in reading.points:
                kind = "delta" if meaning.is_delta else "cumulative"
                kept = "signal" if meaning.role == "amount" else "saturation"
                what = meaning.resource and f"{kept} ({meaning.resource})"
                failed = " of failed requests" if meaning.failed else ""
                counted[about, meaning.operation, what or f"{meaning.role}{failed} ({kind})"] += 1
        else:
            counted[about, reading.origin.operation, _signals(reading)] += 1
    for (service, operation, signals), n in counted.items():
        yield Becomes(service=service, operation=operation, signals=signals, n=n)


def _signals(reading: Reading) -> str:
    match reading:
        case RequestReading():
            return "request (latency, traffic, errors)" if not reading.is_error else "failed request (latency, traffic, errors)"
        case SummaryReading():
            return f"summary of {reading.requests} requests, {reading.errors} failed (latency, traffic, errors)"
        case GaugeReading():
            return f"saturation ({reading.resource}: {reading.utilization:.3g})"
        case LogReading():
            asked = ", also a request" + (" that failed" if reading.is_error else "") if reading.is_request else ""
            return f"log line of severity {reading.severity}{asked}"
        case _:
            return _seldom(reading)


def _seldom(reading: Reading) -> str:
    match reading:
        case CallReading():
            return f"call of {reading.callee}" + (" that failed" if reading.is_error else "")
        case LevelReading():
            return f"signal ({reading.signal}: {reading.value:.6g})"
        case ChangeReading():
            return f"change ({reading.type})"
        case _:
            return f"saturation ({reading.resource})" if hasattr(reading, "resource") else "reading"


def _rule(config: IngestConfig, metric: str) -> Rule:
    semantics = semantics_of(config)
    base = metric
    for ending in ("_bucket", "_sum", "_count"):
        base = base.removesuffix(ending)
    for name in (metric, base):
        request = semantics.request_rule(name)
        if request is not None:
            about = f"; of the service in {', '.join(request.service)}" if request.service else ""
            return Rule(metric=metric, rule=f"{request.form} of requests in {request.unit}{about}; {request.source}")
    named = semantics.named_signal(metric)
    if named is not None:
        states = f" ({', '.join(named.states)})" if named.states else ""
        return Rule(metric=metric, rule=f"{named.form} of the signal {named.name}{states}; {named.source}")
    levels = semantics.saturation_rules(metric)
    return Rule(metric=metric, rule=f"saturation of {levels[0].resource} ({levels[0].form}); {levels[0].source}" if levels else "")


def _metrics(config: IngestConfig, decoder: str, value: bytes) -> list[str]:
    """Return the names of the metrics that a sample holds."""
    if decoder == "otlp_metrics":
        try:
            found = message_of(config, ExportMetricsServiceRequest, value)
        except DecodeError:
            return []
        if isinstance(found, Decoded):
            return []
        return list(dict.fromkeys(m.name for s in found[0].resource_metrics for p in s.scope_metrics for m in p.metrics))
    if decoder not in {"prometheus", "collectd", "collectd_counters"} or value.lstrip()[:1] not in {b"{", b"["}:
        return []
    try:
        content = orjson.loads(value)
    except orjson.JSONDecodeError:
        return []
    names = [
        f"collectd.{item.get('plugin')}.{item.get('type')}" if decoder != "prometheus" else str(item.get("name"))
        for item in (content if isinstance(content, list) else [content])
        if isinstance(item, dict)
    ]
    return list(dict.fromkeys(names))
