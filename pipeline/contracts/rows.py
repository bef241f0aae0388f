"""The bytes of a table row: the offset applied in it, then its body; the highest applied wins at recovery."""

import struct
from typing import TypeVar

from pipeline.contracts.codec import decode
from pipeline.errors import RecordInvalid, StateError

T = TypeVar("T")

_APPLIED = struct.Struct(">q")
SNAPSHOTS = "models\t"
"""Begins the names of rows that are kept on ``tocsin.models``, under the rest of the name, and written before all others."""
HEAD = "head"
"""Name of a partition's own row: written last at a checkpoint, it vouches for the others."""


def pack(applied: int, body: bytes) -> bytes:
    """Return a row's bytes."""
    return _APPLIED.pack(applied) + body


def applied_of(row: bytes) -> int:
    """Return the offset applied in a row.

    Raises
    ------
    StateError
        If the row is shorter than its prefix.

    """
    if len(row) < _APPLIED.size:
        raise StateError(f"a table row has at least {_APPLIED.size} bytes, got {len(row)}")
    (applied,) = _APPLIED.unpack_from(row)
    return int(applied)


def unpack(row: bytes) -> tuple[int, bytes]:
    """Return (applied, body) of a row.

    Examples
    --------
    >>> unpack(pack(41, b"{}"))
    (41, b'{}')

    """
    return applied_of(row), row[_APPLIED.size :]


def read_row(name: str, row: bytes, kind: type[T], *, of: str = "", schema: int | None = None) -> tuple[int, T]:
    """Return the offset applied in a row, and its body.

    Parameters
    ----------
    name, row
        The row's name and bytes.
    kind
        Type of the body.
    of
        Whose row it is, for the message.
    schema
        What the body's ``schema`` must be; ``None``: it has none, or may have any.

    Raises
    ------
    StateError
        If it cannot be read, or is of another version.

    Examples
    --------
    >>> read_row("head", pack(41, b"[1]"), list[int])
    (41, [1])

    """
    told = f"{of}: row {name!r}" if of else f"row {name!r}"
    applied, body = unpack(row)
    try:
        state = decode(body, kind)
    except RecordInvalid as problem:
        raise StateError(f"{told} cannot be read: {problem}") from problem
    if schema is not None and (found := getattr(state, "schema", None)) != schema:
        raise StateError(f"{told} has schema {found}, not {schema}")
    return applied, state
