"""The page of a backtest: it stands alone, shows what happened, and nothing from telemetry becomes markup."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from pipeline.backtest.fired import Fired
from pipeline.backtest.labels import Label, Labels
from pipeline.backtest.outcome import Outcome, judged
from pipeline.backtest.record import Life, Record, Watched
from pipeline.backtest.series import Buckets, SeriesKey, SeriesLog, Span
from pipeline.cli.report.episodes import episodes, shown_series
from pipeline.cli.report.markup import element, number
from pipeline.cli.report.page import write_page
from pipeline.cli.report.plots import CARET_HEIGHT, Event, Frame, Mark, plot
from pipeline.cli.report.scales import time_ticks, value_range, value_ticks
from pipeline.contracts.anomalies import Finding, Judgement, Severity, Verdict

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=\"alert('x')\">&quot;\u202ekcab"
WINDOW_MS, N = 10_000, 360
LINKS = {"href", "src", "xlink:href", "action", "data", "srcset"}


class Elements(HTMLParser):
    """Collects what a browser would make of a page."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in {"meta", "input"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.found if name == tag]


def outcome_of(service: str, *, n_services: int = 1, with_labels: bool = True) -> tuple[Outcome, SeriesLog]:
    """Return an hour of services with one trouble each: latency triples for five minutes, and is alerted."""
    log = SeriesLog(io.BytesIO())
    record = Record(series=log)
    labels = []
    for i in range(n_services):
        own = service if n_services == 1 else f"{service}{i}"
        key = f"prod/{own}"
        record.services[key] = Watched(service=own, first_ms=0, last_ms=N * WINDOW_MS, scored_ms=N * WINDOW_MS)
        for end in range(1, N + 1):
            value = 90.0 if 200 <= end < 230 else 30.0 + end % 3
            log.take(verdict(own, end * WINDOW_MS, value))
        life = Life(
            service_key=key, service=own, condition=HOSTILE, signal="latency", severity=Severity.PAGE, since_ms=1_990_000,
            fired_at_ms=2_010_000, resolved_at_ms=2_330_000, sentence=f"{own} is slow",
        )  # fmt: skip
        record.lives[f"a{i}"] = life
        record.fired.append(
            Fired(
                environment="prod",
                service=own,
                condition=HOSTILE,
                severity=Severity.PAGE,
                at_ms=2_010_000,
                since_ms=1_990_000,
                alert_id=f"a{i}",
                is_escalation=False,
                sentence=life.sentence,
            )
        )
        labels.append(Label(name="1", service=own, start_ms=1_990_000, end_ms=2_290_000, kind=HOSTILE))
        labels.append(Label(name="2", service=own, start_ms=3_000_000, end_ms=3_100_000, kind="missed one"))
    known = Labels(labels=tuple(labels), harmless=(Label(name="3", service=service, start_ms=1, end_ms=9_000, kind=HOSTILE),))
    return judged(record, known if with_labels else None, source=HOSTILE, version="1", config="c"), log


def verdict(service: str, end_ms: int, value: float) -> Verdict:
    finding = Finding(
        condition=HOSTILE, signal="latency", judgement=Judgement.NORMAL, unit=HOSTILE, observed=value, expected=31.0, lower=25.0,
        upper=40.0, score=(value - 31) / 3,
    )  # fmt: skip
    return Verdict(
        id="v", environment="prod", service=service, version="1", window_start_ms=end_ms - WINDOW_MS, window_end_ms=end_ms,
        findings=[finding],
    )  # fmt: skip


def page_of(service: str = HOSTILE, *, everything: bool = False, n_services: int = 1, with_labels: bool = True) -> str:
    outcome, log = outcome_of(service, n_services=n_services, with_labels=with_labels)
    return "".join(write_page(outcome, log, everything=everything))


@pytest.mark.parametrize("with_labels", [True, False])
def test_nothing_that_telemetry_says_becomes_markup(with_labels: bool) -> None:
    page = Elements(page_of(with_labels=with_labels))

    assert not page.open
    assert not page.of("img")
    assert len(page.of("script")) == 1
    assert not [name for _, attributes in page.found for name in attributes if name.startswith("on") or name == "style"]
    assert "\u202e" not in "".join(page.text)
    assert any("<script>alert(1)" in text for text in page.text)


def test_the_page_loads_nothing_and_runs_only_its_own_script() -> None:
    page = Elements(page_of("cart"))
    links = [value for _, attributes in page.found for name, value in attributes.items() if name in LINKS]
    policy = next(one["content"] for one in page.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    script = page_of("cart").split("<script>")[1].split("</script>")[0]

    assert links
    assert all(link.startswith("#") for link in links)
    assert "default-src 'none'" in policy
    assert base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() in policy


def test_every_link_leads_somewhere_and_no_anchor_comes_twice() -> None:
    page = Elements(page_of("cart", n_services=3))
    anchors = [attributes["id"] for _, attributes in page.found if "id" in attributes]

    assert len(anchors) == len(set(anchors))
    assert {one["href"][1:] for one in page.of("a")} <= set(anchors)


def test_found_and_missed_labels_alerts_and_figures_are_told() -> None:
    page = page_of("cart")
    shown = "".join(Elements(page).text)

    assert "50 %" in shown
    assert "1 of 2 labels found" in shown
    assert "missed one: missed" in shown
    assert "cart is slow" in shown
    assert page.count('class="episode"') == 2
    assert 'data-state="missed"' in page


def test_series_without_alerts_or_labels_are_shown_on_request_only() -> None:
    outcome, log = outcome_of("cart", with_labels=False)
    outcome.record.services["prod/calm"] = Watched(service="calm", first_ms=0, last_ms=N * WINDOW_MS)
    log.take(verdict("calm", WINDOW_MS, 1.0))

    assert "prod/calm" not in "".join(write_page(outcome, log, everything=False))
    assert "prod/calm" in "".join(write_page(outcome, log, everything=True))


def test_a_page_of_many_services_is_bounded_and_says_what_it_leaves_out() -> None:
    page = page_of("cart", n_services=70)

    assert "10 further services" in page
    assert page.count('class="service"') == 60
    assert len(page) < 60 * 60_000


def buckets_of(high: list[float], **more: list[float]) -> Buckets:
    n = len(high)
    span = Span(start_ms=0, end_ms=n * WINDOW_MS)
    known = {"low": high, "lower": [0.0] * n, "upper": [50.0] * n, "expected": [25.0] * n, "score": [0.0] * n} | more
    return Buckets(span=span, high=np.array(high), **{name: np.array(values) for name, values in known.items()})


def drawn(buckets: Buckets, events: tuple[Event, ...] = ()) -> str:
    return plot(buckets, buckets.span, events, unit="ms", told="latency", frame=Frame())


def path(svg: str, kind: str) -> str:
    found = re.search(rf'class="{kind}" d="([^"]*)"', svg)
    return found.group(1) if found else ""


def test_a_plot_draws_a_piece_for_each_stretch_without_a_gap() -> None:
    values = [10.0] * 10 + [float("nan")] * 5 + [20.0] * 10

    assert path(drawn(buckets_of(values)), "value").count("M") == 2


def test_a_plot_of_nothing_is_empty_axes() -> None:
    nothing = [float("nan")] * 4
    svg = drawn(buckets_of(nothing, lower=nothing, upper=nothing, expected=nothing, score=nothing))

    assert "nan" not in svg
    assert path(svg, "value") == ""


def test_a_rare_spike_is_cut_off_and_marked_but_not_where_something_was_wrong() -> None:
    values = [10.0] * 1000
    values[500] = 200.0
    trouble = Event(mark=Mark.MISSED, start_ms=4_990_000, end_ms=5_030_000, told="trouble")

    assert path(drawn(buckets_of(values)), "over").count(f"-{CARET_HEIGHT:g}") == 1
    assert path(drawn(buckets_of(values), (trouble,)), "over") == ""


def test_a_band_with_one_side_reaches_the_edge() -> None:
    none = [float("nan")] * 10
    svg = drawn(buckets_of([10.0] * 10, lower=none))

    assert path(svg, "band")
    assert "nan" not in svg


def test_what_happened_close_together_is_one_episode() -> None:
    label = Label(name="1", service="cart", start_ms=1_000_000, end_ms=2_000_000)
    near, far = (
        Life(
            service_key="prod/cart", service="cart", condition="latency", signal="latency", severity=Severity.PAGE,
            since_ms=since_ms, fired_at_ms=since_ms + 10_000, resolved_at_ms=since_ms + 60_000,
        )
        for since_ms in (2_500_000, 9_000_000)
    )  # fmt: skip

    found = episodes([label], [far, near], until_ms=10_000_000)

    assert [(one.span.start_ms, one.span.end_ms, len(one.labels), len(one.lives)) for one in found] == [
        (1_000_000, 2_560_000, 1, 1),
        (9_000_000, 9_060_000, 0, 1),
    ]


def test_an_endless_alert_does_not_make_an_endless_episode() -> None:
    life = Life(
        service_key="a/b",
        service="b",
        condition="latency",
        signal="latency",
        severity=Severity.PAGE,
        since_ms=0,
        fired_at_ms=10_000,
    )

    (found,) = episodes([], [life], until_ms=30 * 86_400_000)

    assert found.span.end_ms == 10_000 + 6 * 3_600_000


def test_of_a_missed_label_the_series_with_the_furthest_scores_are_shown() -> None:
    calm, odd, wild = (SeriesKey("prod/cart", name) for name in ("errors", "latency", "traffic"))
    (episode,) = episodes([Label(name="1", service="cart", start_ms=40_000, end_ms=60_000)], [], until_ms=100_000)
    overviews = {
        key: buckets_of([1.0] * 10, score=[9.0] + [0.0] * 3 + [score] + [0.0] * 5)
        for key, score in ((calm, 1.0), (odd, -2.5), (wild, 4.0))
    }

    assert shown_series(episode, overviews) == [wild, odd]


@pytest.mark.parametrize(("low", "high"), [(0, 1e-9), (0, 3e38), (-5, -4.9), (0.41, 0.46), (0, 7)])
def test_value_ticks_are_few_round_and_inside(low: float, high: float) -> None:
    ticks = value_ticks(low, high)

    assert 2 <= len(ticks) <= 5
    assert all(low - 1e-9 * abs(low) <= tick <= high * (1 + 1e-9) for tick in ticks if high > 0)


@pytest.mark.parametrize("days", [0.001, 0.02, 1, 9, 90, 4000])
def test_time_ticks_are_few_and_inside(days: float) -> None:
    end_ms = 1_767_571_200_000 + int(days * 86_400_000)

    ticks = time_ticks(1_767_571_200_000, end_ms)

    assert 1 <= len(ticks) <= 17
    assert all(1_767_571_200_000 <= at <= end_ms for at, _ in ticks)


def test_a_constant_series_has_a_range() -> None:
    none = np.array([])

    for value in (0.0, 5.0, -5.0, 3e38):
        low, high = value_range(np.array([value] * 9), none, none)
        assert low <= value <= high
        assert low < high


def test_markup_refuses_a_coordinate_that_is_none() -> None:
    with pytest.raises(ValueError, match="must be finite"):
        number(float("nan"))
    assert element("td", "", data_f='a"b') == '<td data-f="a&quot;b"></td>'


def test_the_median_delay_of_a_kind_lies_between_its_two_delays() -> None:
    outcome, log = outcome_of("cart")
    found = Label(name="4", service="cart", start_ms=2_000_000, end_ms=2_300_000, kind="slow")
    earlier = Label(name="5", service="cart", start_ms=1_990_000, end_ms=2_300_000, kind="slow")
    marked = judged(outcome.record, Labels(labels=(found, earlier)), source="s", version="1", config="c")

    page = "".join(write_page(marked, log, everything=False))

    assert re.search(r"<td>slow</td>.*?15 s</td><td class=\"n\">20 s</td>", page)


def test_a_long_name_stays_beside_its_lane_and_is_told_whole() -> None:
    long = "checkout-" * 6

    page = page_of(long)

    lane = page.split('class="glance"')[1].split("</svg>")[0]
    assert f"<title>prod/{long}</title>prod/checkout-checkout-che…</text>" in lane
