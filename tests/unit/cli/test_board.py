"""What the live view knows: newest windows, live events apart from those of the history, everything once."""

from pipeline.cli.board import Board
from pipeline.contracts.alerts import Transition
from pipeline.contracts.codec import encode
from tests.cli_samples import START_MS, WINDOW_MS, cloud_event, event, request, window

NOW_MS = START_MS + 1_000_000


def board(*, live_from: int = 0) -> Board:
    """Return a board whose history ended at the start of the window of this number."""
    return Board(live_from_ms=START_MS + live_from * WINDOW_MS)


def test_a_revision_takes_the_place_of_its_window_and_an_older_one_does_not() -> None:
    seen = board()
    for signals in (window(0), window(1), window(0, p95_ms=30.0, revision=3), window(0, p95_ms=25.0, revision=2)):
        seen.apply("signals", encode(signals), NOW_MS)

    shown = [(w.window_start_ms, w.latency.p95_ms) for w in seen.windows["demo/cart"] if w.latency is not None]
    assert shown == [(START_MS, 30.0), (START_MS + WINDOW_MS, 20.0)]


def test_rollups_are_not_windows() -> None:
    seen = board()

    seen.apply("signals", encode(window(0, rollup=True)), NOW_MS)

    assert seen.windows == {}


def test_it_is_live_when_a_live_window_of_every_service_was_seen() -> None:
    seen = board(live_from=2)
    for signals in (window(1), window(1, "mail"), window(2)):
        seen.apply("signals", encode(signals), NOW_MS)
    assert (seen.first_live_at_ms, seen.seen_through_ms) == (None, START_MS + 2 * WINDOW_MS)

    seen.apply("signals", encode(window(2, "mail")), NOW_MS + 7)
    seen.apply("signals", encode(window(3, "mail")), NOW_MS + 9)

    assert seen.first_live_at_ms == NOW_MS + 7


def test_an_alert_fires_until_it_resolves_and_each_step_counts_once() -> None:
    seen = board()
    fired, resolved = encode(event(2, Transition.FIRED)), encode(event(9, Transition.RESOLVED))

    seen.apply("alert-events", fired, NOW_MS)
    seen.apply("alert-events", fired, NOW_MS)
    assert list(seen.firing) == ["demo/cart/latency"]
    seen.apply("alert-events", resolved, NOW_MS)

    assert (seen.firing, seen.n_fired, seen.n_resolved, len(seen.events)) == ({}, 1, 1, 2)


def test_what_began_in_the_history_is_old_news() -> None:
    seen = board(live_from=1)

    seen.apply("alert-events", encode(event(2, Transition.FIRED)), NOW_MS)
    seen.apply("remediation.requests", encode(cloud_event(request(issued_at_ms=START_MS))), NOW_MS)

    assert (seen.n_old_news, seen.n_fired, seen.n_requests, list(seen.events)) == (1, 0, 0, [])


def test_a_request_counts_once_however_often_it_is_sent() -> None:
    seen = board()
    for _ in range(2):
        seen.apply("remediation.requests", encode(cloud_event(request())), NOW_MS)

    assert (seen.n_requests, len(seen.requests)) == (1, 1)


def test_dead_letters_and_what_cannot_be_read_are_counted_and_tombstones_are_not() -> None:
    seen = board()

    seen.apply("dead-letters", None, NOW_MS)
    seen.apply("signals", b"{oops", NOW_MS)
    seen.apply("alert-events", None, NOW_MS)

    assert (seen.n_dead_letters, seen.n_unreadable) == (1, 1)
