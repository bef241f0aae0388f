"""What the models see of a window or a rollup: no more than this, live and when it is folded in again."""

import msgspec

from pipeline.analyse.heard import Heard
from pipeline.contracts.histogram import Histogram
from pipeline.contracts.partials import ChangeNote, FeedbackNote
from pipeline.contracts.signals import LogLines


class WindowPoint(msgspec.Struct, frozen=True, array_like=True):
    """One publication of a base window, as its detectors see it.

    Live judging sees this too, so what is not in here cannot make a restored model differ from one that was never stopped.

    Attributes
    ----------
    start_ms, size_ms
        The window.
    revision
        1: judged; higher: only what people did and said is new in it.
    readings, requests, errors
        Counts.
    latency
        Count, and mean, p50, p95, p99 in ms.
    saturation
        Mean and highest utilization by resource.
    histogram
        Latencies of all requests.
    changes, feedback
        What people did and said.
    templates
        Log lines by what they say, masked.
    amounts
        What named signals counted.
    levels
        The means of gauges that are named signals.

    """

    start_ms: int
    size_ms: int
    revision: int
    readings: int
    requests: int
    errors: int
    latency: tuple[int, float | None, float | None, float | None, float | None] | None
    saturation: dict[str, tuple[float, float]]
    histogram: Histogram | None
    changes: list[ChangeNote]
    feedback: list[FeedbackNote]
    templates: dict[str, LogLines] = {}
    amounts: dict[str, float] = {}
    levels: dict[str, float] = {}

    @classmethod
    def of(cls, heard: Heard) -> "WindowPoint":
        """Return what the models see of a publication."""
        latency = heard.latency
        return cls(
            heard.window_start_ms,
            heard.window_end_ms - heard.window_start_ms,
            heard.revision,
            heard.completeness.readings,
            heard.traffic.requests,
            heard.errors.count,
            None if latency is None else (latency.count, latency.mean_ms, latency.p50_ms, latency.p95_ms, latency.p99_ms),
            {name: (usage.mean, usage.max) for name, usage in saturation.items()} if (saturation := heard.saturation) else {},
            heard.histogram,
            heard.changes,
            heard.feedback,
            heard.templates,
            heard.amounts,
            {name: level.mean for name, level in heard.levels.items()} if heard.levels else {},
        )

    @property
    def end_ms(self) -> int:
        """End of the window, epoch ms."""
        return self.start_ms + self.size_ms

    @property
    def is_silent(self) -> bool:
        """Nothing was heard of the service itself; what people said of it is not its own word."""
        return self.readings <= len(self.changes) + len(self.feedback)
