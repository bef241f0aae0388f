"""Where a chunk of a source partition ends: said by the log itself, so that whoever reads it again cuts in the same place."""

import numpy as np
from numpy.typing import NDArray

from pipeline.contracts.config import IngestConfig


def records_before_end(config: IngestConfig, *, n_records: int, began_ms: int | None, timestamps_ms: NDArray[np.int64]) -> int:
    """Return how many of the records at hand still belong to the chunk; all of them: it is not over yet.

    Parameters
    ----------
    config
        Its limits: records, and record time in ms.
    n_records
        Records already in the chunk.
    began_ms
        Kafka timestamp of its first record, ms; ``None`` while it has none.
    timestamps_ms
        Kafka timestamps of the records at hand, ms, in their order in the log.

    Returns
    -------
    int
        At least 1 for a chunk without records. Idleness, shutdown and the clock never end a chunk.

    Examples
    --------
    >>> limits = IngestConfig(chunk_records=2, chunk_ms=1000)
    >>> records_before_end(limits, n_records=1, began_ms=0, timestamps_ms=np.array([999]))
    1
    >>> records_before_end(limits, n_records=1, began_ms=0, timestamps_ms=np.array([1000]))
    0
    >>> records_before_end(limits, n_records=0, began_ms=None, timestamps_ms=np.array([0, 0, 0]))
    2

    """
    if not len(timestamps_ms):
        return 0
    room = max(config.chunk_records - n_records, 0)
    ends_ms = (int(timestamps_ms[0]) if began_ms is None else began_ms) + config.chunk_ms
    over = np.flatnonzero(timestamps_ms[:room] >= ends_ms)
    return int(over[0]) if len(over) else min(room, len(timestamps_ms))
