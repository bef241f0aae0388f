"""What the analyse app tells of its models: alarms and feedback by condition, and cold starts, logged once a take-over."""

from types import SimpleNamespace
from typing import Any

from structlog.testing import capture_logs

from pipeline.adapters.metrics import RecordingSink, Telemetry
from pipeline.analyse.detection import restore
from pipeline.gauges import DetectionReport
from tests.unit.analyse.test_detection import PARAMS, Feed, signals
from tests.unit.analyse.test_learning import said


def test_alarms_feedback_and_cold_starts_are_told_and_go_with_their_partition() -> None:
    feed = Feed(restore(PARAMS, 3, {"models\tprod/cart": b"damaged"}))
    for i in range(400):
        feed(signals(i))
    for i in range(400, 404):
        feed(signals(i, errors=20))
    feed(said(404, "false_positive", "errors"))
    stages: dict[int, Any] = {3: feed.stage}
    sink = RecordingSink()
    report = DetectionReport(Telemetry(sink), SimpleNamespace(stages=lambda: stages))  # type: ignore[arg-type]

    with capture_logs() as logs:
        report()
        report()

    assert sink.gauges["tocsin_models_cold", "3"] == 1
    assert sink.gauges["tocsin_alarm_marks", "3", "errors", "opened"] == 1
    assert sink.gauges["tocsin_alarm_marks", "3", "errors", "false_positive"] == 1
    assert [(log["event"], log["partition"], log["models"]) for log in logs] == [("models start cold", 3, 1)]

    stages.clear()
    report()

    assert sink.gauges == {}
