"""What the terminal shows of the board, and the plain lines where there is no terminal."""

import re

import pytest
from rich.console import Console, ConsoleDimensions

from pipeline.cli.board import Board
from pipeline.cli.live_view import Status, event_plain, plain_progress, plain_service, render
from pipeline.contracts.alerts import Transition
from pipeline.contracts.codec import encode
from pipeline.contracts.signals import Completeness
from tests.cli_samples import START_MS, WINDOW_MS, cloud_event, event, request, window

LIVE_MS = START_MS
NOW_MS = START_MS + 3 * WINDOW_MS


def status(**changes: object) -> Status:
    values: dict[str, object] = {
        "broker": "Embedded broker at 127.0.0.1:1",
        "set_up_at_ms": NOW_MS - 90_000,
        "history_start_ms": LIVE_MS - 100 * WINDOW_MS,
    }
    return Status(**{**values, **changes})  # type: ignore[arg-type]


def board(*signals: int, service: str = "cart") -> Board:
    """Return a board that saw the windows of these numbers; those below 0 are history."""
    seen = Board(live_from_ms=LIVE_MS)
    for i in signals:
        seen.apply("signals", encode(window(i, service)), NOW_MS)
    return seen


def shown(seen: Board, state: Status | None = None, *, width: int = 120, height: int = 50) -> str:
    console = Console(width=width, height=height, force_terminal=False)
    with console.capture() as capture:
        console.print(render(seen, state or status(), NOW_MS, ConsoleDimensions(width, height)))
    return capture.get()


def test_before_it_is_live_the_view_says_how_much_of_the_history_is_learned() -> None:
    state = status(history_share=0.8, records=12_345)
    seen = board(-50)

    text = shown(seen, state)

    assert "12,345 records sent" in text
    assert "80%" in text
    assert "51%" in text
    assert plain_progress(seen, state) == "history: 80% sent (12,345 records), 51% learned, now at 2023-11-14 22:05:10"


def test_once_live_the_view_shows_services_and_no_history() -> None:
    text = shown(board(0, 1))

    assert "learned" not in text
    assert "newest window 10 s ago" in text
    row = next(line for line in text.splitlines() if "demo/cart" in line)
    assert re.split(r"\s{2,}", row.strip()) == ["demo/cart", "12.0", "10 ms", "20 ms", "2.5 %", "cpu 31.0 %", "██", "ok"]


def test_firing_alerts_requests_and_announcements_have_their_places() -> None:
    seen = board(0, 1, 2)
    seen.apply("alert-events", encode(event(1, Transition.PENDING)), NOW_MS)
    seen.apply("alert-events", encode(event(2, Transition.FIRED)), NOW_MS)
    seen.apply("remediation.requests", encode(cloud_event(request())), NOW_MS)

    text = shown(seen, status(announcements=["Demo: breaking cart on purpose"]))

    assert "FIRING latency" in text
    assert "FIRED" in text
    assert "PENDING" not in text
    assert "restart (dry run), policy restart-slow" in text
    assert "Demo: breaking cart on purpose" in text


@pytest.mark.parametrize(("width", "has_trend", "has_resource"), [(80, False, False), (100, True, False), (120, True, True)])
def test_a_narrow_terminal_shows_fewer_columns_and_none_of_them_cut(width: int, has_trend: bool, has_resource: bool) -> None:
    seen = board(0, 1, 2, service="storefront")
    for condition in ("latency", "errors"):
        identity = {"life": condition, "condition": condition, "dedup_key": f"demo/storefront/{condition}"}
        seen.apply("alert-events", encode(event(2, Transition.FIRED, "storefront", **identity)), NOW_MS)

    text = shown(seen, width=width)

    row = next(line for line in text.splitlines() if "demo/storefront" in line)
    assert len(row) <= width
    assert row.split()[:7] == ["demo/storefront", "12.0", "10", "ms", "20", "ms", "2.5"]
    assert row.rstrip().endswith("FIRING errors, latency")
    assert ("███" in row, "cpu" in row) == (has_trend, has_resource)


def test_a_low_terminal_shows_fewer_alerts_the_newest() -> None:
    seen = board(0)
    for i in range(8):
        seen.apply("alert-events", encode(event(i, Transition.FIRED, life=str(i))), NOW_MS)

    assert shown(seen, height=24).count("FIRED") == 3
    assert shown(seen, height=50).count("FIRED") == 6
    assert "22:14:40 FIRED" in shown(seen, height=24)


def test_text_from_telemetry_cannot_write_to_the_terminal() -> None:
    evil = "ca\x1b[2Jrt"
    seen = board(0, 1, service=evil)
    seen.apply("alert-events", encode(event(2, Transition.FIRED, evil, sentence="\x1b[31mred")), NOW_MS)

    assert "\x1b[2J" not in shown(seen)
    assert "\x1b" not in str(event_plain(event(2, Transition.FIRED, evil, sentence="\x1b[31mred")))


def test_plain_lines_tell_what_fires_and_that_all_is_well() -> None:
    nothing = Completeness(readings=0, late=0, sources=0, delay_ms=0)
    fine, silent = plain_service(window(0), []), plain_service(window(0, p95_ms=None, completeness=nothing), [])

    assert fine == "22:13:30 cart            12.0 req/s  p50    10 ms  p95    20 ms  errors  2.5 %  cpu 31.0 %      ok"
    assert silent.endswith("silent")
    assert plain_service(window(0), [event(2, Transition.FIRED)]).endswith("FIRING latency")


def test_only_firing_and_resolving_are_worth_a_plain_line() -> None:
    assert event_plain(event(2, Transition.FIRED)) == "22:13:50 FIRED    cart (demo): latency is 400 ms."
    assert event_plain(event(9, Transition.RESOLVED)) == "22:15:00 RESOLVED cart (demo): latency is 400 ms."
    assert [event_plain(event(2, t)) for t in (Transition.PENDING, Transition.STILL_FIRING, Transition.CANCELLED)] == [None] * 3
