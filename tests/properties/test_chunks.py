"""A chunk's end is where the first record beyond a limit stands, however many records are looked at together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.contracts.config import IngestConfig
from pipeline.ingest.chunks import records_before_end


def one_by_one(config: IngestConfig, n_records: int, began_ms: int | None, timestamps_ms: list[int]) -> int:
    for at, timestamp_ms in enumerate(timestamps_ms):
        if began_ms is not None and (n_records >= config.chunk_records or timestamp_ms >= began_ms + config.chunk_ms):
            return at
        began_ms = timestamp_ms if began_ms is None else began_ms
        n_records += 1
    return len(timestamps_ms)


@given(
    st.integers(1, 6),
    st.one_of(st.integers(1, 6), st.integers(1, 2**62)),
    st.sampled_from([(0, None), (1, 0), (3, 5), (6, -1)]),
    st.lists(st.one_of(st.integers(-2, 12), st.integers(-1, 2**63 - 1)), max_size=12),
)
def test_limits_are_found_at_once_as_one_by_one(
    chunk_records: int, chunk_ms: int, begun: tuple[int, int | None], timestamps_ms: list[int]
) -> None:
    config = IngestConfig(chunk_records=chunk_records, chunk_ms=chunk_ms)
    n_records, began_ms = begun

    found = records_before_end(config, n_records=n_records, began_ms=began_ms, timestamps_ms=np.array(timestamps_ms, np.int64))

    assert found == one_by_one(config, n_records, began_ms, timestamps_ms)
