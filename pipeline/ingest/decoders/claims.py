"""Whom a rejected record says it is about, as far as that can be read: for people who look at dead letters."""

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Rejection
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.json_message import json_records
from pipeline.ingest.validation import Fields, optional_text


def claimed_origin(config: IngestConfig, record: InRecord, index: int | None) -> tuple[str, str, str]:
    """Return (environment, service, version) of the record at ``index`` (``None``: the only one); ``""`` where unreadable.

    Each is bounded and free of control characters. Nothing is guessed: an absent environment is ``""`` here.
    """
    value = record.value
    if value is None or len(value) > config.max_message_bytes:
        return "", "", ""
    parsed = json_records(config, value)
    if isinstance(parsed, Rejection):
        return "", "", ""
    at = index or 0
    fields = parsed[at] if at < len(parsed) else None
    if not isinstance(fields, dict):
        return "", "", ""
    return _readable(config, fields, "environment"), _readable(config, fields, "service"), _readable(config, fields, "version")


def _readable(config: IngestConfig, fields: Fields, field: str) -> str:
    try:
        return optional_text(fields.get(field), field, config.max_text_length)
    except FieldRefused:
        return ""
