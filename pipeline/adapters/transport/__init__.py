"""The bulk transport driver: batches instead of messages, commits by a ledger, and Faust's rebalance races mended."""

from pipeline.adapters.transport.batches import Batch
from pipeline.adapters.transport.driver import (
    SCHEME,
    Transport,
    assigned,
    batches,
    bulk_topic,
    end_by_partition,
    generation,
    is_caught_up,
    is_heard,
    is_waiting,
    jumps_by_partition,
    lag_by_partition,
    position_by_partition,
    reached,
    register,
    seek_to_standing,
)
from pipeline.adapters.transport.producer import BulkProducer, RunRecord, Sent
from pipeline.adapters.transport.reading import BulkReading, reading_of
from pipeline.adapters.transport.rebalance import SeekFirstTables

__all__ = [
    "SCHEME",
    "Batch",
    "BulkProducer",
    "BulkReading",
    "RunRecord",
    "SeekFirstTables",
    "Sent",
    "Transport",
    "assigned",
    "batches",
    "bulk_topic",
    "end_by_partition",
    "generation",
    "is_caught_up",
    "is_heard",
    "is_waiting",
    "jumps_by_partition",
    "lag_by_partition",
    "position_by_partition",
    "reached",
    "reading_of",
    "register",
    "seek_to_standing",
]
