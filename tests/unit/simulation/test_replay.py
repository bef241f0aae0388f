"""Recordings as messages: byte for byte, moved in time, and bad lines as they are."""

import orjson
import pytest

from pipeline.simulation.faults import parse_fault
from pipeline.simulation.live import LiveShop
from pipeline.simulation.messages import arrays
from pipeline.simulation.replay import messages, times
from pipeline.simulation.shop import Shop
from pipeline.simulation.times import moved, to_ms

REQUEST = b'{"kind": "request", "service": "cart", "environment": "prod", "time": 1700000000.5, "duration_ms": 3}'


def test_without_shift_a_line_is_sent_byte_for_byte_at_its_own_time_under_its_service() -> None:
    (message,) = messages([REQUEST])

    assert (message.topic, message.key, message.value, message.timestamp_ms) == (
        "telemetry.metrics",
        b"prod/cart",
        REQUEST,
        1_700_000_000_500,
    )


def test_a_shift_moves_every_time_and_keeps_its_form() -> None:
    line = orjson.dumps(
        [
            {"kind": "change", "service": "cart", "time": 1_700_000_000, "until": "2023-11-14T23:00:00Z"},
            {"kind": "change", "service": "cart", "time": 1_700_000_000_000_000},
        ]
    )

    (message,) = messages([line], shift_ms=60_000)

    first, second = orjson.loads(message.value)
    assert first["time"] == 1_700_000_060
    assert first["until"] == "2023-11-14T23:01:00+00:00"
    assert second["time"] == 1_700_000_060_000_000
    assert (message.topic, message.timestamp_ms, message.records) == ("changes", 1_700_000_060_000, 2)


def test_a_bad_line_goes_as_it_is_at_the_time_of_the_line_before() -> None:
    first, bad, number = messages([REQUEST, b'{"kind": "request", \xff', b"17"], shift_ms=1_000)

    assert bad.value == b'{"kind": "request", \xff'
    assert bad.timestamp_ms == first.timestamp_ms == 1_700_000_001_500
    assert (number.value, number.key) == (b"17", None)


def test_times_pass_over_what_has_none() -> None:
    assert list(times([REQUEST, b"nonsense", b'{"service": "cart"}', b'{"time": "2023-11-14T22:13:20Z"}'])) == [
        1_700_000_000_500,
        1_700_000_000_000,
    ]


@pytest.mark.parametrize("value", [None, True, "soon", -1, 1e25, [1]])
def test_what_is_no_time_means_none_and_is_not_moved(value: object) -> None:
    assert to_ms(value) is None
    assert moved(value, 1_000) == value


def test_history_travels_as_one_array_a_service_and_window_and_loses_nothing() -> None:
    shop = LiveShop(Shop())
    start_ms = 1_700_000_000_000

    found = list(shop.history(start_ms, start_ms + 30_000))

    metrics = [message for message in found if message.topic == "telemetry.metrics"]
    assert len(metrics) == 3 * 6
    assert sum(message.records for message in found) == sum(len(orjson.loads(message.value)) for message in found)
    assert [message.timestamp_ms for message in found] == sorted(message.timestamp_ms for message in found)
    for message in metrics:
        assert {record["service"] for record in orjson.loads(message.value)} == {(message.key or b"").decode().split("/")[1]}


def test_arrays_of_different_services_are_apart() -> None:
    made = [{"kind": "gauge", "service": name, "time": 5} for name in ("a", "b", "a")]

    assert [(message.key, message.records) for message in arrays(made, 10)] == [(b"default/a", 2), (b"default/b", 1)]


def test_a_fault_set_while_live_shows_from_the_next_window_on() -> None:
    shop = LiveShop(Shop())
    live = shop.live(1_700_000_000_000)
    first = next(live)
    shop.suffer([parse_fault("silence:storefront:0:3600", 1_700_000_000_000)])

    later = [next(live) for _ in range(4_000)]

    of_storefront = [message.timestamp_ms for message in later if message.key == b"demo/storefront"]
    assert first.timestamp_ms < 1_700_000_010_000
    assert max(of_storefront) < 1_700_000_010_000 < later[-1].timestamp_ms


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("errors:payments:1", "KIND:SERVICE:START:DURATION"),
        ("fire:payments:1:2", "kind is one of"),
        ("errors:payments:soon:2", "are numbers"),
        ("errors:payments:1:0", "must end after it starts"),
        ("errors:payments:1:2:0", "magnitude must be above 0"),
    ],
)
def test_a_wrong_fault_is_refused_with_the_rule(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        parse_fault(text, 0)
