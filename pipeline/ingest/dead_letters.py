"""What becomes of a message that holds something wrong: its untouched bytes, with the reasons in a header."""

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.dead_letters import dead_letter
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.ingest.decoders.claims import claimed_origin


def letter_of(*, source: str, record: InRecord, decoded: Decoded, config: IngestConfig, config_hash: str) -> OutRecord:
    """Return the dead letter of a telemetry message from ``source`` (``topic/partition``) with at least one rejection."""
    topic, partition = source.rsplit("/", 1)
    return dead_letter(
        topic=topic,
        partition=int(partition),
        record=record,
        rejections=decoded.rejections,
        n_records=len(decoded.readings) + decoded.n_merged + len(decoded.rejections) + decoded.n_ignored,
        config=config_hash,
        origin=("", "", "") if record.refused else claimed_origin(config, record, decoded.rejections[0].index),
    )
