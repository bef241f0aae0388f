"""The bytes of a table row: the offset applied in it, then its body; the highest applied wins at recovery."""

import struct

from pipeline.errors import StateError

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
