"""Judges every closed window of every service: signals in, one verdict each out."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.heard import Heard, decode_heard
from pipeline.analyse.learning import Count
from pipeline.analyse.memory_rows import grouped
from pipeline.analyse.points import WindowPoint
from pipeline.analyse.rollup_points import RollupPoint
from pipeline.analyse.rollup_watch import PREFIX
from pipeline.analyse.service_memory import Remembrance, Rows, ServiceMemory
from pipeline.analyse.surroundings import Surroundings
from pipeline.contracts.anomalies import Finding, Judgement, Verdict
from pipeline.contracts.codec import encode
from pipeline.contracts.ids import content_id
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound, Evicted
from pipeline.contracts.models import MemoryPart
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, pack, read_row
from pipeline.contracts.signals import Notice, NoticeKind
from pipeline.contracts.window_times import BASE_SIZE_MS, ROLLUP_SIZE_MS

__all__ = ["DetectionParams", "DetectionStage", "Surroundings", "restore"]
TOPIC = "anomalies"
T = TypeVar("T")
_MAX_GONE = 1000
"""Deleted rows that the head row remembers, so that an old copy of one does not come back."""


class _Head(msgspec.Struct, kw_only=True):
    schema: int = 1
    gone: dict[str, int] = {}
    n_evicted: int = 0


class DetectionStage:
    """One partition's detectors; see docs/architecture.md, "Stages", and docs/adr/0008 for what it keeps.

    First publications are judged; a revision brings only what people did and said meanwhile. A rollup, or a window that is
    as long as one, is judged for novelty, in a verdict of its own.

    Attributes
    ----------
    applied
        Offset of the last record folded in.
    n_evicted
        Services given up for want of room.
    n_kinds_evicted
        Kinds of log lines given up for want of room, since the stage was restored.
    n_unwatched
        Rollups that were not judged for novelty, because too many services are.

    Notes
    -----
    State: at most ``max_services`` services; past it the least recently heard of goes, counted in ``n_evicted``.

    """

    def __init__(self, params: DetectionParams, partition: int, around: Surroundings, rows: Mapping[str, bytes]) -> None:
        self._params = params
        self._around = around
        self._partition = partition
        self._changed: dict[str, None] = {}
        self._deleted: dict[str, None] = {}
        """Names of rows that go."""
        self.n_unwatched = 0
        self.n_kinds_evicted = 0
        self.applied, head = -1, _Head()
        if HEAD in rows:
            self.applied, head = read_row(HEAD, rows[HEAD], _Head)
        self._gone, self.n_evicted = dict(head.gone), head.n_evicted
        self._services = self._stored(rows)
        """By service key, least recently heard of first. Models are made when they are needed."""
        self._n_novelty = sum(service.has_novelty for service in self._services.values())
        self._remembrance = Remembrance(params, around, self.applied)

    @property
    def n_cold(self) -> int:
        """Memories that could not be read back and started cold."""
        return self._remembrance.n_cold

    @property
    def cold_reason(self) -> str:
        """Why the last of them did."""
        return self._remembrance.reason

    def _stored(self, rows: Mapping[str, bytes]) -> dict[str, ServiceMemory]:
        """Return the services in stored rows without what the head row calls gone, the one heard of last at the end."""
        app, services = self._around.app, list[ServiceMemory]()
        for key, parts in grouped(rows).items():
            if key in self._gone:
                self._deleted |= dict.fromkeys(ServiceMemory(key, parts).row_names())  # recovery brings deleted rows back
            left = {part: one.without_gone(self._gone.get(key, -1), app) for part, one in parts.items()}
            if any(left.values()):
                services.append(ServiceMemory(key, {part: one for part, one in left.items() if one}))
        return {service.key: service for service in sorted(services, key=lambda one: (one.heard(app), one.key))}

    @property
    def bounds_reached(self) -> Mapping[Bound, int]:
        """Services whose detectors went for want of room, ever; kinds of log lines that did, since the stage was restored."""
        return {Evicted.DETECTORS: self.n_evicted, Evicted.LOG_TEMPLATES: self.n_kinds_evicted}

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
        heard = decode_heard(record.value)
        if isinstance(heard, Heard):
            said = [] if heard.rollup else self._judge(heard, record.offset)
            is_whole = heard.rollup or heard.size_ms >= ROLLUP_SIZE_MS
            return said + self._judge_rollup(heard, record.offset) if is_whole and heard.revision == 1 else said
        if isinstance(heard, Notice) and heard.notice is NoticeKind.SERVICE_RETIRED:
            return self._retire(heard, record.offset)
        return []

    def hasten(self) -> None:
        """Have the next checkpoint take a snapshot of all that has points: the partition is about to be given up."""
        for key, service in self._services.items():
            for _, memory in service.living():
                memory.hasten()
                self._changed[key] = None

    def counts(self) -> dict[str, Count]:
        """Return alarms and feedback by kind of condition, of the services heard of since the stage was restored."""
        total: dict[str, Count] = {}
        for service in self._services.values():
            for _, memory in service.living():
                watch: Any = memory.model
                for condition, count in watch.discipline.counts.items():
                    kind = condition if condition.startswith(PREFIX) else condition.partition(":")[0]
                    sums = total.setdefault(kind, Count())
                    for name in Count.__struct_fields__:
                        setattr(sums, name, getattr(sums, name) + getattr(count, name))
        return total

    def _judge(self, heard: Heard, offset: int) -> list[OutRecord]:
        key = service_key(heard.environment, heard.service)
        if heard.revision > 1 and (key not in self._services or not (heard.changes or heard.feedback)):
            return []
        point = WindowPoint.of(heard)
        service = self._touched(key)
        memory = self._remembrance.detectors(service, point.size_ms, point.start_ms)
        watch: Any = memory.model
        if memory.applied >= offset or not watch.wants(point):
            return []
        judged = memory.fold(offset, point, point.end_ms)
        self.n_kinds_evicted += watch.take_evicted()
        self._wrote(key, offset)
        if judged is None:
            return []
        verdict = Verdict(
            id=content_id("verdict", heard.environment, heard.service, heard.window_start_ms, heard.window_end_ms),
            environment=heard.environment,
            service=heard.service,
            version=heard.version,
            window_start_ms=heard.window_start_ms,
            window_end_ms=heard.window_end_ms,
            findings=judged.findings,
            changes=heard.changes,
            not_learned=judged.not_learned,
            exemplars=_if_bad(heard.exemplars, judged.findings),
            callees=_if_bad(heard.calls, judged.findings),
        )
        return [self._published(key, verdict)]

    def _judge_rollup(self, heard: Heard, offset: int) -> list[OutRecord]:
        key, params = service_key(heard.environment, heard.service), self._around.novelty
        known = self._services.get(key)
        if params.mode == "disabled":
            return []
        if (known is None or not known.has_novelty) and self._n_novelty >= params.max_services:
            self.n_unwatched += 1
            return []
        service = self._touched(key)
        trouble = self._trouble(service, heard.window_start_ms)
        point = RollupPoint.of(heard, trouble=trouble, least_requests=params.least_requests)
        self._n_novelty += not service.has_novelty
        memory = self._remembrance.novelty(service, point.start_ms)
        watch: Any = memory.model
        if memory.applied >= offset or not watch.wants(point):
            return []
        findings = memory.fold(offset, point, point.end_ms)
        self._wrote(key, offset)
        times = heard.window_start_ms, heard.window_end_ms
        verdict = Verdict(
            id=content_id("verdict", heard.environment, heard.service, *times, "rollup"),
            environment=heard.environment,
            service=heard.service,
            version=heard.version,
            window_start_ms=heard.window_start_ms,
            window_end_ms=heard.window_end_ms,
            rollup=True,
            findings=findings,
            changes=heard.changes,
            not_learned=trouble,
            shadow=params.mode == "shadow",
            exemplars=_if_bad(heard.exemplars, findings),
            callees=_if_bad(heard.calls, findings),
        )
        return [self._published(key, verdict)]

    def _trouble(self, service: ServiceMemory, start_ms: int) -> str:
        """Return why the detectors did not learn from a window that ended after ``start_ms``; empty: they did."""
        if not service.has_detectors:
            return ""
        watch: Any = self._remembrance.detectors(service, BASE_SIZE_MS, start_ms).model
        trouble: str = watch.trouble_since(start_ms)
        return trouble

    def _touched(self, key: str) -> ServiceMemory:
        """Return a service, a new one if need be, as the one heard of last."""
        service = self._services.pop(key, None) or ServiceMemory(key)
        self._services[key] = service
        return service

    def _wrote(self, key: str, offset: int) -> None:
        self._changed[key] = None
        self._gone.pop(key, None)
        self._evict(offset)

    def _retire(self, notice: Notice, offset: int) -> list[OutRecord]:
        key = service_key(notice.environment, notice.service)
        service = self._services.get(key)
        if service is not None and service.heard(self._around.app) >= offset:
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

    def _published(self, key: str, verdict: Verdict) -> OutRecord:
        return OutRecord(topic=TOPIC, key=key, value=encode(verdict), partition=self._partition, timestamp_ms=verdict.window_end_ms)

    def _evict(self, offset: int) -> None:
        while len(self._services) > self._params.max_services:
            oldest = next(iter(self._services))
            self.n_evicted += 1
            self._forget(oldest, self._services.pop(oldest), offset)

    def _forget(self, key: str, service: ServiceMemory | None, offset: int) -> None:
        self._changed.pop(key, None)
        if service is not None:
            self._n_novelty -= service.has_novelty
            self._deleted |= dict.fromkeys(service.row_names())
        self._gone.pop(key, None)
        self._gone[key] = offset
        while len(self._gone) > _MAX_GONE:
            del self._gone[next(iter(self._gone))]

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows changed since the last call, in the order in which they must be written; the head row last.

        Of each part snapshots before points, which follow them; novelty before the detectors, because it looks at them: a
        rollup that is judged a second time must not see them ahead of it.
        """
        written: Rows = {}
        for part in (MemoryPart.NOVELTY, MemoryPart.DETECTORS):
            taken = [self._services[key].take(part, self._around) for key in self._changed]
            for kind in zip(*taken, strict=True):
                for some in kind:
                    written |= some
        rows = written | {name: None for name in self._deleted if name not in written}
        self._changed.clear()
        self._deleted.clear()
        rows[HEAD] = pack(self.applied, encode(_Head(gone=self._gone, n_evicted=self.n_evicted)))
        return rows


def _if_bad(told: Collection[T], findings: Sequence[Finding]) -> list[T]:
    """Return what is told of a window only where something about it is anomalous."""
    return list(told) if told and any(finding.judgement is Judgement.ANOMALOUS for finding in findings) else []


def restore(
    params: DetectionParams, partition: int, rows: Mapping[str, bytes], around: Surroundings | None = None
) -> DetectionStage:
    """Return the stage of one partition, from its own rows.

    Raises
    ------
    StateError
        If the head row cannot be read.

    """
    return DetectionStage(params, partition, around or Surroundings(), rows)
