"""How many services a chunk tells apart, and which limits its partials have reached.

All of it follows from what the chunk holds, in the order of the log, so that whoever reads it again decides the same.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from pipeline.contracts.config import IngestConfig, OverLimit
from pipeline.contracts.keys import service_key
from pipeline.contracts.limits import Bound, Limit
from pipeline.contracts.partials import OTHER, OTHER_TEMPLATE, Partial
from pipeline.contracts.readings import Reading
from pipeline.ingest.reduce import NO_ROOM, PartialKey

R = TypeVar("R", bound=Reading)


class ChunkServices:
    """The services of one chunk: the first ``limit`` keep their names; past it readings count for ``other``, or the chunk is over.

    ``other`` is a service of the reading's own environment when one of the first is of it, else of environment ``other``.
    Where services make room instead (``evict``), all keep their names, and the chunk ends behind the first message that has
    brought more than ``limit``: nothing shorter than a chunk can be finished and forgotten (docs/adr/0009).

    Examples
    --------
    >>> services = ChunkServices(1)
    >>> services.counted_as("live", "cart"), services.counted_as("live", "x1"), services.counted_as("x", "cart")
    (('live', 'cart'), ('live', 'other'), ('other', 'other'))

    """

    def __init__(self, limit: int, over_limit: OverLimit = "other") -> None:
        self._limit = limit
        self._evicts = over_limit == "evict"
        self._known: set[str] = set()
        self._environments: set[str] = set()
        self.others: set[str] = set()
        """Keys of the services that stand for those beyond the limit."""

    def counted_as(self, environment: str, service: str) -> tuple[str, str]:
        """Return the environment and service that a reading of this service counts for."""
        key = service_key(environment, service)
        if key in self._known:
            return environment, service
        if self._evicts or len(self._known) < self._limit:
            self._known.add(key)
            self._environments.add(environment)
            return environment, service
        environment = environment if environment in self._environments else OTHER
        self.others.add(service_key(environment, OTHER))
        return environment, OTHER

    @property
    def n_known(self) -> int:
        """How many keep their names."""
        return len(self._known)

    @property
    def are_over(self) -> bool:
        """Whether there are more than the limit, so that the chunk has to end."""
        return len(self._known) > self._limit

    def have_room_for(self, services: Collection[tuple[str, str]]) -> bool:
        """Tell whether all of these (environment, service) can be told apart with those that are known."""
        if len(self._known) + len(services) <= self._limit:
            return True
        new = {service_key(environment, service) for environment, service in services} - self._known
        return len(self._known) + len(new) <= self._limit

    def admitted(self, reading: R) -> R:
        """Return a reading as it counts."""
        origin = reading.origin
        environment, service = self.counted_as(origin.environment, origin.service)
        if service is origin.service:
            return reading
        return msgspec.structs.replace(reading, origin=msgspec.structs.replace(origin, environment=environment, service=service))


class ReachedLimits:
    """Which limits the partials of one chunk have reached, each told once: by readings for services, else by partials."""

    def __init__(self, config: IngestConfig) -> None:
        self._config = config
        self._told: set[tuple[PartialKey, Limit]] = set()
        self._told_readings: Counter[PartialKey] = Counter()

    def news(
        self, partials: Mapping[PartialKey, Partial], touched: Iterable[PartialKey], services: ChunkServices
    ) -> Counter[Bound]:
        """Return how often limits were reached by the partials that were touched, less what was told before."""
        reached: Counter[Bound] = Counter()
        for key in touched:
            partial = partials[key]
            for limit in limits_of(partial, self._config):
                if (key, limit) not in self._told:
                    self._told.add((key, limit))
                    reached[limit] += 1
            if key[0] in services.others:
                reached[Limit.SERVICES] += partial.readings - self._told_readings[key]
                self._told_readings[key] = partial.readings
        return reached


def limits_of(partial: Partial, config: IngestConfig) -> Iterator[Limit]:
    """Yield the limits of a service and window that a partial has reached."""
    if _is_full(partial.operations, config.max_operations):
        yield Limit.OPERATIONS
    if _is_full(partial.gauges, config.max_resources):
        yield Limit.RESOURCES
    if _is_full(partial.versions, config.max_versions):
        yield Limit.VERSIONS
    if len(partial.changes) >= config.max_changes:
        yield Limit.CHANGES
    if _is_full(partial.templates, config.max_templates, OTHER_TEMPLATE):
        yield Limit.TEMPLATES
    if _is_full(partial.calls, config.max_callees, NO_ROOM):
        yield Limit.CALLEES


def _is_full(names: Mapping[str, object], limit: int, other: str = OTHER) -> bool:
    return len(names) > limit and other in names
