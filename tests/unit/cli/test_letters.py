"""Dead letters: each record once, its bytes untouched, and of partly bad messages only what was rejected."""

import orjson

from pipeline.cli.letters import Letter, counts_by_reason, describe, distinct, letter_of, replayed_id, replayed_note, resend_of
from pipeline.contracts.codec import encode
from pipeline.contracts.dead_letters import HEADER, REPLAY_HEADER, DeadLetter
from pipeline.contracts.readings import Rejection, RejectReason


def why(*rejections: Rejection, **changes: object) -> DeadLetter:
    values: dict[str, object] = {
        "id": "d1",
        "topic": "telemetry.metrics",
        "partition": 1,
        "offset": 41,
        "timestamp_ms": 1_700_000_000_000,
        "key_base64": "cHJvZC9jYXJ0",
        "config": "c",
        "n_records": 1,
        "n_rejected": 1,
        "rejections": list(rejections) or [Rejection(reason=RejectReason.INVALID_JSON, detail="not JSON")],
    }
    return DeadLetter(**{**values, **changes})  # type: ignore[arg-type]


def letter(reason: DeadLetter, value: bytes | None = b"\xff{", **headers: bytes) -> Letter:
    found = letter_of(3, value, (*headers.items(), (HEADER, encode(reason))))
    assert found is not None
    return found


def at(index: int) -> Rejection:
    return Rejection(reason=RejectReason.WRONG_TYPE, detail="no number", field="duration_ms", index=index)


def test_a_wholly_bad_message_is_sent_again_byte_for_byte_under_its_own_key() -> None:
    resend = resend_of(letter(why(), trace=b"1"))

    assert (resend.topic, resend.key, resend.value) == ("telemetry.metrics", b"prod/cart", b"\xff{")
    assert resend.headers == (("trace", b"1"), (REPLAY_HEADER, b"telemetry.metrics/1/41"))
    assert (resend.timestamp_ms, resend.refusal) == (1_700_000_000_000, "")


def test_of_a_partly_bad_message_only_the_rejected_records_are_sent() -> None:
    value = orjson.dumps([{"i": 0}, {"i": 1}, {"i": 2}])

    resend = resend_of(letter(why(at(2), at(0), n_records=3, n_rejected=2), value))

    assert orjson.loads(resend.value or b"") == [{"i": 0}, {"i": 2}]


def test_a_message_of_which_every_record_is_bad_is_sent_whole() -> None:
    value = b'[{"i":0}, {"i":1} ]'

    assert resend_of(letter(why(at(0), at(1), n_records=2, n_rejected=2), value)).value == value


def test_what_cannot_be_told_apart_is_refused_rather_than_counted_twice() -> None:
    too_many = resend_of(letter(why(at(0), n_records=300, n_rejected=200), b"[]"))
    no_array = resend_of(letter(why(at(5), n_records=9), b"[1]"))
    nothing = resend_of(letter(why(key_base64=None, is_tombstone=True), b""))

    assert "only 1 of 200" in too_many.refusal
    assert "not the array" in no_array.refusal
    assert "neither key nor value" in nothing.refusal


def test_an_earlier_replay_s_header_is_replaced() -> None:
    resend = resend_of(letter(why(), **{REPLAY_HEADER: b"telemetry.metrics/0/1"}))

    assert resend.headers == ((REPLAY_HEADER, b"telemetry.metrics/1/41"),)


def test_the_same_record_rejected_again_is_listed_once() -> None:
    letters = distinct([letter(why()), letter(why(id="d2")), letter(why())])

    assert [found.why.id for found in letters] == ["d2", "d1"]
    assert counts_by_reason(letters) == {"invalid_json": 2}


def test_a_record_without_the_header_is_no_dead_letter() -> None:
    assert letter_of(0, b"x", ()) is None
    assert letter_of(0, b"x", ((HEADER, b"not json"),)) is None


def test_all_about_a_dead_letter_is_printable_whatever_its_bytes() -> None:
    lines = describe(letter(why(at(1), n_records=2), bytes(range(256)), note=b"\x1b[2J"))

    assert all(line.isprintable() for line in lines)
    assert any("record 1, wrong_type: field duration_ms: no number" in line for line in lines)
    assert any(line.strip().startswith("00f0") for line in lines)


def test_a_letter_that_was_sent_again_is_sent_once_more_only_when_asked() -> None:
    _, key, headers = replayed_note(letter(why()))
    noted = replayed_id(headers)
    assert noted is not None

    once = distinct([letter(why()), letter(why(id="d2", offset=42))], {noted})

    assert key == b"telemetry.metrics/1/41"
    assert [one.is_replayed for one in once] == [True, False]
    assert "sent again before" in resend_of(once[0]).refusal
    assert resend_of(once[0], again=True).refusal == resend_of(once[1]).refusal == ""


def test_a_note_of_a_replay_is_no_letter() -> None:
    _, _, headers = replayed_note(letter(why()))

    assert letter_of(4, None, headers) is None


def test_a_value_that_was_cut_is_not_sent() -> None:
    cut = resend_of(letter(why(n_value_bytes=12_000_000)), again=True)

    assert "12000000 bytes" in cut.refusal
    assert "telemetry.metrics/1/41" in cut.refusal


def test_a_letter_of_a_record_batch_is_told_with_its_offsets_and_not_sent() -> None:
    refused = letter(why(last_offset=60))

    assert "stands for    all records up to offset 60" in describe(refused)
    assert "its publisher has to send it again" in resend_of(refused, again=True).refusal
