"""From OTLP messages of two partitions, through ingest and the window stage, to the edge between their services."""

from dataclasses import replace

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pipeline.analyse.windows import WindowParams, WindowStage, restore
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.directory import Directory
from pipeline.contracts.keys import partition_for
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.signals import Signals, SignalsRecord
from pipeline.contracts.topology import Edge
from pipeline.contracts.trace_samples import KEY
from pipeline.ingest.source import Owner, SourceParams, SourceReader
from pipeline.settings import load_settings
from tests.formats_world import key_values

TOPIC = "telemetry.spans"
CONFIG = replace(load_settings(env={}).ingest, decoders={TOPIC: "otlp_spans"}, trace_sample=0.1, chunk_ms=10_000)
T0 = 1_700_000_100_000
N_TARGETS = 4
A_SECOND = 20
"""Calls."""
CLIENT, SERVER = 3, 2


def exported(second: int, *, is_server: bool, begin_ms: int = T0) -> bytes:
    """Return what one service exports of a second: its own spans only."""
    request = ExportTraceServiceRequest()
    sender = request.resource_spans.add()
    service = "cart" if is_server else "web"
    sender.resource.attributes.extend(key_values({"service.name": service, "deployment.environment.name": "prod"}))
    spans = sender.scope_spans.add().spans
    for i in range(A_SECOND):
        trace, ended_ms = second * A_SECOND + i + 1, begin_ms + second * 1000 + i
        span = spans.add(kind=SERVER if is_server else CLIENT, trace_id=trace.to_bytes(16, "big"))
        span.span_id = (2 if is_server else 1).to_bytes(8, "big")
        span.start_time_unix_nano, span.end_time_unix_nano = (ended_ms - 20) * 10**6, ended_ms * 10**6
        if is_server:
            span.parent_span_id = (1).to_bytes(8, "big")
        elif not trace % 4:
            span.status.code = 2
    return request.SerializeToString()


def message(second: int, *, is_server: bool) -> InRecord:
    return InRecord(second, T0 + second * 1000 + 500, None, exported(second, is_server=is_server))


def owner(second: int) -> Owner:
    now_ms = T0 + second * 1000 + 500
    return Owner(
        now_ms=now_ms, generation=1, is_caught_up=False, heard_ms=now_ms, partitions={TOPIC: 2}, n_targets=N_TARGETS
    )  # fmt: skip


def bundles(partition: int, config: IngestConfig, seconds: int) -> list[tuple[int, OutRecord]]:
    """Return what ingest of one partition says, by second: partition 0 has the callers, partition 1 the callees."""
    reader = SourceReader(
        config=config, params=SourceParams(), source=f"{TOPIC}/{partition}", epoch=0, position=0, watermark_ms=None
    )
    said: list[tuple[int, OutRecord]] = []
    for second in range(seconds):
        outcome = reader.read([message(second, is_server=partition == 1)], owner(second))
        said += [(second, out) for out in outcome.outputs]
        if outcome.chunk_end is not None:
            reader.begin_chunk(config)
            said += [(second, out) for out in reader.read([message(second, is_server=partition == 1)], owner(second)).outputs]
    return said


def told(config: IngestConfig, seconds: int = 370) -> dict[int, list[OutRecord]]:
    """Return what the window stage of each target partition says."""
    stages: list[WindowStage] = [restore(WindowParams(), Directory(), target, {}) for target in range(N_TARGETS)]
    said: dict[int, list[OutRecord]] = {target: [] for target in range(N_TARGETS)}
    all_bundles = sorted(bundles(0, config, seconds) + bundles(1, config, seconds), key=lambda pair: pair[0])
    for offset, (second, out) in enumerate(all_bundles):
        assert out.partition is not None
        said[out.partition] += stages[out.partition].step(InRecord(offset, T0 + second * 1000, None, out.value), 0)
    return said


@pytest.fixture(scope="module")
def sampled() -> dict[int, list[OutRecord]]:
    return told(CONFIG)


def edges(said: list[OutRecord]) -> list[tuple[str, Edge]]:
    return [(out.key, msgspec.json.decode(out.value or b"", type=Edge)) for out in said if out.topic == "topology"]


def test_services_that_never_share_a_message_are_joined_at_about_their_true_rate(sampled: dict[int, list[OutRecord]]) -> None:
    at = partition_for(KEY, N_TARGETS)

    ((key, edge),) = edges(sampled[at])

    assert key == "prod/web->service:prod/cart (sampled)"
    assert edge.sampled_share == 0.1
    assert edge.calls_per_minute == pytest.approx(60 * A_SECOND, rel=0.13), "three standard deviations of 600 calls"
    assert edge.errors_per_minute == pytest.approx(60 * A_SECOND / 4, rel=0.25)
    assert all(not edges(said) for target, said in sampled.items() if target != at)


def test_windows_are_the_same_with_a_sample_and_without(sampled: dict[int, list[OutRecord]]) -> None:
    without = told(replace(CONFIG, trace_sample=0.0))

    for target in range(N_TARGETS):
        signals = [out for out in sampled[target] if out.topic == "signals"]
        assert signals == [out for out in without[target] if out.topic == "signals"]
        names = {
            r.service for out in signals if isinstance(r := msgspec.json.decode(out.value or b"", type=SignalsRecord), Signals)
        }
        assert names <= {"cart"}, "a sample is no service"


def test_where_all_is_more_than_is_kept_the_share_falls_and_the_rate_stays() -> None:
    config = replace(CONFIG, trace_sample=1.0, max_span_stubs=2_000)

    ((_, edge),) = edges(told(config, seconds=370)[partition_for(KEY, N_TARGETS)])

    share = edge.sampled_share
    assert share is not None
    assert share < 1, "12,000 spans are more than are kept of five minutes"
    assert edge.calls_per_minute == pytest.approx(60 * A_SECOND, rel=0.15)
