"""The whole history at a glance: a lane for each service, with its labels and alerts, each a link to its close-up."""

from pipeline.backtest.marks import Worth
from pipeline.backtest.outcome import Outcome
from pipeline.backtest.record import Life
from pipeline.cli.report.layout import Layout, ShownService, alert_event, events_of
from pipeline.cli.report.markup import element, number, text
from pipeline.cli.report.plots import Mark
from pipeline.cli.report.scales import Scale, time_ticks

WIDTH, LEFT, RIGHT, TOP, LANE = 1000.0, 190.0, 10.0, 4.0, 21.0
MAX_NAME = 27
"""Characters of a name that fit to the left of its lane."""
MAX_ALERTS = 3_000
"""Alerts drawn; more could not be told apart."""


def glance(outcome: Outcome, layout: Layout) -> str:
    """Return the lanes as inline SVG."""
    times = Scale(low=layout.whole.start_ms, high=layout.whole.end_ms, start=LEFT, end=WIDTH - RIGHT)
    bottom = TOP + LANE * len(layout.services)
    parts = [_axis(times, layout, bottom)]
    n_left = MAX_ALERTS
    for i, service in enumerate(layout.services):
        lane = _Lane(outcome, layout, service, times, TOP + LANE * i)
        parts.append(lane.drawn(n_left))
        n_left -= len(outcome.lives_by_service.get(service.service_key, ()))
    height = bottom + 18
    return element(
        "svg", "".join(parts), class_="glance", viewBox=f"0 0 {number(WIDTH)} {number(height)}", role="img",
        aria_label="Labels and alerts of every service over time",
    )  # fmt: skip


def _axis(times: Scale, layout: Layout, bottom: float) -> str:
    parts = []
    for at_ms, shown in time_ticks(layout.whole.start_ms, layout.whole.end_ms, 9):
        x = times.at(at_ms)
        parts.append(element("line", x1=x, x2=x, y1=TOP, y2=bottom))
        anchor = "end" if x > WIDTH - RIGHT - 14 else "middle"
        parts.append(element("text", shown, x=x, y=bottom + 13, text_anchor=anchor))
    return element("g", "".join(parts), class_="grid")


class _Lane:
    """One service's lane, ``y`` its top."""

    def __init__(self, outcome: Outcome, layout: Layout, service: ShownService, times: Scale, y: float) -> None:
        self._outcome, self._layout, self._service, self._times, self._y = outcome, layout, service, times, y

    def drawn(self, n_alerts: int) -> str:
        """Return the lane with at most so many alerts."""
        key = self._service.service_key
        middle = self._y + LANE / 2
        title = element("text", element("title", text(key)) + text(key, MAX_NAME), x=LEFT - 8, y=middle + 3.5, text_anchor="end")
        parts = [
            element("a", title, href=f"#{self._service.anchor}"),
            element("line", x1=LEFT, x2=WIDTH - RIGHT, y1=self._y + LANE, y2=self._y + LANE, class_="lane"),
        ]
        parts += [
            self._field(event.mark, event.start_ms, event.end_ms, event.told)
            for event in events_of(self._outcome, key)
            if not event.is_alert and event.end_ms >= self._layout.whole.start_ms
        ]
        for label in self._outcome.labels_by_service[key]:
            anchor = self._layout.anchors.get((key, label))
            if anchor is not None:
                parts.append(self._hit(anchor, label.start_ms, label.end_ms))
        for alert_id, life in self._outcome.lives_by_service.get(key, ())[: max(0, n_alerts)]:
            parts.append(self._alert(alert_id, life))
        return "".join(parts)

    def _field(self, mark: Mark, start_ms: int, end_ms: int, told: str) -> str:
        x = self._times.at(start_ms)
        inset = 0.0 if mark is Mark.LEARNING else 3.0
        width = max(self._times.at(end_ms) - x, 3.0 if inset else 0.0)
        title = element("title", text(told))
        return element("rect", title, class_=mark.value, x=x, y=self._y + inset, width=width, height=LANE - 2 * inset)

    def _hit(self, anchor: str, start_ms: int, end_ms: int) -> str:
        """Return an invisible field over a label that leads to its close-up."""
        x = self._times.at(start_ms)
        width = max(self._times.at(end_ms) - x, 6.0)
        return element("a", element("rect", class_="hit", x=x, y=self._y, width=width, height=LANE), href=f"#{anchor}")

    def _alert(self, alert_id: str, life: Life) -> str:
        event = alert_event(self._outcome, alert_id, life)
        x, y = self._times.at(life.fired_at_ms), self._y + LANE / 2
        worth = self._outcome.worth(alert_id)
        kinds = [event.mark.value]
        if worth is Worth.FALSE:
            kinds.append("false")
        elif worth in (Worth.NEUTRAL, Worth.IGNORED):
            kinds.append("aside")
        title = element("title", text(event.told))
        drawn = element("path", title, class_=" ".join(kinds), d=f"M{number(x - 4)},{number(y - 5)}h8l-4,9Z")
        anchor = self._layout.anchors.get(alert_id)
        return drawn if anchor is None else element("a", drawn, href=f"#{anchor}")
