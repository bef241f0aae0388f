"""What a worker's stages and tables tell of themselves as gauges, at every tick."""

from collections.abc import Callable, Sequence
from functools import partial

import structlog

from pipeline.adapters import clock
from pipeline.adapters.metrics import Telemetry
from pipeline.adapters.stage_shell import StageShell
from pipeline.adapters.tables import RowTable
from pipeline.analyse.detection import DetectionStage
from pipeline.analyse.windows import WindowStage
from pipeline.contracts.stage import Stage

log = structlog.get_logger(__name__)


def report_windows(telemetry: Telemetry, shell: StageShell) -> None:
    """Tell the watermark and the open windows of each owned partition."""
    for partition, stage in shell.stages().items():
        if isinstance(stage, WindowStage):
            telemetry.windows(partition, n_open=stage.n_open_windows, n_services=stage.n_services)
            if stage.low_ms is not None:
                telemetry.watermark(partition, stage.low_ms, clock.now_ms())


class DetectionReport:
    """Tells how alarms were marked, by kind of condition, and which memories started cold: logged once for each take-over."""

    def __init__(self, telemetry: Telemetry, shell: StageShell) -> None:
        self._telemetry = telemetry
        self._shell = shell
        self._marks: dict[int, set[tuple[str, str]]] = {}
        self._cold: dict[int, Stage] = {}

    def __call__(self) -> None:
        """Look at every owned partition."""
        stages = self._shell.stages()
        for partition in self._marks.keys() - stages.keys():
            self._telemetry.models_revoked(partition, self._marks.pop(partition))
            self._cold.pop(partition, None)
        for partition, stage in stages.items():
            if isinstance(stage, DetectionStage):
                self._tell(partition, stage)

    def _tell(self, partition: int, stage: DetectionStage) -> None:
        told = self._marks.setdefault(partition, set())
        self._telemetry.models_cold(partition, stage.n_cold)
        for condition, count in stage.counts().items():
            for mark, n in count.marks().items():
                self._telemetry.alarm_mark(partition, condition, mark, n)
                told.add((condition, mark))
        if stage.n_cold and self._cold.get(partition) is not stage:
            self._cold[partition] = stage
            log.warning("models start cold", partition=partition, models=stage.n_cold, last=stage.cold_reason)


def state_gauges(telemetry: Telemetry, tables: Sequence[RowTable]) -> list[Callable[[], None]]:
    """Return what tells the size of each table."""
    return [partial(_report_state, telemetry, table) for table in tables]


def _report_state(telemetry: Telemetry, table: RowTable) -> None:
    for partition, (n_rows, n_bytes) in table.rows.sizes().items():
        telemetry.state(table.name, partition, n_rows=n_rows, n_bytes=n_bytes)
