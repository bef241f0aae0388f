"""What cumulative series add to each window is exact, whatever crashes: restarts, several sources, points out of order."""

import json
import random
from collections import defaultdict
from dataclasses import dataclass, field, replace

import msgspec
import pytest

from pipeline.analyse import series as series_module
from pipeline.analyse.series import SeriesRow
from pipeline.contracts.points import Point
from pipeline.contracts.signals import Signals
from pipeline.settings import load_settings
from tests.properties import window_world
from tests.properties.window_world import T0, World

CONFIG = replace(
    load_settings(env={}).ingest,
    chunk_records=40,
    chunk_ms=15_000,
    decoders={"telemetry.metrics": "auto", "tocsin.changes": "changes"},
)
SERVICES, INSTANCES = 3, 2
Series = tuple[int, int]


@dataclass
class SeriesWorld(World):
    """Every message is an OTLP point of a counter of requests; what it shows is a function of its time."""

    points: dict[Series, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.starts = {
            (service, instance): sorted([T0 - 7_000, *(T0 + chance.randrange(150_000) for _ in range(3))])
            for service in range(SERVICES)
            for instance in range(INSTANCES)
        }
        super().__post_init__()

    def make_value(self, time: int, timestamp: int, begin: int) -> bytes:  # noqa: ARG002 - as the world calls it
        series = self.rng.randrange(SERVICES), self.rng.randrange(INSTANCES)
        at = min(time, timestamp) - self.rng.choice([0, 0, 0, 2_000, 9_000])
        at = max(at, T0 - 6_000)
        start = self.start_of(series, at)
        value = (at - start) // 97
        self.points[series][at] = value
        attributes = [{"key": "http.route", "value": {"stringValue": "/a"}}]
        point = {
            "timeUnixNano": str(at * 10**6),
            "startTimeUnixNano": str(start * 10**6),
            "asInt": str(value),
            "attributes": attributes,
        }
        metric = {"name": "requests", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [point]}}
        names = {"service.name": f"s{series[0]}", "service.instance.id": str(series[1])}
        sender = [{"key": key, "value": {"stringValue": value}} for key, value in names.items()]
        return json.dumps(
            {"resourceMetrics": [{"resource": {"attributes": sender}, "scopeMetrics": [{"metrics": [metric]}]}]}
        ).encode()

    def start_of(self, series: Series, at: int) -> int:
        return max(start for start in self.starts[series] if start < at)

    def truth_by_time(self) -> dict[str, list[tuple[int, int]]]:
        """What each service counted, at the times at which that was told."""
        told: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for series, points in self.points.items():
            before = None
            for at in sorted(points):
                begun_anew = before is None or self.start_of(series, at) >= before
                told[f"s{series[0]}"].append((at, points[at] if begun_anew else points[at] - points[before]))
                before = at
        return told


def run(seed: int) -> tuple[SeriesWorld, dict[tuple[str, int], Signals]]:
    world = SeriesWorld(seed)
    world.run()
    windows: dict[tuple[str, int], Signals] = {}
    rollups: dict[tuple[str, int], Signals] = {}
    for record in world.signals:
        content = msgspec.json.decode(record.value)
        assert content["kind"] != "late", "the world is made so that nothing is late"
        if content["kind"] == "signals":
            signals = msgspec.json.decode(record.value, type=Signals)
            final = rollups if signals.rollup else windows
            known = final.get((signals.service, signals.window_start_ms))
            if known is None or signals.revision >= known.revision:
                if known is not None and signals.revision == known.revision:
                    assert signals.traffic == known.traffic, "one revision says two things"
                final[signals.service, signals.window_start_ms] = signals
    check_rollups(windows, rollups)
    return world, windows


def check_rollups(windows: dict[tuple[str, int], Signals], rollups: dict[tuple[str, int], Signals]) -> None:
    sums: dict[tuple[str, int], int] = defaultdict(int)
    for (service, start), signals in windows.items():
        sums[service, start // 300_000 * 300_000] += signals.traffic.requests
    for key, n in sums.items():
        if n:
            assert rollups[key].traffic.requests == n, ("rollup", key)


def check(world: SeriesWorld, final: dict[tuple[str, int], Signals]) -> int:
    truth = world.truth_by_time()
    for (service, start), signals in final.items():
        own = sum(n for at, n in truth[service] if start < at <= signals.window_end_ms)
        assert signals.traffic.requests == own, (service, (start - T0) // 1000)
    total = sum(n for told in truth.values() for _, n in told)
    assert sum(signals.traffic.requests for signals in final.values()) == total
    return total


@pytest.fixture(autouse=True)
def _counters_of_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    semantic = replace(CONFIG.semantic, requests=(replace(CONFIG.semantic.requests[0], metric=("requests",), form="count"),))
    monkeypatch.setattr(window_world, "CONFIG", replace(CONFIG, semantic=semantic))


@pytest.mark.parametrize("seed", range(6))
def test_each_window_has_exactly_what_its_series_counted(seed: int) -> None:
    world, final = run(seed)

    assert check(world, final) > 1_000
    assert world.n_crashes > 5


def fails(seeds: int) -> bool:
    for seed in range(seeds):
        try:
            check(*run(seed))
        except AssertionError:
            return True
    return False


def test_without_the_last_points_of_windows_that_are_gone_windows_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    without = SeriesRow.without
    monkeypatch.setattr(SeriesRow, "without", lambda row, window: msgspec.structs.replace(without(row, window), last={}))

    assert fails(5)


def test_windows_that_go_in_any_order_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SeriesRow, "is_first", lambda _row, _window: True)

    assert fails(20)


def test_a_restart_that_is_not_noticed_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    def difference(earlier: Point | None, later: Point) -> Point:
        return later if earlier is None else msgspec.structs.replace(later, value=max(0, later.value - earlier.value))

    monkeypatch.setattr(series_module, "increase", difference)

    assert fails(5)
