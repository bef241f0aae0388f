"""Which verdicts become alert events: the life of each condition of a service, from pending to firing to resolved."""

from collections.abc import Iterable, Mapping
from dataclasses import field
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple, TypeVar

import msgspec
from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.analyse.alert_events import alert_event
from pipeline.analyse.lives import ConditionRule, Decision, Life, Ms, Patience, begun, counted, decide
from pipeline.contracts.alerts import AlertState, ResolveReason, Transition
from pipeline.contracts.anomalies import Finding, Judgement, Verdict
from pipeline.contracts.bounded_rows import BoundedRows
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.config import PARAMS
from pipeline.contracts.directory import Directory
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound, Evicted, Limit
from pipeline.contracts.partials import ChangeNote
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.rows import HEAD, pack, read_row

SCHEMA = 1
"""Of the rows below."""
MAX_CHANGES = 8
"""Change notes kept per service, the newest."""
RETIREMENT = "retirement"
"""A change that ends a service, and explains nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class AlertingParams:
    """When conditions fire and end, and what their alerts say.

    Attributes
    ----------
    rules
        By condition; the first that matches counts, and what none matches follows a rule's defaults (2 and 3 windows).
    patience
        How long a life goes on without news.
    recent_change_ms
        A change that came at most so long before a problem is told with it, ms.
    max_services
        Services per partition whose lives are kept; beyond, the one touched longest ago goes. At least 1.
    max_conditions
        Conditions pending or firing at once per service; further ones are not opened. At least 1.
    actions
        Suggested first action, one sentence, by condition, kind of condition, signal, type of a recent change, or ``*``.
    runbooks
        Link by condition, kind of condition, signal, or ``*``, for services whose entry has none; ``{condition}`` stands
        for the kind of condition.
    trace_url
        Link to a trace, with ``{trace_id}`` in it; empty: none is told.

    """

    rules: tuple[ConditionRule, ...] = ()
    patience: Patience = field(default_factory=Patience)
    recent_change_ms: Ms = 3_600_000
    max_services: Annotated[int, Field(ge=1)] = 20_000
    max_conditions: Annotated[int, Field(ge=1)] = 32
    actions: dict[str, str] = field(default_factory=dict)
    runbooks: dict[str, str] = field(default_factory=dict)
    trace_url: Annotated[str, Field(pattern=r"^(https?://[!-~]*\{trace_id\}[!-~]*)?$")] = ""

    def rule(self, condition: str) -> ConditionRule:
        """Return the first rule that matches, or the default one."""
        for rule in self.rules:
            if fnmatchcase(condition, rule.match):
                return rule
        return ConditionRule(match="*")


class ServiceRow(msgspec.Struct, kw_only=True, frozen=True):
    """One service: its open lives by condition, what people did to it lately, and which windows were judged.

    A window at or before ``end_ms`` (rollups: ``rollup_end_ms``) was judged before; its verdict came twice.
    """

    schema: int = SCHEMA
    version: str = ""
    end_ms: int = -1
    rollup_end_ms: int = -1
    lives: dict[str, Life] = {}
    changes: list[ChangeNote] = []


class _Head(msgspec.Struct, kw_only=True, frozen=True):
    schema: int = SCHEMA
    gone_through: int = -1


class _Judged(msgspec.Struct, frozen=True, gc=False):
    """Of a finding: what tells calm from trouble."""

    judgement: Judgement


class _Glance(msgspec.Struct, frozen=True):
    """Of a verdict: what decides whether the rest of it is worth decoding; nearly none is."""

    environment: str
    service: str
    findings: list[_Judged] = []
    changes: list[msgspec.Raw] = []
    retired: bool = False
    shadow: bool = False


class _Told(NamedTuple):
    """One step of a life that the world is told of."""

    life: Life
    transition: Transition
    reason: ResolveReason | None = None


R = TypeVar("R", ServiceRow, _Head)
_NEW = ServiceRow()
_ENDS = {Decision.CANCEL, Decision.RECOVER, Decision.GIVE_UP}


def restore(params: AlertingParams, directory: Directory, partition: int, rows: Mapping[str, bytes]) -> "LifecycleStage":
    """Return the stage that wrote ``rows``; without rows, a new one.

    Raises
    ------
    StateError
        If a row cannot be read, or is of another version.

    """
    applied, head = -1, _Head()
    if HEAD in rows:
        applied, head = _read_own(HEAD, rows[HEAD], _Head, partition)
    services = [(name, *_read_own(name, row, ServiceRow, partition)) for name, row in rows.items() if name != HEAD]
    kept = BoundedRows(params.max_services, head.gone_through, services)
    return LifecycleStage(params, directory, kept, applied)


class LifecycleStage:
    """Verdicts in, alert events out; one partition of `tocsin.anomalies`.

    A row per service that was ever in trouble or changed, at most ``max_services``, each with at most
    ``max_conditions`` lives of about 0.5 KB. A verdict of a calm service changes nothing, and writes no row.
    Verdicts that come twice are ignored, so events are never told in contradiction.

    Attributes
    ----------
    applied
        Offset of the last verdict folded in.
    n_forgotten, n_not_opened
        Services dropped for want of room; conditions not opened for want of room.

    """

    def __init__(self, params: AlertingParams, directory: Directory, rows: BoundedRows[ServiceRow], applied: int) -> None:
        self.applied = applied
        self.n_forgotten = 0
        self.n_not_opened = 0
        self._params = params
        self._directory = directory
        self._rows = rows

    @property
    def bounds_reached(self) -> Mapping[Bound, int]:
        """Services dropped, and conditions not opened, for want of room."""
        return {Evicted.CONDITIONS: self.n_forgotten, Limit.OPEN_CONDITIONS: self.n_not_opened}

    def step(self, record: InRecord, now_ms: int) -> list[OutRecord]:  # noqa: ARG002 - event time decides everything here
        """Fold one verdict in; return the alert events that it causes, in the order of its findings."""
        self.applied = record.offset
        value = record.value or b""
        glance = decode(value, _Glance)
        key = service_key(glance.environment, glance.service)
        before = self._rows.get(key) or _NEW
        if glance.shadow or _is_calm(before, glance):
            return []
        verdict = decode(value, Verdict)
        if self._rows.applied(key) >= record.offset or _is_repeated(before, verdict):
            return []
        after, told = self._advance(before, verdict)
        gone = self._rows.put(key, after, record.offset)
        events = self._events(key, after, told, verdict.window_end_ms)
        for name, row in gone:
            self.n_forgotten += 1
            forgotten = [_Told(life, _end_of(life), ResolveReason.FORGOTTEN) for life in row.lives.values()]
            nothing_left = msgspec.structs.replace(row, lives={})
            events += self._events(name, nothing_left, forgotten, max(row.end_ms, row.rollup_end_ms))
        return events

    def take_changes(self) -> dict[str, bytes | None]:
        """Return the rows changed since the last call, the head row last."""
        changes = self._rows.take_changes(encode)
        changes[HEAD] = pack(self.applied, encode(_Head(gone_through=self._rows.gone_through)))
        return changes

    def _advance(self, before: ServiceRow, verdict: Verdict) -> tuple[ServiceRow, list[_Told]]:
        """Return the service's row after a verdict, and what is to be told."""
        changes = _changes(before.changes, verdict, self._params.recent_change_ms)
        lives, told = dict(before.lives), list[_Told]()
        findings: dict[str, Finding] = {}
        for finding in verdict.findings:
            findings.setdefault(finding.condition, finding)
        for condition in {**findings, **lives}:
            life = lives.pop(condition, None)
            if verdict.retired:
                told += [] if life is None else [_Told(life, _end_of(life), ResolveReason.RETIRED)]
                continue
            life = life or self._begun(findings.get(condition), verdict, n_open=len(lives))
            if life is None:
                continue
            if life.is_rollup is verdict.rollup:
                life, step = self._lived(life, findings.get(condition), verdict, changes)
                told += [] if step is None else [step]
            if life is not None:
                lives[condition] = life
        return _row(before, verdict, lives, [] if verdict.retired else changes), told

    def _begun(self, finding: Finding | None, verdict: Verdict, *, n_open: int) -> Life | None:
        """Return the life that a finding begins, if it does."""
        if finding is None or finding.judgement is not Judgement.ANOMALOUS:
            return None
        if n_open >= self._params.max_conditions:
            self.n_not_opened += 1
            return None
        return begun(finding, verdict.window_start_ms, verdict.window_end_ms, is_rollup=verdict.rollup)

    def _lived(
        self, life: Life, finding: Finding | None, verdict: Verdict, changes: list[ChangeNote]
    ) -> tuple[Life | None, _Told | None]:
        """Return the life after one more window (``None``: over), and what is to be told of it."""
        at_ms, is_new = verdict.window_end_ms, life.n_windows == 0
        change = _cause(life, changes, self._params.recent_change_ms)
        life = msgspec.structs.replace(counted(life, finding, at_ms, verdict.exemplars), change=change)
        decision = decide(life, self._params.rule(life.condition), self._params.patience, at_ms)
        if decision in _ENDS:
            reason = ResolveReason.RECOVERED if decision is Decision.RECOVER else ResolveReason.NOT_CONFIRMED
            return None, _Told(life, _end_of(life), reason)
        if decision is Decision.CONTINUE or (decision is Decision.WAIT and not is_new):
            return life, None
        life = msgspec.structs.replace(
            life, reported_ms=at_ms, reported_severity=life.severity, callees=verdict.callees or life.callees
        )
        if decision is Decision.FIRE:
            life = msgspec.structs.replace(life, fired_at_ms=at_ms)
            return life, _Told(life, Transition.FIRED)
        return life, _Told(life, Transition.PENDING if decision is Decision.WAIT else Transition.STILL_FIRING)

    def _events(self, key: str, row: ServiceRow, told: Iterable[_Told], at_ms: int) -> list[OutRecord]:
        firing = [condition for condition, life in row.lives.items() if life.state is AlertState.FIRING]
        entry = self._directory.entry(key)
        return [
            OutRecord(
                topic="alert-events",
                key=key,
                value=encode(
                    alert_event(
                        service_key=key,
                        version=row.version,
                        life=step.life,
                        transition=step.transition,
                        at_ms=at_ms,
                        reason=step.reason,
                        entry=entry,
                        actions=self._params.actions,
                        runbooks=self._params.runbooks,
                        trace_url=self._params.trace_url,
                        others=[condition for condition in firing if condition != step.life.condition],
                    )
                ),
            )
            for step in told
        ]


def _is_repeated(row: ServiceRow, verdict: Verdict) -> bool:
    return verdict.window_end_ms <= (row.rollup_end_ms if verdict.rollup else row.end_ms)


def _is_calm(row: ServiceRow, verdict: _Glance) -> bool:
    """Tell whether nothing is wrong, nothing was, and nobody changed anything: such a verdict leaves no trace."""
    is_bad = any(finding.judgement is Judgement.ANOMALOUS for finding in verdict.findings)
    return not (row.lives or verdict.changes or (is_bad and not verdict.retired))


def _row(before: ServiceRow, verdict: Verdict, lives: dict[str, Life], changes: list[ChangeNote]) -> ServiceRow:
    return ServiceRow(
        version=verdict.version,
        end_ms=before.end_ms if verdict.rollup else verdict.window_end_ms,
        rollup_end_ms=verdict.window_end_ms if verdict.rollup else before.rollup_end_ms,
        lives=lives,
        changes=changes,
    )


def _end_of(life: Life) -> Transition:
    return Transition.CANCELLED if life.state is AlertState.PENDING else Transition.RESOLVED


def _changes(known: list[ChangeNote], verdict: Verdict, recent_change_ms: int) -> list[ChangeNote]:
    """Return the newest changes that may still explain something, oldest first, each once."""
    merged = {encode(change): change for change in [*known, *verdict.changes] if change.type != RETIREMENT}
    recent = [change for change in merged.values() if change.time_ms >= verdict.window_start_ms - recent_change_ms]
    return sorted(recent, key=lambda change: (change.time_ms, change.type, change.version, change.by, change.note))[-MAX_CHANGES:]


def _cause(life: Life, changes: list[ChangeNote], recent_change_ms: int) -> ChangeNote | None:
    """Return the last change at most ``recent_change_ms`` before the problem, or in its first window."""
    before = [change for change in changes if life.since_ms - recent_change_ms <= change.time_ms <= life.first_end_ms]
    return before[-1] if before else life.change


def _read_own(name: str, row: bytes, kind: type[R], partition: int) -> tuple[int, R]:
    return read_row(name, row, kind, of=f"alert life cycle, partition {partition}", schema=SCHEMA)
