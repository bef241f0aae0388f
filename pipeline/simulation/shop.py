"""The shop itself: its services, who calls whom, and how fast, failing and full each is on a usual day."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from pipeline.simulation.faults import Fault

WINDOW_MS = 10_000
"""The shop is drawn, and reports, in steps of this length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A share of an operation's requests (in [0, 1]) calls another service's operation, and waits for it."""

    service: str
    operation: str
    share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation: ``visits`` of it per visit from outside; own work log-normal around ``median_ms``.

    ``sigma`` is the log-normal's spread, dimensionless; ``error_share`` in [0, 1] fails by chance.
    """

    name: str
    visits: float = 0.0
    median_ms: float
    sigma: float = 0.35
    error_share: float = 0.002
    calls: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """A service: its operations, and its cpu (share used when idle, and per request a second) and memory (share)."""

    name: str
    operations: tuple[Operation, ...]
    cpu_idle: float = 0.12
    cpu_per_rps: float = 0.004
    memory: float = 0.55


SERVICES = (
    Service(
        name="storefront",
        cpu_per_rps=0.005,
        operations=(
            Operation(
                name="GET /product",
                visits=1.8,
                median_ms=16,
                calls=(
                    Call(service="catalog", operation="item", share=1.0),
                    Call(service="inventory", operation="stock", share=0.5),
                ),
            ),
            Operation(
                name="POST /order",
                visits=0.25,
                median_ms=12,
                calls=(Call(service="checkout", operation="place", share=1.0),),
            ),
        ),
    ),
    Service(
        name="checkout",
        cpu_per_rps=0.02,
        operations=(
            Operation(
                name="place",
                median_ms=24,
                calls=(
                    Call(service="cart", operation="read", share=1.0),
                    Call(service="payments", operation="charge", share=1.0),
                    Call(service="inventory", operation="reserve", share=1.0),
                ),
            ),
        ),
    ),
    Service(
        name="cart",
        cpu_per_rps=0.012,
        memory=0.47,
        operations=(
            Operation(name="read", visits=0.7, median_ms=8, calls=(Call(service="inventory", operation="stock", share=0.3),)),
        ),
    ),
    Service(
        name="payments",
        cpu_per_rps=0.025,
        memory=0.62,
        operations=(Operation(name="charge", median_ms=85, sigma=0.3, error_share=0.004),),
    ),
    Service(
        name="catalog",
        cpu_per_rps=0.005,
        memory=0.66,
        operations=(Operation(name="item", median_ms=14),),
    ),
    Service(
        name="inventory",
        cpu_per_rps=0.007,
        memory=0.41,
        operations=(Operation(name="stock", median_ms=5), Operation(name="reserve", median_ms=11)),
    ),
)
"""Callers stand before those whom they call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """A shop as it is simulated.

    Attributes
    ----------
    environment
        Of every record.
    seed
        Of all chance; with the window it decides every record.
    visits_per_second
        From outside, mean of a day.
    services
        Callers before those whom they call.
    faults
        What goes wrong, and when.

    """

    environment: str = "demo"
    seed: int = 7
    visits_per_second: float = 24.0
    services: tuple[Service, ...] = SERVICES
    faults: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        if not self.visits_per_second > 0:
            raise ValueError(f"visits_per_second must be above 0, got {self.visits_per_second}")
        names = {service.name for service in self.services}
        for fault in self.faults:
            if fault.service not in names:
                raise ValueError(f"the shop has no service {fault.service!r}; it has {', '.join(sorted(names))}")
        _check_calls(self.services)

    def with_faults(self, faults: Iterable[Fault]) -> "Shop":
        """Return the same shop with further faults."""
        return replace(self, faults=(*self.faults, *faults))


def _check_calls(services: tuple[Service, ...]) -> None:
    place = {(service.name, operation.name): i for i, service in enumerate(services) for operation in service.operations}
    for i, service in enumerate(services):
        for operation in service.operations:
            for call in operation.calls:
                if place.get((call.service, call.operation), -1) <= i:
                    raise ValueError(f"{service.name} must stand before {call.service}, whose {call.operation!r} it calls")
