"""Records as columns are the records that they were made of, one by one and in slices."""

import numpy as np

from pipeline.contracts.records import InRecord, InRecords

RECORDS = [
    InRecord(3, 100, b"a", b"1"),
    InRecord(5, 101, None, None, (("h", b"x"), ("n", None))),
    InRecord(6, 99, b"c", b"3", (("t", b""),)),
]


def test_columns_give_back_what_they_were_made_of() -> None:
    columns = InRecords.of(RECORDS)

    assert list(columns) == RECORDS
    assert list(InRecords.of(RECORDS[:1])) == RECORDS[:1]
    assert {type(record.offset) for record in columns} == {int}
    assert columns[-1] == RECORDS[-1]
    assert type(columns[0].offset) is int
    assert InRecords.of(columns) is columns


def test_a_slice_holds_its_own_records_with_their_own_headers() -> None:
    columns = InRecords.of(RECORDS)

    assert [list(columns[start:stop]) for start in range(4) for stop in range(start, 4)] == [
        RECORDS[start:stop] for start in range(4) for stop in range(start, 4)
    ]
    assert np.array_equal(columns[1:].offsets, [5, 6])
    assert list(columns[1:][1:]) == RECORDS[2:]


def test_there_may_be_none() -> None:
    assert list(InRecords.of([])) == []
