"""A dead letter always fits on its topic, however large the record was."""

from pipeline.contracts.codec import decode
from pipeline.contracts.dead_letters import HEADER, MAX_KEPT_BYTES, DeadLetter, dead_letter
from pipeline.contracts.readings import Rejection, RejectReason
from pipeline.contracts.records import InRecord, OutRecord, RefusedBatch

TOPIC_BYTES = 10_485_760
"""config/topics.yaml's max_message_bytes of dead letters."""


def letter(record: InRecord) -> OutRecord:
    refused = [Rejection(reason=RejectReason.OVERSIZE, detail="too long")]
    return dead_letter(topic="telemetry.metrics", partition=0, record=record, rejections=refused, n_records=1)


def size(out: OutRecord) -> int:
    return len(out.key) + len(out.value or b"") + sum(len(name) + len(text or b"") for name, text in out.headers)


def why(out: OutRecord) -> DeadLetter:
    return decode(dict(out.headers)[HEADER] or b"", DeadLetter)


def test_the_letter_of_a_batch_that_was_not_read_counts_all_its_offsets() -> None:
    refused = RefusedBatch(RejectReason.UNREADABLE_BATCH, "", last_offset=11)

    told = why(letter(InRecord(7, 0, None, b"", refused=refused)))

    assert (told.offset, told.last_offset, told.n_records, told.n_rejected) == (7, 11, 5, 5)


def test_a_value_that_fits_is_kept_untouched() -> None:
    record = InRecord(7, 0, b"k", b"\xff\x00", (("h", None),))

    out = letter(record)

    assert (out.value, out.headers[0], why(out).n_value_bytes) == (record.value, ("h", None), 0)


def test_a_value_that_was_small_only_while_compressed_is_cut_and_the_letter_says_how_long_it_was() -> None:
    out = letter(InRecord(7, 0, None, b" " * 40_000_000))

    assert size(out) < TOPIC_BYTES
    assert why(out).n_value_bytes == 40_000_000
    assert len(out.value or b"") == MAX_KEPT_BYTES


def test_an_endless_key_and_endless_headers_fit_too() -> None:
    huge = b"x" * 12_000_000

    assert size(letter(InRecord(7, 0, huge, b"{}"))) < TOPIC_BYTES
    assert size(letter(InRecord(7, 0, None, b"{}", (("a", huge), ("b", b""))))) < TOPIC_BYTES
    assert size(letter(InRecord(7, 0, huge, huge, tuple((f"h{i}", huge) for i in range(3))))) < TOPIC_BYTES


def test_a_tombstone_stays_one() -> None:
    assert letter(InRecord(7, 0, b"k", None)).value is None
