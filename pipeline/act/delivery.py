"""Whether people and bots are told of an alert, or whether it is old news that is only recorded."""

from enum import StrEnum

from pipeline.contracts.alerts import AlertEvent, AlertState, Delivery, Transition
from pipeline.contracts.anomalies import Severity


class News(StrEnum):
    """What an event means for those who are told."""

    NOTIFY = "notify"
    """Firing now, and they do not know, or not that it is as severe as this."""
    RECORD = "record"
    """Firing, but so long ago that Tocsin must have been away; they are told if it still goes on."""
    MUTE = "mute"
    """Firing, and another alert stands for it."""
    KNOWN = "known"
    """They know, or there is nothing to know yet."""


def news(event: AlertEvent, told: Severity | None, *, now_ms: int, old_news_ms: int) -> News:
    """Return what an event means.

    Parameters
    ----------
    event
        One step in the life of an alert.
    told
        The severity with which people were last told of this life; ``None``: never.
    now_ms
        The clock: the only place where it decides about an alert.
    old_news_ms
        An event older than this, ms, is old.

    """
    if event.state is not AlertState.FIRING:
        return News.KNOWN
    if is_old(event, now_ms=now_ms, old_news_ms=old_news_ms):
        return News.RECORD if told is None else News.KNOWN
    if told is None or (told is Severity.TICKET and event.severity is Severity.PAGE):
        return News.NOTIFY
    return News.KNOWN


def is_old(event: AlertEvent, *, now_ms: int, old_news_ms: int) -> bool:
    """Tell whether an event is older than ``old_news_ms``."""
    return now_ms - event.at_ms > old_news_ms


def delivery(event: AlertEvent, decided: News, before: Delivery) -> Delivery:
    """Return an alert's delivery after an event; what was notified stays so, and its end is news too."""
    if decided is News.NOTIFY:
        return Delivery.NOTIFIED
    if decided is News.MUTE:
        return Delivery.MUTED
    if decided is News.RECORD:
        return Delivery.RECORDED
    if event.transition is Transition.RESOLVED and before is Delivery.PENDING:
        return Delivery.RECORDED  # its firing was never seen here
    return before
