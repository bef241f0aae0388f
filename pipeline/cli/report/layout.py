"""What the page holds and in which order: decides which services, episodes and series are shown, and their anchors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.backtest.labels import Label
from pipeline.backtest.marks import Worth
from pipeline.backtest.outcome import Outcome
from pipeline.backtest.record import Life
from pipeline.backtest.series import Buckets, SeriesKey, SeriesLog, Span
from pipeline.cli.report.episodes import Episode, busiest, episodes, padded, shown_series
from pipeline.cli.report.plots import Event, Mark
from pipeline.cli.wording import duration, moment
from pipeline.contracts.anomalies import Severity

MAX_SERVICES = 60
MAX_SERIES = 300
MAX_EPISODES = 400
"""Most on one page; what is left out is told. With all three reached a page is about 20 MB."""
OVERVIEW_BUCKETS, CLOSE_BUCKETS = 465, 225
"""Two units of a plot's width each."""
ORDER = ("latency", "traffic", "errors", "saturation", "silence")
Drawn = Mapping[tuple[SeriesKey, Span], Buckets]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownEpisode:
    """An episode with its anchor, the time that its plots cover, and its series."""

    anchor: str
    episode: Episode
    span: Span
    series: tuple[SeriesKey, ...]

    @property
    def is_missed(self) -> bool:
        """Nobody was told of it."""
        return not self.episode.lives


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownService:
    """A service with its anchor, its episodes and the series that are shown over the whole time."""

    anchor: str
    service_key: str
    episodes: tuple[ShownEpisode, ...]
    series: tuple[SeriesKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The page's content.

    Attributes
    ----------
    drawn
        Buckets of every series and span that is plotted.
    left_out
        What is not shown, in words.
    anchors
        Of the episodes, by alert id and by (service key, label).

    """

    services: tuple[ShownService, ...]
    drawn: Drawn
    whole: Span
    left_out: tuple[str, ...]
    anchors: Mapping[str | tuple[str, Label], str]


def laid_out(outcome: Outcome, log: SeriesLog, *, everything: bool) -> Layout:
    """Return what the page shows: services with alerts or labels; with ``everything``, all of them."""
    whole = Span(start_ms=outcome.start_ms, end_ms=max(outcome.end_ms, outcome.start_ms + 1))
    weight = {
        key: len(outcome.lives_by_service.get(key, ())) + len(outcome.labels_by_service[key]) for key in outcome.record.services
    }
    wanted = [key for key in sorted(outcome.record.services) if everything or weight[key]]
    services = busiest(wanted, weight, MAX_SERVICES)
    series_by_service, n_more = _series(outcome, log, services, everything=everything)
    overviews = log.buckets({key: [whole] for keys in series_by_service.values() for key in keys}, OVERVIEW_BUCKETS)
    shown: list[ShownService] = []
    anchors: dict[str | tuple[str, Label], str] = {}
    n_episodes = n_hidden = 0
    for number, key in enumerate(services, 1):
        own = {series: overviews[series, whole] for series in series_by_service[key]}
        found = episodes(outcome.labels_by_service[key], (life for _, life in outcome.lives_by_service.get(key, ())), whole.end_ms)
        room = max(0, MAX_EPISODES - n_episodes)
        n_hidden += len(found[room:])
        shown_episodes = []
        for episode in found[:room]:
            n_episodes += 1
            chosen = tuple(shown_series(episode, own))
            size_ms = max((log.info[one].size_ms for one in chosen), default=10_000)
            span = padded(episode.span, size_ms)
            shown_episodes.append(ShownEpisode(anchor=f"e{n_episodes}", episode=episode, span=span, series=chosen))
            anchors |= _anchors(outcome, key, episode, f"e{n_episodes}")
        shown.append(
            ShownService(anchor=f"v{number}", service_key=key, episodes=tuple(shown_episodes), series=tuple(series_by_service[key]))
        )
    close: dict[SeriesKey, list[Span]] = {}
    for service in shown:
        for one in service.episodes:
            for series in one.series:
                close.setdefault(series, []).append(one.span)
    told = ((len(wanted) - len(services), "services"), (n_more, "series"), (n_hidden, "episodes"), (log.n_not_kept, "findings"))
    return Layout(
        services=tuple(shown),
        drawn=overviews | log.buckets(close, CLOSE_BUCKETS),
        whole=whole,
        left_out=tuple(f"{n:,} further {what}" for n, what in told if n),
        anchors=anchors,
    )


def _series(
    outcome: Outcome, log: SeriesLog, services: Sequence[str], *, everything: bool
) -> tuple[dict[str, list[SeriesKey]], int]:
    """Return the series to show of each service, and how many more there would be: those with alerts come first."""
    by_service: dict[str, list[SeriesKey]] = {key: [] for key in services}
    for series in log.info:
        if series.service_key in by_service:
            by_service[series.service_key].append(series)
    alerted = {(life.service_key, life.condition) for life in outcome.record.lives.values()}
    wanted = [
        series
        for key in services
        for series in by_service[key]
        if everything or tuple(series) in alerted or outcome.labels_by_service[key]
    ]
    kept = set(sorted(wanted, key=lambda series: tuple(series) not in alerted)[:MAX_SERIES])
    shown = {key: sorted((one for one in by_service[key] if one in kept), key=_rank) for key in services}
    return shown, len(wanted) - len(kept)


def _rank(series: SeriesKey) -> tuple[int, str]:
    kind = series.condition.partition(":")[0]
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), series.condition)


def _anchors(outcome: Outcome, key: str, episode: Episode, anchor: str) -> dict[str | tuple[str, Label], str]:
    inside = {id(life) for life in episode.lives}
    anchors: dict[str | tuple[str, Label], str] = {
        alert_id: anchor for alert_id, life in outcome.lives_by_service.get(key, ()) if id(life) in inside
    }
    return anchors | {(key, label): anchor for label in episode.labels}


def events_of(outcome: Outcome, service_key: str, condition: str | None = None) -> list[Event]:
    """Return what happened to a service, as plots draw it: fields first, then alerts (of one condition, if it is given)."""
    service = service_key.partition("/")[2]
    from_ms = outcome.labels.scored_from_ms
    events = []
    if from_ms is not None:
        events.append(Event(mark=Mark.LEARNING, start_ms=0, end_ms=from_ms, told="before the scored time"))
    for label in outcome.labels.harmless:
        if label.service == service:
            told = f"harmless: {label.kind or label.name}, {_when(label.start_ms, label.end_ms)}"
            events.append(Event(mark=Mark.HARMLESS, start_ms=label.start_ms, end_ms=label.end_ms, told=told))
    for label in outcome.labels_by_service[service_key]:
        found = outcome.found.get(label)
        mark = Mark.UNSCORED if found is None else Mark.FOUND if found else Mark.MISSED
        verdict = {Mark.FOUND: "found", Mark.MISSED: "missed", Mark.UNSCORED: "not scored"}[mark]
        told = f"{label.name} {label.kind}: {verdict}, {_when(label.start_ms, label.end_ms)}"
        events.append(Event(mark=mark, start_ms=label.start_ms, end_ms=label.end_ms, told=told))
    for alert_id, life in outcome.lives_by_service.get(service_key, ()):
        if condition in (None, life.condition):
            events.append(alert_event(outcome, alert_id, life))
    return events


def alert_event(outcome: Outcome, alert_id: str, life: Life) -> Event:
    """Return an alert's life as an event."""
    end_ms = outcome.end_ms if life.resolved_at_ms is None else life.resolved_at_ms
    worth = outcome.worth(alert_id)
    what = "" if worth is None else f" ({worth_in_words(worth)})"
    mark = Mark.PAGE if life.severity is Severity.PAGE else Mark.TICKET
    told = f"{mark} on {life.condition}{what}, {_when(life.fired_at_ms, end_ms)}: {life.sentence}"
    return Event(mark=mark, start_ms=life.fired_at_ms, end_ms=end_ms, told=told)


def worth_in_words(worth: Worth) -> str:
    """Return what an alert was worth, for people."""
    return {Worth.OWN: "right", Worth.NEUTRAL: "on an affected service", Worth.FALSE: "false", Worth.IGNORED: "not scored"}[worth]


def _when(start_ms: int, end_ms: int) -> str:
    return f"{moment(start_ms, with_date=True)} UTC for {duration(max(0, end_ms - start_ms))}"
