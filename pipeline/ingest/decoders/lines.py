"""Plain lines: each is read as what it looks like (JSON, syslog, access log, logfmt), else as text of unknown severity."""

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, LogReading, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.errors import FieldRefused
from pipeline.ingest.decoders.harvest import Harvest, refused_message
from pipeline.ingest.decoders.line_fields import MAX_LINE, header_fields, read_line, with_body
from pipeline.ingest.decoders.log_fields import log_reading
from pipeline.ingest.decoders.syslog import syslog_fields
from pipeline.ingest.semantics import Attributes, Semantics, semantics_of


def decode_lines(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what the lines of a message say; bytes that are no UTF-8 are replaced, because only names and numbers are kept."""
    value = record.value or b""
    if value.count(b"\n") > config.max_records_per_message:
        detail = f"a message must hold at most {config.max_records_per_message} lines"
        return refused_message(RejectReason.TOO_MANY_RECORDS, detail)
    harvest, semantics, headers = Harvest(), semantics_of(config), header_fields(record)
    for line in value.decode(errors="replace").split("\n"):
        if not line.strip():
            continue
        harvest.index += 1
        try:
            harvest.readings.append(_read(semantics, topic, record.timestamp_ms, line, headers))
        except FieldRefused as refusal:
            harvest.refuse(refusal)
    return harvest.decoded()


def _read(semantics: Semantics, topic: str, published_ms: int, line: str, headers: Attributes) -> LogReading:
    config, names = semantics.config, semantics.mapping.logs.body
    line = line[:MAX_LINE].strip()
    syslog = syslog_fields(line, published_ms)
    read = read_line(config, line, names) if syslog is None else with_body(config, syslog, str(syslog["message"]), names)
    return log_reading(semantics, topic, published_ms, {**headers, **read.fields}, text=read.text)
