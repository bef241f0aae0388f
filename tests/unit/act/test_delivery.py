"""Who is told of an alert: the decision table of old news."""

import pytest

from pipeline.act.delivery import News, delivery, news
from pipeline.contracts.alerts import Delivery, Transition
from pipeline.contracts.anomalies import Severity
from tests.alert_samples import ORIGIN_MS, event

OLD_NEWS_MS = 300_000
FRESH, OLD = ORIGIN_MS + OLD_NEWS_MS, ORIGIN_MS + OLD_NEWS_MS + 1


@pytest.mark.parametrize(
    ("transition", "severity", "told", "now_ms", "means"),
    [
        (Transition.FIRED, Severity.TICKET, None, FRESH, News.NOTIFY),
        (Transition.FIRED, Severity.TICKET, None, OLD, News.RECORD),
        (Transition.FIRED, Severity.TICKET, None, ORIGIN_MS - 60_000, News.NOTIFY),  # their clock is ahead of ours
        (Transition.STILL_FIRING, Severity.TICKET, None, FRESH, News.NOTIFY),
        (Transition.STILL_FIRING, Severity.TICKET, None, OLD, News.RECORD),
        (Transition.STILL_FIRING, Severity.TICKET, Severity.TICKET, FRESH, News.KNOWN),
        (Transition.STILL_FIRING, Severity.PAGE, Severity.TICKET, FRESH, News.NOTIFY),
        (Transition.STILL_FIRING, Severity.PAGE, Severity.TICKET, OLD, News.KNOWN),
        (Transition.STILL_FIRING, Severity.PAGE, Severity.PAGE, FRESH, News.KNOWN),
        (Transition.STILL_FIRING, Severity.TICKET, Severity.PAGE, FRESH, News.KNOWN),
        (Transition.RESOLVED, Severity.PAGE, None, FRESH, News.KNOWN),
        (Transition.PENDING, Severity.PAGE, None, FRESH, News.KNOWN),
        (Transition.CANCELLED, Severity.PAGE, None, FRESH, News.KNOWN),
    ],
)
def test_people_are_told_once_of_what_fires_now_and_again_when_it_becomes_a_page(
    transition: Transition, severity: Severity, told: Severity | None, now_ms: int, means: News
) -> None:
    assert news(event(transition, severity=severity), told, now_ms=now_ms, old_news_ms=OLD_NEWS_MS) is means


@pytest.mark.parametrize(
    ("transition", "decided", "before", "after"),
    [
        (Transition.FIRED, News.NOTIFY, Delivery.PENDING, Delivery.NOTIFIED),
        (Transition.FIRED, News.RECORD, Delivery.PENDING, Delivery.RECORDED),
        (Transition.STILL_FIRING, News.NOTIFY, Delivery.RECORDED, Delivery.NOTIFIED),
        (Transition.STILL_FIRING, News.KNOWN, Delivery.NOTIFIED, Delivery.NOTIFIED),
        (Transition.RESOLVED, News.KNOWN, Delivery.NOTIFIED, Delivery.NOTIFIED),
        (Transition.RESOLVED, News.KNOWN, Delivery.RECORDED, Delivery.RECORDED),
        (Transition.RESOLVED, News.KNOWN, Delivery.PENDING, Delivery.RECORDED),
        (Transition.PENDING, News.KNOWN, Delivery.PENDING, Delivery.PENDING),
        (Transition.CANCELLED, News.KNOWN, Delivery.PENDING, Delivery.PENDING),
    ],
)
def test_an_end_changes_nothing_about_who_was_told(
    transition: Transition, decided: News, before: Delivery, after: Delivery
) -> None:
    assert delivery(event(transition), decided, before) is after
