"""Record batches that no worker can read, or only in all of its memory: each is a dead letter, and everything else goes on."""

from pathlib import Path

import aiohttp
import pytest
import yaml
from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.record.util import calc_crc32c

from pipeline.adapters.brokers import KafkaBroker, LocalBroker
from pipeline.adapters.clock import now_ms
from pipeline.cli.lines import decode_dead_letter
from tests.integration.test_worker_health import Asking, of, request
from tests.scenarios.running import running

BOMB_BYTES = 80_000_000
PAGE = b'{"kind":"request","service":"bomb"}'


NAMELESS = (b"\x04hh\x02x", b"\x04\xff\xff\x02x")
"""A header, and one whose name is no text."""
ASTRAY = (b"\x00\x00\x00\x01", b"\x00\x00\x78\x01")
"""How a record without a key goes on behind its length, and the same at an offset 60 further on: past the end of its partition."""


async def send_batch(
    broker: LocalBroker, topic: str, value: bytes, *, codec: str | None = None, defect: tuple[bytes, bytes] | None = None
) -> None:
    """Send one record as a batch of its own to partition 0; ``defect``: what becomes what in it, under a checksum that is right."""
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.bootstrap, compression_type=codec, max_batch_size=2 * BOMB_BYTES, max_request_size=2 * BOMB_BYTES
    )
    await producer.start()
    try:
        batch: BatchBuilder = producer.create_batch()
        assert batch.append(key=None, value=value, timestamp=now_ms(), headers=[("hh", b"x")] if defect else []) is not None
        if defect:
            batch.close()
            built = bytes(batch._build())
            assert defect[0] in built[61:]
            data = bytearray(built[:61] + built[61:].replace(*defect, 1))
            data[17:21] = calc_crc32c(bytes(data[21:])).to_bytes(4, "big")
            batch._buffer = data
        await (await producer.send_batch(batch, topic, partition=0))
    finally:
        await producer.stop()


def peak_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


async def test_batches_that_explode_or_make_no_sense_are_dead_letters_and_nothing_else_is_lost(
    broker: LocalBroker, tmp_path: Path
) -> None:
    bomb = PAGE * (BOMB_BYTES // len(PAGE))
    async with running(broker, tmp_path) as tocsin, aiohttp.ClientSession() as session:
        worker, pid = Asking(tocsin, session), tocsin.workers["all"].pid
        metrics, partials = tocsin.names["telemetry.metrics"], tocsin.names["partials"]
        await worker.until_ready()
        begin_ms = now_ms() - 30_000
        await tocsin.send([request(begin_ms + i, begin_ms + i) for i in range(50)])
        before = peak_bytes(pid)
        for codec in ("gzip", "snappy", "lz4", "zstd"):
            await send_batch(broker, metrics, bomb, codec=codec)
        await send_batch(broker, partials, bomb, codec="zstd")
        for defect in (NAMELESS, ASTRAY):
            await send_batch(broker, metrics, request(begin_ms, begin_ms)[2] or b"", defect=defect)
        await tocsin.send([request(begin_ms + i, now_ms()) for i in range(50)])

        seen = await worker.until(
            lambda seen: (
                of(seen, "tocsin_readings_total", topic=metrics) == 100
                and of(seen, "tocsin_limited_total", limit="batch_bytes") == 5
                and of(seen, "tocsin_consumer_lag") == 0
            ),
            "all sound readings were counted, and what was refused",
        )
        grown = peak_bytes(pid) - before
        is_live = await worker.is_live()
        n_letters = 0

        def all_came(_: object) -> bool:
            nonlocal n_letters
            n_letters += 1
            return n_letters == 7

        read = await tocsin.until("dead-letters", all_came, "seven dead letters")

    letters = [decode_dead_letter(dict(one.record.headers)) for one in read]
    told = sorted((letter.topic, letter.rejections[0].reason.value, letter.last_offset) for letter in letters)
    assert [(topic, reason) for topic, reason, _ in told] == sorted(
        [(metrics, "batch_too_large")] * 4 + [(metrics, "unreadable_batch")] * 2 + [(partials, "batch_too_large")]
    )
    assert all((letter.last_offset, letter.n_rejected) == (letter.offset, 1) for letter in letters)
    assert is_live
    for letter, one in zip(
        letters, read, strict=True
    ):  # the payload of one that did not decompress, nothing of one that made no sense
        assert bool(one.record.value) == (letter.rejections[0].reason.value == "batch_too_large")
    assert of(seen, "tocsin_rejected_total", topic=metrics, reason="unreadable_batch") == 2
    log = (tmp_path / "all.log").read_text()
    said = [line for line in log.splitlines() if "a limit is reached" in line]
    assert len(said) == 2  # once a topic
    assert all("ingest.max_batch_bytes" in line for line in said)
    assert "Traceback" not in log
    assert grown < 4 * 2**26  # what is kept to the limit twice over, and what a worker takes anyway


@pytest.mark.kafka  # the embedded broker keeps no text with a commit: there a chunk goes on under the configuration of the day
async def test_a_chunk_keeps_its_limit_over_a_restart_with_another_and_the_next_has_that(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    small = {"chunk_records": 10, "chunk_ms": 10**9, "max_message_bytes": 1_000, "max_batch_bytes": 1_000}
    async with running(kafka_broker, tmp_path, ingest=small) as tocsin, aiohttp.ClientSession() as session:
        metrics, begin_ms = tocsin.names["telemetry.metrics"], now_ms() - 5_000
        sound = request(begin_ms, begin_ms)[2] or b""
        large = sound[:-1] + b" " * 3_000 + sound[-1:]
        for _ in range(11):  # one chunk, and the beginning of the next
            await send_batch(kafka_broker, metrics, sound)
        await send_batch(kafka_broker, metrics, large, codec="gzip")
        worker = Asking(tocsin, session)
        await worker.until(lambda seen: of(seen, "tocsin_limited_total", limit="batch_bytes") == 1, "it was refused")
        await tocsin.stop()
        file = tmp_path / "config" / "tocsin.yaml"
        config = yaml.safe_load(file.read_text())
        config["ingest"] |= {"max_message_bytes": 5_000, "max_batch_bytes": 100_000}
        file.write_text(yaml.safe_dump(config))
        (tmp_path / "all.log").unlink()
        await tocsin.start()
        await send_batch(kafka_broker, metrics, large, codec="gzip")
        for _ in range(8):  # the rest of that chunk, and the beginning of the next
            await send_batch(kafka_broker, metrics, sound)
        await send_batch(kafka_broker, metrics, large, codec="gzip")

        seen = await worker.until(lambda seen: of(seen, "tocsin_readings_total", topic=metrics) >= 10, "it went on")

    assert of(seen, "tocsin_readings_total", topic=metrics) == 10
    assert of(seen, "tocsin_rejected_total", topic=metrics, reason="batch_too_large") == 2
