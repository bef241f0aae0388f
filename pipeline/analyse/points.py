"""What the models see of a window or a rollup: no more than this, live and when it is folded in again."""

import msgspec

from pipeline.contracts.histogram import Histogram
from pipeline.contracts.partials import ChangeNote, FeedbackNote
from pipeline.contracts.signals import Completeness, Errors, Latency, LogLines, Saturation, Signals, Traffic


class WindowPoint(msgspec.Struct, kw_only=True, frozen=True, array_like=True):
    """One publication of a base window, as its detectors see it.

    Live judging goes through :attr:`signals` too, so what is not in here cannot make a restored model differ from one
    that was never stopped.

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

    @classmethod
    def of(cls, signals: Signals) -> "WindowPoint":
        """Return what the models see of a publication."""
        latency = signals.latency
        return cls(
            start_ms=signals.window_start_ms,
            size_ms=signals.size_ms,
            revision=signals.revision,
            readings=signals.completeness.readings,
            requests=signals.traffic.requests,
            errors=signals.errors.count,
            latency=None if latency is None else (latency.count, latency.mean_ms, latency.p50_ms, latency.p95_ms, latency.p99_ms),
            saturation={name: (usage.mean, usage.max) for name, usage in signals.saturation.items()},
            histogram=signals.histogram,
            changes=signals.changes,
            feedback=signals.feedback,
            templates=signals.templates,
        )

    @property
    def end_ms(self) -> int:
        """End of the window, epoch ms."""
        return self.start_ms + self.size_ms

    @property
    def signals(self) -> Signals:
        """Signals that hold this, and nothing else."""
        latency = None
        if self.latency is not None:
            count, mean_ms, p50_ms, p95_ms, p99_ms = self.latency
            latency = Latency(count=count, mean_ms=mean_ms, p50_ms=p50_ms, p95_ms=p95_ms, p99_ms=p99_ms)
        return Signals(
            id="",
            environment="",
            service="",
            version="",
            window_start_ms=self.start_ms,
            window_end_ms=self.end_ms,
            revision=self.revision,
            latency=latency,
            traffic=Traffic(requests=self.requests, requests_per_second=self.requests * 1000 / self.size_ms),
            errors=Errors(count=self.errors, ratio=min(self.errors / self.requests, 1.0) if self.requests else None),
            saturation={name: Saturation(mean=mean, max=most) for name, (mean, most) in self.saturation.items()},
            completeness=Completeness(readings=self.readings, late=0, sources=0, delay_ms=0),
            changes=self.changes,
            feedback=self.feedback,
            histogram=self.histogram,
        )
