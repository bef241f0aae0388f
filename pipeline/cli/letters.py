"""Dead letters as people list, read and replay them: decides which records of a message are sent again."""

from base64 import b64decode
from collections import Counter
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace

import msgspec
import orjson

from pipeline.cli.lines import decode_dead_letter
from pipeline.cli.wording import MAX_TEXT, moment, safe, safe_bytes
from pipeline.contracts.dead_letters import HEADER, REPLAY_HEADER, REPLAYED_HEADER, DeadLetter
from pipeline.contracts.records import Headers
from pipeline.errors import RecordInvalid

HEX_LINE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A dead letter and the record that it is: ``offset`` on the dead-letter topic, untouched ``value``, other headers.

    ``is_replayed``: a note on the topic says that it was sent again.
    """

    offset: int
    why: DeadLetter
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    is_replayed: bool = False

    @property
    def place(self) -> str:
        """Where the record came from, ``topic/partition/offset``."""
        return f"{self.why.topic}/{self.why.partition}/{self.why.offset}"

    @property
    def reasons(self) -> list[str]:
        """Each reason once."""
        return list(dict.fromkeys(rejection.reason.value for rejection in self.why.rejections))


@dataclass(frozen=True, slots=True, kw_only=True)
class Resend:
    """What is sent to the original topic again: one message, or nothing and why not."""

    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]
    timestamp_ms: int
    refusal: str = ""


def letter_of(offset: int, value: bytes | None, headers: Headers | tuple[tuple[str, bytes | None], ...]) -> Letter | None:
    """Return the dead letter of a record of the topic; ``None`` when it is none."""
    try:
        why = decode_dead_letter(dict(headers))
    except RecordInvalid:
        return None
    others = tuple((name, content) for name, content in headers if name != HEADER)
    return Letter(offset=offset, why=why, value=None if why.is_tombstone else value, headers=others)


def replayed_id(headers: Headers | tuple[tuple[str, bytes | None], ...]) -> str | None:
    """Return the id of the letter that a record of the topic says was sent again; ``None`` when it says no such thing."""
    letter_id = dict(headers).get(REPLAYED_HEADER)
    return None if letter_id is None else letter_id.decode(errors="replace")


def replayed_note(letter: Letter) -> tuple[str, bytes, tuple[tuple[str, bytes], ...]]:
    """Return topic (logical), key and headers of the note that a letter was sent again; its value is null."""
    return "dead-letters", letter.place.encode(), ((REPLAYED_HEADER, letter.why.id.encode()),)


def distinct(letters: Iterable[Letter], replayed_ids: Container[str] = ()) -> list[Letter]:
    """Return each rejected record once, the newest last: a re-run rejects the same record again, with the same id."""
    by_id: dict[str, Letter] = {}
    for letter in letters:
        by_id.pop(letter.why.id, None)
        by_id[letter.why.id] = replace(letter, is_replayed=letter.why.id in replayed_ids)
    return list(by_id.values())


def counts_by_reason(letters: Iterable[Letter]) -> dict[str, int]:
    """Return how many dead letters have each reason, the most frequent first."""
    return dict(Counter(reason for letter in letters for reason in letter.reasons).most_common())


def resend_of(letter: Letter, *, again: bool = False) -> Resend:
    """Return what a replay sends: the untouched bytes; of a partly bad message, the rejected records alone.

    The records of a message that were sound are counted already, and are not sent a second time; nor is a letter that
    was sent before, unless ``again`` says so; nor one whose bytes were cut, of which only a part is here.
    """
    why = letter.why
    indexes = [rejection.index for rejection in why.rejections if rejection.index is not None]
    value, refusal = letter.value, ""
    is_partial = bool(indexes) and why.n_rejected < why.n_records
    if is_partial and why.n_rejected > len(indexes):
        refusal = f"it lists only {len(indexes)} of {why.n_rejected} rejected records"
    elif is_partial:
        try:
            value = _records_at(letter.value, indexes)
        except ValueError as problem:
            refusal = str(problem)
    if letter.is_replayed and not again:
        refusal = "it was sent again before (--again sends it once more, and its readings may count twice)"
    elif why.last_offset is not None:
        refusal = (
            f"it is a record batch that was not read ({letter.place} to {why.last_offset}): its publisher has to send it again"
        )
    elif why.n_value_bytes:
        refusal = f"its value of {why.n_value_bytes} bytes was too long to be kept whole: the record itself is at {letter.place}"
    elif value is None and why.key_base64 is None:
        refusal = "it has neither key nor value, and no client can send that"
    return Resend(
        topic=why.topic,
        key=None if why.key_base64 is None else b64decode(why.key_base64),
        value=value,
        headers=(*(header for header in letter.headers if header[0] != REPLAY_HEADER), (REPLAY_HEADER, letter.place.encode())),
        timestamp_ms=why.timestamp_ms,
        refusal=refusal,
    )


def describe(letter: Letter) -> list[str]:
    """Return all about a dead letter, in lines."""
    why = letter.why
    key = "none" if why.key_base64 is None else safe_bytes(b64decode(why.key_base64))
    said = [
        f"id            {safe(why.id)}",
        f"came from     {safe(letter.place)}, {moment(why.timestamp_ms, with_date=True)} UTC",
        f"key           {key}",
        f"sent again    {'yes' if letter.is_replayed else 'no'}",
        f"records       {why.n_rejected} of {why.n_records} rejected, under configuration {safe(why.config)}",
    ]
    if why.last_offset is not None:
        said.append(f"stands for    all records up to offset {why.last_offset}")
    if why.service:
        said.append(f"service       {safe(why.environment)}/{safe(why.service)} {safe(why.version)}".rstrip())
    for rejection in why.rejections:
        where = "" if rejection.index is None else f"record {rejection.index}, "
        field = f"field {safe(rejection.field)}: " if rejection.field else ""
        said.append(f"rejected      {where}{rejection.reason}: {field}{safe(rejection.detail, 400)}")
    said += [
        f"header        {safe(name)}: {'null' if content is None else safe_bytes(content)}" for name, content in letter.headers
    ]
    if letter.value is None:
        return [*said, "bytes         none: a tombstone"]
    return [*said, f"bytes         {len(letter.value)}", *hex_dump(letter.value)]


def hex_dump(value: bytes, limit: int = 512) -> list[str]:
    r"""Return bytes as hexadecimal digits beside printable ASCII, at most ``limit`` of them.

    Examples
    --------
    >>> hex_dump(b"a[b]\x1b")
    ['  0000  61 5b 62 5d 1b                                   a[b].']

    """
    dump = []
    for start in range(0, min(len(value), limit), HEX_LINE):
        part = value[start : min(start + HEX_LINE, limit)]
        text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in part)
        dump.append(f"  {start:04x}  {part.hex(' '):<48} {text}")
    return dump if len(value) <= limit else [*dump, f"  ... {len(value) - limit} more bytes (--raw writes all)"]


def summary(letter: Letter) -> dict[str, object]:
    """Return a dead letter as JSON shows it; ``value`` escaped and cut."""
    return {
        "place": letter.place,
        "reasons": letter.reasons,
        "replayed": letter.is_replayed,
        "dead_letter": msgspec.to_builtins(letter.why),
        "value": None if letter.value is None else safe_bytes(letter.value, MAX_TEXT),
    }


def _records_at(value: bytes | None, indexes: Iterable[int]) -> bytes:
    """Return an array of the records at ``indexes`` of the array that ``value`` is, as bytes.

    Raises
    ------
    ValueError
        If ``value`` is no such array.

    """
    try:
        records = orjson.loads(value or b"")
    except orjson.JSONDecodeError as problem:
        raise ValueError("its bytes are no JSON array, of which some records could be sent") from problem
    wanted = sorted(set(indexes))
    if not isinstance(records, list) or (wanted and wanted[-1] >= len(records)):
        raise ValueError("its bytes are not the array that its reasons speak of")
    return orjson.dumps([records[i] for i in wanted])
