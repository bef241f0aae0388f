"""Judges every closed window of every service: signals in, one verdict each out."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from models.errors import ModelStateError
from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.service_model import ServiceModel
from pipeline.contracts.anomalies import Verdict
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.ids import content_id
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound, Evicted
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, pack, unpack
from pipeline.contracts.signals import Notice, NoticeKind, Signals, SignalsRecord
from pipeline.errors import RecordInvalid, StateError

__all__ = ["DetectionParams", "DetectionStage", "restore"]
TOPIC = "anomalies"
T = TypeVar("T")
_MAX_UTILIZATION = 1e100
"""A larger one has no square."""
_MAX_GONE = 1000
"""Deleted rows that the head row remembers, so that an old copy of one does not come back."""


class _Row(msgspec.Struct, kw_only=True):
    schema: int = 1
    model: dict[str, Any]


class _Head(msgspec.Struct, kw_only=True):
    schema: int = 1
    gone: dict[str, int] = {}
    n_evicted: int = 0


class _Service:
    __slots__ = ("applied", "model")

    def __init__(self, model: ServiceModel, applied: int) -> None:
        self.model = model
        self.applied = applied


class DetectionStage:
    """One partition's detectors; see docs/architecture.md, "Stages".

    First publications are judged, revisions skipped; a rollup gets no verdict.

    Notes
    -----
    State: at most ``max_services`` services, about 13 KB each; past it the least recently heard of goes, counted in
    ``n_evicted``.

    """

    def __init__(self, params: DetectionParams, partition: int) -> None:
        self.applied = -1
        self.n_evicted = 0
        self._params = params
        self._partition = partition
        self._services: dict[str, _Service] = {}
        """By service key, least recently heard of first."""
        self._changed: dict[str, None] = {}
        self._gone: dict[str, int] = {}

    @property
    def bounds_reached(self) -> Mapping[Bound, int]:
        """Services whose detectors went for want of room, ever."""
        return {Evicted.DETECTORS: self.n_evicted}

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
            return self._judge(signals, record.offset)
        if isinstance(signals, Notice) and signals.notice is NoticeKind.SERVICE_RETIRED:
            return self._retire(signals, record.offset)
        return []

    def _judge(self, signals: Signals, offset: int) -> list[OutRecord]:
        if signals.rollup or signals.revision > 1:
            return []
        key = service_key(signals.environment, signals.service)
        service = self._services.pop(key, None)
        if service is not None and service.applied >= offset:
            self._services[key] = service
            return []
        if service is None or self._is_widened(service, signals):
            service = _Service(ServiceModel(self._params, signals.size_ms), -1)
        self._services[key] = service
        service.applied = offset
        self._changed[key] = None
        self._gone.pop(key, None)
        self._evict(offset)
        if signals.size_ms != service.model.size_ms or signals.window_start_ms <= service.model.last_start_ms:
            return []
        verdict = Verdict(
            id=content_id("verdict", signals.environment, signals.service, signals.window_start_ms, signals.window_end_ms),
            environment=signals.environment,
            service=signals.service,
            version=signals.version,
            window_start_ms=signals.window_start_ms,
            window_end_ms=signals.window_end_ms,
            findings=service.model.judge(signals),
            changes=signals.changes,
        )
        return [self._published(key, verdict)]

    @staticmethod
    def _is_widened(service: _Service, signals: Signals) -> bool:
        """A service that went over to wider windows starts again; a narrow straggler does not bring the old ones back."""
        return signals.size_ms > service.model.size_ms

    def _retire(self, notice: Notice, offset: int) -> list[OutRecord]:
        key = service_key(notice.environment, notice.service)
        service = self._services.pop(key, None)
        if service is not None and service.applied >= offset:
            self._services[key] = service
            return []
        self._forget(key, offset)
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
            del self._services[oldest]
            self.n_evicted += 1
            self._forget(oldest, offset)

    def _forget(self, key: str, offset: int) -> None:
        self._changed[key] = None
        self._gone.pop(key, None)
        self._gone[key] = offset
        while len(self._gone) > _MAX_GONE:
            del self._gone[next(iter(self._gone))]

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows changed since the last call, the head row last."""
        rows: dict[str, bytes | None] = {}
        for key in self._changed:
            service = self._services.get(key)
            rows[key] = None if service is None else pack(service.applied, encode(_Row(model=service.model.to_state())))
        self._changed.clear()
        rows[HEAD] = pack(self.applied, encode(_Head(gone=self._gone, n_evicted=self.n_evicted)))
        return rows

    def take_rows(self, rows: Mapping[str, bytes]) -> None:
        """Take stored rows over; those that the head row calls gone are left out."""
        if HEAD in rows:
            self.applied, body = unpack(rows[HEAD])
            head = _decoded(body, _Head, HEAD)
            self._gone, self.n_evicted = dict(head.gone), head.n_evicted
        restored = []
        for key, row in rows.items():
            if key == HEAD:
                continue
            applied, body = unpack(row)
            if applied > self._gone.get(key, -1):
                restored.append((applied, key, self._model(key, body)))
        for applied, key, model in sorted(restored, key=lambda one: one[:2]):
            self._services[key] = _Service(model, applied)

    def _model(self, key: str, body: bytes) -> ServiceModel:
        state = _decoded(body, _Row, key).model
        try:
            return ServiceModel(self._params, state["size_ms"]).from_state(state)
        except (ModelStateError, KeyError, TypeError, ValueError) as problem:
            raise StateError(f"the detectors of {key} cannot be restored: {problem!r}") from problem


def restore(params: DetectionParams, partition: int, rows: Mapping[str, bytes]) -> DetectionStage:
    """Return the stage of one partition, from its own rows.

    Raises
    ------
    StateError
        If a row cannot be read.

    """
    stage = DetectionStage(params, partition)
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
