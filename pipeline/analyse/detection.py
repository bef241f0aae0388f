"""Judges every closed window of every service: signals in, one verdict each out."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from pipeline.analyse.calendar import CalendarParams
from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.learning import Count, LearningParams
from pipeline.analyse.memory import Foldable, Memory, MemoryParams, phase_ms
from pipeline.analyse.memory_rows import Stored, grouped, point_row, snapshot_row
from pipeline.analyse.novelty_params import NoveltyParams
from pipeline.analyse.points import WindowPoint
from pipeline.analyse.recall import Recall
from pipeline.analyse.rollup_points import RollupPoint
from pipeline.analyse.rollup_watch import PREFIX, RollupWatch
from pipeline.analyse.service_watch import Judged, ServiceWatch
from pipeline.contracts.anomalies import Finding, Verdict
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.ids import content_id
from pipeline.contracts.keys import service_key, split_service_key
from pipeline.contracts.models import MemoryPart, ModelSnapshot, write_snapshot
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, pack, unpack
from pipeline.contracts.signals import Notice, NoticeKind, Signals, SignalsRecord
from pipeline.contracts.window_times import BASE_SIZE_MS, ROLLUP_SIZE_MS
from pipeline.errors import RecordInvalid, StateError

__all__ = ["DetectionParams", "DetectionStage", "Surroundings", "restore"]
TOPIC = "anomalies"
T = TypeVar("T")
_MAX_UTILIZATION = 1e100
"""A larger one has no square."""
_MAX_GONE = 1000
"""Deleted rows that the head row remembers, so that an old copy of one does not come back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the stage goes by besides its own tuning.

    Attributes
    ----------
    learning, calendar, memory, novelty
        When learning stops, what people know in advance, when snapshots are taken, what the novelty detectors are for.
    app, version
        Who writes snapshots: ``app_id``, and the version of this Tocsin.

    """

    learning: LearningParams = field(default_factory=LearningParams)
    calendar: CalendarParams = field(default_factory=CalendarParams)
    memory: MemoryParams = field(default_factory=MemoryParams)
    novelty: NoveltyParams = field(default_factory=lambda: NoveltyParams(mode="off"))
    app: str = ""
    version: str = ""


class _Head(msgspec.Struct, kw_only=True):
    schema: int = 1
    gone: dict[str, int] = {}
    n_evicted: int = 0


class _Service:
    """What is known of a service: what lies in its rows, and of what was touched since, the living memory."""

    __slots__ = ("detectors", "novelty", "slots", "stored")

    def __init__(self, stored: Mapping[MemoryPart, Stored] | None = None) -> None:
        self.stored = dict(stored or {})
        self.detectors: Memory[WindowPoint, Judged | None] | None = None
        self.novelty: Memory[RollupPoint, list[Finding]] | None = None
        self.slots = {part: max(one.points, default=-1) + 1 for part, one in self.stored.items()}

    def memories(self) -> Iterator[tuple[MemoryPart, Memory[Any, Any]]]:
        """Yield the living parts."""
        if self.detectors is not None:
            yield MemoryPart.DETECTORS, self.detectors
        if self.novelty is not None:
            yield MemoryPart.NOVELTY, self.novelty

    @property
    def has_novelty(self) -> bool:
        """Whether its rollups are watched."""
        return self.novelty is not None or MemoryPart.NOVELTY in self.stored


class DetectionStage:
    """One partition's detectors; see docs/architecture.md, "Stages", and docs/adr/0007 for what it keeps.

    First publications are judged; a revision brings only what people did and said meanwhile. A rollup, or a window that is
    as long as one, is judged for novelty, in a verdict of its own.

    Attributes
    ----------
    applied
        Offset of the last record folded in.
    n_evicted
        Services given up for want of room.
    n_unwatched
        Rollups that were not judged for novelty, because too many services are.
    n_cold, cold_reason
        Memories that could not be read back and started cold; why the last one did.

    Notes
    -----
    State: at most ``max_services`` services; past it the least recently heard of goes, counted in ``n_evicted``.

    """

    def __init__(self, params: DetectionParams, partition: int, around: Surroundings) -> None:
        self.applied = -1
        self.n_evicted = 0
        self.n_unwatched = 0
        self._n_novelty = 0
        self.n_cold = 0
        self.cold_reason = ""
        self._params = params
        self._around = around
        self._partition = partition
        self._vouched = -1
        """Offset that the head row vouched for when this stage was restored."""
        self._services: dict[str, _Service] = {}
        """By service key, least recently heard of first."""
        self._changed: dict[str, None] = {}
        self._deleted: dict[str, None] = {}
        """Names of rows that go."""
        self._gone: dict[str, int] = {}

    def step(self, record: InRecord, now_ms: int) -> list[OutRecord]:  # noqa: ARG002 - the stage protocol has a clock
        """Fold in one record of ``tocsin.signals``; return the verdict, if there is one.

        Raises
        ------
        RecordInvalid
            If it is none that the window stage could have written: no such record, or a window that cannot be.

        """
        self.applied = record.offset
        if record.value is None:
            return []
        signals = decode_signals(record.value)
        if isinstance(signals, Signals):
            said = [] if signals.rollup else self._judge(signals, record.offset)
            is_whole = signals.rollup or signals.size_ms >= ROLLUP_SIZE_MS
            return said + self._judge_rollup(signals, record.offset) if is_whole and signals.revision == 1 else said
        if isinstance(signals, Notice) and signals.notice is NoticeKind.SERVICE_RETIRED:
            return self._retire(signals, record.offset)
        return []

    def hasten(self) -> None:
        """Have the next checkpoint take a snapshot of all that has points: the partition is about to be given up."""
        for key, service in self._services.items():
            for _, memory in service.memories():
                memory.hasten()
                self._changed[key] = None

    def counts(self) -> dict[str, Count]:
        """Return alarms and feedback by kind of condition, of the services heard of since the stage was restored."""
        total: dict[str, Count] = {}
        for service in self._services.values():
            for _, memory in service.memories():
                watch: Any = memory.model
                for condition, count in watch.discipline.counts.items():
                    kind = condition if condition.startswith(PREFIX) else condition.partition(":")[0]
                    sums = total.setdefault(kind, Count())
                    for name in Count.__struct_fields__:
                        setattr(sums, name, getattr(sums, name) + getattr(count, name))
        return total

    def _judge(self, signals: Signals, offset: int) -> list[OutRecord]:
        key = service_key(signals.environment, signals.service)
        if signals.revision > 1 and (key not in self._services or not (signals.changes or signals.feedback)):
            return []
        point = WindowPoint.of(signals)
        service = self._touched(key)
        memory = service.detectors or self._recalled(key, service, point.size_ms, point.start_ms)
        watch: Any = memory.model
        if memory.applied >= offset or not watch.wants(point):
            return []
        judged = memory.fold(offset, point, point.end_ms)
        self._wrote(key, offset)
        if judged is None:
            return []
        verdict = Verdict(
            id=content_id("verdict", signals.environment, signals.service, signals.window_start_ms, signals.window_end_ms),
            environment=signals.environment,
            service=signals.service,
            version=signals.version,
            window_start_ms=signals.window_start_ms,
            window_end_ms=signals.window_end_ms,
            findings=judged.findings,
            changes=signals.changes,
            not_learned=judged.not_learned,
        )
        return [self._published(key, verdict)]

    def _judge_rollup(self, signals: Signals, offset: int) -> list[OutRecord]:
        key, params = service_key(signals.environment, signals.service), self._around.novelty
        known = self._services.get(key)
        if params.mode == "off":
            return []
        if (known is None or not known.has_novelty) and self._n_novelty >= params.max_services:
            self.n_unwatched += 1
            return []
        service = self._touched(key)
        trouble = self._trouble(key, service, signals.window_start_ms)
        point = RollupPoint.of(signals, trouble=trouble, least_requests=params.least_requests)
        memory = service.novelty or self._recalled_novelty(key, service, point.start_ms)
        watch: Any = memory.model
        if memory.applied >= offset or not watch.wants(point):
            return []
        findings = memory.fold(offset, point, point.end_ms)
        self._wrote(key, offset)
        times = signals.window_start_ms, signals.window_end_ms
        verdict = Verdict(
            id=content_id("verdict", signals.environment, signals.service, *times, "rollup"),
            environment=signals.environment,
            service=signals.service,
            version=signals.version,
            window_start_ms=signals.window_start_ms,
            window_end_ms=signals.window_end_ms,
            rollup=True,
            findings=findings,
            changes=signals.changes,
            not_learned=trouble,
            shadow=params.mode == "shadow",
        )
        return [self._published(key, verdict)]

    def _trouble(self, key: str, service: _Service, start_ms: int) -> str:
        """Return why the detectors did not learn from a window that ended after ``start_ms``; empty: they did."""
        if service.detectors is None and MemoryPart.DETECTORS not in service.stored:
            return ""
        memory = service.detectors or self._recalled(key, service, BASE_SIZE_MS, start_ms)
        watch: Any = memory.model
        trouble: str = watch.trouble_since(start_ms)
        return trouble

    def _touched(self, key: str) -> _Service:
        """Return a service, a new one if need be, as the one heard of last."""
        service = self._services.pop(key, None) or _Service()
        self._services[key] = service
        return service

    def _wrote(self, key: str, offset: int) -> None:
        self._changed[key] = None
        self._gone.pop(key, None)
        self._evict(offset)

    def _recalled(self, key: str, service: _Service, size_ms: int, start_ms: int) -> Memory[WindowPoint, Judged | None]:
        around, calendar = self._around, self._around.calendar.of(key)

        def fresh() -> ServiceWatch:
            return ServiceWatch(self._params, around.learning, calendar, size_ms)

        recall = self._recall(key, lambda state: fresh().from_state(state), fresh, around.memory.snapshot_s, WindowPoint, start_ms)
        service.detectors = self._brought_back(key, service, MemoryPart.DETECTORS, recall)
        return service.detectors

    def _recalled_novelty(self, key: str, service: _Service, start_ms: int) -> Memory[RollupPoint, list[Finding]]:
        around, interval_s = self._around, self._around.memory.novelty_snapshot_s

        def fresh() -> RollupWatch:
            return RollupWatch(around.novelty, self._params, around.learning)

        self._n_novelty += not service.has_novelty
        recall = self._recall(key, lambda state: fresh().from_state(state), fresh, interval_s, RollupPoint, start_ms)
        service.novelty = self._brought_back(key, service, MemoryPart.NOVELTY, recall)
        return service.novelty

    def _recall(  # noqa: PLR0917 - what differs between two parts
        self,
        key: str,
        load: Callable[[Mapping[str, Any]], Foldable[Any, Any]],
        fresh: Callable[[], Foldable[Any, Any]],
        interval_s: float,
        point_type: type,
        start_ms: int,
    ) -> Recall:
        interval_ms = round(interval_s * 1000)
        return Recall(
            fresh=fresh,
            load=load,
            interval_ms=interval_ms,
            phase_ms=phase_ms(key, interval_ms),
            point_type=point_type,
            app=self._around.app,
            head=self._vouched,
            before_ms=start_ms,
        )

    def _brought_back(self, key: str, service: _Service, part: MemoryPart, recall: Recall) -> Memory[Any, Any]:
        """Bring a part of a service's memory back from what is stored; what cannot be read starts cold, counted."""
        stored = service.stored.pop(part, Stored())
        memory, problem = recall(stored)
        if problem:
            self.n_cold += 1
            self.cold_reason = f"{key}: {problem}"
        if stored.whole is not None:
            self._deleted[key] = None
        return memory

    def _retire(self, notice: Notice, offset: int) -> list[OutRecord]:
        key = service_key(notice.environment, notice.service)
        service = self._services.get(key)
        if service is not None and self._heard(service) >= offset:
            return []
        self._services.pop(key, None)
        self._forget(key, service, offset)
        verdict = Verdict(
            id=content_id("verdict", notice.environment, notice.service, notice.at_ms, notice.at_ms),
            environment=notice.environment,
            service=notice.service,
            version=notice.version,
            window_start_ms=notice.at_ms,
            window_end_ms=notice.at_ms,
            retired=True,
        )
        return [self._published(key, verdict)]

    def _heard(self, service: _Service) -> int:
        """Return the highest offset folded into any part of a service's memory."""
        offsets = [memory.applied for _, memory in service.memories()]
        return max([-1, *offsets, *(stored.heard(self._around.app) for stored in service.stored.values())])

    def _published(self, key: str, verdict: Verdict) -> OutRecord:
        return OutRecord(topic=TOPIC, key=key, value=encode(verdict), partition=self._partition, timestamp_ms=verdict.window_end_ms)

    def _evict(self, offset: int) -> None:
        while len(self._services) > self._params.max_services:
            oldest = next(iter(self._services))
            self.n_evicted += 1
            self._forget(oldest, self._services.pop(oldest), offset)

    def _forget(self, key: str, service: _Service | None, offset: int) -> None:
        self._changed.pop(key, None)
        if service is not None:
            self._n_novelty -= service.has_novelty
            for part in MemoryPart:
                self._deleted[snapshot_row(key, part)] = None
                self._deleted |= {point_row(key, part, slot): None for slot in range(service.slots.get(part, 0))}
            self._deleted[key] = None
        self._gone.pop(key, None)
        self._gone[key] = offset
        while len(self._gone) > _MAX_GONE:
            del self._gone[next(iter(self._gone))]

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows changed since the last call: snapshots first, then points, then what goes, the head row last."""
        snapshots: dict[str, bytes | None] = {}
        points: dict[str, bytes | None] = {}
        for key in self._changed:
            service = self._services[key]
            for part, memory in service.memories():
                kept = memory.take()
                if kept.state is not None:
                    snapshots[snapshot_row(key, part)] = self._snapshot(key, part, memory, kept.state)
                points |= {point_row(key, part, slot): row for slot, row in kept.points.items()}
                service.slots[part] = max(service.slots.get(part, 0), memory.n_points)
        written = snapshots | points
        rows = written | {name: None for name in self._deleted if name not in written}
        self._changed.clear()
        self._deleted.clear()
        rows[HEAD] = pack(self.applied, encode(_Head(gone=self._gone, n_evicted=self.n_evicted)))
        return rows

    def _snapshot(self, key: str, part: MemoryPart, memory: Memory[Any, Any], state: dict[str, Any]) -> bytes:
        environment, service = split_service_key(key)
        return write_snapshot(
            ModelSnapshot(
                app=self._around.app,
                version=self._around.version,
                part=part,
                environment=environment,
                service=service,
                applied=memory.applied,
                n=memory.n,
                at_ms=memory.at_ms,
                state=state,
            )
        )

    def take_rows(self, rows: Mapping[str, bytes]) -> None:
        """Take stored rows over; those that the head row calls gone are left out. Models are made when they are needed."""
        if HEAD in rows:
            self.applied, body = unpack(rows[HEAD])
            head = _decoded(body, _Head, HEAD)
            self._gone, self.n_evicted = dict(head.gone), head.n_evicted
        self._vouched = self.applied
        app = self._around.app
        services = {
            key: _Service(
                {part: one.without_gone(self._gone[key], app) if key in self._gone else one for part, one in stored.items()}
            )
            for key, stored in grouped(rows).items()
        }
        self._n_novelty = sum(service.has_novelty for service in services.values())
        self._services = dict(sorted(services.items(), key=lambda one: (self._heard(one[1]), one[0])))


def restore(
    params: DetectionParams, partition: int, rows: Mapping[str, bytes], around: Surroundings | None = None
) -> DetectionStage:
    """Return the stage of one partition, from its own rows.

    Raises
    ------
    StateError
        If the head row cannot be read.

    """
    stage = DetectionStage(params, partition, around or Surroundings())
    stage.take_rows(rows)
    return stage


def decode_signals(value: bytes) -> SignalsRecord:
    """Return the record of ``tocsin.signals`` that ``value`` holds.

    Raises
    ------
    RecordInvalid
        If it holds none, or one that says what cannot be.

    """
    record: SignalsRecord = decode(value, SignalsRecord)  # type: ignore[arg-type]  # a union is a type to msgspec
    if isinstance(record, Signals):
        if record.window_end_ms <= record.window_start_ms:
            raise RecordInvalid(f"not Signals: the window from {record.window_start_ms} to {record.window_end_ms} has no length")
        for resource, usage in record.saturation.items():
            if abs(usage.mean) > _MAX_UTILIZATION:
                raise RecordInvalid(f"not Signals: a utilization of {usage.mean} of {resource[:40]!r}")
    return record


def _decoded(body: bytes, row_type: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(body, type=row_type)
    except msgspec.DecodeError as problem:
        raise StateError(f"row {name} cannot be read: {problem}") from problem
