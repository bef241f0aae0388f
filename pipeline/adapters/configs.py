"""Which ingest configurations are in use: kept on the compacted `tocsin.config` under their hashes."""

import dataclasses

import structlog
from pydantic import TypeAdapter, ValidationError

from pipeline.adapters import kafka
from pipeline.adapters.reading import read_topic
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.config import ConfigRecord, IngestConfig
from pipeline.errors import RecordInvalid

log = structlog.get_logger(__name__)


async def publish_and_read(
    connection: kafka.Connection, topic: str, own: IngestConfig, *, environment: str, version: str
) -> dict[str, IngestConfig]:
    """Put our own ingest configuration on the topic, and return all that are there, by hash.

    A chunk that was begun under an earlier configuration is finished under it, whoever reads it next.

    Raises
    ------
    BrokerError
        If the broker cannot be reached.

    """
    known: dict[str, IngestConfig] = {}
    async for read in read_topic(connection, topic):
        if read.record.value is None:
            continue
        try:
            record = decode(read.record.value, ConfigRecord)
            config = TypeAdapter(IngestConfig).validate_python(record.ingest)
        except (RecordInvalid, ValidationError) as problem:
            log.warning(
                "a configuration cannot be read, perhaps it is of a newer version", offset=read.record.offset, problem=str(problem)
            )
            continue
        known[record.hash] = config
    if own.hash not in known:
        record = ConfigRecord(hash=own.hash, environment=environment, version=version, ingest=dataclasses.asdict(own))
        async with kafka.producer(connection) as producer:
            await producer.send_and_wait(topic, key=own.hash.encode(), value=encode(record))
    return {**known, own.hash: own}
