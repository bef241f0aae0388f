"""What the window stage announces once, as sentences with ids that a second run repeats."""

from pipeline.analyse.profiles import Profile
from pipeline.analyse.watermarks import Head
from pipeline.contracts.ids import content_id
from pipeline.contracts.signals import Notice, NoticeKind


def source_notices(before: Head, after: Head, source: str, max_hold_ms: int) -> list[tuple[str, Notice]]:
    """Return (key, notice) of what a bundle's header changed about sources."""
    at_ms = after.low_ms or 0
    notices: list[tuple[str, Notice]] = []
    epoch, chunk = after.chunks[source]
    if source in before.chunks and epoch > before.chunks[source][0]:
        text = f"{source} was created anew: its offsets begin again at {chunk}, as epoch {epoch}"
        notices.append((source, _notice(NoticeKind.TOPIC_RECREATED, at_ms, text, source, epoch)))
    for left in sorted(after.left_behind - before.left_behind):
        stands_ms = after.watermark_by_source.get(left)
        stands = "was never heard" if stands_ms is None else f"stands at {stands_ms} ms"
        text = f"{left} {stands} and held the other sources back for more than {max_hold_ms} ms: they go on without it"
        since_ms = after.behind_since_ms[left]
        notices.append((left, _notice(NoticeKind.SOURCE_LEFT_BEHIND, at_ms, text, left, since_ms)))
    return notices


def widened(profile: Profile) -> Notice:
    """Announce wider windows of a service."""
    from_ms, size_ms = profile.sizes[-1]
    text = f"{profile.service} reports in longer intervals: its windows are {size_ms // 1000} s from {from_ms} ms on"
    return _of_service(profile, NoticeKind.WINDOW_WIDENED, from_ms, text, size_ms)


def delay_lengthened(profile: Profile) -> Notice:
    """Announce that a service's windows wait longer."""
    from_ms, delay_ms = profile.delays[-1]
    text = f"{profile.service} is reported late: its windows wait {delay_ms} ms for data from {from_ms} ms on"
    return _of_service(profile, NoticeKind.DELAY_LENGTHENED, from_ms, text, delay_ms)


def retired(profile: Profile, at_ms: int) -> Notice:
    """Announce the end of a service."""
    is_announced = profile.retire_at_ms is not None and profile.retire_at_ms >= (profile.last_end_ms or 0)
    why = "a change event ended it" if is_announced else f"nothing was heard of it since {profile.last_end_ms} ms"
    text = f"{profile.service} is retired: {why}"
    return _of_service(profile, NoticeKind.SERVICE_RETIRED, at_ms, text, at_ms)


def over_limit(partition: int, max_services: int, hour: int, at_ms: int) -> Notice:
    """Announce, once an hour, that profiles are forgotten because there are too many services."""
    text = f"partition {partition} knows more than {max_services} services: those not heard of for longest are forgotten"
    return _notice(NoticeKind.SERVICES_OVER_LIMIT, at_ms, text, partition, hour)


def _of_service(profile: Profile, kind: NoticeKind, at_ms: int, text: str, *identity: int) -> Notice:
    return Notice(
        id=content_id(kind, profile.environment, profile.service, at_ms, *identity),
        notice=kind,
        at_ms=at_ms,
        text=text,
        environment=profile.environment,
        service=profile.service,
        version=profile.version,
    )


def _notice(kind: NoticeKind, at_ms: int, text: str, *identity: str | int) -> Notice:
    return Notice(id=content_id(kind, *identity), notice=kind, at_ms=at_ms, text=text)
