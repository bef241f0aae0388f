"""confluent-kafka writes our own JSON with every compression that Kafka knows."""

import pytest

from pipeline.adapters.brokers import KafkaBroker, LocalBroker
from pipeline.adapters.clock import now_ms
from tests.senders.arrived import arrived, config_for, new_topics, sums_of
from tests.senders.shippers import codecs_on_disk, confluent
from tests.senders.traffic import ASKED, check_requests, native


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_confluent_kafka_writes_our_own_json(broker: LocalBroker, codec: str) -> None:
    topics, lines = await new_topics(broker, "json"), native(ASKED, now_ms())
    confluent(broker, topics["json"], (line.encode() for line in lines), compression=codec, headers={"traceparent": b"00-1-2-01"})

    records = await arrived(broker, topics["json"], len(lines))

    for decoder in ("native", "auto"):
        check_requests(sums_of(records, config_for(decoder))["shop"])
    assert {record.headers for record in records} == {(("traceparent", b"00-1-2-01"),)}
    if isinstance(broker, KafkaBroker):
        assert codecs_on_disk(broker, topics["json"]) == {codec}
