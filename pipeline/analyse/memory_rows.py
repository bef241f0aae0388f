"""How a service's memory is named among its partition's rows, and how it is read back.

A snapshot is the row ``models<tab>KEY`` (see pipeline/contracts/models.py for KEY), a point ``SERVICE<tab>PART<tab>SLOT``.
A row named as a service alone is a whole model of the version before; it is read as a snapshot.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from pipeline.contracts.models import MemoryPart, rank_of, snapshot_key
from pipeline.contracts.rows import HEAD, SNAPSHOTS, applied_of
from pipeline.errors import StateError

_TAB = "\t"


@dataclass(slots=True)
class Stored:
    """One part of a service's memory as it lies in its rows.

    Attributes
    ----------
    snapshot
        Its newest snapshot's bytes.
    points
        Rows of the points behind it, by slot.
    whole
        The row of the version before, which holds a whole model.

    """

    snapshot: bytes | None = None
    points: dict[int, bytes] = field(default_factory=dict)
    whole: bytes | None = None

    def __bool__(self) -> bool:
        return self.snapshot is not None or bool(self.points) or self.whole is not None

    def heard(self, app: str) -> int:
        """Return the highest offset that is in it; -1: none that means anything to ``app``."""
        offsets = [-1, *(_applied(row) for row in self.points.values())]
        if self.snapshot is not None:
            is_own, applied = rank_of(self.snapshot, app)
            offsets.append(applied if is_own else -1)
        if self.whole is not None:
            offsets.append(_applied(self.whole))
        return max(offsets)

    def without_gone(self, gone: int, app: str) -> "Stored":
        """Return it without what was given up at offset ``gone``."""
        is_own, applied = (False, 0) if self.snapshot is None else rank_of(self.snapshot, app)
        return Stored(
            snapshot=None if is_own and applied <= gone else self.snapshot,
            points={slot: row for slot, row in self.points.items() if _applied(row) > gone},
            whole=None if self.whole is None or _applied(self.whole) <= gone else self.whole,
        )


def snapshot_row(service_key: str, part: MemoryPart) -> str:
    """Return the name of a snapshot's row."""
    return SNAPSHOTS + snapshot_key(service_key, part)


def point_row(service_key: str, part: MemoryPart, slot: int) -> str:
    """Return the name of a point's row."""
    return _TAB.join((service_key, part, str(slot)))


def grouped(rows: Mapping[str, bytes]) -> dict[str, dict[MemoryPart, Stored]]:
    """Return a partition's rows by service and part; the head row, and names that nobody gave, are left out."""
    found: dict[str, dict[MemoryPart, Stored]] = {}
    for name, row in rows.items():
        if name == HEAD:
            continue
        for key, part, slot in _read_name(name):
            stored = found.setdefault(key, {}).setdefault(part, Stored())
            if slot is not None:
                stored.points[slot] = row
            elif name.startswith(SNAPSHOTS):
                stored.snapshot = row
            else:
                stored.whole = row
    return found


def _read_name(name: str) -> Iterator[tuple[str, MemoryPart, int | None]]:
    """Yield (service key, part, slot) of a row's name, if it has a name of ours."""
    match name.removeprefix(SNAPSHOTS).split(_TAB):
        case [key]:
            yield key, MemoryPart.DETECTORS, None
        case [key, MemoryPart.NOVELTY.value] if name.startswith(SNAPSHOTS):
            yield key, MemoryPart.NOVELTY, None
        case [key, part, slot] if part in set(MemoryPart) and slot.isdecimal():
            yield key, MemoryPart(part), int(slot)


def whole_model(row: bytes) -> dict[str, object]:
    """Return the model's state in a row of the version before.

    Raises
    ------
    StateError
        If it holds none.

    """
    try:
        return msgspec.json.decode(row[8:], type=_Whole).model
    except msgspec.DecodeError as problem:
        raise StateError(f"a row of the version before cannot be read: {problem}") from problem


class _Whole(msgspec.Struct):
    model: dict[str, object]


def _applied(row: bytes) -> int:
    try:
        return applied_of(row)
    except StateError:
        return -1
