"""One service's fast path with its learning discipline: windows, changes and feedback in, findings out."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from models.errors import reading
from pipeline.analyse.calendar import ServiceCalendar
from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.learning import Discipline, LearningParams
from pipeline.analyse.points import WindowPoint
from pipeline.analyse.restraint import FREE, Restraint
from pipeline.analyse.service_model import ServiceModel
from pipeline.analyse.template_watch import CONDITIONS, TemplateWatch
from pipeline.contracts.anomalies import Finding, Judgement, Severity
from pipeline.contracts.partials import FeedbackNote, FeedbackVerdict

ALARM = "alarm"
"""Why learning stops when no change and no calendar entry does."""
_ANOMALOUS = Judgement.ANOMALOUS


class Judged(msgspec.Struct, frozen=True):
    """What is said of a window.

    Attributes
    ----------
    findings
        One by condition.
    not_learned
        Why nothing was learned from it: a type of change, ``calendar``, ``alarm``; empty: it was.

    """

    findings: list[Finding]
    not_learned: str = ""


class ServiceWatch:
    """A service's detectors at its window size, what is open on it, and what people said of it.

    Notes
    -----
    Memory: a :class:`ServiceModel` and a :class:`Discipline`.

    """

    def __init__(self, params: DetectionParams, learning: LearningParams, calendar: ServiceCalendar, size_ms: int) -> None:
        self._params = params
        self._calendar = calendar
        self._model = ServiceModel(params, size_ms)
        self._discipline = Discipline(learning)
        self._expected: set[str] = set()
        """Conditions of which people said that what is seen is expected, until they calm down."""
        self._trouble: tuple[int, str] = (-1, "")
        """End of the newest window in which a change, a calendar entry or an alarm was open, and which."""
        self._templates: TemplateWatch | None = None
        """``None``: it has logged nothing yet."""

    @property
    def discipline(self) -> Discipline:
        """What is open, and what was said."""
        return self._discipline

    def trouble_since(self, start_ms: int) -> str:
        """Return what was open in a window that ends after ``start_ms``, so that nothing was learned; empty: nothing was."""
        end_ms, why = self._trouble
        return why if end_ms > start_ms else ""

    def wants(self, point: WindowPoint) -> bool:
        """Tell whether a publication changes anything: a new window, or news of people in one that was judged."""
        if point.revision > 1:
            return bool(point.changes or point.feedback)
        return point.size_ms > self._model.size_ms or (
            point.size_ms == self._model.size_ms and point.start_ms > self._model.last_start_ms
        )

    def fold(self, point: WindowPoint) -> Judged | None:
        """Judge a window and learn from it where that is allowed; a revision is judged no second time."""
        if point.changes:
            self._discipline.note_changes(point.changes)
        if point.feedback:
            self._hear(point.feedback, point.end_ms)
        if point.revision > 1:
            return None
        if point.size_ms > self._model.size_ms:  # a service that went over to wider windows starts again
            self._model = ServiceModel(self._params, point.size_ms)
            self._templates = None
        entry = self._calendar.open_entry(point.start_ms, point.end_ms)
        why = self._discipline.open_change(point.start_ms, point.end_ms) or ("calendar" if entry is not None else "")
        before = self._model.open_conditions()
        raised = self._discipline.thresholds(point.end_ms)
        restraint = Restraint(is_frozen=bool(why), raised=raised) if why or raised else FREE
        findings = self._model.judge(point, restraint)
        after = self._model.open_conditions()
        is_bad = any(finding.judgement is _ANOMALOUS for finding in findings)
        if not (is_bad or before or after or why or point.templates or self._templates is not None or self._expected):
            return Judged(findings)  # nearly every window: nothing is wrong, nothing was, and nobody has a say in it
        said_before = self._lines_open()
        if point.templates or self._templates is not None:
            findings += self._judge_lines(
                point, is_frozen=bool(why), is_troubled=bool(before or after or is_bad), raised=restraint.raised
            )
        said_after = self._lines_open()
        for condition in sorted((after - before) | (said_after - said_before)):
            self._discipline.count_alarm(condition)
        self._expected &= after | said_after
        planned = frozenset() if entry is None else entry.expects
        trouble = why or (ALARM if before or after else "")
        if trouble:
            self._trouble = (point.end_ms, trouble)
        not_learned = trouble or (ALARM if is_bad else "")
        return Judged(findings=[self._told(finding, planned) for finding in findings], not_learned=not_learned)

    def _judge_lines(self, point: WindowPoint, *, is_frozen: bool, is_troubled: bool, raised: Mapping[str, float]) -> list[Finding]:
        if self._templates is None:
            self._templates = TemplateWatch(self._params, self._model.size_ms)
        return self._templates.judge(point.templates, is_frozen=is_frozen, is_troubled=is_troubled, raised=raised)

    def _lines_open(self) -> set[str]:
        return set() if self._templates is None else self._templates.open_conditions

    def take_evicted(self) -> int:
        """Return how many kinds of log lines went for want of room since this was asked last."""
        return 0 if self._templates is None else self._templates.take_evicted()

    def _hear(self, notes: Iterable[FeedbackNote], at_ms: int) -> None:
        """Act on feedback: of the condition that it names, or of all that are in alarm."""
        for note in self._discipline.heard(notes):
            named = {note.condition} if note.condition else self._model.open_conditions() | self._lines_open()
            for condition in sorted(named & set(CONDITIONS)):
                self._hear_of_lines(condition, note.verdict, at_ms)
            for condition in sorted(named & set(self._model.conditions())):
                self._discipline.count_feedback(condition, note.verdict)
                match note.verdict:
                    case FeedbackVerdict.FALSE_POSITIVE:
                        self._discipline.raise_threshold(condition, at_ms)
                        self._model.dismiss(condition)
                    case FeedbackVerdict.EXPECTED:
                        self._expected |= {condition} & self._model.open_conditions()
                    case FeedbackVerdict.NEW_NORMAL:
                        self._model.accept(condition)

    def _hear_of_lines(self, condition: str, verdict: FeedbackVerdict, at_ms: int) -> None:
        if self._templates is None:
            return
        self._discipline.count_feedback(condition, verdict)
        if verdict is FeedbackVerdict.EXPECTED:
            self._expected |= {condition} & self._lines_open()
            return
        if verdict is FeedbackVerdict.FALSE_POSITIVE:
            self._discipline.raise_threshold(condition, at_ms)
        self._templates.accept(condition)

    def _told(self, finding: Finding, planned: frozenset[str]) -> Finding:
        """Return the finding as it is told: what people expect wakes nobody, what the calendar expects is no news."""
        if finding.judgement is not Judgement.ANOMALOUS:
            return finding
        kind = finding.condition.partition(":")[0]
        if planned & {finding.condition, kind}:
            explanation = finding.explanation | {"calendar": 1.0}
            return msgspec.structs.replace(finding, judgement=Judgement.NORMAL, is_recovered=True, explanation=explanation)
        if finding.condition in self._expected:
            explanation = finding.explanation | {"expected": 1.0}
            return msgspec.structs.replace(finding, severity=Severity.TICKET, explanation=explanation)
        return finding

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data."""
        state = {
            "kind": "service_watch",
            "v": 1,
            "size_ms": self._model.size_ms,
            "model": self._model.to_state(),
            "discipline": self._discipline.to_state(),
            "expected": sorted(self._expected),
            "trouble": list(self._trouble),
        }
        return state if self._templates is None else state | {"templates": self._templates.to_state()}

    def from_state(self, state: Mapping[str, Any]) -> "ServiceWatch":
        """Take plain data over; that of a model alone, as the version before kept it, too.

        Raises
        ------
        ModelStateError
            If it is of another version, or incomplete.

        """
        if state.get("kind") == "service_model":
            self._model = ServiceModel(self._params, int(state["size_ms"])).from_state(state)
            return self
        with reading(state, "service_watch", 1):
            self._model = ServiceModel(self._params, int(state["size_ms"])).from_state(state["model"])
            self._discipline.from_state(state["discipline"])
            self._expected = {str(condition) for condition in state["expected"]}
            end_ms, why = state["trouble"]
            self._trouble = (int(end_ms), str(why))
            if "templates" in state:
                self._templates = TemplateWatch(self._params, self._model.size_ms).from_state(state["templates"])
        return self
