"""The agents of ANALYSE: which stage reads which topic, and how each is restored from its table."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.analyse import detection, lifecycle, windows
from pipeline.contracts.directory import Directory
from pipeline.contracts.stage import Stage

Restore = Callable[[int, Mapping[str, bytes]], Stage]


@dataclass(frozen=True, slots=True, kw_only=True)
class StageAgent:
    """One agent: reads ``topic`` (a logical name), keeps its rows in ``table``, and is restored by ``restore``.

    ``snapshots`` is the topic (a logical name) of its snapshots; empty: it has none.
    """

    topic: str
    table: str
    restore: Restore
    snapshots: str = ""


def agents(
    *,
    window_params: windows.WindowParams,
    detection_params: detection.DetectionParams,
    around: detection.Surroundings,
    alerting: lifecycle.AlertingParams,
    directory: Directory,
) -> list[StageAgent]:
    """Return the agents of this role, in the order of the data flow."""
    return [
        StageAgent(
            topic="partials",
            table="windows",
            restore=lambda partition, rows: windows.restore(window_params, directory, partition, rows),
        ),
        StageAgent(
            topic="signals",
            table="detectors",
            snapshots="models",
            restore=lambda partition, rows: detection.restore(detection_params, partition, rows, around),
        ),
        StageAgent(
            topic="anomalies",
            table="alerts",
            restore=lambda partition, rows: lifecycle.restore(alerting, directory, partition, rows),
        ),
    ]
