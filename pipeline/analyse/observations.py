"""What was seen of a condition and how that compares, in words: decides which numbers may stand beside one another."""

from pipeline.analyse.lives import Life
from pipeline.analyse.rarity import how_rare, rarity
from pipeline.analyse.wording import band, clock, duration, plain, quantity
from pipeline.contracts.anomalies import Finding, Judgement

NOVELTY = "novelty:"
"""Begins the conditions that are judged on five-minute series; the rest is the series' name."""
SILENCE, WINDOWS = "silence", "windows"
"""The condition that nothing is heard, and the unit in which it is told how long."""
MAX_WINDOWS = 1_000_000
"""A longer silence is told as this one."""
SCALES = ("windows", "p95_windows")
"""Terms of a finding that say over how many windows ``observed`` was taken; without one, or with 1, it is this window's."""
SLOW_TAIL, SPIKES, SPIKES_PER_DAY = "tail_times_expected", "spikes_last_hour", "usual_spikes_per_day"
"""Terms of a latency finding that was made by its slowest requests, or by its spikes: ``observed`` is not what is unusual."""
UNREMARKABLE_TIMES = 1.5
"""A value up to so many times the expected one can be shown as normal again."""
_SUBJECTS = {
    "latency": "latency",
    "latency_p95": "latency",
    "traffic": "traffic",
    "errors": "error rate",
    "silence": "silence",
    "saturation": "use of its fullest resource",
    "template_new": "what its log says",
    "template_rate": "the rate of its log lines",
}


def observation(life: Life, at_ms: int) -> str:
    """Return what is seen, how that compares, and since when.

    The band is what one window may be. It is shown only where it bears out the judgement: never beside a value of many
    windows, which may lie inside of it and be anomalous all the same.
    """
    if life.condition == SILENCE:
        return _silence(life, at_ms)
    finding, since = life.finding, f"since {clock(life.since_ms, at_ms)}"
    if finding.observed is None:
        is_what = (
            "looks normal, after trouble"
            if finding.judgement is Judgement.NORMAL
            else f"is outside of what is normal at this hour{_band(finding)},"
        )
        return f"{subject(life.condition)} {is_what} {since}"
    if finding.judgement is Judgement.NORMAL:
        return f"{_seen(life, finding.observed)}, {_as_normal(finding)}, after trouble {since}"
    if SLOW_TAIL in finding.explanation:
        times = _times(finding.explanation[SLOW_TAIL])
        return f"{subject(life.condition)}: {times} as many slow requests as are normal at this hour{_rare(finding)}, {since}"
    if SPIKES in finding.explanation:
        return f"{subject(life.condition)}: {_spikes(finding)}{_rare(finding)}, {since}"
    novelty = rarity(finding)
    comparison = f"{novelty}{_proof(finding)}" if novelty else f"{_comparison(finding)}{_proof(finding)}{_rare(finding)}"
    return f"{_seen(life, finding.observed)}, {comparison}, {since}"


def value_now(life: Life) -> str:
    """Return the last value where it is this window's, and looks normal to everybody; else nothing."""
    finding, times = life.finding, times_expected(life.finding)
    if finding.observed is None or n_windows(finding) > 1 or is_inside(finding) is False:
        return ""
    if times is not None and times > UNREMARKABLE_TIMES:  # inside the band of one window, and what it fired at perhaps
        return ""
    return _shown(finding.observed, finding)


def subject(condition: str) -> str:
    """Return what a condition is called.

    Examples
    --------
    >>> subject("errors"), subject("saturation:cpu"), subject("latency:tail"), subject("level:queue")
    ('error rate', 'use of cpu', 'latency (tail)', 'queue')

    """
    kind, _, detail = plain(condition).removeprefix(NOVELTY).partition(":")
    if kind == "saturation" and detail:
        return f"use of {detail}"
    if kind in {"signal", "level"} and detail:
        return detail
    name = _SUBJECTS.get(kind, kind)
    return f"{name} ({detail})" if detail else name


def lower_of(condition: str, lower: float | None, upper: float | None) -> float | None:
    """Return the lower limit of a band, ``None`` where it says nothing: at or below 0 of what is never negative.

    A gauge may be negative, so that its limit stands.

    Examples
    --------
    >>> lower_of("latency", -3.0, 180.0), lower_of("latency", 120.0, 180.0), lower_of("level:temperature", -20.0, 5.0)
    (None, 120.0, -20.0)

    """
    if lower is None or upper is None or condition.startswith("level:"):
        return lower
    return None if lower <= 0 <= upper else lower


def times_expected(finding: Finding) -> float | None:
    """Return observed / expected; ``None`` where one of them is not known, or nothing is expected."""
    if finding.observed is None or finding.expected is None or finding.expected <= 0 or finding.observed < 0:
        return None
    times = finding.observed / finding.expected
    return times if times < 1e12 else None


def n_windows(finding: Finding) -> int:
    """Return over how many windows ``observed`` was taken, at least 1."""
    found = max((finding.explanation.get(term, 1.0) for term in SCALES), default=1.0)
    return min(MAX_WINDOWS, round(found)) if found > 1 else 1


def is_inside(finding: Finding) -> bool | None:
    """Return whether ``observed`` lies inside the band; ``None`` where one of them is not known."""
    if finding.observed is None or (finding.lower is None and finding.upper is None):
        return None
    is_above = finding.lower is None or finding.observed >= finding.lower
    return is_above and (finding.upper is None or finding.observed <= finding.upper)


def _seen(life: Life, observed: float) -> str:
    """Return the observed value, and over how long it was taken: ``error rate is 3.1 % over the last 5 minutes``."""
    finding = life.finding
    at = f" at {plain(finding.statistic, 20)}" if finding.statistic else ""
    n = n_windows(finding)
    over = f" over the last {duration(n * (life.first_end_ms - life.since_ms)).removeprefix('1 ')}" if n > 1 else ""
    return f"{subject(life.condition)} is {_shown(observed, finding)}{at}{over}"


def _as_normal(finding: Finding) -> str:
    if n_windows(finding) == 1 and is_inside(finding) is not False:
        return f"as is normal at this hour{_band(finding)}"
    return "and calming down"


def _proof(finding: Finding) -> str:
    """Return the band in parentheses, where the value is one window's and stands outside of it."""
    return "" if n_windows(finding) > 1 or is_inside(finding) else _band(finding)


def _rare(finding: Finding, further: str = "further out") -> str:
    told = how_rare(finding, further)
    return f", {told}" if told else ""


def _comparison(finding: Finding) -> str:
    times = times_expected(finding)
    if times is None or 0.95 < times < 1.05:
        return "outside of what is normal at this hour"
    if times > 1:
        return f"{_times(times)} what is normal at this hour"
    return f"{quantity(times, 'ratio')} of what is normal at this hour"


def _spikes(finding: Finding) -> str:
    told = f"{finding.explanation[SPIKES]:.0f} short spikes in the last hour"
    usual = finding.explanation.get(SPIKES_PER_DAY)
    return told if usual is None else f"{told}, where {quantity(usual, '')} a day are normal"


def _silence(life: Life, at_ms: int) -> str:
    """Return since when nothing is heard: silence is told in windows, and began some before it was anomalous."""
    finding, size_ms = life.finding, life.first_end_ms - life.since_ms
    if finding.judgement is Judgement.NORMAL:
        return f"it is heard again, after silence since {clock(life.since_ms, at_ms)}"
    if finding.unit != WINDOWS or finding.observed is None:
        return f"nothing is heard from it since {clock(life.since_ms, at_ms)}"
    length_ms = round(min(finding.observed, MAX_WINDOWS) * size_ms)
    told = f"nothing is heard from it since {clock(life.judged_ms - length_ms, at_ms)}, for {duration(length_ms)}"
    rare = _rare(finding, "longer")
    if finding.upper is None:
        return f"{told}{rare}"
    usual_ms = round(min(finding.upper, MAX_WINDOWS) * size_ms)
    return f"{told}, where at most {duration(usual_ms)} is normal{rare}"


def _band(finding: Finding) -> str:
    lower = lower_of(finding.condition, finding.lower, finding.upper)
    normal = band(lower, finding.upper, plain(finding.unit, 20))
    return f" ({normal})" if normal else ""


def _shown(value: float, finding: Finding) -> str:
    return quantity(value, plain(finding.unit, 20))


def _times(times: float) -> str:
    return f"{quantity(times, '')} times"
