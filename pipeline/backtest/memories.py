"""What detectors learned from a history, as snapshots that a live worker starts warm from; on a topic, or in a file."""

import base64
import binascii
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any

import msgspec

from pipeline.analyse.detection import DetectionStage, restore
from pipeline.backtest.record import Record
from pipeline.contracts.keys import service_key
from pipeline.contracts.models import ModelSnapshot, read_snapshot, snapshot_key, write_snapshot
from pipeline.contracts.rows import SNAPSHOTS
from pipeline.errors import RecordInvalid, StateError, UsageError
from pipeline.settings import VERSION, Settings

SCHEMA = 1
"""Of the file."""
KIND = "tocsin-models"
MAX_LINE_BYTES = 16_777_216
"""Of one snapshot in a file: far above the 4 MiB that the topic takes."""


class Heading(msgspec.Struct, kw_only=True, frozen=True):
    """First line of a file: what follows, one snapshot a line."""

    kind: str
    schema: Annotated[int, msgspec.Meta(ge=1)]
    version: str
    snapshots: Annotated[int, msgspec.Meta(ge=0)]


class _Line(msgspec.Struct, kw_only=True, frozen=True):
    """One snapshot: its key on the topic, and its bytes in Base64."""

    key: str
    snapshot: str


def new_stage(settings: Settings) -> DetectionStage:
    """Return a stage that knows nothing; what it learns is signed ``APP_ID/train``.

    That is nobody's ``app_id``: offsets of a training mean nothing to a worker.
    """
    around = replace(settings.surroundings, app=f"{settings.app_id}/train")
    return restore(settings.detection, 0, {}, around)


def snapshots_of(stage: DetectionStage) -> dict[str, ModelSnapshot]:
    """Return what a stage has learned so far, by the snapshots' keys on the topic; offsets and counts left out."""
    stage.hasten()
    rows = stage.take_changes()
    read = (read_snapshot(row) for name, row in rows.items() if name.startswith(SNAPSHOTS) and row is not None)
    return {key_of(one): msgspec.structs.replace(one, applied=-1, n=0) for one in read}


def warm_stage(settings: Settings, snapshots: Iterable[ModelSnapshot]) -> DetectionStage:
    """Return a detection stage that goes on from snapshots, as a live worker does that finds them on the topic."""
    rows = {SNAPSHOTS + key_of(one): write_snapshot(one) for one in snapshots}
    return restore(settings.detection, 0, rows, settings.surroundings)


def cold_starts(stage: DetectionStage, snapshots: Iterable[ModelSnapshot], record: Record) -> list[str]:
    """Return what is to be said of snapshots from which nothing started warm."""
    first_ms = {key: watched.first_ms for key, watched in record.services.items()}
    n_late = sum(one.at_ms > first_ms.get(service_key(one.environment, one.service), one.at_ms) for one in snapshots)
    remarks = []
    if n_late:
        remarks.append(f"{n_late} snapshots are of a time after the history's first window: what they know was not used")
    if stage.n_cold:
        remarks.append(f"{stage.n_cold} snapshots cannot be used, and what they are of started cold; the last: {stage.cold_reason}")
    return remarks


def key_of(snapshot: ModelSnapshot) -> str:
    """Return a snapshot's key on the topic."""
    return snapshot_key(service_key(snapshot.environment, snapshot.service), snapshot.part)


def file_lines(snapshots: Mapping[str, ModelSnapshot]) -> Iterator[bytes]:
    """Yield the lines of a file that holds the snapshots."""
    heading = Heading(kind=KIND, schema=SCHEMA, version=VERSION, snapshots=len(snapshots))
    yield msgspec.json.encode(heading) + b"\n"
    for key, snapshot in sorted(snapshots.items()):
        line = _Line(key=key, snapshot=base64.b64encode(write_snapshot(snapshot)).decode())
        yield msgspec.json.encode(line) + b"\n"


def read_file(lines: Iterable[bytes]) -> list[ModelSnapshot]:
    """Return the snapshots of a file's lines.

    Raises
    ------
    UsageError
        If it is no such file.
    StateError
        If it is of another version, is cut off, or holds a snapshot that cannot be read.

    """
    rest = iter(lines)
    heading = _decoded(next(rest, b""), Heading)
    if heading is None or heading.kind != KIND:
        raise UsageError(f"not a file that `tocsin train --out` wrote: its first line must say {KIND}")
    if heading.schema != SCHEMA:
        raise StateError(f"the file is of schema {heading.schema}, written by Tocsin {heading.version}; this one reads {SCHEMA}")
    found = [_snapshot(line, i) for i, line in enumerate(rest, 2)]
    if len(found) != heading.snapshots:
        raise StateError(f"the file says {heading.snapshots} snapshots and holds {len(found)}: it was cut off")
    return found


def _snapshot(line: bytes, number: int) -> ModelSnapshot:
    read = _decoded(line, _Line)
    if read is None:
        raise StateError(f"line {number} holds no snapshot")
    try:
        snapshot = read_snapshot(base64.b64decode(read.snapshot, validate=True))
    except (RecordInvalid, binascii.Error) as problem:
        raise StateError(f"line {number}: {problem}") from problem
    if key_of(snapshot) != read.key:
        raise StateError(f"line {number}: the snapshot is of {key_of(snapshot)!r:.80}, its key is {read.key!r:.80}")
    return snapshot


def _decoded(line: bytes, kind: Any) -> Any:
    try:
        return msgspec.json.decode(line, type=kind) if len(line) <= MAX_LINE_BYTES else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
