"""What is told of log lines that are news: how many, since when, and one of them, made harmless."""

from pipeline.analyse.lives import Life
from pipeline.analyse.template_watch import LINES_SINCE, RATE
from pipeline.analyse.wording import clock, duration, number, plain
from pipeline.contracts.anomalies import LogNote

MAX_EXAMPLE = 120
"""Characters of a log line that a sentence shows."""


def log_words(life: Life, log: LogNote, at_ms: int) -> str:
    """Return which log lines are news, how many they are, one of them, and since when.

    Parameters
    ----------
    life
        Of a condition about log lines.
    log
        Those of its finding; text from outside.
    at_ms
        Now, event time.

    """
    severity, window = plain(log.severity, 10), duration(life.first_end_ms - life.since_ms)
    example = plain(log.example or log.template, MAX_EXAMPLE).replace('"', "'")
    others = f" and of {log.n_kinds - 1} more kinds" if log.n_kinds > 2 else " and of one more kind" if log.n_kinds == 2 else ""
    end = f'{others}, such as "{example}", since {clock(life.since_ms, at_ms)}'
    if life.condition == RATE:
        return f"{_counted(log.n, severity)} of a kind in {window}, where {number(life.finding.expected or 0.0)} are usual{end}"
    n_since = round(life.finding.explanation.get(LINES_SINCE, 0.0))
    return f"{_counted(n_since, severity)} of a kind never seen before, {log.n:,} in the last {window}{end}"


def _counted(n: int, severity: str) -> str:
    return f"{n:,} {severity} log line{'' if n == 1 else 's'}"
