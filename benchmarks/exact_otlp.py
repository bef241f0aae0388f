"""Senders of OTLP cumulative histograms that restart, are late and out of order; shares no code with the pipeline.

What a process has counted when it exports, less what it had counted at the export before, belongs to the window of the export.
A process that restarts counts from zero; what it had not exported is in nobody's count. Half of the processes say when they
began to count; of the others the first export of a series counts nothing, and a restart shows in lower counts alone.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from benchmarks.exact_truth import BASE_MS, Truth

N_PROCESSES = 24
BOUNDS = (0.01, 0.05, 0.1, 0.5, 1.0)
ROUTES = ("/cart", "/pay")
STATUSES = (200, 500)
LATE_SHARE, LATE_MS = 0.05, 4_000
"""So many exports are held back, up to so long: within the grace, because what a window did not get counts for the next one."""
RESTART_SHARE, BAD_SHARE = 0.01, 0.02
RESTARTS_FROM = 40
"""A process whose start is not known restarts when each of its series has counted so many, so that the restart shows."""
Series = tuple[str, int]


@dataclass
class _Process:
    """One process of a service, and what it has counted since it began."""

    service: str
    environment: str
    instance: str
    tells_start: bool
    start_ms: int = 0
    last_ms: int = 0
    buckets: dict[Series, list[int]] = field(default_factory=dict)
    exported: Counter[Series] = field(default_factory=Counter)
    is_known: set[Series] = field(default_factory=set)


class OtlpSenders:
    """Processes that export in turns."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._held: list[tuple[int, bytes]] = []
        self._processes = [
            _Process(f"s{i % 8}", ("prod", "staging")[i // 8 % 2], f"i{i}", tells_start=i % 2 == 0) for i in range(N_PROCESSES)
        ]
        self.n_restarts = 0

    def message(self, now_ms: int, truth: Truth) -> bytes:
        """Return one message, and count it in ``truth``; one that was held back when it is its turn."""
        rng = self._rng
        if self._held and min(self._held)[0] <= now_ms:
            due = min(self._held)
            self._held.remove(due)
            return due[1]
        if rng.random() < BAD_SHARE:
            truth.rejected += 1
            return rng.choice([b"{not json", b"\n\xff\xff\xff\xff\x0f", b"no message"])
        value = self._export(rng.choice(self._processes), now_ms, truth)
        if rng.random() < LATE_SHARE:
            self._held.append((now_ms + rng.randint(1, LATE_MS), value))
            return self.message(now_ms, truth)
        return value

    def rest(self) -> list[bytes]:
        """Return what is still held back."""
        return [value for _, value in sorted(self._held)]

    def _export(self, process: _Process, now_ms: int, truth: Truth) -> bytes:
        rng = self._rng
        at_ms = max(now_ms, process.last_ms + 1)
        if not process.start_ms or (self._may_restart(process) and rng.random() < RESTART_SHARE):
            self.n_restarts += bool(process.start_ms)
            process.start_ms = max(process.last_ms, at_ms - 1_000)
            process.buckets, process.exported = {}, Counter()
        for _ in range(rng.randint(0, 4)):
            counts = process.buckets.setdefault((rng.choice(ROUTES), rng.choice(STATUSES)), [0] * (len(BOUNDS) + 1))
            counts[rng.randrange(len(counts))] += 1
        process.last_ms = at_ms
        window = (at_ms - 1) // BASE_MS * BASE_MS
        key = (f"{process.environment}/{process.service}", window, window + BASE_MS)
        for series, counts in process.buckets.items():
            total = sum(counts)
            counted = total - process.exported[series] if process.tells_start or series in process.is_known else 0
            process.exported[series] = total
            process.is_known.add(series)
            truth.readings[key] += 1
            truth.requests[key] += counted
            truth.errors[key] += counted * (series[1] == 500)
        return _encoded(process, at_ms)

    def _may_restart(self, process: _Process) -> bool:
        if process.tells_start:
            return True
        return len(process.buckets) == len(ROUTES) * len(STATUSES) and min(map(sum, process.buckets.values())) >= RESTARTS_FROM


def _encoded(process: _Process, at_ms: int) -> bytes:
    message = ExportMetricsServiceRequest()
    sender = message.resource_metrics.add()
    sender.resource.attributes.extend(
        [
            _text("service.name", process.service),
            _text("deployment.environment.name", process.environment),
            _text("service.instance.id", process.instance),
        ]
    )
    metric = sender.scope_metrics.add().metrics.add(name="http.server.request.duration", unit="s")
    metric.histogram.aggregation_temporality = 2
    for (route, status), counts in process.buckets.items():
        point = metric.histogram.data_points.add(
            start_time_unix_nano=process.start_ms * 10**6 if process.tells_start else 0,
            time_unix_nano=at_ms * 10**6,
            count=sum(counts),
            sum=0.1 * sum(counts),
            bucket_counts=counts,
            explicit_bounds=BOUNDS,
        )
        point.attributes.append(_text("http.route", route))
        point.attributes.append(KeyValue(key="http.response.status_code", value=AnyValue(int_value=status)))
    return message.SerializeToString()


def _text(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
