"""The page put together: head, figures, lists, and a section for each service. It loads nothing from anywhere."""

import base64
import hashlib
import html
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources

from pipeline.backtest.outcome import Outcome
from pipeline.backtest.series import SeriesKey, SeriesLog, Span
from pipeline.cli.report.glance import glance
from pipeline.cli.report.layout import Layout, ShownEpisode, ShownService, events_of, laid_out, worth_in_words
from pipeline.cli.report.markup import element, name, text
from pipeline.cli.report.plots import Frame, plot
from pipeline.cli.report.tables import alert_rows, by_condition, by_kind, cards, label_rows, legend
from pipeline.cli.wording import counted, duration, moment, safe

OVERVIEW = Frame(width=1000.0, height=150.0)
CLOSE = Frame(width=520.0, height=168.0)
LEGEND = (
    ("k-value", "observed, lowest to highest"),
    ("k-band", "expected band"),
    ("k-score", "score, standard deviations"),
    ("k-page", "page"),
    ("k-ticket", "ticket"),
)
LABEL_LEGEND = (
    ("k-found", "label, found"),
    ("k-missed", "label, missed"),
    ("k-harmless", "harmless event"),
    ("k-learning", "not scored"),
)


def write_page(outcome: Outcome, log: SeriesLog, *, everything: bool) -> Iterator[str]:
    """Yield the page in parts.

    Parameters
    ----------
    outcome, log
        The backtest, and its findings.
    everything
        Show every series, not only those with alerts or labels.

    """
    layout = laid_out(outcome, log, everything=everything)
    style, script = _resource("page.css"), _resource("page.js")
    title = f"Backtest: {outcome.source}"
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    yield (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{style}</style></head>\n<body>"
    )
    yield _side(outcome, layout)
    yield "<main>"
    yield _head(outcome, layout)
    yield cards(outcome)
    yield from _lists(outcome, layout)
    services = _Services(outcome=outcome, log=log, layout=layout)
    for service in layout.services:
        yield services.drawn(service)
    yield f'</main><div id="tip" hidden></div><script>{script}</script></body></html>\n'


def _head(outcome: Outcome, layout: Layout) -> str:
    period = f"{moment(outcome.start_ms, with_date=True)} to {moment(outcome.end_ms, with_date=True)} UTC"
    lines = [f"{html.escape(period)}, {html.escape(duration(outcome.end_ms - outcome.start_ms))}"]
    if outcome.record.scored_from_ms is not None:
        lines.append(f"scored from {html.escape(moment(outcome.record.scored_from_ms, with_date=True))}")
    lines.append(f"Tocsin {html.escape(outcome.version)}, configuration {html.escape(outcome.config)}")
    left_out = "; ".join(layout.left_out)
    note = element("p", f"Not shown: {html.escape(left_out)}.", class_="warning") if left_out else ""
    return f'<header id="top"><h1>{name(outcome.source)}</h1><p class="sub">{" · ".join(lines)}</p>{note}</header>'


def _side(outcome: Outcome, layout: Layout) -> str:
    places = [("top", "Figures"), ("glance", "At a glance"), ("conditions", "By condition")]
    if outcome.marks is not None:
        places += [("kinds", "By kind of label"), ("labels", "Labels")]
    places.append(("alerts", "Alerts"))
    fixed = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in places)
    services = "".join(_entry(outcome, service) for service in layout.services)
    chips = ""
    if outcome.marks is not None:
        chips = (
            '<div class="chips" role="group" aria-label="Show">'
            '<button type="button" data-only="" aria-pressed="true">all</button>'
            '<button type="button" data-only="missed" aria-pressed="false">missed</button>'
            '<button type="button" data-only="false" aria-pressed="false">false alerts</button></div>'
        )
    return (
        '<nav><div class="brand"><b>tocsin</b> backtest<button type="button" id="theme" title="light or dark">◐</button></div>'
        '<input id="filter" type="search" placeholder="filter: service, condition, kind" aria-label="filter">'
        f'{chips}<ul>{fixed}</ul><h2>Services</h2><ul id="toc">{services}</ul></nav>'
    )


def _entry(outcome: Outcome, service: ShownService) -> str:
    key = service.service_key
    n_missed, n_false = outcome.n_missed(key), outcome.n_false(key)
    n_alerts = len(outcome.lives_by_service.get(key, ()))
    tags = f'<span class="count" title="alerts">{n_alerts}</span>' if n_alerts else ""
    tags += f'<span class="count bad" title="missed labels">{n_missed} missed</span>' if n_missed else ""
    tags += f'<span class="count warn" title="false alerts">{n_false} false</span>' if n_false else ""
    return f'<li data-v="{service.anchor}"><a href="#{service.anchor}" title="{name(key)}">{name(key)}</a>{tags}</li>'


def _lists(outcome: Outcome, layout: Layout) -> Iterator[str]:
    key = legend((*LEGEND, *(LABEL_LEGEND if outcome.marks is not None else ())))
    yield f'<section id="glance"><h2>At a glance</h2>{glance(outcome, layout)}{key}</section>'
    yield f'<div class="pair"><section id="conditions"><h2>By condition</h2>{by_condition(outcome)}</section>'
    if outcome.marks is not None and outcome.page_marks is not None:
        yield f'<section id="kinds"><h2>By kind of label</h2>{by_kind(outcome.marks, outcome.page_marks)}</section>'
    yield "</div>"
    if outcome.marks is not None:
        yield _folded("labels", f"Labels ({len(outcome.marks.labels):,})", label_rows(outcome, layout))
    yield _folded("alerts", f"Alerts ({len(outcome.record.lives):,})", alert_rows(outcome, layout))


def _folded(anchor: str, title: str, content: str) -> str:
    return f'<section id="{anchor}"><details open><summary><h2>{html.escape(title)}</h2></summary>{content}</details></section>'


@dataclass(frozen=True, slots=True, kw_only=True)
class _Services:
    """Draws the sections of services."""

    outcome: Outcome
    log: SeriesLog
    layout: Layout

    def drawn(self, service: ShownService) -> str:
        key = service.service_key
        close = "".join(self._episode(service, episode) for episode in service.episodes)
        whole = "".join(self._overview(series) for series in service.series)
        alerts = sum(len(one.episode.lives) for one in service.episodes)
        labels = len(self.outcome.labels_by_service[key])
        sub = counted(alerts, "alert") + (f", {counted(labels, 'label')}" if self.outcome.marks is not None else "")
        return (
            f'<section class="service" id="{service.anchor}"><h2>{name(key)} <small>{sub}</small></h2>'
            + (f'<div class="episodes">{close}</div>' if close else "")
            + (f'<details open class="whole"><summary>The whole time</summary>{whole}</details>' if whole else "")
            + "</section>\n"
        )

    def _episode(self, service: ShownService, shown: ShownEpisode) -> str:
        episode = shown.episode
        inside = {id(life) for life in episode.lives}
        alerts = [
            (alert_id, life) for alert_id, life in self.outcome.lives_by_service.get(service.service_key, ()) if id(life) in inside
        ]
        states = {"false" for alert_id, _ in alerts if getattr(self.outcome.worth(alert_id), "value", "") == "false"}
        tags = []
        for label in episode.labels:
            found = self.outcome.found.get(label)
            kind = "" if found is None else "good" if found else "bad"
            states |= {"missed"} if found is False else set()
            told = {None: "not scored", True: "found", False: "missed"}[found]
            tags.append(f'<span class="tag {kind}">{name(label.kind or label.name)}: {told}</span>')
        said = []
        for alert_id, life in alerts:
            worth = self.outcome.worth(alert_id)
            was = "" if worth is None else f", {html.escape(worth_in_words(worth))}"
            tag = f'<span class="tag {life.severity.value}">{life.severity.value}</span>'
            said.append(f"<li>{tag} {moment(life.fired_at_ms)}{was}: {text(life.sentence)}</li>")
        drawn = "".join(self._plot(series, shown.span, CLOSE) for series in shown.series)
        begins = html.escape(moment(episode.span.start_ms, with_date=True))
        words = " ".join([*(label.kind for label in episode.labels), *episode.conditions])
        return element(
            "article",
            f"<h3>{begins} {''.join(tags)}</h3>" + (f"<ul>{''.join(said)}</ul>" if said else "") + drawn,
            id=shown.anchor,
            class_="episode",
            data_f=safe(f"{service.service_key} {words}".lower()),
            data_state=" ".join(sorted(states)) or None,
        )

    def _overview(self, series: SeriesKey) -> str:
        return f"<figure>{self._plot(series, self.layout.whole, OVERVIEW)}</figure>"

    def _plot(self, series: SeriesKey, span: Span, frame: Frame) -> str:
        buckets = self.layout.drawn[series, span]
        unit = self.log.info[series].unit
        told = f"{series.condition} of {series.service_key} over {duration(span.end_ms - span.start_ms)}"
        drawn = plot(
            buckets, span, events_of(self.outcome, series.service_key, series.condition), unit=unit, told=told, frame=frame
        )
        note = text(unit) + (" · shadow: for comparison, alerts nobody" if self.log.info[series].is_shadow else "")
        return f'<div class="series"><h4>{name(series.condition)} <small>{note}</small></h4>{drawn}</div>'


def _resource(file_name: str) -> str:
    return resources.files("pipeline.cli.report").joinpath(file_name).read_text(encoding="utf-8")


def _digest(content: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
