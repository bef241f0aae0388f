"""What was sent, and whether what Tocsin published adds up to it; shares no code with the pipeline."""

import json
import random
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

BASE_MS, WIDE_MS = 10_000, 60_000
Window = tuple[str, int, int]
"""(environment/service, window start ms, window end ms)."""


@dataclass
class Truth:
    """Counts of everything that was sent."""

    readings: Counter[Window] = field(default_factory=Counter)
    requests: Counter[Window] = field(default_factory=Counter)
    errors: Counter[Window] = field(default_factory=Counter)
    rejected: int = 0

    @property
    def sent(self) -> int:
        """How many records were sent, good and bad."""
        return sum(self.readings.values()) + self.rejected


def message(rng: random.Random, now_ms: int, truth: Truth, *, has_wide: bool) -> bytes:
    """Return one telemetry message, one record or several, and count it in ``truth``.

    ``has_wide``: one service may report whole minutes, so its windows are as long.
    """
    n = 1 if rng.random() < 0.8 else rng.randint(2, 6)
    records = [_record(rng, now_ms, truth, has_wide=has_wide) for _ in range(n)]
    if n == 1 and rng.random() < 0.02:
        truth.rejected += 1
        _uncount(records[0], truth)
        return rng.choice(
            [b"{not json", b'{"kind":"request"}', b'{"kind":"request","service":"a","time":1,"duration_ms":-1,"status":200}']
        )
    return json.dumps(records[0] if n == 1 else records).encode()


def _record(rng: random.Random, now_ms: int, truth: Truth, *, has_wide: bool) -> dict[str, Any]:
    service, environment = f"s{rng.randrange(8)}", rng.choice(["prod", "staging"])
    late_ms = 0 if rng.random() < 0.95 else rng.randint(0, 90_000)
    time_ms = now_ms - rng.randint(0, 1500) - late_ms
    common = {"service": service, "environment": environment, "time": time_ms}
    kind = rng.random()
    if kind < 0.75:
        record = {
            **common,
            "kind": "request",
            "duration_ms": round(rng.lognormvariate(3, 1), 3),
            "status": rng.choice([200, 200, 200, 500]),
        }
    elif kind < 0.85:
        record = {**common, "kind": "gauge", "resource": "cpu", "utilization": round(rng.random(), 3)}
    elif kind < 0.95 or not has_wide:
        record = _summary(common, interval_s=10, requests=rng.randint(0, 20))
    else:
        record = _summary({**common, "service": "wide"}, interval_s=60, requests=rng.randint(0, 20))
    _count(record, truth, 1)
    return record


def _summary(common: dict[str, Any], *, interval_s: int, requests: int) -> dict[str, Any]:
    return {**common, "kind": "summary", "interval_s": interval_s, "requests": requests, "errors": requests // 3}


def _uncount(record: dict[str, Any], truth: Truth) -> None:
    _count(record, truth, -1)


def _count(record: dict[str, Any], truth: Truth, sign: int) -> None:
    size = WIDE_MS if record["service"] == "wide" else BASE_MS
    at = record["time"] - (0 if record["kind"] == "request" else 1)
    window = (f"{record['environment']}/{record['service']}", at // size * size, at // size * size + size)
    truth.readings[window] += sign
    if record["kind"] == "request":
        truth.requests[window] += sign
        truth.errors[window] += sign * (record["status"] == 500)
    elif record["kind"] == "summary":
        truth.requests[window] += sign * record["requests"]
        truth.errors[window] += sign * record["errors"]


@dataclass
class Published:
    """What was read from the topics so far; the highest revision of a window counts, late ids add up."""

    windows: dict[Window, dict[str, Any]] = field(default_factory=dict)
    values: dict[tuple[str, int], tuple[int, int, int]] = field(default_factory=dict)
    late: dict[str, tuple[int, Window, tuple[int, int, int]]] = field(default_factory=dict)
    dead: dict[str, int] = field(default_factory=dict)
    contradictions: list[str] = field(default_factory=list)

    def signals(self, value: bytes) -> None:
        """Take one record of the signals topic."""
        record = json.loads(value)
        if record["kind"] == "notice" or record.get("rollup"):
            return
        window = (f"{record['environment']}/{record['service']}", record["window_start_ms"], record["window_end_ms"])
        if record["kind"] == "late":
            counts = (record["readings"], record["requests"], record["errors"])
            known = self.late.get(record["id"])
            if known is None or record["through"] >= known[0]:
                self.late[record["id"]] = (record["through"], window, counts)
            return
        counts = _counts(record)
        seen = self.values.setdefault((record["id"], record["revision"]), counts)
        if seen != counts:
            self.contradictions.append(f"{window} revision {record['revision']}: {seen} and {counts}")
        known_window = self.windows.get(window)
        if known_window is None or record["revision"] >= known_window["revision"]:
            self.windows[window] = record

    def dead_letter(self, key: bytes, header: bytes) -> None:
        """Take one record of the dead-letters topic."""
        self.dead[key.decode()] = json.loads(header)["n_rejected"]

    @property
    def counted(self) -> int:
        """Readings in windows."""
        return sum(_counts(record)[0] for record in self.windows.values())

    @property
    def n_late(self) -> int:
        """Readings published as late."""
        return sum(counts[0] for _, _, counts in self.late.values())

    @property
    def rejected(self) -> int:
        """Records on the dead-letter topic, each once."""
        return sum(self.dead.values())

    @property
    def total(self) -> int:
        """Everything accounted for."""
        return self.counted + self.n_late + self.rejected


def differences(truth: Truth, published: Published) -> list[str]:
    """Return what does not add up, a line each; empty when everything is exact."""
    seen: dict[Window, list[int]] = defaultdict(lambda: [0, 0, 0])
    for window, record in published.windows.items():
        seen[window] = list(_counts(record))
    for _, window, counts in published.late.values():
        seen[window] = [a + b for a, b in zip(seen[window], counts, strict=True)]
    wrong = [f"contradiction: {text}" for text in published.contradictions]
    for window in sorted({*seen, *truth.readings}):
        expected = [truth.readings[window], truth.requests[window], truth.errors[window]]
        if seen[window] != expected:
            wrong.append(f"{window}: readings, requests, errors are {seen[window]}, sent {expected}")
    if published.rejected != truth.rejected:
        wrong.append(f"rejected: {published.rejected}, sent {truth.rejected}")
    return wrong


def lost_and_doubled(truth: Truth, published: Published) -> tuple[int, int]:
    """Return how many readings are missing, and how many are there too often, over all windows."""
    seen: Counter[Window] = Counter()
    for window, record in published.windows.items():
        seen[window] += _counts(record)[0]
    for _, window, counts in published.late.values():
        seen[window] += counts[0]
    off = [truth.readings[window] - seen[window] for window in {*seen, *truth.readings}]
    off.append(truth.rejected - published.rejected)
    return sum(x for x in off if x > 0), -sum(x for x in off if x < 0)


def _counts(record: dict[str, Any]) -> tuple[int, int, int]:
    return record["completeness"]["readings"], record["traffic"]["requests"], record["errors"]["count"]
