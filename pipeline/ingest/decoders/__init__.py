"""Decoders: which wire format a topic holds, and what one message becomes; no message is able to raise."""

from collections.abc import Callable, Iterable, Mapping

import msgspec

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, Reading, Rejection, RejectReason
from pipeline.contracts.records import InRecord, InRecords
from pipeline.ingest.decoders.native import decode_changes, decode_native
from pipeline.ingest.decoders.request_columns import Requests, SeriesIndex, no_requests, read_requests

Decoder = Callable[[IngestConfig, InRecord], Decoded]
"""Reads a message whose value is there, not blank, and not oversize."""

DECODERS: Mapping[str, Decoder] = {"native": decode_native, "changes": decode_changes}
"""By the names that ``IngestConfig.decoders`` may use."""


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
    n_ignored
        Readings passed over by configuration.

    """

    requests: Requests
    others: list[tuple[int, Reading]]
    refused: list[tuple[int, Decoded]]
    n_ignored: int

    @property
    def n_readings(self) -> int:
        """Readings in all messages."""
        return len(self.requests) + len(self.others)


def decode_run(config: IngestConfig, topic: str, records: InRecords, index: SeriesIndex) -> DecodedRun:
    """Return what a run of messages holds: the same as :func:`decode` says of each, requests as columns where that is certain."""
    left: Iterable[int] = range(len(records))
    requests = no_requests()
    if DECODERS[config.decoders[topic]] is decode_native:
        requests, left = read_requests(config, records, index)
    others: list[tuple[int, Reading]] = []
    refused: list[tuple[int, Decoded]] = []
    n_ignored = 0
    for at in left:
        decoded = decode(config, topic, records[at])
        others += [(at, reading) for reading in decoded.readings]
        n_ignored += decoded.n_ignored
        if decoded.rejections:
            refused.append((at, decoded))
    return DecodedRun(requests, others, refused, n_ignored)


def decode(config: IngestConfig, topic: str, record: InRecord) -> Decoded:
    """Return what a message holds: each of its records is a reading, a rejection, or ignored.

    Key and headers are not looked at. The result depends on nothing but the arguments.

    Raises
    ------
    KeyError
        If the configuration names no decoder for ``topic``.

    """
    decoder = DECODERS[config.decoders[topic]]
    value = record.value
    if value is None:
        return _refused(RejectReason.EMPTY, "a message must have a value, got a tombstone")
    if len(value) > config.max_message_bytes:
        return _refused(RejectReason.OVERSIZE, f"a message must have at most {config.max_message_bytes} bytes, has {len(value)}")
    if not value or value.isspace():
        return _refused(RejectReason.EMPTY, f"a message must hold a record, got {len(value)} bytes of nothing")
    return decoder(config, record)


def _refused(reason: RejectReason, detail: str) -> Decoded:
    return Decoded(rejections=[Rejection(reason=reason, detail=detail)])
