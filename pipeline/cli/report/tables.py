"""The figures and lists of the report: decides what is counted on which card, and what each row says."""

import html
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from statistics import median

from pipeline.backtest.marks import Judged, Marks, Worth
from pipeline.backtest.outcome import Outcome
from pipeline.backtest.record import Life
from pipeline.cli.report.layout import Layout, worth_in_words
from pipeline.cli.report.markup import element, name, table, text
from pipeline.cli.wording import duration, moment, safe
from pipeline.contracts.anomalies import Severity

MAX_ROWS = 2_000
"""Rows of a list; more are counted below it."""
NOTHING = "-"


def cards(outcome: Outcome) -> str:
    """Return the figures that count most."""
    figures = outcome.figures()
    shown = [
        ("alerts per service-day", _figure(figures["alerts_per_service_day"]), f"{figures['alerts']} alerts", ""),
        ("pages per service-day", _figure(figures["pages_per_service_day"]), _pages(figures), ""),
    ]
    if outcome.marks is not None:
        marked = outcome.marks.figures()
        n_missed = len(outcome.marks.labels) - len(outcome.marks.delay_ms_by_label)
        found = f"{marked['detected']} of {marked['labels']} labels found"
        n_false = f"{marked['false_alerts']} false alerts, {_figure(marked['false_alerts_per_service_day'])} per service-day"
        shown = [
            ("recall", _percent(marked["recall"]), found, "bad" if n_missed else "good"),
            ("precision", _percent(marked["precision"]), n_false, ""),
            ("median delay", _seconds(marked["median_delay_s"]), f"90th percentile {_seconds(marked['p90_delay_s'])}", ""),
            *shown,
        ]
    days = f"{len(outcome.record.services):,} services over {duration(outcome.end_ms - outcome.start_ms)}"
    shown.append(("service-days watched", _figure(figures["service_days"]), days, ""))
    return element(
        "div",
        "".join(
            element(
                "div",
                element("b", html.escape(value)) + element("span", html.escape(title)) + element("small", html.escape(note)),
                class_=f"card {kind}".strip(),
            )
            for title, value, note, kind in shown
        ),
        class_="cards",
    )


def by_condition(outcome: Outcome) -> str:
    """Return the alerts that count, by condition, severity and what they were worth."""
    worths: dict[str, Counter[Worth]] = defaultdict(Counter)
    for judged in () if outcome.marks is None else outcome.marks.judged:
        worths[judged.fired.condition][judged.worth] += 1
    headings = [("condition", ""), ("pages", "n"), ("tickets", "n"), ("per service-day", "n")]
    if outcome.marks is not None:
        headings += [("right", "n"), ("affected", "n"), ("false", "n")]
    rows = []
    for condition, counts in outcome.alerts.items():
        total = sum(counts.values())
        days = outcome.record.service_days
        cells = [name(condition), _count(counts["page"]), _count(counts["ticket"]), _figure(total / days if days else None)]
        if outcome.marks is not None:
            cells += [_count(worths[condition][worth]) for worth in (Worth.OWN, Worth.NEUTRAL, Worth.FALSE)]
        rows.append((dict[str, object](), cells))
    return table(headings, rows) if rows else element("p", "No alert.", class_="none")


def by_kind(marks: Marks, page_marks: Marks) -> str:
    """Return how many labels of each kind were found, and how fast; by any alert, and by pages alone."""
    kinds = dict.fromkeys(label.kind for label in marks.labels)
    rows = []
    for kind in sorted(kinds):
        own = [i for i, label in enumerate(marks.labels) if label.kind == kind]
        delays = sorted(marks.delay_ms_by_label[i] for i in own if i in marks.delay_ms_by_label)
        n_paged = sum(i in page_marks.delay_ms_by_label for i in own)
        attributes: dict[str, object] = {"class_": "missed" if len(delays) < len(own) else None}
        middle = duration(median(delays)) if delays else NOTHING
        slowest = duration(delays[-1]) if delays else NOTHING
        rows.append(
            (attributes, [name(kind or "not told"), _count(len(own)), _count(len(delays)), _count(n_paged), middle, slowest])
        )
    headings = [("kind", ""), ("labels", "n"), ("found", "n"), ("paged", "n"), ("median delay", "n"), ("longest", "n")]
    return table(headings, rows)


def label_rows(outcome: Outcome, layout: Layout) -> str:
    """Return every label that counts, in order of time: found or missed, and after how long."""
    marks = outcome.marks
    if marks is None:
        return ""
    keys = {service.service_key.partition("/")[2]: service.service_key for service in layout.services}
    rows: list[tuple[dict[str, object], list[str]]] = []
    for i, label in sorted(enumerate(marks.labels), key=lambda one: one[1].start_ms)[:MAX_ROWS]:
        delay_ms = marks.delay_ms_by_label.get(i)
        anchor = layout.anchors.get((keys.get(label.service, ""), label))
        state = '<span class="tag bad">missed</span>' if delay_ms is None else '<span class="tag good">found</span>'
        cells = [
            _linked(moment(label.start_ms, with_date=True), anchor),
            name(label.service),
            name(label.kind or label.name),
            duration(label.end_ms - label.start_ms),
            state,
            NOTHING if delay_ms is None else duration(delay_ms),
        ]
        rows.append(({"data_f": _filter(label.service, label.kind, "missed" if delay_ms is None else "found")}, cells))
    headings = [("begins, UTC", ""), ("service", ""), ("what", ""), ("lasts", "n"), ("", ""), ("delay", "n")]
    return table(headings, rows) + _more(len(marks.labels))


def alert_rows(outcome: Outcome, layout: Layout) -> str:
    """Return every alert in order of time, with what was said of it and what it was worth."""
    lives = sorted(outcome.record.lives.items(), key=lambda one: one[1].fired_at_ms)
    has_labels = outcome.marks is not None
    rows = [_alert_row(outcome, layout, alert_id, life, has_labels=has_labels) for alert_id, life in lives[:MAX_ROWS]]
    headings = [("fired, UTC", ""), ("service", ""), ("condition", ""), ("severity", ""), ("lasted", "n")]
    headings += [("was", "")] if has_labels else []
    return table([*headings, ("said", "wide")], rows) + _more(len(lives)) if rows else element("p", "No alert.", class_="none")


def _alert_row(
    outcome: Outcome, layout: Layout, alert_id: str, life: Life, *, has_labels: bool
) -> tuple[dict[str, object], list[str]]:
    worth = outcome.worth(alert_id)
    severity = "page" if life.severity is Severity.PAGE else "ticket"
    lasted = NOTHING if life.resolved_at_ms is None else duration(life.resolved_at_ms - life.fired_at_ms)
    cells = [
        _linked(moment(life.fired_at_ms, with_date=True), layout.anchors.get(alert_id)),
        name(life.service),
        name(life.condition),
        element("span", severity, class_=f"tag {severity}"),
        lasted,
    ]
    if has_labels:
        cells.append(_worth(worth, outcome.judged_by_alert.get(alert_id)))
    cells.append(text(life.sentence))
    words = "" if worth is None else worth.value
    return {"data_f": _filter(life.service, life.condition, severity, words)}, cells


def _worth(worth: Worth | None, judged: Judged | None) -> str:
    if worth is None or judged is None:
        return NOTHING
    kind = {Worth.OWN: "good", Worth.FALSE: "bad"}.get(worth, "")
    note = f" ({name(judged.harmless.kind)})" if judged.harmless is not None and judged.harmless.kind else ""
    return element("span", html.escape(worth_in_words(worth)) + note, class_=f"tag {kind}".strip())


def _linked(shown: str, anchor: str | None) -> str:
    return html.escape(shown) if anchor is None else element("a", html.escape(shown), href=f"#{anchor}")


def _filter(*words: str) -> str:
    return safe(" ".join(words).lower())


def _more(n: int) -> str:
    return element("p", f"{n - MAX_ROWS:,} more are not listed.", class_="none") if n > MAX_ROWS else ""


def _pages(figures: Mapping[str, object]) -> str:
    later = figures["pages_after_tickets"]
    return f"{figures['pages']} pages" + (f", {later} of them tickets first" if later else "")


def _count(n: int) -> str:
    return f"{n:,}" if n else NOTHING


def _figure(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, int | float) else NOTHING


def _percent(value: object) -> str:
    return f"{value * 100:.4g} %" if isinstance(value, int | float) else NOTHING


def _seconds(value: object) -> str:
    return duration(value * 1000) if isinstance(value, int | float) else NOTHING


def legend(items: Iterable[tuple[str, str]]) -> str:
    """Return what the colours mean: (class, text)."""
    return element(
        "p", "".join(f'<span><i class="{kind}"></i>{html.escape(shown)}</span>' for kind, shown in items), class_="legend"
    )
