"""What was learned of a service, as it was at one moment: the snapshots of `tocsin.models`.

MessagePack, not JSON: model states are mostly floats, which it holds exactly in 9 bytes. Plain data only, never code.
"""

from enum import StrEnum
from typing import Annotated, Any

import msgspec

from pipeline.errors import RecordInvalid

SCHEMA = 1
"""Version of these records."""
READABLE = (1,)
"""Versions that this Tocsin reads."""
CONTENT_TYPE = "application/vnd.msgpack"
Count = Annotated[int, msgspec.Meta(ge=0)]


class MemoryPart(StrEnum):
    """What a snapshot is of: each part of a service's memory has a schedule of its own."""

    DETECTORS = "detectors"
    """The fast path, which sees every window, and what people said of the service."""
    NOVELTY = "novelty"
    """The novelty detectors, which see every rollup."""


class ModelSnapshot(msgspec.Struct, kw_only=True, frozen=True):
    """One part of what is known of a service.

    Attributes
    ----------
    schema
        Version of this record; the state names its own.
    app
        ``app_id`` of the Tocsin that wrote it: offsets of another one mean nothing here.
    version
        Of that Tocsin.
    part
        What it is of.
    environment, service
        Of whom.
    applied
        Offset on ``tocsin.signals`` of the last record in it; -1: learned from elsewhere.
    n
        How many records are in it, since this memory began.
    at_ms
        End of the newest window in it, epoch ms.
    state
        Plain data of the models: numbers, texts, bytes, lists, mappings.

    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    app: str
    version: str
    part: MemoryPart
    environment: str
    service: str
    applied: int
    n: Count
    at_ms: int
    state: dict[str, Any]


class _Rank(msgspec.Struct):
    app: str
    applied: int


def write_snapshot(snapshot: ModelSnapshot) -> bytes:
    """Return a snapshot's bytes."""
    return msgspec.msgpack.encode(snapshot)


def read_snapshot(value: bytes) -> ModelSnapshot:
    """Return the snapshot that ``value`` holds.

    Raises
    ------
    RecordInvalid
        If it holds none, or one of a version that is not read here; the message says which.

    """
    try:
        snapshot = msgspec.msgpack.decode(value, type=ModelSnapshot)
    except msgspec.DecodeError as problem:
        raise RecordInvalid(f"not a ModelSnapshot: {problem}") from problem
    if snapshot.schema not in READABLE:
        raise RecordInvalid(f"a ModelSnapshot of schema {snapshot.schema}, written by {snapshot.version}; read are {READABLE}")
    return snapshot


def rank_of(value: bytes, app: str) -> tuple[bool, int]:
    """Return how good a snapshot is: of this app before another's, then by offset applied; what cannot be read is worst."""
    try:
        rank = msgspec.msgpack.decode(value, type=_Rank)
    except msgspec.DecodeError:
        return False, -(1 << 62)
    return rank.app == app, rank.applied


def snapshot_key(service_key: str, part: MemoryPart) -> str:
    r"""Return the key on the topic: the service's own for the detectors, with the part's name behind a tab for others.

    Names hold no control characters, so a tab separates.

    Examples
    --------
    >>> snapshot_key("prod/cart", MemoryPart.DETECTORS), snapshot_key("prod/cart", MemoryPart.NOVELTY)
    ('prod/cart', 'prod/cart\tnovelty')

    """
    return service_key if part is MemoryPart.DETECTORS else f"{service_key}\t{part}"
