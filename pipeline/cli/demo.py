"""The demonstration: decides when a fault begins and ends, and whether everything happened that should."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.remediation import RemediationRequest
from pipeline.contracts.window_times import BASE_SIZE_MS
from pipeline.simulation.faults import Fault, FaultKind

MAX_FIRST_SIGNAL_S = 60.0
MAX_ALERT_WINDOWS = 3
"""An alert counts when it fires within so many windows of the fault."""


class Phase(StrEnum):
    """Where the demonstration stands."""

    WAITING = "waiting"
    """For live signals, and then for ``settle_ms`` of them."""
    FAULT = "fault"
    """Something is broken on purpose."""
    RECOVERING = "recovering"
    """It is mended; the alert is to resolve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoParams:
    """When things happen, ms.

    Attributes
    ----------
    settle_ms
        Live time before the first fault.
    least_fault_ms, most_fault_ms
        A fault ends when alert and request were seen and the least time is over, or the most.
    pause_ms
        Quiet time between the end of one demonstration and the next fault.

    """

    settle_ms: int = 5_000
    least_fault_ms: int = 20_000
    most_fault_ms: int = 60_000
    pause_ms: int = 240_000


SCENES: Sequence[tuple[str, tuple[tuple[FaultKind, float], ...]]] = (
    ("payments", ((FaultKind.LATENCY, 4.0), (FaultKind.ERRORS, 0.35))),
    ("catalog", ((FaultKind.LATENCY, 6.0),)),
    ("inventory", ((FaultKind.SATURATION, 0.98), (FaultKind.LATENCY, 3.0))),
    ("cart", ((FaultKind.ERRORS, 0.5),)),
)
"""What breaks, in turn: a service, and its faults with their magnitudes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What the demonstration goes by: live alert events and requests so far, oldest first; whether live signals come."""

    events: Sequence[AlertEvent]
    requests: Sequence[RemediationRequest]
    live_since_ms: int | None


@dataclass(slots=True)
class Demo:
    """One fault after the other. ``faults`` is what the shop should suffer; ``announcements`` what to tell people."""

    params: DemoParams
    faults: tuple[Fault, ...] = ()
    phase: Phase = Phase.WAITING
    scene: int = 0
    first_alert_windows: int | None = None
    is_resolved: bool = False
    _quiet_since_ms: int | None = None
    _announced: set[str] = field(default_factory=set)

    def step(self, seen: Seen, now_ms: int) -> list[str]:
        """Go on, if it is time to; return what to announce, one sentence each."""
        match self.phase:
            case Phase.WAITING:
                return self._wait(seen, now_ms)
            case Phase.FAULT:
                return self._watch(seen, now_ms)
            case Phase.RECOVERING:
                return self._recover(seen, now_ms)

    @property
    def service(self) -> str:
        """The service of the scene."""
        return SCENES[self.scene % len(SCENES)][0]

    @property
    def start_ms(self) -> int:
        """Start of the scene's fault, which is the start of its first window."""
        return self.faults[0].start_ms

    def _wait(self, seen: Seen, now_ms: int) -> list[str]:
        if seen.live_since_ms is None:
            return []
        ready_ms = seen.live_since_ms + self.params.settle_ms
        if self._quiet_since_ms is not None:
            ready_ms = self._quiet_since_ms + self.params.pause_ms
        if now_ms < ready_ms:
            return []
        service, kinds = SCENES[self.scene % len(SCENES)]
        start_ms = _next_window(now_ms)
        self.faults = tuple(
            Fault(kind=kind, service=service, start_ms=start_ms, end_ms=start_ms + self.params.most_fault_ms, magnitude=size)
            for kind, size in kinds
        )
        self.phase = Phase.FAULT
        what = " and ".join(f"{kind} (x{size:g})" if size > 1 else f"{kind} ({size:.0%})" for kind, size in kinds)
        return [f"Demo: breaking {service} on purpose: {what}"]

    def _watch(self, seen: Seen, now_ms: int) -> list[str]:
        fired = [event for event in self._own(seen.events) if event.transition is Transition.FIRED]
        said: list[str] = []
        if fired and "fired" not in self._announced:
            self._announced.add("fired")
            windows = min(alert_windows(event, self.start_ms) for event in fired)
            if self.first_alert_windows is None:
                self.first_alert_windows = windows
            said.append(f"Demo: Tocsin noticed, {windows} window{'s' if windows != 1 else ''} into the fault")
        is_asked = any(request.service == self.service for request in seen.requests)
        is_enough = bool(fired) and is_asked and now_ms >= self.start_ms + self.params.least_fault_ms
        end_ms = self.faults[0].end_ms
        if is_enough:
            end_ms = min(end_ms, max(_next_window(now_ms), self.start_ms + BASE_SIZE_MS))
        if is_enough or now_ms >= end_ms:
            self.faults = tuple(
                Fault(kind=f.kind, service=f.service, start_ms=f.start_ms, end_ms=end_ms, magnitude=f.magnitude)
                for f in self.faults
            )
            self.phase = Phase.RECOVERING
            said.append(f"Demo: mending {self.service}")
        return said

    def _recover(self, seen: Seen, now_ms: int) -> list[str]:
        own = self._own(seen.events)
        fired = {event.alert_id for event in own if event.transition is Transition.FIRED}
        resolved = {event.alert_id for event in own if event.transition is Transition.RESOLVED}
        is_over = bool(fired) and not fired - resolved
        if not is_over and now_ms < self.faults[0].end_ms + self._patience_ms(has_fired=bool(fired)):
            return []
        if is_over:
            said = [f"Demo: {self.service} is well again, its alerts are resolved"]
            self.is_resolved = self.is_resolved or self.scene == 0
        else:
            said = ["Demo: its alerts still fire" if fired else "Demo: Tocsin did not notice"]
        self._quiet_since_ms = now_ms
        self.scene += 1
        self.phase = Phase.WAITING
        self._announced.clear()
        return said

    def _patience_ms(self, *, has_fired: bool) -> int:
        """Return how long after the fault's end an answer is waited for."""
        return self.params.pause_ms if has_fired else self.params.most_fault_ms

    def _own(self, events: Iterable[AlertEvent]) -> list[AlertEvent]:
        return [event for event in events if event.service == self.service and event.at_ms > self.start_ms]


def alert_windows(event: AlertEvent, fault_start_ms: int) -> int:
    """Return in which window of the fault the event happened: 1 is the fault's first."""
    at_ms = event.at_ms if event.fired_at_ms is None else event.fired_at_ms
    return -(-(at_ms - fault_start_ms) // BASE_SIZE_MS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run is judged by; also its last line of output.

    ``first_signal_s``: seconds from set-up to the first live window. ``first_alert_windows``: in which window of the
    fault its alert fired. Counts are of the live time.
    """

    first_signal_s: float | None
    first_alert_windows: int | None
    alerts: int
    remediations: int
    resolved: int
    is_resolved: bool

    def as_json(self) -> dict[str, object]:
        """Return the line of the benchmark."""
        return {
            "bench": "run",
            "first_signal_s": self.first_signal_s,
            "first_alert_windows": self.first_alert_windows,
            "alerts": self.alerts,
            "remediations": self.remediations,
            "resolved": self.resolved,
        }

    def failures(self) -> list[str]:
        """Return what did not happen as it should, one sentence each; empty: all is well."""
        found: list[str] = []
        if self.first_signal_s is None:
            found.append("no live signals were seen")
        elif self.first_signal_s > MAX_FIRST_SIGNAL_S:
            found.append(f"the first live signals took {self.first_signal_s:.0f} s, at most {MAX_FIRST_SIGNAL_S:.0f} s are allowed")
        if self.first_alert_windows is None:
            found.append("the fault fired no alert")
        elif self.first_alert_windows > MAX_ALERT_WINDOWS:
            found.append(f"the alert fired in window {self.first_alert_windows} of the fault, {MAX_ALERT_WINDOWS} is the latest")
        if not self.remediations:
            found.append("no remediation was asked for")
        if not self.is_resolved:
            found.append("the alert did not resolve after the fault")
        return found


def _next_window(now_ms: int) -> int:
    """Return the start of the next window that is not drawn yet: half a second is what drawing and asking may take."""
    return -(-(now_ms + 500) // BASE_SIZE_MS) * BASE_SIZE_MS
