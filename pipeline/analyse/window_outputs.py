"""What a step publishes, made as it is sent: records of windows, of stretches of windows that hold nothing, and of rollups."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from pipeline.analyse.contributions import WindowKey, WindowRow
from pipeline.analyse.edges import edge_records
from pipeline.analyse.golden_signals import golden_signals
from pipeline.analyse.params import WindowParams
from pipeline.analyse.profiles import Profile
from pipeline.analyse.rollup import RollupRow
from pipeline.analyse.series import SeriesRow
from pipeline.analyse.window_state import value_of
from pipeline.contracts.codec import encode
from pipeline.contracts.keys import service_key
from pipeline.contracts.partials import Partial
from pipeline.contracts.records import OutRecord
from pipeline.contracts.signals import Completeness
from pipeline.contracts.stage import InTwoParts
from pipeline.contracts.window_times import ROLLUP_SIZE_MS
from pipeline.errors import StateError

TOPIC = "signals"


class Publisher(msgspec.Struct, frozen=True):
    """Makes the records of one partition's windows.

    Attributes
    ----------
    threshold_ms
        Of the service at hand: a slower request is an implicit error; ``None``: no such rule.

    """

    params: WindowParams
    partition: int
    threshold_ms: float | None

    def record(
        self,
        profile: Profile,
        key: WindowKey,
        *,
        revision: int = 1,
        rollup: bool = False,
        value: Partial | None = None,
        n_sources: int = 0,
    ) -> OutRecord:
        """Return the record of one window; without ``value`` nothing was heard in it."""
        service, start_ms, size_ms = key
        signals = golden_signals(
            environment=profile.environment,
            service=profile.service,
            start_ms=start_ms,
            size_ms=size_ms,
            revision=revision,
            rollup=rollup,
            value=value,
            completeness=Completeness(
                readings=0 if value is None else value.readings,
                late=profile.late,
                sources=n_sources,
                delay_ms=profile.delay_at(start_ms, self.params.delay_ms),
                over_limit=0 if value is None else value.over_limit,
            ),
            threshold_ms=self.threshold_ms,
            max_operations=self.params.max_operations,
            last_version=profile.version,
            max_templates=self.params.max_templates,
        )
        closes_ms = start_ms + size_ms if revision == 1 and not rollup else None
        return OutRecord(topic=TOPIC, key=service, partition=self.partition, value=encode(signals), closes_ms=closes_ms)


class FilledWindow(msgspec.Struct, frozen=True):
    """A window that holds something; nothing of it changes any more. See :meth:`Publisher.record`."""

    publisher: Publisher
    profile: Profile
    key: WindowKey
    revision: int
    value: Partial
    n_sources: int

    def __iter__(self) -> Iterator[OutRecord]:
        yield self.publisher.record(self.profile, self.key, revision=self.revision, value=self.value, n_sources=self.n_sources)


@dataclass(slots=True)
class Rollup:
    """A rollup that is due, added up when it is asked for.

    Attributes
    ----------
    row
        As it is to be published; its sum changes when windows go, and :meth:`settle` comes before that.
    windows, series
        Its open windows, and what the service's series add to them.

    """

    publisher: Publisher
    profile: Profile
    row: RollupRow
    windows: Sequence[WindowRow]
    series: SeriesRow | None
    _is_said: bool = field(default=False, init=False)
    _settled: Sequence[OutRecord] | None = field(default=None, init=False)

    def __iter__(self) -> Iterator[OutRecord]:
        if self._settled is None:
            self._is_said = True
            return iter(self._records())
        if not self._settled:
            raise StateError(f"the rollup of {self.row.service} from {self.row.start_ms} was said, and its sum has changed since")
        return iter(self._settled)

    def settle(self) -> None:
        """Make what nobody has asked for yet: the sum is about to change. What was said is not kept, and not said again."""
        if self._settled is None:
            self._settled = () if self._is_said else self._records()

    def _records(self) -> Sequence[OutRecord]:
        """Return the record of the rollup, and those of the edges that it tells."""
        row, profile, publisher = self.row, self.profile, self.publisher
        service = service_key(row.environment, row.service)
        value = row.value([value_of((service, one.start_ms, one.size_ms), one, self.series) for one in self.windows])
        key, n_sources = (service, row.start_ms, ROLLUP_SIZE_MS), row.sources(self.windows)
        record = publisher.record(profile, key, revision=row.revision, rollup=True, value=value, n_sources=n_sources)
        if value is None or not value.calls:
            return (record,)
        partition = publisher.partition
        return (record, *edge_records(profile, value, start_ms=row.start_ms, size_ms=ROLLUP_SIZE_MS, partition=partition))


@dataclass(slots=True, kw_only=True)
class EmptyWindows:
    """A stretch of one service's windows that are due: those that hold nothing are published from here.

    Attributes
    ----------
    profile
        Of the service, as it was before the stretch.
    begin_ms, end_ms
        Start of its first window; end of its last.
    filled, rolled_up
        Starts of the windows, and of the rollups, in it that have a row: they are published elsewhere.

    """

    publisher: Publisher
    profile: Profile
    begin_ms: int
    end_ms: int
    filled: set[int] = field(default_factory=set)
    rolled_up: set[int] = field(default_factory=set)

    def __iter__(self) -> Iterator[OutRecord]:
        profile, publisher = self.profile, self.publisher
        service, start_ms = service_key(profile.environment, profile.service), self.begin_ms
        while start_ms < self.end_ms:
            size_ms = profile.size_at(start_ms)
            if start_ms not in self.filled:
                yield publisher.record(profile, (service, start_ms, size_ms))
            start_ms += size_ms
            rollup_ms = start_ms - ROLLUP_SIZE_MS
            if ends_rollup(start_ms, size_ms) and rollup_ms not in self.rolled_up:
                yield publisher.record(profile, (service, rollup_ms, ROLLUP_SIZE_MS), rollup=True)


@dataclass(frozen=True, slots=True)
class Outputs(InTwoParts):
    """What one step publishes, in order; each walk over it says the same.

    It does not look at the state, so that the state may go on while this is being sent; rollups are to be settled before their
    sums go on. Signals are made as they are asked for: they are most of the work where a thousand windows close at once,
    and the first ones need not wait for the last. Rollups, of some three times that work each, wait for all windows.
    """

    parts: Sequence[OutRecord | FilledWindow | EmptyWindows]
    rollups: Sequence[Rollup] = ()

    @property
    def first(self) -> Iterator[OutRecord]:
        """All but the rollups."""
        for part in self.parts:
            if isinstance(part, OutRecord):
                yield part
            else:
                yield from part

    @property
    def later(self) -> Iterator[OutRecord] | None:
        """The rollups."""
        return chain.from_iterable(self.rollups) if self.rollups else None


def ends_rollup(end_ms: int, size_ms: int) -> bool:
    """Return whether a window that ends at ``end_ms`` is the last one of a five-minute rollup."""
    return end_ms % ROLLUP_SIZE_MS == 0 and size_ms < ROLLUP_SIZE_MS
