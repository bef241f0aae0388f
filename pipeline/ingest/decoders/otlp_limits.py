"""How much one OTLP message may hold: whatever is walked over is bounded, also where there is no record in it.

Two bytes are an empty resource: a message of a megabyte holds half a million of them.
"""

from collections.abc import Iterable

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import Decoded, RejectReason
from pipeline.ingest.decoders.harvest import refused_message

OBJECTS_PER_RECORD = 10
"""JSON objects and arrays in a message, for each record that it may hold. Twice what a megabyte of the shortest attributes has."""

_NUMBERS = frozenset({"bucketCounts", "bucket_counts", "explicitBounds", "explicit_bounds"})
"""Arrays of numbers, by both names that they may have; the first element that is none ends their reading."""


def too_many_parts(config: IngestConfig, senders: Iterable[Iterable[int]], called: str) -> Decoded | None:
    """Return that a message is refused for what it holds: more senders, scopes or records (``called`` so) than it may.

    ``senders`` has, for each sender, the number of records of each of its scopes.
    """
    limit = config.max_records_per_message
    n_scopes = n_records = 0
    for n_senders, scopes in enumerate(senders, 1):
        for n_within in scopes:
            n_scopes += 1
            n_records += n_within
        if max(n_senders, n_scopes) > limit:
            return _refused(limit, "resources and as many scopes", max(n_senders, n_scopes))
    return _refused(limit, called, n_records) if n_records > limit else None


def too_many_objects(config: IngestConfig, value: bytes, content: object) -> Decoded | None:
    """Return that a message in JSON is refused, because protobuf's reader of JSON would take seconds for all its objects.

    That reader takes an array or a text for an empty object, too.
    """
    limit = OBJECTS_PER_RECORD * config.max_records_per_message
    if value.count(b"{") + value.count(b"[") + value.count(b'"') // 2 <= limit:  # some of them may stand in texts
        return None
    n = _n_objects(content)
    return _refused(limit, "objects and arrays", n) if n > limit else None


def _n_objects(content: object) -> int:
    """Return how many objects, arrays and texts within arrays there are; numbers may be texts where arrays of them stand."""
    n, left = 0, [content]
    while left:
        node = left.pop()
        n += 1
        if isinstance(node, dict):
            left.extend(child for key, child in node.items() if isinstance(child, dict | list) and key not in _NUMBERS)
        elif isinstance(node, list):
            left.extend(child for child in node if isinstance(child, dict | list | str))
    return n


def _refused(limit: int, called: str, n: int) -> Decoded:
    return refused_message(RejectReason.TOO_MANY_RECORDS, f"a message must hold at most {limit} {called}, holds {n}")
