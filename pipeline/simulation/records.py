"""What the shop's services report of a window, in Tocsin's own telemetry format: decides the records and their times."""

from collections.abc import Iterator
from enum import StrEnum

import numpy as np

from pipeline.simulation.deploys import deploys_between
from pipeline.simulation.shop import WINDOW_MS, Shop
from pipeline.simulation.windows import Requests, Window, draw_window

SCALE = 4
"""Of the reported exponential histograms: buckets of 4.4 %."""
LOGGED_FAILURES = 3
"""A service logs failures, once a window and operation, when there are at least so many."""
GAUGE_TIMES_MS = {"cpu": 4_000, "memory": 8_000}
"""When in a window each resource is measured."""

Record = dict[str, object]


class Detail(StrEnum):
    """How the shop reports its requests."""

    SUMMARIES = "summaries"
    """One interval a window and operation, with a histogram."""
    REQUESTS = "requests"
    """Each one."""


def records(shop: Shop, start_ms: int, end_ms: int, detail: Detail = Detail.SUMMARIES) -> Iterator[Record]:
    """Yield the shop's records of the windows that lie in ``[start_ms, end_ms)``, by time.

    Every window depends on seed and time alone, so a history and the live shop that follows it fit together; and the
    summaries of a window count exactly its requests.

    Parameters
    ----------
    shop
        What is simulated.
    start_ms, end_ms
        UTC epoch ms; rounded up to whole windows of 10 s.
    detail
        Summaries for much time, requests for real time.

    Raises
    ------
    ValueError
        If ``end_ms`` lies before ``start_ms``.

    """
    if end_ms < start_ms:
        raise ValueError(f"the end ({end_ms}) must not lie before the start ({start_ms})")
    first = -(-start_ms // WINDOW_MS) * WINDOW_MS
    last = end_ms - end_ms % WINDOW_MS
    for window_start_ms in range(first, last, WINDOW_MS):
        window = draw_window(shop, window_start_ms)
        of_window = [*_requests(shop, window, detail), *_gauges(shop, window), *_logs(shop, window), *_changes(shop, window)]
        of_window.sort(key=time_of)
        yield from of_window


def time_of(record: Record) -> int:
    """Return the time of a record of the shop, UTC epoch ms."""
    time_ms = record["time"]
    if not isinstance(time_ms, int):
        raise TypeError(f"the shop's times are integers, got {time_ms!r}")
    return time_ms


def _requests(shop: Shop, window: Window, detail: Detail) -> Iterator[Record]:
    for (service, operation), requests in window.requests.items():
        if window.conditions[service].is_silent or not len(requests.end_ms):
            continue
        origin = _origin(shop, window, service) | {"operation": operation}
        if detail is Detail.SUMMARIES:
            yield origin | _summary(window, requests)
            continue
        for end_ms, duration_ms, failed in zip(
            requests.end_ms.tolist(), requests.duration_ms.tolist(), requests.failed.tolist(), strict=True
        ):
            yield origin | {
                "kind": "request",
                "time": window.start_ms + end_ms,
                "duration_ms": duration_ms,
                "status": 500 if failed else 200,
            }


def _summary(window: Window, requests: Requests) -> Record:
    indexes = np.ceil(np.log2(requests.duration_ms) * (1 << SCALE)).astype(np.int64) - 1
    offset = int(indexes.min())
    return {
        "kind": "summary",
        "time": window.start_ms + WINDOW_MS,
        "interval_s": WINDOW_MS // 1000,
        "requests": len(requests.end_ms),
        "errors": int(requests.failed.sum()),
        "latency_ms": {
            "scale": SCALE,
            "offset": offset,
            "counts": np.bincount(indexes - offset).tolist(),
            "sum": round(float(requests.duration_ms.sum()), 3),
        },
    }


def _gauges(shop: Shop, window: Window) -> Iterator[Record]:
    for resource, levels in (("cpu", window.cpu), ("memory", window.memory)):
        for service, level in levels.items():
            if not window.conditions[service].is_silent:
                yield _origin(shop, window, service) | {
                    "kind": "gauge",
                    "time": window.start_ms + GAUGE_TIMES_MS[resource],
                    "resource": resource,
                    "utilization": round(level, 4),
                }


def _logs(shop: Shop, window: Window) -> Iterator[Record]:
    for (service, operation), requests in window.requests.items():
        n_failed = int(requests.failed.sum())
        if n_failed >= LOGGED_FAILURES and not window.conditions[service].is_silent:
            yield _origin(shop, window, service) | {
                "kind": "log",
                "time": window.start_ms + WINDOW_MS - 1,
                "severity": "ERROR",
                "body": f"{operation}: {n_failed} of {len(requests.failed)} requests failed",
            }


def _changes(shop: Shop, window: Window) -> Iterator[Record]:
    for service in shop.services:
        for deploy in deploys_between(shop.seed, service.name, window.start_ms, window.start_ms + WINDOW_MS):
            yield {
                "kind": "change",
                "environment": shop.environment,
                "service": service.name,
                "time": deploy.time_ms,
                "type": "deployment",
                "version": deploy.version,
                "by": "release pipeline",
                "note": f"{service.name} {deploy.version}",
            }


def _origin(shop: Shop, window: Window, service: str) -> Record:
    return {"environment": shop.environment, "service": service, "version": window.versions[service]}
