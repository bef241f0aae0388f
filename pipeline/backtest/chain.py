"""The live stages without Kafka, at full speed: telemetry in, everything that a worker would publish out."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from pipeline.act import alerts
from pipeline.analyse import lifecycle, windows
from pipeline.analyse.detection import DetectionStage
from pipeline.backtest.fired import Fired, News
from pipeline.backtest.memories import warm_stage
from pipeline.contracts.alerts import AlertEvent
from pipeline.contracts.codec import decode
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.records import InRecord, OutRecord
from pipeline.contracts.stage import Stage
from pipeline.ingest.source import Owner, SourceReader
from pipeline.settings import Settings, load_settings

FILES = "files"
"""Topic that recorded files are read as; its format is Tocsin's own."""
_CHECKPOINT_EVERY_MS = 60_000
Source = tuple[str, int]
"""A telemetry topic and a partition of it."""


class Chain:
    """Telemetry partitions, one target partition, every stage in between.

    The clock is the records' own time: what comes from several partitions is fed in order of time. A partition that has
    nothing for a while is idle, as live, and no longer holds the windows.

    Parameters
    ----------
    settings
        ``None``: those of ./config.
    on_output
        Sees every record that a stage publishes.
    stages
        By the topic that they read; ``None``: all of :func:`every_stage`.
    sources
        The telemetry partitions; the first is that of :meth:`feed` without one.

    """

    def __init__(
        self,
        settings: Settings | None = None,
        on_output: Callable[[OutRecord], None] | None = None,
        *,
        stages: Mapping[str, Stage] | None = None,
        sources: Iterable[Source] = ((FILES, 0),),
    ) -> None:
        self.settings = settings or load_settings()
        self._config = readable(self.settings.ingest)
        self._stages = dict(every_stage(self.settings) if stages is None else stages)
        self._offsets = dict.fromkeys(self._stages, 0)
        self._on_output = on_output
        self._inputs = {source: _Input(self._reader(source)) for source in sources}
        self._partitions: dict[str, int] = {}
        for topic, _ in self._inputs:
            self._partitions[topic] = self._partitions.get(topic, 0) + 1
        self._only = next(iter(self._inputs))
        self._news = News()
        self._ticked_ms = 0
        self._checkpoint_ms = 0
        self._began_ms: int | None = None
        self.n_rejected = 0
        self.now_ms = 0

    def feed(self, value: bytes | None, timestamp_ms: int, source: Source | None = None) -> list[Fired]:
        """Take one message in, as if Kafka had stamped it ``timestamp_ms``; return who is told of what."""
        self.now_ms = max(self.now_ms, timestamp_ms)
        if self._began_ms is None:
            self._began_ms = self.now_ms
        self._checkpoint()
        source = source or self._only
        taken = self._inputs[source]
        fired = self._tick_others(source)
        record = InRecord(offset=taken.offset, timestamp_ms=timestamp_ms, key=None, value=value)
        taken.offset += 1
        taken.heard_ms = self.now_ms
        outcome = taken.reader.read([record], self._owner(self.now_ms, is_caught_up=False))
        fired += self._route(outcome.outputs)
        if outcome.chunk_end is not None:
            taken.reader.begin_chunk(self._config)
            fired += self._route(taken.reader.read([record], self._owner(self.now_ms, is_caught_up=False)).outputs)
        return fired

    def drain(self) -> list[Fired]:
        """Let so much time pass without records that the last windows close, and no empty one follows."""
        heard_ms = self.now_ms
        self.now_ms += max(self.settings.source.idle_ms, self.settings.windows.delay_ms) + 1
        fired: list[Fired] = []
        for taken in self._inputs.values():
            fired += self._route(taken.reader.tick(self._owner(heard_ms, is_caught_up=True)))
        return fired

    def _checkpoint(self) -> None:
        """Let stages forget what their tables would hold, once a minute: windows that are over would stay for ever.

        The detectors stay as they are: what they learned is asked of them at the end.
        """
        if self.now_ms - self._checkpoint_ms < _CHECKPOINT_EVERY_MS:
            return
        self._checkpoint_ms = self.now_ms
        for topic, stage in self._stages.items():
            if topic != "signals":
                stage.take_changes()

    def _tick_others(self, source: Source) -> list[Fired]:
        """Let the partitions that have nothing to say know what time it is; once in the time after which they are idle."""
        fired: list[Fired] = []
        if len(self._inputs) > 1 and self.now_ms - self._ticked_ms > self.settings.source.idle_ms:
            self._ticked_ms = self.now_ms
            for other, taken in self._inputs.items():
                if other != source:
                    heard_ms = taken.heard_ms or self._began_ms or self.now_ms
                    fired += self._route(taken.reader.tick(self._owner(heard_ms, is_caught_up=True)))
        return fired

    def _reader(self, source: Source) -> SourceReader:
        return SourceReader(
            config=self._config,
            params=self.settings.source,
            source=f"{source[0]}/{source[1]}",
            epoch=0,
            position=0,
            watermark_ms=None,
        )

    def _owner(self, heard_ms: int, *, is_caught_up: bool) -> Owner:
        return Owner(
            now_ms=self.now_ms,
            generation=1,
            is_caught_up=is_caught_up,
            heard_ms=heard_ms,
            partitions=self._partitions,
            n_targets=1,
        )

    def _route(self, outputs: Iterable[OutRecord]) -> list[Fired]:
        fired: list[Fired] = []
        for output in outputs:
            if self._on_output is not None:
                self._on_output(output)
            if output.topic == "alert-events" and output.value is not None:
                fired += self._news.told(decode(output.value, AlertEvent))
            self.n_rejected += output.topic == "dead-letters"
            stage = self._stages.get(output.topic)
            if stage is None:
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


@dataclass(slots=True)
class _Input:
    """One telemetry partition: who reads it, the next offset, and when a record last came (``None``: none yet)."""

    reader: SourceReader
    offset: int = 0
    heard_ms: int | None = None


def every_stage(settings: Settings, detectors: DetectionStage | None = None) -> dict[str, Stage]:
    """Return the stages of analysis and act, new, by the topic that each reads; ``detectors`` go on from what they know."""
    return learning_stages(settings, detectors) | {
        "anomalies": lifecycle.restore(settings.alerting, settings.directory, 0, {}),
        "alert-events": alerts.restore(settings.act, settings.remediation, 0, {}),
    }


def learning_stages(settings: Settings, detectors: DetectionStage | None = None) -> dict[str, Stage]:
    """Return the stages up to the detectors: they learn, and nobody is told."""
    return {
        "partials": windows.restore(settings.windows, settings.directory, 0, {}),
        "signals": detectors or warm_stage(settings, ()),
    }


def readable(config: IngestConfig) -> IngestConfig:
    """Return the configuration with a decoder for recorded files, whatever topics it names."""
    return replace(config, decoders={FILES: "native", **config.decoders})
