"""Days and hours of which people know in advance that they are unlike others: config/calendar.yaml."""

from dataclasses import field
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from fnmatch import fnmatchcase
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field
from pydantic.dataclasses import dataclass

from pipeline.contracts.config import PARAMS

Name = Annotated[str, Field(min_length=1)]


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class CalendarEntry:
    """One event or holiday.

    Attributes
    ----------
    name
        What it is.
    match
        Shell pattern on environment/service.
    start, end
        From the start on, until before the end. A date is its midnight, and as the end its last moment: a holiday starts
        and ends on the same date. A time without an offset is in ``timezone``.
    timezone
        Name in the time zone database.
    expects
        Conditions, or kinds of conditions, that are no news while it lasts: ``traffic``, ``saturation``. Others are judged
        as ever. Nothing is learned meanwhile, whatever is expected.

    Raises
    ------
    ValueError
        If it does not end after its start, or there is no such time zone.

    """

    name: Name
    match: Name = "*"
    start: date | datetime
    end: date | datetime
    timezone: str = "UTC"
    expects: frozenset[str] = frozenset({"traffic"})

    def __post_init__(self) -> None:
        self._zone()
        if self.end_ms <= self.start_ms:
            raise ValueError(f"{self.name}: must end after its start, {self.start}, got {self.end}")

    @property
    def start_ms(self) -> int:
        """When it begins, epoch ms."""
        return self._ms(self.start)

    @property
    def end_ms(self) -> int:
        """When it is over, epoch ms."""
        if isinstance(self.end, datetime):
            return self._ms(self.end)
        return self._ms(self.end + timedelta(days=1))

    def _zone(self) -> tzinfo:
        if self.timezone == "UTC":  # known even where the system has no database
            return UTC
        try:
            return ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as problem:
            raise ValueError(f"{self.name}: there is no time zone {self.timezone!r} on this system") from problem

    def _ms(self, at: date) -> int:
        moment = at if isinstance(at, datetime) else datetime.combine(at, time(), tzinfo=self._zone())
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=self._zone())
        return round(moment.astimezone(UTC).timestamp() * 1000)


@dataclass(frozen=True, slots=True, kw_only=True, config=PARAMS)
class CalendarParams:
    """All events and holidays.

    Attributes
    ----------
    events
        In any order; where several are open, the first counts.

    """

    events: tuple[CalendarEntry, ...] = field(default_factory=tuple)

    def of(self, service_key: str) -> "ServiceCalendar":
        """Return what concerns a service."""
        return ServiceCalendar(tuple(entry for entry in self.events if fnmatchcase(service_key, entry.match)))


class ServiceCalendar:
    """The entries of one service, their times reckoned once."""

    __slots__ = ("_entries",)

    def __init__(self, entries: tuple[CalendarEntry, ...]) -> None:
        self._entries = tuple((entry.start_ms, entry.end_ms, entry) for entry in entries)

    def open_entry(self, start_ms: int, end_ms: int) -> CalendarEntry | None:
        """Return the first entry that is open in ``[start_ms, end_ms)``."""
        for from_ms, until_ms, entry in self._entries:
            if from_ms < end_ms and start_ms < until_ms:
                return entry
        return None
