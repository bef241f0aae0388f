"""Who calls whom: the records of `tocsin.topology`, and how the ends of a call are named."""

from enum import StrEnum
from typing import Annotated

import msgspec

from pipeline.contracts.keys import service_key

SCHEMA = 1
"""Version of these records. Given by a factory, so that it is written even where defaults are left out."""
TOPIC = "topology"
Count = Annotated[int, msgspec.Meta(ge=0)]


class CalleeKind(StrEnum):
    """What is called."""

    SERVICE = "service"
    DATABASE = "database"
    MESSAGING = "messaging"
    HOST = "host"
    """An address, of which nobody said what it is."""
    OTHER = "other"
    """All for which there was no room."""


class Edge(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What one service asked of another one, or of a database, a queue or a host, in ``[window_start_ms, window_end_ms)``.

    The key is ``caller->callee`` (:func:`edge_key`); a tombstone follows when no call was seen for long. ``environment``
    and ``version`` are the caller's. ``last_seen_ms`` is the end of the window.

    ``sampled_share`` says that the figures are an estimate, from this share of all traces, of calls whose two spans came in
    different messages. Such an edge has a key of its own (:func:`sampled_key`), no version, and may stand beside the one that
    was counted, which is exact.
    """

    schema: int = msgspec.field(default_factory=lambda: SCHEMA)
    environment: str
    service: str
    version: str
    callee_kind: CalleeKind
    callee_environment: str
    callee: str
    window_start_ms: int
    window_end_ms: int
    calls: Count
    errors: Count
    calls_per_minute: float
    errors_per_minute: float
    last_seen_ms: int
    sampled_share: float | None = None


def callee_name(kind: CalleeKind, environment: str, name: str) -> str:
    """Return how a callee is called in a partial.

    Examples
    --------
    >>> callee_name(CalleeKind.SERVICE, "prod", "cart")
    'service:prod/cart'

    """
    return f"{kind.value}:{service_key(environment, name)}"


def split_callee(name: str) -> tuple[CalleeKind, str, str]:
    """Return kind, environment and name of a callee.

    Examples
    --------
    >>> split_callee("database:prod/postgresql")
    (<CalleeKind.DATABASE: 'database'>, 'prod', 'postgresql')

    """
    kind, _, rest = name.partition(":")
    environment, _, callee = rest.partition("/")
    return CalleeKind(kind), environment, callee


def edge_key(caller: str, callee: str) -> str:
    """Return the key of an edge, from a service's key and a callee's name."""
    return f"{caller}->{callee}"


def sampled_key(key: str) -> str:
    """Return the key under which the same edge is told from a sample of traces.

    Examples
    --------
    >>> sampled_key(edge_key("prod/shop", "service:prod/cart"))
    'prod/shop->service:prod/cart (sampled)'

    """
    return f"{key} (sampled)"
