"""What happens in the shop in one window: draws every request, its duration and outcome, through the call graph."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.simulation.deploys import running
from pipeline.simulation.faults import Condition, condition_of
from pipeline.simulation.rhythm import busyness
from pipeline.simulation.shop import WINDOW_MS, Operation, Shop

LOAD_NOISE = 0.04
"""Spread (standard deviation, dimensionless) of a window's visits beyond that of chance arrivals."""
PASSED_ON = 0.85
"""Share of a callee's failures that fail the caller as well; the others it copes with."""
FAILED_WORK = 0.6
"""A failing request ends early: its own work takes this share of the time."""
CPU_NOISE, MEMORY_NOISE = 0.012, 0.004
CPU_FULL = 1.0

Key = tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """All requests of one operation in a window, by end time: ms into the window, duration in ms, whether it failed."""

    end_ms: NDArray[np.int64]
    duration_ms: NDArray[np.float64]
    failed: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """One window of the shop: requests by (service, operation), and cpu and memory utilization by service."""

    start_ms: int
    requests: dict[Key, Requests]
    cpu: dict[str, float]
    memory: dict[str, float]
    conditions: dict[str, Condition]
    versions: dict[str, str]


def draw_window(shop: Shop, start_ms: int) -> Window:
    """Return what happens in ``[start_ms, start_ms + 10 s)``; the same for the same shop and window."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((shop.seed, start_ms // WINDOW_MS))))
    conditions = {service.name: condition_of(service.name, start_ms, shop.faults) for service in shop.services}
    deploys = {service.name: running(shop.seed, service.name, start_ms) for service in shop.services}
    counts, calls = _draw_counts(shop, start_ms, conditions, rng)
    durations: dict[Key, NDArray[np.float64]] = {}
    failures: dict[Key, NDArray[np.bool_]] = {}
    for service in reversed(shop.services):
        factor = deploys[service.name].latency_factor
        for operation in service.operations:
            key = (service.name, operation.name)
            durations[key], failures[key] = _draw_work(operation, counts[key], conditions[service.name], factor, rng)
            for callee, callers, first in calls.get(key, ()):
                answered = slice(first, first + len(callers))
                durations[key][callers] += durations[callee][answered]
                failures[key][callers] |= failures[callee][answered] & (rng.random(len(callers)) < PASSED_ON)
    requests = {key: _in_time(rng, durations[key], failures[key]) for key in counts}
    cpu = {}
    for service in shop.services:
        rps = sum(counts[service.name, operation.name] for operation in service.operations) / (WINDOW_MS / 1000)
        usual = service.cpu_idle + service.cpu_per_rps * rps
        forced = conditions[service.name].cpu
        level = (usual if forced is None else forced) + CPU_NOISE * rng.standard_normal()
        cpu[service.name] = float(np.clip(level, 0.0, CPU_FULL))
    memory = {service.name: float(service.memory + MEMORY_NOISE * rng.standard_normal()) for service in shop.services}
    versions = {name: deploy.version for name, deploy in deploys.items()}
    return Window(start_ms=start_ms, requests=requests, cpu=cpu, memory=memory, conditions=conditions, versions=versions)


Calls = dict[Key, list[tuple[Key, NDArray[np.int64], int]]]


def _draw_counts(
    shop: Shop, start_ms: int, conditions: dict[str, Condition], rng: np.random.Generator
) -> tuple[dict[Key, int], Calls]:
    """Return requests by operation; and by caller, whom it calls, from which of its requests, as which of the callee's."""
    noise = float(np.exp(LOAD_NOISE * rng.standard_normal()))
    visits = shop.visits_per_second * busyness(start_ms + WINDOW_MS // 2) * noise * WINDOW_MS / 1000
    counts = {(service.name, operation.name): 0 for service in shop.services for operation in service.operations}
    calls: Calls = {}
    for service in shop.services:
        share = conditions[service.name].traffic_share
        for operation in service.operations:
            key = (service.name, operation.name)
            counts[key] += int(rng.poisson(visits * operation.visits * share))
            for call in operation.calls:
                callee = (call.service, call.operation)
                reached = call.share * conditions[call.service].traffic_share
                callers = np.flatnonzero(rng.random(counts[key]) < reached)
                calls.setdefault(key, []).append((callee, callers, counts[callee]))
                counts[callee] += len(callers)
    return counts, calls


def _draw_work(
    operation: Operation, n: int, condition: Condition, version_factor: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    median_ms = operation.median_ms * condition.latency_factor * version_factor
    durations = median_ms * np.exp(operation.sigma * rng.standard_normal(n))
    failed = rng.random(n) < operation.error_share + condition.error_share
    durations[failed] *= FAILED_WORK
    return durations, failed


def _in_time(rng: np.random.Generator, durations: NDArray[np.float64], failed: NDArray[np.bool_]) -> Requests:
    end_ms = np.sort(rng.integers(0, WINDOW_MS, len(durations)))
    return Requests(end_ms=end_ms, duration_ms=np.round(durations, 3), failed=failed)
