"""The decoders there are, by the names that `ingest.decoders` may use; other packages add theirs."""

from collections.abc import Callable

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, RejectReason
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders.collectd import decode_collectd, decode_collectd_counters
from pipeline.ingest.decoders.detect import format_of
from pipeline.ingest.decoders.harvest import refused_message
from pipeline.ingest.decoders.json_logs import decode_json_logs
from pipeline.ingest.decoders.lines import decode_lines
from pipeline.ingest.decoders.native import decode_changes, decode_feedback, decode_native
from pipeline.ingest.decoders.otlp_logs import decode_otlp_logs
from pipeline.ingest.decoders.otlp_metrics import decode_otlp_metrics
from pipeline.ingest.decoders.otlp_spans import decode_otlp_spans
from pipeline.ingest.decoders.prometheus import decode_prometheus
from pipeline.ingest.validation import shown

Decoder = Callable[[IngestConfig, str, InRecord], Decoded]
"""Reads a message of a topic, whose value is there, not blank, and not oversize."""


def _whatever_topic(decode: Callable[[IngestConfig, InRecord], Decoded]) -> Decoder:
    return lambda config, _topic, record: decode(config, record)


DECODERS: dict[str, Decoder] = {
    "native": _whatever_topic(decode_native),
    "changes": _whatever_topic(decode_changes),
    "feedback": _whatever_topic(decode_feedback),
    "otlp_metrics": decode_otlp_metrics,
    "otlp_logs": decode_otlp_logs,
    "otlp_spans": decode_otlp_spans,
    "prometheus": decode_prometheus,
    "collectd": decode_collectd,
    "collectd_counters": decode_collectd_counters,
    "json_logs": decode_json_logs,
    "lines": decode_lines,
}


def decode_auto(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a message of whatever format holds; which format it is depends on its bytes alone."""
    return DECODERS[format_of(record.value or b"")](config, topic, record)


DECODERS["auto"] = decode_auto


def add_plugin(name: str, decoder: Decoder) -> None:
    """Add another package's decoder; a name that is ours stays ours.

    Raises
    ------
    ValueError
        If the name is taken.
    TypeError
        If it is not callable.

    """
    if name in DECODERS and not isinstance(DECODERS[name], _Plugin):
        raise ValueError(f"the name {name!r} is one of Tocsin's own decoders")
    if not callable(decoder):
        raise TypeError(f"a decoder is called with (config, topic, record), got {shown(repr(decoder))}")
    DECODERS[name] = _Plugin(name, decoder)


class _Plugin:
    """Another package's decoder: what it raises, and what it returns that is no :class:`Decoded`, refuses the message."""

    def __init__(self, name: str, decoder: Decoder) -> None:
        self._name, self._decoder = name, decoder

    def __call__(self, config: IngestConfig, topic: str, record: InRecord) -> Decoded:
        try:
            decoded: object = self._decoder(config, topic, record)
        except Exception as problem:  # noqa: BLE001 - not our code; a message must never end the worker
            return refused_message(RejectReason.DECODER_FAILED, f"decoder {self._name} raised {shown(repr(problem))}")
        if not isinstance(decoded, Decoded):
            return refused_message(RejectReason.DECODER_FAILED, f"decoder {self._name} returned {shown(repr(decoded))}")
        return decoded
