"""All detectors of one service: what they say of a window together, and whether they may learn from it."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache
from typing import Any

from models.detector import Assessment
from models.errors import reading
from models.spikes import SpikeTrain
from pipeline.analyse.alarm import Alarm
from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.detector_kit import DetectorKit, tuning_for
from pipeline.analyse.features import latency_features, n_slower, slow_features
from pipeline.analyse.restraint import FREE, Restraint
from pipeline.contracts.anomalies import Finding, Judgement, Severity
from pipeline.contracts.signals import Signals

Features = dict[str, float]
_LATENCY = ("latency", "tail", "slow")
"""Detectors that speak for the condition ``latency``: the mean, the slowest few, and a p95 that arrived ready-made."""
_SLOW_WHOLE_SD = 3.0


class ServiceModel:
    """The detectors of one service at one window size.

    Learning is the service's, not the signal's: while any alarm of it is open, or this window is anomalous, nothing
    is learned. An alarm that stays open for ``max_alarm_s`` is taken for the new normal: its detector starts again.

    Notes
    -----
    Memory O(1): about 13 KB as JSON with three resources, after 600 windows; time O(1) a window.

    """

    def __init__(self, params: DetectionParams, size_ms: int) -> None:
        self._params = params
        self.size_ms = size_ms
        self._tuning = tuning_for(params, size_ms)
        self._detectors = DetectorKit(params, self._tuning)
        self._spikes = SpikeTrain(self._tuning)
        self._alarms: dict[str, Alarm] = {}
        self.last_start_ms = -1

    def judge(self, signals: Signals, restraint: Restraint = FREE) -> list[Finding]:
        """Return the findings for the newest window, having learned from it where that is allowed."""
        self.last_start_ms = signals.window_start_ms
        features = self._features(signals)
        assessed = {name: self._detectors[name].assess(x) for name, x in features.items()}
        if "tail" in assessed and assessed["latency"].newest_score > _SLOW_WHOLE_SD:
            del features["tail"], assessed["tail"]  # a window that is slow as a whole says nothing of its tail
        opinions = restraint.applied(self._confirmed(self._opinions(assessed)))
        is_anomalous = any(opinion.is_anomalous for opinion in opinions.values())
        is_normal = not (restraint.is_frozen or is_anomalous or any(alarm.is_open for alarm in self._alarms.values()))
        self._take_spike(assessed.get("latency"), is_normal=is_normal)
        for name, x in features.items():
            self._detectors[name].take_one(x, assessed[name], is_normal=is_normal)
        for condition, opinion in opinions.items():
            self._follow(condition, opinion)
        return [self._finding(condition, opinions.get(condition)) for condition in self._conditions()]

    def conditions(self) -> list[str]:
        """Return the conditions that are judged."""
        return self._conditions()

    def open_conditions(self) -> set[str]:
        """Return the conditions whose alarm is open, so that nothing is learned."""
        return {condition for condition, alarm in self._alarms.items() if alarm.is_open}

    def dismiss(self, condition: str) -> None:
        """Take a condition's alarm back: a person says that nothing is wrong."""
        self._forget_evidence(condition)
        self._alarms.setdefault(condition, Alarm()).reset()

    def accept(self, condition: str) -> None:
        """Take what a condition shows now for the new normal: its detectors start again."""
        for name in _detectors_of(condition):
            self._detectors.renew(name)
        self._alarms.setdefault(condition, Alarm()).reset()

    def _forget_evidence(self, condition: str) -> None:
        for name in _detectors_of(condition):
            self._detectors[name].clear()
        if condition == "latency":
            self._spikes.clear()

    def _features(self, signals: Signals) -> dict[str, Features]:
        """Return what each detector sees; a silent window is shown to silence alone."""
        silence = {"silence": {"is_silent": float(signals.is_silent)}}
        if signals.is_silent:
            return silence
        requests = float(signals.traffic.requests)
        latency, tail = self._detectors.latency, self._detectors.tail
        features: dict[str, Features] = silence | {
            "traffic": {"requests": requests, "time_s": signals.window_end_ms / 1000},
            "errors": {"bad": float(signals.errors.count), "requests": requests},
            "latency": latency_features(signals, latency.bounds),
        }
        if (slow := slow_features(signals)) is not None:
            features["slow"] = slow
        if signals.histogram is not None and latency.is_ready:
            bad = n_slower(signals.histogram, latency.level + tail.offset_sd * latency.sd_log)
            features["tail"] = {"bad": bad, "requests": features["latency"]["n"]}
        for resource, usage in signals.saturation.items():
            name = f"saturation:{resource}"
            if self._detectors.can_watch(name):
                features[name] = {"utilization": usage.mean}
        return features

    def _opinions(self, assessed: Mapping[str, Assessment]) -> dict[str, Assessment]:
        """Return the assessments by condition: tail and spikes speak for latency; unready detectors are left out.

        Tail and spikes have no band: the latency that is told with them is not what is unusual.
        """
        opinions = {name: one for name, one in assessed.items() if name.startswith("saturation") or self._detectors[name].is_ready}
        tail, slow = opinions.pop("tail", None), opinions.pop("slow", None)
        latency = opinions.get("latency")
        if latency is None:
            return opinions
        if slow is not None and slow.is_anomalous and not latency.is_anomalous:
            opinions["latency"] = replace(slow, is_page=False, terms=_named("p95", slow))
        elif tail is not None and tail.is_anomalous and not latency.is_anomalous:
            opinions["latency"] = replace(
                latency, is_anomalous=True, is_slow=True, score=tail.score, lower=None, upper=None, terms=_named("tail", tail)
            )
        elif self._spikes.is_unusual and not latency.is_anomalous:
            terms = {"spikes_last_hour": float(self._spikes.n_recent), "usual_spikes_per_day": self._spikes.rate_per_day}
            opinions["latency"] = replace(
                latency, is_anomalous=True, is_slow=True, is_quiet=False, score=5.0, lower=None, upper=None, terms=terms
            )
        return opinions

    def _confirmed(self, opinions: dict[str, Assessment]) -> dict[str, Assessment]:
        """Return the opinions; a wide window right after an anomalous one confirms it unless it is quiet again.

        What is unusual twice in a row need not be improbable twice: half the threshold is enough. No band is told with
        it, because the band is that of a first window. Short windows have a scale of six for this.
        """
        if self._tuning.needs_two:
            return opinions
        for condition, opinion in opinions.items():
            alarm = self._alarms.get(condition)
            is_second = alarm is not None and alarm.run == 1 and not alarm.is_open
            if is_second and not (opinion.is_anomalous or opinion.is_quiet):
                terms = opinion.terms | {"confirms": 1.0}
                opinions[condition] = replace(opinion, is_anomalous=True, lower=None, upper=None, terms=terms)
        return opinions

    def _take_spike(self, latency: Assessment | None, *, is_normal: bool) -> None:
        is_spike = latency is not None and latency.is_spike
        self._spikes.take(is_spike=is_spike, is_normal=is_normal or is_spike)

    def _follow(self, condition: str, opinion: Assessment) -> None:
        """Open or close the condition's alarm; when it closes its evidence is forgotten, so that it does not echo."""
        params = self._params
        alarm = self._alarms.setdefault(condition, Alarm())
        is_quiet = opinion.is_settled if alarm.is_slow else opinion.is_quiet
        closed = alarm.take(
            is_anomalous=opinion.is_anomalous,
            is_slow=opinion.is_slow,
            is_quiet=is_quiet,
            quiet_least=params.quiet_windows,
            quiet_most=params.quiet_windows_max,
        )
        if closed:
            self._forget_evidence(condition)
        elif alarm.n_open * self.size_ms >= params.max_alarm_s * 1000:
            self.accept(condition)

    def _conditions(self) -> list[str]:
        return [name for name in self._detectors if name not in ("tail", "slow")]

    def _finding(self, condition: str, opinion: Assessment | None) -> Finding:
        """Return the finding on one condition; without an opinion it is not ready, or had no data."""
        signal, unit = _told_as(condition)
        detector = self._detectors[condition]
        alarm = self._alarms.get(condition)
        is_open = alarm is not None and alarm.is_open
        if opinion is None:
            judgement = Judgement.NO_DATA if detector.is_ready else Judgement.NOT_READY
            return Finding(
                condition=condition, signal=signal, judgement=judgement, unit=unit, is_recovered=not is_open, n_seen=detector.n_seen
            )
        return Finding(
            condition=condition,
            signal=signal,
            judgement=Judgement.ANOMALOUS if opinion.is_anomalous else Judgement.NORMAL,
            severity=Severity.PAGE if opinion.is_page else Severity.TICKET,
            unit=unit,
            observed=self._in_unit(condition, opinion.observed),
            expected=self._in_unit(condition, opinion.expected),
            lower=self._in_unit(condition, opinion.lower),
            upper=self._in_unit(condition, opinion.upper),
            score=opinion.score if detector.is_ready else None,
            is_recovered=not is_open and not opinion.is_anomalous,
            confidence=self._confidence(opinion, detector.n_seen),
            n_seen=detector.n_seen,
            explanation=dict(opinion.terms),
        )

    def _in_unit(self, condition: str, value: float | None) -> float | None:
        """Traffic is judged in requests a window, and told in requests a second."""
        return value * 1000 / self.size_ms if value is not None and condition == "traffic" else value

    def _confidence(self, opinion: Assessment, n_seen: int) -> float:
        """Return how sure: the rarer, and the more was seen, the surer; in ``[0, 1)``."""
        excess = abs(opinion.score) - opinion.terms.get("threshold", 3.0)
        rarity = 1 - 0.5 * math.exp(-max(excess, 0.0)) if opinion.is_anomalous else 0.5
        return min(0.999, rarity * n_seen / (n_seen + self._params.ready_windows / 4))

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data."""
        return {
            "kind": "service_model",
            "v": 1,
            "size_ms": self.size_ms,
            "last_start_ms": self.last_start_ms,
            "detectors": self._detectors.to_state(),
            "spikes": self._spikes.to_state(),
            "alarms": {name: alarm.to_state() for name, alarm in self._alarms.items()},
        }

    def from_state(self, state: Mapping[str, Any]) -> "ServiceModel":
        """Take plain data over.

        Raises
        ------
        ModelStateError
            If it is of another version, or incomplete.

        """
        with reading(state, "service_model", 1):
            self.last_start_ms = int(state["last_start_ms"])
            self._detectors.from_state(state["detectors"])
            self._spikes.from_state(state["spikes"])
            self._alarms = {name: Alarm.from_state(alarm) for name, alarm in state["alarms"].items()}
        return self


def _detectors_of(condition: str) -> tuple[str, ...]:
    return _LATENCY if condition == "latency" else (condition,)


_UNITS = {"latency": "ms", "traffic": "requests/s", "errors": "ratio", "saturation": "utilization", "silence": "windows"}


_SIGNALS = {"silence": "traffic"}
"""Conditions that belong to a signal of another name."""


@lru_cache(maxsize=1024)
def _told_as(condition: str) -> tuple[str, str]:
    kind = condition.partition(":")[0]
    return _SIGNALS.get(kind, kind), _UNITS.get(kind, "")


def _named(prefix: str, opinion: Assessment) -> dict[str, float]:
    return {f"{prefix}_{name}": value for name, value in opinion.terms.items()} | {"threshold": opinion.terms.get("threshold", 3.0)}
