"""What `up` has seen on Tocsin's topics so far: newest windows, alerts and requests, the live ones apart from old news."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pipeline.cli.lines import signals_record
from pipeline.contracts.alerts import AlertEvent, AlertState, Transition
from pipeline.contracts.codec import decode
from pipeline.contracts.keys import service_key
from pipeline.contracts.remediation import CloudEvent, RemediationRequest
from pipeline.contracts.signals import Signals
from pipeline.errors import RecordInvalid

RECENT_WINDOWS = 30
RECENT_EVENTS = 50
SIGNALS, EVENTS, REQUESTS, DEAD_LETTERS = "signals", "alert-events", "remediation.requests", "dead-letters"
WATCHED = (SIGNALS, EVENTS, REQUESTS, DEAD_LETTERS)


@dataclass(slots=True)
class Board:
    """State of the live view; ``live_from_ms`` is the event time at which history ended.

    Attributes
    ----------
    windows
        The newest windows by service key, oldest first, highest revision each; at most 30 a service.
    first_live_at_ms
        Clock time at which a window of the live time had been seen of every service.
    firing
        Alerts that fire now, by dedup key.
    events, requests
        What was seen of the live time, oldest first; the newest 50 of each.
    n_fired, n_resolved, n_old_news, n_requests, n_dead_letters, n_unreadable
        Counts; the first two and the fourth of the live time, each id once.

    """

    live_from_ms: int
    windows: dict[str, deque[Signals]] = field(default_factory=dict)
    first_live_at_ms: int | None = None
    firing: dict[str, AlertEvent] = field(default_factory=dict)
    events: deque[AlertEvent] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    requests: deque[RemediationRequest] = field(default_factory=lambda: deque(maxlen=RECENT_EVENTS))
    n_fired: int = 0
    n_resolved: int = 0
    n_old_news: int = 0
    n_requests: int = 0
    n_dead_letters: int = 0
    n_unreadable: int = 0
    _seen: set[str] = field(default_factory=set)

    @property
    def seen_through_ms(self) -> int | None:
        """Time up to which windows of every service were seen, UTC epoch ms; ``None`` before the first."""
        return min((windows[-1].window_end_ms for windows in self.windows.values()), default=None)

    def apply(self, topic: str, value: bytes | None, now_ms: int) -> None:
        """Take a record of one of the watched topics in; an unreadable one is counted."""
        if topic == DEAD_LETTERS:
            self.n_dead_letters += 1
            return
        if value is None:
            return
        try:
            _APPLY[topic](self, value, now_ms)
        except RecordInvalid:
            self.n_unreadable += 1

    def _signals(self, value: bytes, now_ms: int) -> None:
        record = signals_record(value)
        if not isinstance(record, Signals) or record.rollup:
            return
        windows = self.windows.setdefault(service_key(record.environment, record.service), deque(maxlen=RECENT_WINDOWS))
        for i, known in enumerate(windows):
            if known.id == record.id:
                if record.revision > known.revision:
                    windows[i] = record
                return
        if not windows or record.window_start_ms > windows[-1].window_start_ms:
            windows.append(record)
        if self.first_live_at_ms is None and (self.seen_through_ms or 0) > self.live_from_ms:
            self.first_live_at_ms = now_ms

    def _event(self, value: bytes, _now_ms: int) -> None:
        event = decode(value, AlertEvent)
        if event.id in self._seen:
            return
        self._seen.add(event.id)
        if event.state is AlertState.FIRING:
            self.firing[event.dedup_key] = event
        elif event.state is AlertState.RESOLVED:
            self.firing.pop(event.dedup_key, None)
        if event.since_ms < self.live_from_ms:
            self.n_old_news += event.transition is Transition.FIRED
            return
        self.events.append(event)
        self.n_fired += event.transition is Transition.FIRED
        self.n_resolved += event.transition is Transition.RESOLVED

    def _request(self, value: bytes, _now_ms: int) -> None:
        event = decode(value, CloudEvent[RemediationRequest])
        if event.data.idempotency_key in self._seen or event.data.issued_at_ms < self.live_from_ms:
            return
        self._seen.add(event.data.idempotency_key)
        self.requests.append(event.data)
        self.n_requests += 1


_APPLY: Mapping[str, Callable[[Board, bytes, int], None]] = {
    SIGNALS: Board._signals,  # noqa: SLF001 - its own methods
    EVENTS: Board._event,  # noqa: SLF001
    REQUESTS: Board._request,  # noqa: SLF001
}
