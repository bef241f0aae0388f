"""Which log lines a published window tells apart: the worst and most frequent ones."""

from collections.abc import Mapping

from pipeline.contracts.partials import OTHER_TEMPLATE, TemplatePartial, rank
from pipeline.contracts.signals import LogLines

MAX_KEPT = 500
"""Kinds of lines that are kept of what is final in a window; of more, a row would not fit its changelog."""


def kept_lines(counted: dict[str, TemplatePartial], limit: int = MAX_KEPT) -> dict[str, TemplatePartial]:
    """Return masked lines as they are kept: all, or the worst and most frequent ones, and the others counted together."""
    if len(counted) <= limit:
        return counted
    named = _ranked(counted)
    kept = {line: counted[line] for line in named[:limit]}
    together = TemplatePartial()
    for line in (*named[limit:], OTHER_TEMPLATE):
        if (one := counted.get(line)) is not None:
            together.absorb(one.n, one.severity, one.example, one.time_ms)
    return kept | {OTHER_TEMPLATE: together}


def told_lines(counted: Mapping[str, TemplatePartial], limit: int) -> dict[str, LogLines]:
    """Return masked lines as they are published, the worst first, then the most frequent, then by their text.

    Parameters
    ----------
    counted
        All that the window holds.
    limit
        So many are told apart; lines of the others are counted together.

    Examples
    --------
    >>> counted = {"started": TemplatePartial(n=2, severity="info"), "no route": TemplatePartial(n=1, severity="error")}
    >>> {line: lines.n for line, lines in told_lines(counted, 1).items()}
    {'no route': 1, '(other lines)': 2}

    """
    named = _ranked(counted)
    told = {line: LogLines(n=(one := counted[line]).n, severity=one.severity, example=one.example) for line in named[:limit]}
    rest = [counted[line] for line in (*named[limit:], OTHER_TEMPLATE) if line in counted]
    if rest:
        together = TemplatePartial()
        for one in rest:
            together.absorb(one.n, one.severity, one.example, one.time_ms)
        told[OTHER_TEMPLATE] = LogLines(n=together.n, severity=together.severity, example=together.example)
    return told


def _weight(counted: TemplatePartial) -> tuple[int, int]:
    return -rank(counted.severity), -counted.n


def _ranked(counted: Mapping[str, TemplatePartial]) -> list[str]:
    return sorted((line for line in counted if line != OTHER_TEMPLATE), key=lambda line: (*_weight(counted[line]), line))
