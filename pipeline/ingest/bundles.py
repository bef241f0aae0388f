"""How one flush of a source becomes bundles: one or more for each target partition, split where they grow too large."""

from collections.abc import Iterable

import msgspec

from pipeline.contracts.codec import encode
from pipeline.contracts.keys import partition_for, service_key
from pipeline.contracts.partials import Bundle, Partial
from pipeline.contracts.records import OutRecord


def bundle_records(
    header: Bundle,
    partials: Iterable[Partial],
    *,
    n_targets: int,
    max_bundle_bytes: int,
    sent_watermark_ms: int | None,
) -> list[OutRecord]:
    """Return what a flush publishes: every target partition gets the header, and the partials of its services.

    Parameters
    ----------
    header
        The flush without partials.
    partials
        Those touched since the last flush; each holds everything of the chunk so far.
    n_targets
        Partitions of ``tocsin.partials``, at least 1.
    max_bundle_bytes
        A bundle that would be larger is split; one partial that is larger alone travels alone.
    sent_watermark_ms
        Watermark of the flush before, for all parts but the last: what a watermark closes has arrived with it.

    """
    by_target: list[list[Partial]] = [[] for _ in range(n_targets)]
    for partial in partials:
        by_target[partition_for(service_key(partial.environment, partial.service), n_targets)].append(partial)
    return [
        OutRecord(topic="partials", key=header.source, partition=target, value=value)
        for target, own in enumerate(by_target)
        for value in _parts(header, own, max_bundle_bytes=max_bundle_bytes, sent_watermark_ms=sent_watermark_ms)
    ]


def _parts(header: Bundle, partials: list[Partial], *, max_bundle_bytes: int, sent_watermark_ms: int | None) -> list[bytes]:
    """Return the bundles of one target; each partial is encoded once."""
    encoded = [msgspec.Raw(encode(partial)) for partial in partials]
    limit = max_bundle_bytes - len(encode(header))
    if len(encoded) <= 1 or sum(len(memoryview(raw)) + 1 for raw in encoded) <= limit:
        return [encode(msgspec.structs.replace(header, partials=encoded))]
    groups: list[list[msgspec.Raw]] = [[]]
    room = limit
    for raw in encoded:
        size = len(memoryview(raw)) + 1
        if groups[-1] and size > room:
            groups.append([])
            room = limit
        groups[-1].append(raw)
        room -= size
    first = msgspec.structs.replace(header, watermark_ms=sent_watermark_ms, idle=False)
    return [
        *(encode(msgspec.structs.replace(first, partials=group)) for group in groups[:-1]),
        encode(msgspec.structs.replace(header, partials=groups[-1])),
    ]
