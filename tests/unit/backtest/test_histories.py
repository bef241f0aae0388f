"""Recordings become messages in order of time."""

import io
import json

import pytest

from pipeline.backtest.chain import FILES, Chain
from pipeline.backtest.histories import JOINED_RECORDS, Period, of_partitions, of_recordings, run, spool
from pipeline.errors import UsageError

SOURCE = (FILES, 0)


def gauge(service: str, time_s: float) -> bytes:
    return json.dumps({"kind": "gauge", "service": service, "resource": "cpu", "time": time_s, "utilization": 0.5}).encode()


def test_records_of_one_time_are_read_together_and_nothing_is_lost() -> None:
    lines = [gauge("a", 1e9), gauge("b", 1e9), gauge("a", 1e9 + 10), gauge("c", 1e9 + 20)]

    fed = list(of_recordings([lines], Period()))

    assert [one.timestamp_ms for one in fed] == [10**12, 10**12 + 10_000, 10**12 + 20_000]
    assert [len(content) if isinstance(content := json.loads(one.value or b""), list) else 1 for one in fed] == [2, 1, 1]


def test_a_line_that_is_no_record_stays_alone() -> None:
    fed = list(of_recordings([[gauge("a", 1e9), b"{broken", gauge("b", 1e9), b'{"kind": 1}', b"[]"]], Period()))

    assert [one.value for one in fed] == [gauge("a", 1e9), b"{broken", gauge("b", 1e9), b'{"kind": 1}', b"[]"]


def test_many_records_of_one_time_are_cut() -> None:
    fed = list(of_recordings([[gauge("a", 1e9)] * (JOINED_RECORDS + 1)], Period()))

    assert len(fed) == 2


def test_recordings_side_by_side_are_merged_by_time() -> None:
    fed = of_recordings([[gauge("a", 1e9), gauge("a", 1e9 + 20)], [gauge("b", 1e9 + 10)]], Period())

    assert [json.loads(one.value or b"")["service"] for one in fed] == ["a", "b", "a"]


def test_what_lies_outside_the_period_is_left_out() -> None:
    lines = [gauge("a", 1e9 + i) for i in range(4)]

    fed = of_recordings([lines], Period(start_ms=10**12 + 1000, end_ms=10**12 + 3000))

    assert [one.timestamp_ms for one in fed] == [10**12 + 1000, 10**12 + 2000]


def test_partitions_are_merged_by_time_with_their_tombstones() -> None:
    files = {("t", 0): io.BytesIO(), ("t", 1): io.BytesIO()}
    spool(files["t", 0], 1, b"a")
    spool(files["t", 0], 30, None)
    spool(files["t", 1], 20, b"b")

    fed = list(of_partitions(files.items()))

    assert [(one.source[1], one.timestamp_ms, one.value) for one in fed] == [(0, 1, b"a"), (1, 20, b"b"), (0, 30, None)]


def test_an_empty_history_is_refused() -> None:
    with pytest.raises(UsageError, match="no telemetry of the time asked for"):
        list(run(Chain(), iter(())))
