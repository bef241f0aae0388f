from pathlib import Path

import msgspec

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.readings import ChangeReading, GaugeReading, LogReading, RequestReading, SummaryReading
from pipeline.contracts.records import InRecord
from pipeline.contracts.telemetry import Telemetry
from pipeline.ingest.decoders import decode

LINES = (Path(__file__).parents[3] / "config" / "examples" / "telemetry.ndjson").read_bytes().splitlines()
NOW_MS = 1_767_571_320_000


def test_every_record_of_the_example_is_sound_and_every_kind_is_shown() -> None:
    decoded = [
        decode(IngestConfig(), "telemetry.metrics", InRecord(offset=0, timestamp_ms=NOW_MS, key=None, value=line)) for line in LINES
    ]

    assert [rejection for one in decoded for rejection in one.rejections] == []
    kinds = {type(reading) for one in decoded for reading in one.readings}
    assert kinds == {RequestReading, SummaryReading, GaugeReading, LogReading, ChangeReading}


def test_the_example_matches_the_published_types() -> None:
    for line in LINES:
        msgspec.json.decode(line, type=Telemetry | list[Telemetry])
