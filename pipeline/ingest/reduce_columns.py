"""Folding a run of messages: requests as columns, everything else reading by reading, in the order of the log.

The partials are the same, to the byte, as if each reading had been folded after the other.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.keys import service_key
from pipeline.contracts.partials import OTHER, OperationPartial, Partial
from pipeline.contracts.readings import LogReading, Origin, Reading, RequestReading, SampledSpan
from pipeline.contracts.window_times import BASE_SIZE_MS
from pipeline.ingest.cardinality import ChunkServices
from pipeline.ingest.decoders.request_columns import Requests, Series, SeriesIndex
from pipeline.ingest.histogram_columns import add_all, stable_order
from pipeline.ingest.names import use
from pipeline.ingest.reduce import PartialKey, count_readings, fold, fold_sampled, operation_of, partial_of

Placed = tuple[int, Reading]
"""A reading, and the index of its message in the run."""
_FEW = 48
"""So many requests are folded one by one sooner than as columns."""
_DENSE = 65_536
_WINDOW_BITS = 32
_MAX_SLOTS = 262_144
"""Places remembered of (series, window); they can be found again."""

_Slot = tuple[PartialKey, Partial, OperationPartial, str]
"""Where the requests of a series and window are counted, and under which version."""


class ChunkFold:
    """The partials of one chunk, and which were touched since the last flush."""

    def __init__(self, config: IngestConfig, index: SeriesIndex) -> None:
        self.partials: dict[PartialKey, Partial] = {}
        self.dirty: dict[PartialKey, None] = {}
        self.services = ChunkServices(config.max_services, config.services_over_limit)
        self._ends_for_services = config.services_over_limit == "evict"
        self._evicts = config.names_over_limit == "evict"
        self._config = config
        self._index = index
        self._slots: dict[int, _Slot] = {}

    def use(self, index: SeriesIndex) -> None:
        """Go on with another index of series."""
        self._index = index
        self._slots.clear()

    def add(self, requests: Requests, others: Sequence[Placed]) -> None:
        """Fold a run's requests, and its other readings; both in the order of their messages."""
        begin, waiting = 0, list[Placed]()
        for at, reading in others:
            if _adds_latency(reading):  # sums of floats are made in the order of the log
                end = int(np.searchsorted(requests.message, at))
                self._add_stretch(requests.chosen(slice(begin, end)), waiting)
                begin, waiting = end, []
                self._add_one(reading)
            else:
                waiting.append((at, reading))
        self._add_stretch(requests.chosen(slice(begin, None)) if begin else requests, waiting)

    def would_end(self, requests: Requests, others: Sequence[Placed]) -> bool:
        """Tell whether the chunk would have more services than it may with a run in it, so that it ends there or within."""
        if not self._ends_for_services:
            return False
        services = [*self._services_of(requests), *((one.origin.environment, one.origin.service) for _, one in others)]
        return not self.services.have_room_for(services)

    @property
    def has_too_many_services(self) -> bool:
        """Whether the chunk has to end because of its services."""
        return self._ends_for_services and self.services.are_over

    def add_sampled(self, spans: Sequence[SampledSpan]) -> None:
        """Fold a run's spans of sampled traces."""
        for span in spans:
            self.dirty[fold_sampled(self.partials, span, self._config)] = None

    def _add_one(self, reading: Reading) -> None:
        if self._evicts:
            self._slots.clear()  # what they point at may make room
        self.dirty[fold(self.partials, self.services.admitted(reading), self._config)] = None

    def _add_stretch(self, requests: Requests, others: Sequence[Placed]) -> None:
        if len(requests) > _FEW and not (self._evicts and (others or self._may_evict(requests))):
            self._add_columns(requests, others)
            return
        rest = iter(others)
        upcoming = next(rest, None)
        for at, request in self._one_by_one(requests):
            while upcoming is not None and upcoming[0] < at:
                self._add_one(upcoming[1])
                upcoming = next(rest, None)
            self._add_one(request)
        while upcoming is not None:
            self._add_one(upcoming[1])
            upcoming = next(rest, None)

    def _one_by_one(self, requests: Requests) -> Iterator[tuple[int, RequestReading]]:
        columns = (requests.message, requests.series, requests.time_ms, requests.duration_ms, requests.is_error)
        for at, number, time_ms, duration_ms, is_error in zip(*(column.tolist() for column in columns), strict=True):
            series = self._index.series[number]
            about = Origin(
                environment=series.environment, service=series.service, version=series.version, operation=series.operation
            )
            yield at, RequestReading(origin=about, time_ms=time_ms, duration_ms=duration_ms, is_error=is_error)

    def _add_columns(self, requests: Requests, others: Sequence[Placed]) -> None:
        """Fold requests group by group (series and window), groups and other readings in order of first appearance."""
        window = requests.time_ms // BASE_SIZE_MS
        group, first = _groups(requests.series, window)
        n_groups = len(first)
        n_requests = np.bincount(group, minlength=n_groups).tolist()
        n_errors = np.bincount(group[requests.is_error], minlength=n_groups).tolist()
        keys = ((requests.series[first] << _WINDOW_BITS) | window[first]).tolist()
        rest = iter(others)
        upcoming = next(rest, None)
        operations: list[OperationPartial] = []
        place_by_id: dict[int, int] = {}
        places: list[int] = []
        touched: list[Partial] = []
        for key, at, n, errors in zip(keys, requests.message[first].tolist(), n_requests, n_errors, strict=True):
            while upcoming is not None and upcoming[0] < at:
                self._add_one(upcoming[1])
                upcoming = next(rest, None)
            operation = self._count(key, n)
            operation.requests += n
            operation.errors += errors
            place = place_by_id.setdefault(id(operation), len(operations))
            if place == len(operations):
                operations.append(operation)
            places.append(place)
            if self._evicts:
                touched.append(self._slots[key][1])
        while upcoming is not None:
            self._add_one(upcoming[1])
            upcoming = next(rest, None)
        if self._evicts:
            last = np.empty(n_groups, np.int64)
            last[group] = np.arange(len(group))  # of rows of the same group the last one stays
            self._note_last_use(touched, requests.series[first].tolist(), last)
        _add_latencies(operations, np.array(places, np.int64)[group], requests)

    def _services_of(self, requests: Requests) -> list[tuple[str, str]]:
        series = (self._index.series[number] for number in np.unique(requests.series).tolist())
        return [(one.environment, one.service) for one in series]

    def _may_evict(self, requests: Requests) -> bool:
        """Tell whether a name of these requests may be new where there is no room: what goes then depends on each one's turn."""
        if not self.services.have_room_for(self._services_of(requests)):
            return True  # which service an operation is one of depends on it, too
        names: dict[PartialKey, tuple[set[str], set[str]]] = {}
        for key in np.unique((requests.series << _WINDOW_BITS) | requests.time_ms // BASE_SIZE_MS).tolist():
            if key in self._slots:
                continue
            series, start_ms = self._place(key)
            about = (service_key(series.environment, series.service), start_ms, BASE_SIZE_MS)
            partial = self.partials.get(about)
            known = ({*partial.operations}, {*partial.versions}) if partial else (set[str](), set[str]())
            operations, versions = names.setdefault(about, known)
            operations.add(series.operation)
            versions.add(series.version)
        limits = self._config
        return any(
            len(operations - {OTHER, ""}) > limits.max_operations or len(versions - {OTHER, ""}) > limits.max_versions
            for operations, versions in names.values()
        )

    def _note_last_use(self, partials: Sequence[Partial], numbers: Sequence[int], last: NDArray[np.int64]) -> None:
        """Bring the names of each group's partial into the order of their last use, as if they had been used one by one."""
        for at in np.argsort(last).tolist():
            series, partial = self._index.series[numbers[at]], partials[at]
            if len(partial.operations) > 1:
                use(series.operation, partial.operations)
            if series.version and len(partial.versions) > 1:
                use(series.version, partial.versions)

    def _place(self, key: int) -> tuple[Series, int]:
        """Return the series of a group, and where its window starts, ms."""
        return self._index.series[key >> _WINDOW_BITS], (key & (1 << _WINDOW_BITS) - 1) * BASE_SIZE_MS

    def _count(self, key: int, n: int) -> OperationPartial:
        """Count ``n`` readings of a group, and return what its requests are counted in."""
        slot = self._slots.get(key)
        if slot is None:
            slot = self._slots[key] = self._new_slot(key, n)
        elif slot[3] and self._evicts:  # it is there, and its turn is noted afterwards
            slot[1].readings += n
            slot[1].versions[slot[3]] += n
        elif slot[3]:
            count_readings(slot[1], slot[3], n, self._config)
        else:
            slot[1].readings += n
        self.dirty[slot[0]] = None
        return slot[2]

    def _new_slot(self, key: int, n: int) -> _Slot:
        if len(self._slots) >= _MAX_SLOTS:
            self._slots.clear()
        series, start_ms = self._place(key)
        environment, service = self.services.counted_as(series.environment, series.service)
        partial_key = (service_key(environment, service), start_ms, BASE_SIZE_MS)
        partial = partial_of(self.partials, partial_key, environment, service)
        count_readings(partial, series.version, n, self._config)
        return partial_key, partial, operation_of(partial, series.operation, self._config), series.version


def _adds_latency(reading: Reading) -> bool:
    """Tell whether a reading adds to a histogram of single requests."""
    return isinstance(reading, RequestReading) or (isinstance(reading, LogReading) and reading.duration_ms is not None)


def _groups(series: NDArray[np.int64], window: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the number of each row's group, in order of first appearance, and each group's first row."""
    lowest = window.min()
    n_windows = int(window.max() - lowest) + 1
    n_keys = (int(series.max()) + 1) * n_windows
    keys = series * n_windows + (window - lowest)
    order = stable_order(keys, n_keys) if n_keys <= _DENSE else np.argsort(keys, kind="stable")
    in_order = keys[order]
    begins = np.flatnonzero(np.concatenate(([True], in_order[1:] != in_order[:-1])))
    first = order[begins]  # the sort is stable
    rank = np.empty(len(first), np.int64)
    by_appearance = np.argsort(first)
    rank[by_appearance] = np.arange(len(first))
    group = np.empty(len(keys), np.int64)
    group[order] = np.repeat(rank, np.diff(np.append(begins, len(keys))))
    return group, first[by_appearance]


def _add_latencies(operations: Sequence[OperationPartial], place: NDArray[np.int64], requests: Requests) -> None:
    """Add each request's duration to its operation's histogram of good or failed ones."""
    which = place * 2 + requests.is_error
    used = np.bincount(which, minlength=2 * len(operations)) > 0
    histograms: list[Histogram] = []
    for at in np.flatnonzero(used).tolist():
        operation = operations[at >> 1]
        if at & 1:
            if operation.latency_failed is None:
                operation.latency_failed = Histogram()
            histograms.append(operation.latency_failed)
        else:
            if operation.latency_ok is None:
                operation.latency_ok = Histogram()
            histograms.append(operation.latency_ok)
    add_all(histograms, (np.cumsum(used) - 1)[which], requests.duration_ms)
