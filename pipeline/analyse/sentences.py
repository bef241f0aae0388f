"""What an alert event says in one sentence, for a person who was woken by it."""

from collections.abc import Sequence

from pipeline.analyse.lives import Life
from pipeline.analyse.wording import band, clock, duration, joined, plain, quantity
from pipeline.contracts.alerts import ResolveReason, Transition
from pipeline.contracts.anomalies import Finding
from pipeline.contracts.partials import ChangeNote

SILENCE, WINDOWS = "silence", "windows"
"""The condition that nothing is heard, and the unit in which it is told how long."""
MAX_WINDOWS = 1_000_000
"""A longer silence is told as this one."""
_SUBJECTS = {"latency": "latency", "traffic": "traffic", "errors": "error rate", "silence": "silence"}


def sentence(
    *,
    environment: str,
    service: str,
    life: Life,
    transition: Transition,
    at_ms: int,
    reason: ResolveReason | None = None,
    others: Sequence[str] = (),
) -> str:
    """Return one sentence of plain text.

    Parameters
    ----------
    environment, service
        Whom it is about; shortened and freed of control characters here.
    life
        The condition's life, the window that ends at ``at_ms`` counted in.
    transition, reason
        What happened, and why it ended if it did.
    others
        Other conditions of the service that are firing.

    """
    who = f"{plain(service)} ({plain(environment, 40)})"
    match transition:
        case Transition.RESOLVED:
            told = _ended(life, at_ms, reason)
        case Transition.CANCELLED:
            told = _cancelled(life, at_ms, reason)
        case _:
            told = _going_on(life, transition, at_ms)
    too = f"; {joined([subject(other) for other in others])} {'is' if len(others) == 1 else 'are'} firing too" if others else ""
    return f"{who}: {told}{too}."


def subject(condition: str) -> str:
    """Return what a condition is called.

    Examples
    --------
    >>> subject("errors"), subject("saturation:cpu"), subject("latency:tail")
    ('error rate', 'use of cpu', 'latency (tail)')

    """
    kind, _, detail = plain(condition).partition(":")
    if kind == "saturation" and detail:
        return f"use of {detail}"
    name = _SUBJECTS.get(kind, kind)
    return f"{name} ({detail})" if detail else name


def change_words(change: ChangeNote, since_ms: int) -> str:
    """Return a change before a problem, in words: ``deployment of 1.4.3 3 minutes before``."""
    return f"{_change_name(change)} {_change_time(change, since_ms)}"


def _going_on(life: Life, transition: Transition, at_ms: int) -> str:
    if life.condition == SILENCE:
        parts = [_silence(life, at_ms)]
    else:
        parts = [f"{_observation(life.finding, life.condition)}, since {clock(life.since_ms, at_ms)}"]
    if life.change is not None:
        name = _change_name(life.change)
        article = "an" if name[:1].lower() in "aeiou" else "a"
        parts.append(f"{article} {name} came {_change_time(life.change, life.since_ms)}")
    if life.judged_ms < at_ms:
        parts.append(f"nothing was heard of it after {clock(life.judged_ms, at_ms)}")
    elif life.n_recovered:
        parts.append("it seems to recover")
    if transition is Transition.PENDING:
        parts.append("not confirmed yet")
    return "; ".join(parts)


def _observation(finding: Finding, condition: str) -> str:
    """Return what is seen and how that compares: ``latency is 480 ms at p95, 3.1 times what is normal ...``."""
    if finding.observed is None:
        return f"{subject(condition)} is outside of what is normal at this hour{_band(finding)}"
    at = f" at {plain(finding.statistic, 20)}" if finding.statistic else ""
    seen = f"{subject(condition)} is {_shown(finding.observed, finding)}{at}"
    return f"{seen}, {_comparison(finding)}{_band(finding)}"


def _silence(life: Life, at_ms: int) -> str:
    """Return since when nothing is heard: silence is told in windows, and began some before it was anomalous."""
    finding, size_ms = life.finding, life.first_end_ms - life.since_ms
    if finding.unit != WINDOWS or finding.observed is None:
        return f"nothing is heard from it since {clock(life.since_ms, at_ms)}"
    length_ms = round(min(finding.observed, MAX_WINDOWS) * size_ms)
    told = f"nothing is heard from it since {clock(life.judged_ms - length_ms, at_ms)}, for {duration(length_ms)}"
    if finding.upper is None:
        return told
    usual_ms = round(min(finding.upper, MAX_WINDOWS) * size_ms)
    return f"{told}, where at most {duration(usual_ms)} is normal"


def _comparison(finding: Finding) -> str:
    times = times_expected(finding)
    if times is None or 0.95 < times < 1.05:
        return "outside of what is normal at this hour"
    if times > 1:
        return f"{_times(times)} what is normal at this hour"
    return f"{quantity(times, 'ratio')} of what is normal at this hour"


def times_expected(finding: Finding) -> float | None:
    """Return observed / expected; ``None`` where one of them is not known, or nothing is expected."""
    if finding.observed is None or finding.expected is None or finding.expected <= 0 or finding.observed < 0:
        return None
    times = finding.observed / finding.expected
    return times if times < 1e12 else None


def _ended(life: Life, at_ms: int, reason: ResolveReason | None) -> str:
    what, since = subject(life.condition), clock(life.since_ms, at_ms)
    if reason is ResolveReason.RETIRED:
        return f"the service was retired, which ends its alert on {what} of {since}"
    if reason is ResolveReason.NOT_CONFIRMED:
        lasted = duration(at_ms - life.judged_ms)
        return f"nothing was heard of its {what} for {lasted}, so its alert of {since} ends without anybody knowing"
    if reason is ResolveReason.FORGOTTEN:
        return f"Tocsin watches too many services and lets go of this one, so its alert on {what} of {since} ends unconfirmed"
    lasted = duration(at_ms - life.since_ms)
    if life.condition == SILENCE:
        return f"it is heard again, after {lasted} of trouble that began at {since}"
    now = "" if life.finding.observed is None else f" ({_shown(life.finding.observed, life.finding)})"
    return f"{what} is normal again{now}, after {lasted} of trouble that began at {since}"


def _cancelled(life: Life, at_ms: int, reason: ResolveReason | None) -> str:
    what, since = subject(life.condition), clock(life.since_ms, at_ms)
    if reason is ResolveReason.NOT_CONFIRMED:
        return f"{what} was unusual at {since} and did not last, so there is no alert"
    why = "the service was retired" if reason is ResolveReason.RETIRED else "Tocsin watches too many services"
    return f"{what} was unusual at {since}, which was not followed up because {why}"


def _band(finding: Finding) -> str:
    normal = band(finding.lower, finding.upper, plain(finding.unit, 20))
    return f" ({normal})" if normal else ""


def _shown(value: float, finding: Finding) -> str:
    return quantity(value, plain(finding.unit, 20))


def _times(times: float) -> str:
    return f"{quantity(times, '')} times"


def _change_name(change: ChangeNote) -> str:
    kind = plain(change.type, 40) or "change"
    version = plain(change.version, 40)
    return f"{kind} of {version}" if version else kind


def _change_time(change: ChangeNote, since_ms: int) -> str:
    if change.time_ms >= since_ms:
        return "as it began"
    return f"{duration(since_ms - change.time_ms)} before"
