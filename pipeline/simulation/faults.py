"""What can go wrong in the shop on request, and by how much; decides the state of a service in one window."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class FaultKind(StrEnum):
    """The ways in which a service of the shop fails."""

    LATENCY = "latency"
    """Its own work takes ``magnitude`` times as long."""
    ERRORS = "errors"
    """A share ``magnitude`` of its requests fails."""
    TRAFFIC_DROP = "traffic_drop"
    """Only a share ``magnitude`` of the requests reaches it."""
    SILENCE = "silence"
    """It reports nothing at all."""
    SATURATION = "saturation"
    """Its cpu runs at ``magnitude``, and its work takes half as long again."""


DEFAULT_MAGNITUDES = {
    FaultKind.LATENCY: 4.0,
    FaultKind.ERRORS: 0.3,
    FaultKind.TRAFFIC_DROP: 0.15,
    FaultKind.SILENCE: 1.0,
    FaultKind.SATURATION: 0.98,
}
SATURATED_LATENCY_FACTOR = 1.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault of one service in ``[start_ms, end_ms)``; ``magnitude`` as its kind says (``None``: the usual one)."""

    kind: FaultKind
    service: str
    start_ms: int
    end_ms: int
    magnitude: float | None = None

    def __post_init__(self) -> None:
        if self.end_ms <= self.start_ms:
            raise ValueError(f"a fault must end after it starts, got [{self.start_ms}, {self.end_ms})")
        if self.magnitude is not None and not self.magnitude > 0:
            raise ValueError(f"a fault's magnitude must be above 0, got {self.magnitude}")

    @property
    def size(self) -> float:
        """The magnitude that applies."""
        return DEFAULT_MAGNITUDES[self.kind] if self.magnitude is None else self.magnitude


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """State of a service in one window.

    ``latency_factor`` multiplies its own work, ``error_share`` (in [0, 1]) of its requests fails on top of chance,
    ``traffic_share`` of its requests arrives, ``cpu`` (``None``: as its load has it) is its utilization.
    """

    latency_factor: float = 1.0
    error_share: float = 0.0
    traffic_share: float = 1.0
    is_silent: bool = False
    cpu: float | None = None


HEALTHY = Condition()


def condition_of(service: str, time_ms: int, faults: Iterable[Fault]) -> Condition:
    """Return the state that the faults put ``service`` in at ``time_ms``; several at once add up.

    Examples
    --------
    >>> fault = Fault(kind=FaultKind.LATENCY, service="cart", start_ms=0, end_ms=10_000)
    >>> condition_of("cart", 9_999, [fault]).latency_factor, condition_of("cart", 10_000, [fault]).latency_factor
    (4.0, 1.0)

    """
    latency_factor, healthy_share, traffic_share = 1.0, 1.0, 1.0
    is_silent, cpu = False, None
    for fault in faults:
        if fault.service != service or not fault.start_ms <= time_ms < fault.end_ms:
            continue
        match fault.kind:
            case FaultKind.LATENCY:
                latency_factor *= fault.size
            case FaultKind.ERRORS:
                healthy_share *= 1.0 - min(1.0, fault.size)
            case FaultKind.TRAFFIC_DROP:
                traffic_share *= min(1.0, fault.size)
            case FaultKind.SILENCE:
                is_silent = True
            case FaultKind.SATURATION:
                cpu = fault.size
                latency_factor *= SATURATED_LATENCY_FACTOR
    return Condition(
        latency_factor=latency_factor,
        error_share=1.0 - healthy_share,
        traffic_share=traffic_share,
        is_silent=is_silent,
        cpu=cpu,
    )


def parse_fault(text: str, origin_ms: int) -> Fault:
    """Return the fault that ``KIND:SERVICE:START:DURATION[:MAGNITUDE]`` means; START and DURATION in seconds.

    START counts from ``origin_ms``, the beginning of the simulation.

    Raises
    ------
    ValueError
        If the text does not have that form; the message says what is wrong.

    Examples
    --------
    >>> parse_fault("errors:payments:60:30:0.5", 0)
    Fault(kind=<FaultKind.ERRORS: 'errors'>, service='payments', start_ms=60000, end_ms=90000, magnitude=0.5)

    """
    parts = text.split(":")
    if len(parts) not in (4, 5):
        raise ValueError(f"a fault is KIND:SERVICE:START:DURATION[:MAGNITUDE], got {text!r}")
    kinds = [kind.value for kind in FaultKind]
    if parts[0] not in kinds:
        raise ValueError(f"a fault's kind is one of {', '.join(kinds)}, got {parts[0]!r}")
    try:
        start_s, duration_s = float(parts[2]), float(parts[3])
        magnitude = float(parts[4]) if len(parts) == 5 else None
    except ValueError as problem:
        raise ValueError(f"a fault's START, DURATION and MAGNITUDE are numbers, got {text!r}") from problem
    start_ms = origin_ms + int(start_s * 1000)
    return Fault(
        kind=FaultKind(parts[0]),
        service=parts[1],
        start_ms=start_ms,
        end_ms=start_ms + int(duration_s * 1000),
        magnitude=magnitude,
    )
