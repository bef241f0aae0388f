"""A decoder as another package would bring it."""

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord


def decode(_config: IngestConfig, _topic: str, record: InRecord) -> Decoded:
    if record.value == b"bad":
        raise ValueError("planted")
    return Decoded(n_ignored=1)
