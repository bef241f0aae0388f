"""All that is known of a service: what lies in its rows until it is needed, and then the living models."""

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.memory import Memory, phase_ms
from pipeline.analyse.memory_rows import Stored, point_row, snapshot_row
from pipeline.analyse.points import WindowPoint
from pipeline.analyse.recall import Recall
from pipeline.analyse.rollup_points import RollupPoint
from pipeline.analyse.rollup_watch import RollupWatch
from pipeline.analyse.service_watch import Judged, ServiceWatch
from pipeline.analyse.surroundings import Surroundings
from pipeline.contracts.anomalies import Finding
from pipeline.contracts.keys import split_service_key
from pipeline.contracts.models import MemoryPart, ModelSnapshot, write_snapshot

DetectorMemory = Memory[WindowPoint, Judged | None]
NoveltyMemory = Memory[RollupPoint, list[Finding]]
Rows = dict[str, bytes | None]


class ServiceMemory:
    """The parts of one service's memory, stored or living.

    Parameters
    ----------
    key
        Of the service, ``environment/service``.
    stored
        What lies in its rows, by part.

    """

    __slots__ = ("_is_whole", "_slots", "detectors", "key", "novelty", "stored")

    def __init__(self, key: str, stored: Mapping[MemoryPart, Stored] | None = None) -> None:
        self.key = key
        self.stored = dict(stored or {})
        self.detectors: DetectorMemory | None = None
        self.novelty: NoveltyMemory | None = None
        self._is_whole = any(one.whole is not None for one in self.stored.values())
        """The version before kept it in one row, which goes when there is a snapshot in its place."""
        self._slots = {part: max(one.points, default=-1) + 1 for part, one in self.stored.items()}

    @property
    def has_detectors(self) -> bool:
        """Whether windows of it were judged."""
        return self.detectors is not None or MemoryPart.DETECTORS in self.stored

    @property
    def has_novelty(self) -> bool:
        """Whether its rollups are watched."""
        return self.novelty is not None or MemoryPart.NOVELTY in self.stored

    def living(self) -> Iterator[tuple[MemoryPart, Memory[Any, Any]]]:
        """Yield the parts that were needed since the stage was restored."""
        if self.novelty is not None:
            yield MemoryPart.NOVELTY, self.novelty
        if self.detectors is not None:
            yield MemoryPart.DETECTORS, self.detectors

    def heard(self, app: str) -> int:
        """Return the highest offset folded into any part; -1: none."""
        living = (memory.applied for _, memory in self.living())
        return max([-1, *living, *(stored.heard(app) for stored in self.stored.values())])

    def take(self, part: MemoryPart, around: Surroundings) -> tuple[Rows, Rows]:
        """Return the rows of a part that a checkpoint is to write: its snapshot, and its points."""
        memory: Memory[Any, Any] | None = self.novelty if part is MemoryPart.NOVELTY else self.detectors
        if memory is None:
            return {}, {}
        kept, snapshot = memory.take(), Rows()
        points: Rows = {point_row(self.key, part, slot): row for slot, row in kept.points.items()}
        if kept.state is not None:
            snapshot[snapshot_row(self.key, part)] = self._snapshot(part, memory, kept.state, around)
            if self._is_whole and part is MemoryPart.DETECTORS:
                self._is_whole, points[self.key] = False, None
        self._slots[part] = max(self._slots.get(part, 0), memory.n_points)
        return snapshot, points

    def row_names(self) -> Iterator[str]:
        """Yield the names of all rows that it may have."""
        yield self.key
        for part in MemoryPart:
            yield snapshot_row(self.key, part)
            for slot in range(self._slots.get(part, 0)):
                yield point_row(self.key, part, slot)

    def _snapshot(self, part: MemoryPart, memory: Memory[Any, Any], state: dict[str, Any], around: Surroundings) -> bytes:
        environment, service = split_service_key(self.key)
        return write_snapshot(
            ModelSnapshot(
                app=around.app,
                version=around.version,
                part=part,
                environment=environment,
                service=service,
                applied=memory.applied,
                n=memory.n,
                at_ms=memory.at_ms,
                state=state,
            )
        )


class Remembrance:
    """Brings a partition's memories back when they are needed; what cannot be read starts cold, counted.

    Parameters
    ----------
    params, around
        Of the models.
    vouched
        Offset that the partition's head row vouched for when its stage was restored.

    Attributes
    ----------
    n_cold, reason
        Memories that started cold though something was stored; why the last one did.

    """

    def __init__(self, params: DetectionParams, around: Surroundings, vouched: int) -> None:
        self.n_cold = 0
        self.reason = ""
        self._params = params
        self._around = around
        self._vouched = vouched

    def detectors(self, service: ServiceMemory, size_ms: int, start_ms: int) -> DetectorMemory:
        """Return a service's detectors; new ones are for windows of ``size_ms``. ``start_ms`` is the window at hand's."""
        if service.detectors is None:
            around, calendar = self._around, self._around.calendar.of(service.key)

            def fresh() -> ServiceWatch:
                return ServiceWatch(self._params, around.learning, calendar, size_ms)

            recall = Recall(
                fresh=fresh,
                load=lambda state: fresh().from_state(state),
                point_type=WindowPoint,
                **self._place(service.key, around.memory.snapshot_s, start_ms),
            )
            service.detectors = self._brought_back(service, MemoryPart.DETECTORS, recall)
        return service.detectors

    def novelty(self, service: ServiceMemory, start_ms: int) -> NoveltyMemory:
        """Return a service's novelty detectors."""
        if service.novelty is None:
            around = self._around

            def fresh() -> RollupWatch:
                return RollupWatch(around.novelty, self._params, around.learning)

            recall = Recall(
                fresh=fresh,
                load=lambda state: fresh().from_state(state),
                point_type=RollupPoint,
                **self._place(service.key, around.memory.novelty_snapshot_s, start_ms),
            )
            service.novelty = self._brought_back(service, MemoryPart.NOVELTY, recall)
        return service.novelty

    def _place(self, key: str, interval_s: float, start_ms: int) -> dict[str, Any]:
        interval_ms = round(interval_s * 1000)
        return {
            "interval_ms": interval_ms,
            "phase_ms": phase_ms(key, interval_ms),
            "app": self._around.app,
            "head": self._vouched,
            "before_ms": start_ms,
        }

    def _brought_back(self, service: ServiceMemory, part: MemoryPart, recall: Recall) -> Memory[Any, Any]:
        memory, problem = recall(service.stored.pop(part, Stored()))
        if problem:
            self.n_cold += 1
            self.reason = f"{service.key}: {problem}"
        return memory
