"""What an alert event says in one sentence, for a person who was woken by it."""

from collections.abc import Sequence

from pipeline.analyse.lives import Life
from pipeline.analyse.log_words import log_words
from pipeline.analyse.observations import SILENCE, observation, subject, value_now
from pipeline.analyse.wording import clock, duration, joined, plain
from pipeline.contracts.alerts import ResolveReason, Transition
from pipeline.contracts.exemplars import Exemplar
from pipeline.contracts.partials import ChangeNote

_OVER = frozenset({Transition.RESOLVED, Transition.CANCELLED})


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
    return f"{who}: {told}{_others(transition, others)}."


def change_words(change: ChangeNote, since_ms: int) -> str:
    """Return a change before a problem, in words: ``deployment of 1.4.3 3 minutes before``."""
    return f"{_change_name(change)} {_change_time(change, since_ms)}"


def _others(transition: Transition, others: Sequence[str]) -> str:
    """Return what else fires: beside this one, or still, where this one is over."""
    if not others:
        return ""
    names, verb = joined([subject(other) for other in others]), "is" if len(others) == 1 else "are"
    return f"; {names} {verb} {'still firing' if transition in _OVER else 'firing too'}"


def _going_on(life: Life, transition: Transition, at_ms: int) -> str:
    log = life.finding.log
    parts = [observation(life, at_ms) if log is None else log_words(life, log, at_ms)]
    if life.change is not None:
        name = _change_name(life.change)
        article = "an" if name[:1].lower() in "aeiou" else "a"
        parts.append(f"{article} {name} came {_change_time(life.change, life.since_ms)}")
    if life.exemplars:
        parts.append(f"one {_kind_of(life.exemplars[0])} request: trace {plain(life.exemplars[0].trace_id, 64)}")
    if life.judged_ms < at_ms:
        parts.append(f"nothing was heard of it after {clock(life.judged_ms, at_ms)}")
    elif life.n_recovered:
        parts.append("it seems to recover")
    if transition is Transition.PENDING:
        parts.append("not confirmed yet")
    return "; ".join(parts)


def _kind_of(exemplar: Exemplar) -> str:
    """Return what is bad about a request."""
    return "failed" if exemplar.failed else "slow"


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
    value = value_now(life)
    now = f" ({value})" if value else ""
    return f"{what} is normal again{now}, after {lasted} of trouble that began at {since}"


def _cancelled(life: Life, at_ms: int, reason: ResolveReason | None) -> str:
    what, since = subject(life.condition), clock(life.since_ms, at_ms)
    if reason is ResolveReason.NOT_CONFIRMED:
        return f"{what} was unusual at {since} and did not last, so there is no alert"
    why = "the service was retired" if reason is ResolveReason.RETIRED else "Tocsin watches too many services"
    return f"{what} was unusual at {since}, which was not followed up because {why}"


def _change_name(change: ChangeNote) -> str:
    kind = plain(change.type, 40) or "change"
    version = plain(change.version, 40)
    return f"{kind} of {version}" if version else kind


def _change_time(change: ChangeNote, since_ms: int) -> str:
    if change.time_ms >= since_ms:
        return "as it began"
    return f"{duration(since_ms - change.time_ms)} before"
