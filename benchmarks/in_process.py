"""The live stages without Kafka, at full speed: telemetry in, alert events out."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.analyse import detection, lifecycle, windows
from pipeline.contracts.alerts import AlertEvent, Transition
from pipeline.contracts.anomalies import Severity
from pipeline.contracts.codec import decode
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.stage import Stage
from pipeline.ingest.source import Owner, SourceReader
from pipeline.settings import Settings, load_settings

TOPIC = "telemetry.metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fired:
    """One moment at which people are told: an alert fires, or a firing ticket becomes a page.

    ``at_ms`` is the end of the window that caused it.
    """

    service: str
    condition: str
    severity: Severity
    at_ms: int
    is_escalation: bool
    sentence: str


class Chain:
    """One telemetry partition, one target partition, every stage of ingest and analysis in between.

    The clock is the records' own time. ``on_output`` sees every record that a stage publishes.
    """

    def __init__(self, settings: Settings | None = None, on_output: Callable[[OutRecord], None] | None = None) -> None:
        self.settings = settings or load_settings()
        self._config = self.settings.ingest
        self._reader = SourceReader(
            config=self._config, params=self.settings.source, source=f"{TOPIC}/0", epoch=0, position=0, watermark_ms=None
        )
        directory = self.settings.directory
        self._stages: dict[str, Stage] = {
            "partials": windows.restore(self.settings.windows, directory, 0, {}),
            "signals": detection.restore(self.settings.detection, 0, {}, self.settings.surroundings),
            "anomalies": lifecycle.restore(self.settings.alerting, directory, 0, {}),
        }
        self._offsets = dict.fromkeys(self._stages, 0)
        self._on_output = on_output
        self._offset = 0
        self._severity: dict[str, Severity] = {}
        self.n_rejected = 0
        self.now_ms = 0

    def feed(self, value: bytes, timestamp_ms: int) -> list[Fired]:
        """Take one message in, as if Kafka had stamped it ``timestamp_ms``; return who is told of what."""
        self.now_ms = max(self.now_ms, timestamp_ms)
        record = InRecord(offset=self._offset, timestamp_ms=timestamp_ms, key=None, value=value)
        self._offset += 1
        fired: list[Fired] = []
        outcome = self._reader.read([record], self._owner(is_caught_up=False))
        fired += self._route(outcome.outputs)
        if outcome.chunk_end is not None:
            self._reader.begin_chunk(self._config)
            fired += self._route(self._reader.read([record], self._owner(is_caught_up=False)).outputs)
        return fired

    def drain(self) -> list[Fired]:
        """Let so much time pass without records that the last windows close, and no empty one follows."""
        heard_ms = self.now_ms
        self.now_ms += max(self.settings.source.idle_ms, self.settings.windows.delay_ms) + 1
        owner = self._owner(is_caught_up=True)
        return self._route(self._reader.tick(Owner(**{**_fields(owner), "heard_ms": heard_ms})))

    def _owner(self, *, is_caught_up: bool) -> Owner:
        return Owner(
            now_ms=self.now_ms,
            generation=1,
            is_caught_up=is_caught_up,
            heard_ms=self.now_ms,
            partitions={TOPIC: 1},
            n_targets=1,
        )

    def _route(self, outputs: Iterable[OutRecord]) -> list[Fired]:
        fired: list[Fired] = []
        for output in outputs:
            if self._on_output is not None:
                self._on_output(output)
            if output.topic == "alert-events" and output.value is not None:
                fired += self._told(decode(output.value, AlertEvent))
                continue
            stage = self._stages.get(output.topic)
            if stage is None:
                self.n_rejected += output.topic == "dead-letters"
                continue
            offset = self._offsets[output.topic]
            self._offsets[output.topic] += 1
            record = InRecord(
                offset=offset,
                timestamp_ms=output.timestamp_ms or self.now_ms,
                key=output.key.encode(),
                value=output.value,
                headers=output.headers,
            )
            fired += self._route(stage.step(record, self.now_ms))
        return fired

    def _told(self, event: AlertEvent) -> Iterator[Fired]:
        """Yield an alert that fires, and one that becomes a page while it is firing."""
        before = self._severity.get(event.alert_id)
        if event.transition is Transition.FIRED or (
            event.transition is Transition.STILL_FIRING and before is Severity.TICKET and event.severity is Severity.PAGE
        ):
            yield Fired(
                service=event.service,
                condition=event.condition,
                severity=event.severity,
                at_ms=event.at_ms,
                is_escalation=event.transition is not Transition.FIRED,
                sentence=event.sentence,
            )
            self._severity[event.alert_id] = event.severity
        elif event.transition is Transition.RESOLVED:
            self._severity.pop(event.alert_id, None)


def message(records: Sequence[Mapping[str, Any]]) -> bytes:
    """Return one message that holds the records as an array."""
    return json.dumps(records, separators=(",", ":")).encode()


def _fields(owner: Owner) -> dict[str, Any]:
    return {name: getattr(owner, name) for name in owner.__struct_fields__}
