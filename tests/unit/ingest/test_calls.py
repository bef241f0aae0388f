"""Client spans say whom their service calls: by the server's span of the same message, else by their attributes."""

from dataclasses import replace

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from benchmarks.fuzz_samples import NOW_MS, NOW_NS
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.limits import Limit
from pipeline.contracts.partials import CallPartial, Partial
from pipeline.contracts.readings import CallReading, Decoded
from pipeline.contracts.records import InRecord
from pipeline.ingest.cardinality import limits_of
from pipeline.ingest.decoders import decode
from pipeline.ingest.reduce import NO_ROOM, PartialKey, fold
from pipeline.settings import load_settings
from tests.formats_world import key_values

TOPIC = "telemetry.metrics"
CONFIG = replace(load_settings(env={}).ingest, decoders={TOPIC: "otlp_spans"})
SERVER, CLIENT, PRODUCER, CONSUMER, INTERNAL = 2, 3, 4, 5, 1


class Message:
    def __init__(self) -> None:
        self.request = ExportTraceServiceRequest()

    def span(self, service: str, kind: int, name: int, parent: int = 0, *, failed: bool = False, **attributes: object) -> Span:
        sender = self.request.resource_spans.add()
        sender.resource.attributes.extend(key_values({"service.name": service, "deployment.environment.name": "prod"}))
        span = sender.scope_spans.add().spans.add(
            kind=kind,
            trace_id=b"t" * 16,
            span_id=name.to_bytes(8, "big"),
            start_time_unix_nano=NOW_NS - 10**6,
            end_time_unix_nano=NOW_NS,
        )
        if parent:
            span.parent_span_id = parent.to_bytes(8, "big")
        span.status.code = 2 if failed else 0
        span.attributes.extend(key_values({key.replace("__", "."): value for key, value in attributes.items()}))
        return span

    def decoded(self, config: IngestConfig = CONFIG) -> Decoded:
        return decode(config, TOPIC, InRecord(0, NOW_MS, None, self.request.SerializeToString()))

    def partials(self, config: IngestConfig = CONFIG) -> list[Partial]:
        partials: dict[PartialKey, Partial] = {}
        for reading in self.decoded(config).readings:
            fold(partials, reading, config)
        return list(partials.values())

    def calls(self, config: IngestConfig = CONFIG) -> dict[str, dict[str, CallPartial]]:
        return {partial.service: partial.calls for partial in self.partials(config) if partial.calls}


def test_a_servers_span_in_the_same_message_names_the_callee_whatever_the_client_says() -> None:
    message = Message()
    message.span("shop", SERVER, 1)
    message.span("shop", CLIENT, 2, 1, server__address="10.0.0.7")
    message.span("shop", CLIENT, 4, 1, failed=True)
    message.span("cart", SERVER, 3, 2)
    message.span("cart", SERVER, 5, 4, failed=True)

    assert message.calls() == {"shop": {"service:prod/cart": CallPartial(calls=2, errors=1)}}
    assert message.decoded().rejections == []


@pytest.mark.parametrize(
    ("attributes", "callee"),
    [
        ({"peer__service": "billing", "server__address": "10.0.0.7"}, "service:prod/billing"),
        ({"db__system__name": "postgresql", "server__address": "10.0.0.7"}, "database:prod/postgresql"),
        ({"server__address": "api.example.org"}, "host:prod/api.example.org"),
        ({"messaging__system": "kafka", "messaging__destination__name": "orders"}, "messaging:prod/kafka orders"),
    ],
)
def test_else_its_own_attributes_name_it(attributes: dict[str, object], callee: str) -> None:
    message = Message()
    message.span("shop", PRODUCER if "messaging__system" in attributes else CLIENT, 2, **attributes)

    assert message.calls() == {"shop": {callee: CallPartial(calls=1)}}


def test_a_client_span_that_names_nobody_is_ignored_and_so_are_internal_ones() -> None:
    message = Message()
    message.span("shop", CLIENT, 2)
    message.span("shop", CLIENT, 3, peer__service="a\x00b")
    message.span("shop", INTERNAL, 4, peer__service="billing")

    decoded = message.decoded()

    assert (decoded.readings, decoded.n_ignored, decoded.rejections) == ([], 3, [])


def test_a_consumer_of_the_same_message_is_called_by_the_producer() -> None:
    message = Message()
    message.span("shop", PRODUCER, 2, messaging__system="kafka")
    message.span("mailer", CONSUMER, 3, 2)

    assert message.calls() == {"shop": {"service:prod/mailer": CallPartial(calls=1)}}


def test_spans_that_are_no_requests_here_still_tell_who_calls_whom() -> None:
    message = Message()
    message.span("shop", CLIENT, 2)
    message.span("cart", SERVER, 3, 2)
    config = replace(CONFIG, semantic=replace(CONFIG.semantic, requests_from=("metrics",)))

    (reading,) = message.decoded(config).readings

    assert isinstance(reading, CallReading)


def test_callees_over_the_limit_count_as_other() -> None:
    message = Message()
    for i in range(4):
        message.span("shop", CLIENT, i + 2, peer__service=f"p{min(i, 2)}")

    config = replace(CONFIG, max_callees=1)
    assert message.calls(config) == {"shop": {"service:prod/p0": CallPartial(calls=1), NO_ROOM: CallPartial(calls=3)}}
    assert [[*limits_of(partial, config)] for partial in message.partials(config)] == [[Limit.CALLEES]]
    assert [[*limits_of(partial, CONFIG)] for partial in message.partials()] == [[]]


@pytest.mark.parametrize("none", [b"", bytes(16), b"t" * 8])
def test_spans_of_no_trace_are_no_pair_though_their_span_ids_say_so(none: bytes) -> None:
    message = Message()
    message.span("shop", CLIENT, 2, peer__service="billing").trace_id = none
    message.span("cart", SERVER, 3, 2).trace_id = none

    assert message.calls() == {"shop": {"service:prod/billing": CallPartial(calls=1)}}
