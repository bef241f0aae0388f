"""Two services export their own spans only, through Kafka: who calls whom is told from a sample of their traces."""

from pathlib import Path

import pytest
import yaml

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.clock import now_ms
from pipeline.contracts.codec import decode
from pipeline.contracts.topology import Edge
from tests.scenarios.running import Sent, running
from tests.unit.protocol.test_trace_path import A_SECOND, exported

FIVE_MINUTES_MS = 300_000
N_SECONDS = 366
"""Five minutes, and what is waited for after them."""


async def test_through_kafka_services_that_share_no_message_are_joined(broker: LocalBroker, tmp_path: Path) -> None:
    begin_ms = (now_ms() - 70_000) // FIVE_MINUTES_MS * FIVE_MINUTES_MS - FIVE_MINUTES_MS
    sent: list[Sent] = [
        ("telemetry.metrics", None, exported(second, is_server=is_server, begin_ms=begin_ms), begin_ms + second * 1000 + 500, ())
        for second in range(N_SECONDS)
        for is_server in (False, True)
    ]
    async with running(broker, tmp_path, is_started=False) as tocsin:
        main = tocsin.folder / "config" / "tocsin.yaml"
        content = yaml.safe_load(main.read_text())
        content["ingest"]["decoders"][tocsin.names["telemetry.metrics"]] = "otlp_spans"
        main.write_text(yaml.safe_dump(content))
        await tocsin.start()
        await tocsin.send(sent)

        read = await tocsin.until("topology", lambda read: bool(read.record.value), "an edge from sampled traces")

    assert read[-1].record.key == b"prod/web->service:prod/cart (sampled)"
    edge = decode(read[-1].record.value or b"", Edge)
    assert (edge.window_start_ms, edge.last_seen_ms) == (begin_ms, begin_ms + FIVE_MINUTES_MS)
    assert edge.sampled_share is not None
    assert edge.sampled_share <= 0.1
    assert edge.calls_per_minute == pytest.approx(60 * A_SECOND, rel=0.2)
