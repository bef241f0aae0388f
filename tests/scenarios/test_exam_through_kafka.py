"""The exam's telemetry through Kafka and a worker process gives the alerts that the stages give in process."""

import itertools
import json
from pathlib import Path

import pytest

from benchmarks.in_process import Chain
from benchmarks.shop import batches, load_module
from pipeline.adapters.brokers import KafkaBroker
from pipeline.adapters.reading import ReadRecord
from pipeline.settings import load_settings
from tests.scenarios.running import Sent, running

HOURS = 6


def exam(shared_dir: Path) -> list[tuple[int, bytes]]:
    """Return the first hours of a seeded exam without warm-up, as messages with their time in epoch seconds."""
    shop = load_module(shared_dir / "exam" / "shop.py")
    messages = batches(shop.records(days=1, faults=24, seed=3, world=2, warmup_days=0))
    first_s, first = next(messages)
    until_s = first_s + HOURS * 3600
    return [(first_s, first), *itertools.takewhile(lambda message: message[0] < until_s, messages)]


@pytest.mark.kafka
@pytest.mark.data
@pytest.mark.timeout(400)
async def test_one_seed_through_kafka_fires_the_same_alerts(kafka_broker: KafkaBroker, shared_dir: Path, tmp_path: Path) -> None:
    messages = exam(shared_dir)
    chain = Chain(load_settings(env={}))
    expected = {
        (f.service, f.condition, f.at_ms) for at_s, value in messages for f in chain.feed(value, at_s * 1000) if not f.is_escalation
    }
    assert len(expected) >= 5
    last_ms = max(at_ms for _, _, at_ms in expected)

    seen: set[tuple[str, str, int]] = set()

    def is_all(read: ReadRecord) -> bool:
        event = json.loads(read.record.value or b"")
        if event["transition"] == "fired" and event["at_ms"] <= last_ms:
            seen.add((event["service"], event["condition"], event["at_ms"]))
        return seen >= expected

    async with running(kafka_broker, tmp_path) as tocsin:
        sent: list[Sent] = [("telemetry.metrics", str(at_s).encode(), value, at_s * 1000, ()) for at_s, value in messages]
        await tocsin.send(sent)
        await tocsin.until("alert-events", is_all, f"the alerts {expected}", patience_s=200)

    assert seen == expected
