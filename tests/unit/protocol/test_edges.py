"""The call graph of a service: edges are told with its windows, kept while they are used, and taken off when they are not."""

import msgspec

from pipeline.analyse.windows import WindowParams, restore
from pipeline.contracts.codec import encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.partials import Bundle, CallPartial, Partial
from pipeline.contracts.records import InRecord
from pipeline.contracts.topology import CalleeKind, Edge

T0 = 1_700_000_100_000
DB, CART = "database:prod/pg", "service:prod/cart"


class Desk:
    def __init__(self, **params: int) -> None:
        self.params = WindowParams(**params)
        self.stage = restore(self.params, Directory(), 0, {})
        self.offset = -1

    def send(self, watermark_s: int, **calls_by_second: dict[str, CallPartial]) -> dict[str, Edge | None]:
        """Send a bundle; ``s30=...`` are the calls of the window that begins 30 s after T0. Return what is said of edges."""
        self.offset += 1
        partials = [
            Partial(
                environment="prod",
                service="shop",
                start_ms=T0 + int(name[1:]) * 1000,
                size_ms=10_000,
                readings=sum(call.calls for call in calls.values()) or 1,
                calls=calls,
            )
            for name, calls in calls_by_second.items()
        ]
        bundle = Bundle(
            source="t/0", chunk=self.offset, through=self.offset, watermark_ms=T0 + watermark_s * 1000, partitions={"t": 1},
            partials=partials,
        )  # fmt: skip
        told = list(self.stage.step(InRecord(self.offset, T0, None, encode(bundle)), 0))
        return {
            out.key: None if out.value is None else msgspec.json.decode(out.value, type=Edge)
            for out in told
            if out.topic == "topology"
        }


def call(calls: int, errors: int = 0) -> CallPartial:
    return CallPartial(calls=calls, errors=errors)


def test_the_first_window_of_a_minute_and_each_rollup_tell_edges_with_their_rates() -> None:
    desk = Desk()

    said = desk.send(14, s0={DB: call(3, 1)})

    assert said == {
        "prod/shop->database:prod/pg": Edge(
            environment="prod", service="shop", version="", callee_kind=CalleeKind.DATABASE, callee_environment="prod", callee="pg",
            window_start_ms=T0, window_end_ms=T0 + 10_000, calls=3, errors=1, calls_per_minute=18.0, errors_per_minute=6.0,
            last_seen_ms=T0 + 10_000,
        )
    }  # fmt: skip
    assert desk.send(54, s40={CART: call(5)}) == {}
    rolled_up = desk.send(304)
    assert {(edge.callee, edge.calls, edge.calls_per_minute, edge.last_seen_ms - T0) for edge in rolled_up.values() if edge} == {
        ("pg", 3, 0.6, 10_000),
        ("cart", 5, 1.0, 50_000),
    }


def test_an_edge_that_was_not_used_for_long_is_taken_off_and_a_restart_does_not_bring_it_back() -> None:
    desk = Desk(edge_max_age_ms=600_000)
    desk.send(14, s0={DB: call(1), CART: call(1)})
    desk.send(514, s500={CART: call(1)})
    rows = {name: row for name, row in desk.stage.take_changes().items() if row is not None}
    desk.stage = restore(desk.params, Directory(), 0, rows)

    assert "prod/shop->database:prod/pg" not in desk.send(609)
    assert desk.send(624) == {"prod/shop->database:prod/pg": None}
    assert desk.send(1109) == {}
    assert desk.send(1124) == {"prod/shop->service:prod/cart": None}


def test_past_the_bound_what_was_called_longest_ago_goes() -> None:
    desk = Desk(max_edges=1)
    desk.send(14, s0={DB: call(1)})

    assert desk.send(74, s60={CART: call(1)}).keys() == {"prod/shop->database:prod/pg", "prod/shop->service:prod/cart"}
    assert desk.send(75) == {}


def test_a_service_that_is_retired_calls_nobody() -> None:
    desk = Desk(silence_max_ms=60_000)
    desk.send(14, s0={DB: call(1)})

    assert desk.send(120) == {"prod/shop->database:prod/pg": None}
