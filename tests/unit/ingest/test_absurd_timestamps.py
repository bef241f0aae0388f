"""A record's timestamp is whatever its sender wrote: no decoder may fall over it."""

from dataclasses import replace

import pytest

from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import decode
from pipeline.settings import load_settings

LINES = [b"<11>Jan  5 00:00:10 web1 shop[7]: it broke", b'{"time": "Jan  5 00:00:10", "service": "shop", "message": "it broke"}']


@pytest.mark.parametrize("timestamp_ms", [-(2**62), 10**15 * 2, 2**62])
@pytest.mark.parametrize("value", LINES)
@pytest.mark.parametrize("decoder", ["auto", "lines", "json_logs"])
def test_a_log_line_of_a_record_of_no_year_is_read_or_refused(decoder: str, value: bytes, timestamp_ms: int) -> None:
    config = replace(load_settings().ingest, decoders={"t": decoder})
    found = decode(config, "t", InRecord(0, timestamp_ms, None, value))

    assert len(found.readings) + len(found.rejections) + found.n_ignored == 1
