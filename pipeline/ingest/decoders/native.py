"""Tocsin's own JSON format: each record of a message becomes a reading or a rejection, whatever the others are."""

from collections.abc import Callable, Mapping
from functools import partial

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Reading, Rejection, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.json_message import is_array, json_records
from pipeline.ingest.decoders.kinds import read_change, read_feedback, read_gauge, read_log, read_request, read_summary
from pipeline.ingest.validation import Fields, missing, refused, shown

KindReader = Callable[[IngestConfig, int, Fields], Reading]
"""Reads a record of one kind, given its Kafka timestamp; raises FieldRefused."""

_READER_BY_KIND: Mapping[str, KindReader] = {
    "request": read_request,
    "summary": read_summary,
    "gauge": read_gauge,
    "log": read_log,
    "change": read_change,
}


def decode_native(config: IngestConfig, record: InRecord) -> Decoded:
    """Return what a message on a telemetry topic holds."""
    return _decode(config, record, _read_by_kind)


def decode_changes(config: IngestConfig, record: InRecord) -> Decoded:
    """Return what a message on the topic of changes holds: changes, whether or not they say that they are."""
    return _decode(config, record, partial(_read_only, "change", read_change))


def decode_feedback(config: IngestConfig, record: InRecord) -> Decoded:
    """Return what a message on the topic of feedback holds: feedback, whether or not it says that it is."""
    return _decode(config, record, partial(_read_only, "feedback", read_feedback))


def _decode(config: IngestConfig, record: InRecord, read: KindReader) -> Decoded:
    value = record.value or b""
    parsed = json_records(config, value)
    if isinstance(parsed, Rejection):
        return Decoded(rejections=[parsed])
    has_indexes = is_array(value)
    readings: list[Reading] = []
    rejections: list[Rejection] = []
    for index, item in enumerate(parsed):
        try:
            readings.append(read(config, record.timestamp_ms, _fields(item)))
        except FieldRefused as refusal:
            rejections.append(_rejection(refusal, index if has_indexes else None))
    return Decoded(readings=readings, rejections=rejections)


def _fields(item: object) -> Fields:
    if type(item) is not dict:
        raise FieldRefused(RejectReason.WRONG_TYPE, "", f"a record must be an object, got {shown(item)}")
    return item


def _rejection(refusal: FieldRefused, index: int | None) -> Rejection:
    return Rejection(reason=RejectReason(refusal.reason), detail=refusal.detail, field=refusal.field, index=index)


def _read_by_kind(config: IngestConfig, published_ms: int, fields: Fields) -> Reading:
    kind = fields.get("kind")
    reader = _READER_BY_KIND.get(kind) if type(kind) is str else None
    if reader is None:
        raise _kind_refused(kind, ", ".join(_READER_BY_KIND))
    return reader(config, published_ms, fields)


def _read_only(kind: str, read: KindReader, config: IngestConfig, published_ms: int, fields: Fields) -> Reading:
    given = fields.get("kind")
    if given is not None and given != kind:
        raise _kind_refused(given, kind)
    return read(config, published_ms, fields)


def _kind_refused(kind: object, known: str) -> FieldRefused:
    if kind is None:
        return missing("kind")
    return refused(
        RejectReason.UNKNOWN_KIND if type(kind) is str else RejectReason.WRONG_TYPE, "kind", f"must be one of {known}", kind
    )
