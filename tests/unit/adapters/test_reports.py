"""A shell that stops folding makes its worker not live; one that has nothing to fold does not."""

from collections import Counter
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.tables.recovery import Recovery

from pipeline.adapters import reports
from pipeline.adapters.health import HealthBoard, HealthParams
from pipeline.adapters.ledger import Ledger, Standing
from pipeline.adapters.metrics import prometheus_telemetry
from pipeline.adapters.reports import Reporter

TP = ("telemetry.metrics", 0)


class House:
    """A reporter with a shell and a log whose positions are set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock_ms, self.position, self.end = 0, 10, 10
        self.is_fetched = True
        self.ledger = Ledger()
        self.ledger.began(TP, Standing(10))
        self.board = HealthBoard(HealthParams(stall_ms=30_000), lambda: self.clock_ms)
        self.telemetry, self.registry = prometheus_telemetry()
        self.is_recovered = True
        self.recovered: Counter[tuple[str, int]] = Counter()
        recovery = SimpleNamespace(completed=SimpleNamespace(is_set=lambda: self.is_recovered), active_offsets=self.recovered)
        app: Any = SimpleNamespace(tables=SimpleNamespace(recovery=recovery, changelog_topics=set()), rebalancing=False)
        monkeypatch.setattr(reports, "end_by_partition", lambda _app: {TP: self.end})
        monkeypatch.setattr(reports, "reached", lambda _app, _tp, folded: folded)
        monkeypatch.setattr(reports, "is_heard", lambda _app, _tp: self.is_fetched)
        self.reporter = Reporter(
            app=app,
            role="ingest",
            shells=[cast(Any, self)],
            ledger=self.ledger,
            gauges=[],
            board=self.board,
            telemetry=self.telemetry,
        )
        self.board.starting("ingest")
        self.reporter.assigned({TP})
        self.reporter.report()

    def positions(self) -> dict[tuple[str, int], int]:
        return {TP: self.position}

    def lag(self) -> float | None:
        return self.registry.get_sample_value("tocsin_consumer_lag", {"app": "ingest", "topic": TP[0], "partition": str(TP[1])})

    def after(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock_ms += 1_000
            self.reporter.report()


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    return House(monkeypatch)


def test_a_shell_that_stops_folding_makes_the_worker_not_live(house: House) -> None:
    house.end = 500
    house.after(29)
    was_live = house.board.health().is_live

    house.after(2)

    health = house.board.health()
    assert was_live
    assert not health.is_live
    assert "telemetry.metrics/0 has not advanced" in health.reasons[0]
    assert house.lag() == 490
    assert house.registry.get_sample_value("tocsin_worker_lag", {"app": "ingest"}) == 490


def test_a_partition_with_nothing_to_read_is_not_stalled(house: House) -> None:
    house.after(120)

    assert house.board.health().is_ready
    assert house.lag() == 0


def test_a_partition_that_is_no_longer_fetched_looks_idle_and_makes_the_worker_not_live(house: House) -> None:
    house.is_fetched = False
    house.after(31)

    assert not house.board.health().is_live


def test_a_reporter_that_is_no_longer_called_makes_the_worker_not_live(house: House) -> None:
    house.clock_ms += 31_000

    assert not house.board.health().is_live


def test_a_partition_that_was_given_up_leaves_no_lag_behind(house: House) -> None:
    house.ledger.forget(TP)
    house.reporter.revoked({TP})
    house.reporter.report()  # the consumer still lists it

    assert house.lag() is None


def test_a_worker_is_ready_again_after_a_rebalance(house: House) -> None:
    house.reporter.revoked({TP})
    in_between = house.board.health()
    house.reporter.assigned({TP})

    house.reporter.report()

    assert not in_between.is_ready
    assert house.board.health().is_ready


def test_a_changelog_that_faust_has_not_looked_at_yet_is_reported_as_not_recovered(house: House) -> None:
    """Between a rebalance and the first look at where a changelog begins, Faust has no offset of it."""
    house.is_recovered = False
    house.reporter.assigned({TP})
    table: Any = SimpleNamespace(persisted_offset=lambda _tp: None)
    in_between: Any = SimpleNamespace(tp_to_table={})
    Recovery._add(in_between, table, ("detectors-changelog", 0), cast(Any, house.recovered))

    house.reporter.report()
    was_ready = house.board.health().is_ready
    house.is_recovered = True
    house.reporter.report()

    assert not was_ready
    assert house.board.health().is_ready
