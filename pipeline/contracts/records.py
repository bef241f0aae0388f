"""What a stage reads and what it says: Kafka records without Kafka."""

import msgspec

Headers = tuple[tuple[str, bytes], ...]


class InRecord(msgspec.Struct, frozen=True):
    """One record as it was read. ``timestamp_ms`` is Kafka's; header values are bytes or ``None``."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()


class OutRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One record to publish. ``topic`` is a logical name of config/topics.yaml, such as ``signals``.

    ``partition``: ``None`` lets the key decide. ``timestamp_ms``: ``None`` is now.
    """

    topic: str
    key: str
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    timestamp_ms: int | None = None
