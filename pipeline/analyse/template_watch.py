"""Findings on a service's log lines: kinds never seen before, and kinds that come far more often than they used to."""

from collections.abc import Mapping
from typing import Any

from models.errors import reading
from models.log_templates import Lines, LogTemplates, TemplateTuning, Told
from pipeline.analyse.detection_params import DetectionParams
from pipeline.contracts.anomalies import Finding, Judgement, LogNote, Severity
from pipeline.contracts.partials import OTHER_TEMPLATE, SEVERITIES, rank
from pipeline.contracts.signals import LogLines

NEW, RATE = "template_new", "template_rate"
CONDITIONS = (NEW, RATE)
SIGNAL, UNIT = "errors", "lines"
LINES_SINCE = "lines_since_new"
_MOST_CONFIDENT = 0.95
_NO_LINES: Mapping[str, LogLines] = {}


def tuning_of(params: DetectionParams, size_ms: int) -> TemplateTuning:
    """Return how the kinds of lines of a service with windows of ``size_ms`` are judged."""
    least = params.templates
    return TemplateTuning(
        window_s=size_ms / 1000,
        ready_s=least.ready_s,
        news_s=params.max_alarm_s,
        peak_s=params.tail_s,
        least_errors=least.least_errors,
        least_warnings=least.least_warnings,
        least_others=least.least_others,
        rare_per_day=least.rare_per_day,
        jump_times=least.jump_times,
        jump_lines=least.jump_lines,
        max_kinds=least.max_kinds,
    )


class TemplateWatch:
    """A service's log lines at its window size. At most a ticket: what logs say is a clue, what users feel is an alarm.

    Notes
    -----
    Memory: :class:`LogTemplates`, and two notes.

    """

    def __init__(self, params: DetectionParams, size_ms: int) -> None:
        self._templates = LogTemplates(tuning_of(params, size_ms))
        self._notes: dict[str, LogNote] = {}
        """By condition that is anomalous, what was told last."""
        self._n_evicted_told = 0

    @property
    def open_conditions(self) -> set[str]:
        """Conditions that were anomalous in the newest window."""
        return set(self._notes)

    def take_evicted(self) -> int:
        """Return how many kinds went for want of room since this was asked last."""
        n, self._n_evicted_told = self._templates.n_evicted - self._n_evicted_told, self._templates.n_evicted
        return n

    def accept(self, condition: str) -> None:
        """Take what a condition shows for normal: a person says so."""
        if condition == NEW:
            self._templates.accept_new()
        else:
            self._templates.accept_jumps()
        self._notes.pop(condition, None)

    def judge(
        self, lines: Mapping[str, LogLines], *, is_frozen: bool, is_troubled: bool, raised: Mapping[str, float]
    ) -> list[Finding]:
        """Return a finding for each condition, having learned from the window where that is allowed.

        Parameters
        ----------
        lines
            What was logged, masked.
        is_frozen, is_troubled
            A change or a calendar entry is open; an alarm of another condition is.
        raised
            By how much least effects are multiplied, by condition.

        """
        known = {line: Lines(one.n, rank(one.severity)) for line, one in lines.items() if line != OTHER_TEMPLATE}
        outcome = self._templates.step(
            known,
            is_frozen=is_frozen,
            is_troubled=is_troubled,
            new_times=raised.get(NEW, 1.0),
            jump_times=raised.get(RATE, 1.0),
        )
        return [self._finding(NEW, outcome.new, lines), self._finding(RATE, outcome.jumped, lines)]

    def _finding(self, condition: str, told: list[Told], lines: Mapping[str, LogLines]) -> Finding:
        n_seen = self._templates.n_learned
        if not told:
            self._notes.pop(condition, None)
            judgement = Judgement.NORMAL if self._templates.is_ready else Judgement.NOT_READY
            return Finding(condition=condition, signal=SIGNAL, judgement=judgement, unit=UNIT, n_seen=n_seen)
        first = told[0]
        note = self._notes[condition] = self._note(condition, first, len(told), lines)
        terms = {"threshold": first.threshold}
        if condition == NEW:
            terms[LINES_SINCE] = float(first.n_news)
        return Finding(
            condition=condition,
            signal=SIGNAL,
            judgement=Judgement.ANOMALOUS,
            severity=Severity.TICKET,
            unit=UNIT,
            observed=float(first.n),
            expected=first.expected,
            upper=first.limit,
            score=first.score,
            is_recovered=False,
            confidence=min(_MOST_CONFIDENT, 1 - 0.5 * 5.0 / max(first.score, 5.0)),
            n_seen=n_seen,
            explanation=terms,
            log=note,
        )

    def _note(self, condition: str, told: Told, n_kinds: int, lines: Mapping[str, LogLines]) -> LogNote:
        """Return what the lines are, with an example of this window, or the last one of the same kind."""
        seen = lines.get(told.line)
        before = self._notes.get(condition)
        if seen is not None:
            example = seen.example
        else:
            example = before.example if before is not None and before.template == told.template else ""
        return LogNote(template=told.template, severity=SEVERITIES[told.rank], n=told.n, n_kinds=n_kinds, example=example)

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data."""
        notes = {name: [note.template, note.severity, note.n, note.n_kinds, note.example] for name, note in self._notes.items()}
        return {"kind": "template_watch", "v": 1, "templates": self._templates.to_state(), "notes": notes}

    def from_state(self, state: Mapping[str, Any]) -> "TemplateWatch":
        """Take plain data over.

        Raises
        ------
        ModelStateError
            If it is of another version, or incomplete.

        """
        with reading(state, "template_watch", 1):
            self._templates.from_state(state["templates"])
            for name, (template, severity, n, n_kinds, example) in state["notes"].items():
                self._notes[str(name)] = LogNote(
                    template=str(template), severity=str(severity), n=int(n), n_kinds=int(n_kinds), example=str(example)
                )
            self._n_evicted_told = self._templates.n_evicted
        return self
