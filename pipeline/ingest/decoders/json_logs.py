"""Structured log lines as JSON: Fluent Bit, rsyslog's and syslog-ng's JSON templates, and programs that log JSON themselves."""

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Rejection, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.harvest import Harvest
from pipeline.ingest.decoders.json_message import json_records
from pipeline.ingest.decoders.line_fields import header_fields, with_body
from pipeline.ingest.decoders.log_fields import flattened, log_reading
from pipeline.ingest.semantics import first_text, semantics_of
from pipeline.ingest.validation import refused


def decode_json_logs(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a JSON object, or an array of objects, says: each is one log line."""
    parsed = json_records(config, record.value or b"")
    if isinstance(parsed, Rejection):
        return Decoded(rejections=[parsed])
    harvest, semantics, headers = Harvest(), semantics_of(config), header_fields(record)
    for item in parsed:
        harvest.index += 1
        try:
            if type(item) is not dict:
                raise refused(RejectReason.WRONG_TYPE, "", "a log line must be an object", item)
            fields, names = flattened(item, config.max_attributes), semantics.mapping.logs.body
            line = with_body(config, fields, first_text(fields, names), names)
            about = {**headers, **line.fields}
            harvest.readings.append(log_reading(semantics, topic, record.timestamp_ms, about, text=line.text))
        except FieldRefused as refusal:
            harvest.refuse(refusal)
    return harvest.decoded()
