"""OpenTelemetry's SDK for Python through a real Collector: what it reports becomes the golden signals, value by value."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from opentelemetry._logs import SeverityNumber
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from benchmarks.field_order import from_last_to_first
from pipeline.adapters.brokers import LocalBroker
from pipeline.contracts.records import InRecord
from pipeline.contracts.semantic import RequestMetric
from tests.senders.arrived import Sum, all_records, config_for, decoded, new_topics, sums_of
from tests.senders.otel import (
    FORMS,
    Route,
    collecting,
    metering,
    report_levels,
    report_logs,
    report_requests,
    report_spans,
)
from tests.senders.traffic import check_requests, traffic

pytestmark = pytest.mark.timeout(300)
KINDS = ("metrics", "logs", "traces")
DECODERS = {"metrics": "otlp_metrics", "logs": "otlp_logs", "traces": "otlp_spans"}
HOW = {
    "proto": Route({}),
    "json": Route({}, encoding="otlp_json"),
    "gzip": Route({}, compression="gzip"),
    "snappy": Route({}, compression="snappy"),
    "lz4": Route({}, compression="lz4"),
    "zstd": Route({}, compression="zstd"),
    "keyed": Route(
        {},
        compression="zstd",
        changed={
            "partition_metrics_by_resource_attributes": True,
            "partition_logs_by_resource_attributes": True,
            "partition_traces_by_id": True,
        },
    ),
}
LINES = {SeverityNumber.INFO: 7, SeverityNumber.WARN: 5, SeverityNumber.ERROR: 3, SeverityNumber.FATAL: 2}
ASKED = traffic(seed=4, n=600)
"""Of these the first 250 are exported alone, the others with them or after them, as the temporality has it."""


@dataclass(frozen=True)
class Reported:
    """What the Collector wrote, by way and kind of telemetry."""

    records: dict[tuple[str, str], list[InRecord]]

    def sums(self, way: str, kind: str, decoder: str = "auto", **changes: object) -> dict[str, Sum]:
        """Return what becomes of the records of a way and kind, by service."""
        return sums_of(self.records[way, kind], config_for(decoder, **changes))


async def report(broker: LocalBroker, folder: Path) -> Reported:
    """Let a service report everything once, on every way at the same time."""
    topics = await new_topics(broker, *(f"{way}-{kind}" for way in HOW for kind in KINDS))
    routes = {way: replace(how, topics={kind: topics[f"{way}-{kind}"] for kind in KINDS}) for way, how in HOW.items()}
    with collecting(broker, folder, routes) as address:
        for service, form in FORMS.items():
            with metering(address, service, **form) as provider:
                report_requests(provider, ASKED[:250], ASKED[250:])
        with metering(address, "levels") as provider:
            report_levels(provider)
        report_logs(address, "logs", LINES)
        report_spans(address, "spans", ASKED)
    return Reported({(way, kind): await all_records(broker, topics[f"{way}-{kind}"]) for way in HOW for kind in KINDS})


@pytest.fixture(
    scope="module",
    params=[pytest.param("embedded_broker", marks=pytest.mark.embedded), pytest.param("kafka_broker", marks=pytest.mark.kafka)],
    ids=["embedded", "kafka"],
)
def reported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    """What came through each broker; reported once."""
    broker: LocalBroker = request.getfixturevalue(request.param)
    return asyncio.run(report(broker, tmp_path_factory.mktemp("collector")))


@pytest.mark.parametrize("way", HOW)
@pytest.mark.parametrize("service", FORMS)
def test_histograms_of_the_sdk_are_requests_errors_and_latency(reported: Reported, way: str, service: str) -> None:
    found = reported.sums(way, "metrics")[service]

    check_requests(found, ASKED, max_error=0.5)
    assert found.versions == {"1.4.2"}
    assert found.environments == {"prod"}


@pytest.mark.parametrize("way", HOW)
def test_spans_of_the_sdk_are_requests_at_the_resolution_of_our_own_buckets(reported: Reported, way: str) -> None:
    found = reported.sums(way, "traces")

    check_requests(found["spans"], ASKED)
    assert set(found) == {"spans"}


@pytest.mark.parametrize("way", HOW)
def test_log_records_of_the_sdk_count_by_severity(reported: Reported, way: str) -> None:
    found = reported.sums(way, "logs")["logs"]

    assert found.logs == {"info": 7, "warn": 5, "error": 3, "fatal": 2}
    assert found.requests == 0


@pytest.mark.parametrize("way", HOW)
def test_levels_of_the_sdk_say_how_full_things_are(reported: Reported, way: str) -> None:
    found = reported.sums(way, "metrics")["levels"]

    (levels,) = [window.saturation for window in found.windows if window.saturation]
    assert {name: round(level.mean, 6) for name, level in levels.items()} == {
        "cpu": 0.5,
        "filesystem /": 0.875,
        "memory": 0.75,
        "process cpu": 0.0625,
    }
    assert levels["cpu"].max == pytest.approx(0.75)


@pytest.mark.parametrize(("way", "kind"), [("proto", kind) for kind in KINDS] + [("json", kind) for kind in KINDS])
def test_a_named_decoder_finds_what_auto_finds(reported: Reported, way: str, kind: str) -> None:
    assert reported.sums(way, kind, DECODERS[kind]) == reported.sums(way, kind)


def test_a_counter_without_a_rule_is_counted_by_name_and_with_one_it_is_traffic(reported: Reported) -> None:
    records, config = reported.records["proto", "metrics"], config_for("auto")
    orders = RequestMetric(metric=("shop.orders",), form="count")
    semantic = replace(config.semantic, requests=(orders,))

    without = sum((Counter(one.unmapped) for one in decoded(records, config)), Counter())
    found = reported.sums("proto", "metrics", semantic=semantic)

    assert without["shop.orders"] == 10  # two exports of each, and of the cumulative ones the same again at the end
    assert {service: found[service].requests for service in FORMS} == dict.fromkeys(FORMS, len(ASKED))


def test_keys_and_headers_are_as_docs_formats_says(reported: Reported) -> None:
    keys = {place: {record.key for record in records} for place, records in reported.records.items()}
    by_resource = keys["keyed", "metrics"] | keys["keyed", "logs"]
    by_trace = keys["keyed", "traces"]

    assert all(keys[way, kind] == {None} for way in HOW if way != "keyed" for kind in KINDS)
    assert {len(key or b"") for key in by_resource} == {16}
    assert {len(bytes.fromhex((key or b"").decode())) for key in by_trace} == {16}
    assert len(by_trace) == 2 * len(ASKED)
    assert not any(record.headers for records in reported.records.values() for record in records)


def test_the_order_of_fields_that_is_benchmarked_is_the_collectors_own(reported: Reported) -> None:
    for record in reported.records["proto", "metrics"]:
        value = record.value or b""
        assert from_last_to_first(ExportMetricsServiceRequest.FromString(value)) == value
