"""Decoders: which wire format a topic holds, and what one message becomes; no message is able to raise."""

from collections.abc import Iterable

import msgspec

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Reading, Rejection, RejectReason, SampledSpan
from pipeline.contracts.records import InRecord, InRecords
from pipeline.ingest.decoders.registry import DECODERS, Decoder
from pipeline.ingest.decoders.request_columns import Requests, SeriesIndex, no_requests, read_requests

__all__ = ["DECODERS", "DecodedRun", "Decoder", "decode", "decode_run"]

HOLD_NATIVE_REQUESTS = ("native", "auto")
"""Decoders that read Tocsin's own requests as such: what is certainly one is read as columns."""


class DecodedRun(msgspec.Struct, frozen=True):
    """What a run of messages holds; indexes are of messages in the run, ascending.

    Attributes
    ----------
    requests
        Those that were read as columns.
    others
        All other readings, each with the index of its message.
    refused
        Messages with rejections, by index.
    n_ignored, unmapped
        Readings passed over by configuration; those of them whose metric nobody knows, by its name.
    n_merged
        Readings that are summed up in others.
    sampled
        Spans of the sample of traces.

    """

    requests: Requests
    others: list[tuple[int, Reading]]
    refused: list[tuple[int, Decoded]]
    n_ignored: int
    n_merged: int
    unmapped: dict[str, int]
    sampled: list[SampledSpan]

    @property
    def n_readings(self) -> int:
        """Readings in all messages."""
        return len(self.requests) + len(self.others)


def decode_run(config: IngestConfig, topic: str, records: InRecords, index: SeriesIndex) -> DecodedRun:
    """Return what a run of messages holds: the same as :func:`decode` says of each, requests as columns where that is certain."""
    left: Iterable[int] = range(len(records))
    requests = no_requests()
    if config.decoders[topic] in HOLD_NATIVE_REQUESTS:
        requests, left = read_requests(config, records.read(), index)
    others: list[tuple[int, Reading]] = []
    refused: list[tuple[int, Decoded]] = []
    n_ignored = n_merged = 0
    unmapped: dict[str, int] = {}
    sampled: list[SampledSpan] = []
    for at in left:
        decoded = decode(config, topic, records[at])
        others += [(at, reading) for reading in decoded.readings]
        n_ignored += decoded.n_ignored
        n_merged += decoded.n_merged
        sampled += decoded.sampled
        for metric, n in decoded.unmapped.items():
            unmapped[metric] = unmapped.get(metric, 0) + n
        if decoded.rejections:
            refused.append((at, decoded))
    return DecodedRun(requests, others, refused, n_ignored, n_merged, unmapped, sampled)


def decode(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a message holds: each of its records is a reading, a rejection, or ignored.

    The key is not looked at; headers only where a format has no other place for a service's name. The result depends on
    nothing but the arguments.

    Raises
    ------
    KeyError
        If the configuration names no decoder for ``topic``.

    """
    decoder = DECODERS[config.decoders[topic]]
    if record.refused is not None:
        return _refused(record.refused.reason, record.refused.detail)
    value = record.value
    if value is None:
        return _refused(RejectReason.EMPTY, "a message must have a value, got a tombstone")
    if len(value) > config.max_message_bytes:
        return _refused(RejectReason.OVERSIZE, f"a message must have at most {config.max_message_bytes} bytes, has {len(value)}")
    if not value or value.isspace():
        return _refused(RejectReason.EMPTY, f"a message must hold a record, got {len(value)} bytes of nothing")
    return decoder(config, topic, record)


def _refused(reason: RejectReason, detail: str) -> Decoded:
    return Decoded(rejections=[Rejection(reason=reason, detail=detail)])
