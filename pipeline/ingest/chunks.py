"""Where a chunk of a source partition ends: said by the log itself, so that whoever reads it again cuts in the same place."""

from pipeline.contracts.config import IngestConfig


def ends_before(config: IngestConfig, *, n_records: int, began_ms: int | None, timestamp_ms: int) -> bool:
    """Return whether the chunk is over before the record at hand.

    Parameters
    ----------
    config
        Its limits: records, and record time in ms.
    n_records
        Records already in the chunk.
    began_ms
        Kafka timestamp of its first record, ms; ``None`` while it has none.
    timestamp_ms
        Kafka timestamp of the record at hand, ms.

    Returns
    -------
    bool
        ``False`` for the first record of a chunk. Idleness, shutdown and the clock never end a chunk.

    Examples
    --------
    >>> limits = IngestConfig(chunk_records=2, chunk_ms=1000)
    >>> ends_before(limits, n_records=1, began_ms=0, timestamp_ms=999)
    False
    >>> ends_before(limits, n_records=1, began_ms=0, timestamp_ms=1000)
    True
    >>> ends_before(limits, n_records=2, began_ms=0, timestamp_ms=0)
    True

    """
    if began_ms is None:
        return False
    return n_records >= config.chunk_records or timestamp_ms >= began_ms + config.chunk_ms
