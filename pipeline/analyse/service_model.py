"""All detectors of one service: what they say of a window together, and whether they may learn from it."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from msgspec.structs import replace

from models.detector import Assessment
from models.errors import reading
from models.scales import COARSE, settled
from models.spikes import SpikeTrain
from pipeline.analyse.alarm import Alarm
from pipeline.analyse.detection_params import DetectionParams
from pipeline.analyse.detector_kit import LEVEL, NAMED, DetectorKit, tuning_for
from pipeline.analyse.features import read_latencies, slow_stand_in, stand_in
from pipeline.analyse.points import WindowPoint
from pipeline.analyse.rarity import ONE_IN, RARITY
from pipeline.analyse.restraint import FREE, Restraint
from pipeline.contracts.anomalies import Finding, Judgement, Severity

Features = dict[str, float]
_LATENCY = ("latency", "tail", "slow")
"""Detectors that speak for the condition ``latency``: the mean, the slowest few, and a p95 that arrived ready-made."""
_SLOW_WHOLE_SD = 3.0
_NORMAL, _ANOMALOUS, _NO_DATA, _NOT_READY = Judgement.NORMAL, Judgement.ANOMALOUS, Judgement.NO_DATA, Judgement.NOT_READY
_PAGE, _TICKET = Severity.PAGE, Severity.TICKET
"""Members by name: asking an enumeration for one takes longer than making a finding."""
_MOST_CONFIDENT = 0.999
_SAME_TROUBLE_MS = 3_600_000
"""What is back within an hour is the same trouble; and so long at most an alert is held after its evidence was forgotten."""
_SILENT: Features = {"is_silent": 1.0}
_NOT_SILENT: Features = {"is_silent": 0.0}


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
        """Of conditions that are anomalous, or open."""
        self._n_open = 0
        self._n_named = 0
        """Named signals that are watched."""
        self._half_sure = params.ready_windows / 4
        """Windows seen at which confidence is half of what it can be."""
        self._n_since = _SAME_TROUBLE_MS // size_ms
        self._n_watched = min(max(params.scales) + COARSE, self._n_since)
        self._per_second = 1000 / size_ms
        """Windows a second."""
        self.last_start_ms = -1

    def judge(self, point: WindowPoint, restraint: Restraint = FREE) -> list[Finding]:
        """Return the findings for the newest window, having learned from it where that is allowed."""
        self.last_start_ms = point.start_ms
        detectors = self._detectors.by_name
        features = self._features(point)
        assessed: dict[str, Assessment] = {}
        for name, x in features.items():
            assessed[name] = detectors[name].assess(x)
        if "tail" in assessed and assessed["latency"].newest_score > _SLOW_WHOLE_SD:
            del features["tail"], assessed["tail"]  # a window that is slow as a whole says nothing of its tail
        opinions = self._opinions(assessed)
        if self._alarms and not self._tuning.needs_two:
            opinions = self._confirmed(opinions)
        if restraint.raised:
            opinions = restraint.applied(opinions)
        is_anomalous = _any_anomalous(opinions)
        if is_anomalous and self._alarms and self._tuning.needs_two:
            opinions = self._standing(opinions)
        is_normal = not (restraint.is_frozen or self._n_open or is_anomalous)
        self._take_spike(assessed.get("latency"), is_normal=is_normal)
        for name, x in features.items():
            detectors[name].take_one(x, assessed[name], is_normal=is_normal)
        if is_anomalous or self._alarms:
            for condition, opinion in opinions.items():
                if opinion.is_anomalous or condition in self._alarms:
                    self._follow(condition, opinion)
            if self._n_open and not point.is_silent:
                self._age_unheard(opinions)
        return self._findings(opinions)

    def conditions(self) -> tuple[str, ...]:
        """Return the conditions that are judged."""
        return self._detectors.conditions

    def open_conditions(self) -> set[str]:
        """Return the conditions whose alarm is open, so that nothing is learned."""
        return {condition for condition, alarm in self._alarms.items() if alarm.is_open} if self._n_open else set()

    def dismiss(self, condition: str) -> None:
        """Take a condition's alarm back: a person says that nothing is wrong."""
        self._forget_evidence(condition)
        self._drop_alarm(condition)

    def accept(self, condition: str) -> None:
        """Take what a condition shows now for the new normal: its detectors start again."""
        self._renew(condition)
        self._drop_alarm(condition)

    def _drop_alarm(self, condition: str) -> None:
        alarm = self._alarms.pop(condition, None)
        self._n_open -= alarm is not None and alarm.is_open

    def _forget_evidence(self, condition: str) -> None:
        for name in self._names(condition):
            self._detectors.by_name[name].clear()
        if condition == "latency":
            self._spikes.clear()

    def _renew(self, condition: str) -> None:
        for name in self._names(condition):
            self._detectors.renew(name)

    def _names(self, condition: str) -> list[str]:
        """Return the detectors that speak for a condition."""
        names = _LATENCY if condition == "latency" else (condition,)
        return [name for name in names if name in self._detectors.by_name]

    def _features(self, point: WindowPoint) -> dict[str, Features]:
        """Return what each detector sees; a silent window is shown to silence alone."""
        if point.is_silent:
            return {"silence": _SILENT}
        requests, time_s, by_name = float(point.requests), (point.start_ms + point.size_ms) / 1000, self._detectors.by_name
        features: dict[str, Features] = {
            "silence": _NOT_SILENT,
            "traffic": {"requests": requests, "time_s": time_s},
            "errors": {"bad": float(point.errors), "requests": requests},
        }
        self._add_latencies(features, point, requests)
        for resource, (mean, _) in point.saturation.items():
            name = _resource_condition(resource)
            if name in by_name or self._detectors.can_watch(name):
                features[name] = {"utilization": mean, "time_s": time_s}
        if point.amounts or self._n_named:
            self._add_amounts(features, point, time_s)
        if point.levels:
            self._add_levels(features, point, time_s)
        return features

    def _add_levels(self, features: dict[str, Features], point: WindowPoint, time_s: float) -> None:
        """Add what gauges that are named signals showed; of one that was not heard of nothing is said."""
        for signal, mean in point.levels.items():
            name = LEVEL + signal
            if name in self._detectors.by_name or self._detectors.can_watch(name):
                features[name] = {"value": mean, "time_s": time_s}

    def _add_amounts(self, features: dict[str, Features], point: WindowPoint, time_s: float) -> None:
        """Add what named signals counted; of one that is known and was not heard of, nothing."""
        for signal in point.amounts:
            name = NAMED + signal
            if name not in self._detectors.by_name:
                self._n_named += self._detectors.can_watch(name)
        for name in self._detectors.conditions:
            if name.startswith(NAMED):
                features[name] = {"requests": float(point.amounts.get(name.removeprefix(NAMED), 0.0)), "time_s": time_s}

    def _add_latencies(self, features: dict[str, Features], point: WindowPoint, requests: float) -> None:
        """Add what is seen of latencies: a histogram's moments and tail, or the numbers that stand for all of them."""
        if point.histogram is None:
            features["latency"] = _one_for_all(stand_in(point), requests)
            slow = slow_stand_in(point)
            if slow is not None and self._detectors.can_watch("slow"):
                features["slow"] = _one_for_all(slow, requests)
            return
        latency, tail = self._detectors.latency, self._detectors.tail
        low, high, slow_log = latency.looked_at(requests, tail.offset_sd)
        found = read_latencies(point.histogram, (low, high), slow_log)
        seen = float(found.n)
        features["latency"] = {"n": seen, "mean_log": found.mean_log, "var_log": found.var_log, "load": requests}
        if slow_log < math.inf:
            features["tail"] = {"bad": found.n_slower, "requests": seen}

    def _opinions(self, assessed: dict[str, Assessment]) -> dict[str, Assessment]:
        """Return the assessments by condition: tail and spikes speak for latency; unready detectors are left out.

        Tail and spikes have no band: the latency that is told with them is not what is unusual.
        """
        opinions = assessed.copy()
        if self._detectors.unready:
            self._leave_out_unready(opinions)
        tail, slow = opinions.pop("tail", None), opinions.pop("slow", None)
        latency = opinions.get("latency")
        if latency is None:
            return opinions
        if slow is not None and (latency.is_anomalous or slow.is_anomalous):
            opinions["latency"] = _of_two(latency, slow)
        elif tail is not None and tail.is_anomalous and not latency.is_anomalous:
            opinions["latency"] = replace(
                latency, is_anomalous=True, is_slow=True, score=tail.score, lower=None, upper=None, terms=_named("tail", tail)
            )
        elif self._spikes.is_unusual and not latency.is_anomalous:
            terms = {
                "spikes_last_hour": float(self._spikes.n_recent),
                "usual_spikes_per_day": self._spikes.rate_per_day,
                ONE_IN: 1 / self._spikes.chance,
            }
            opinions["latency"] = replace(
                latency, is_anomalous=True, is_slow=True, is_quiet=False, score=5.0, lower=None, upper=None, terms=terms
            )
        return opinions

    def _leave_out_unready(self, opinions: dict[str, Assessment]) -> None:
        unready = self._detectors.unready
        for name in unready & opinions.keys():
            if self._detectors.by_name[name].is_ready:
                unready.discard(name)
            else:
                del opinions[name]

    def _confirmed(self, opinions: dict[str, Assessment]) -> dict[str, Assessment]:
        """Return the opinions; a wide window right after an anomalous one confirms it unless it is quiet again.

        What is unusual twice in a row need not be improbable twice: half the threshold is enough. No band is told with
        it, because the band is that of a first window. Short windows have a scale of six for this.
        """
        for condition, opinion in opinions.items():
            alarm = self._alarms.get(condition)
            is_second = alarm is not None and alarm.run == 1 and not alarm.is_open
            if is_second and not (opinion.is_anomalous or opinion.is_quiet):
                terms = opinion.terms | {"confirms": 1.0}
                opinions[condition] = replace(opinion, is_anomalous=True, lower=None, upper=None, terms=terms)
        return opinions

    def _standing(self, opinions: dict[str, Assessment]) -> dict[str, Assessment]:
        """Return the opinions; a short window right after an anomalous one that is abating does not confirm it.

        It is not learned from either. Trouble that goes on is confirmed by the windows after it.
        """
        for condition, opinion in opinions.items():
            alarm = self._alarms.get(condition)
            if opinion.is_abating and opinion.is_anomalous and alarm is not None and alarm.run == 1 and not alarm.is_open:
                opinions[condition] = replace(opinion, is_anomalous=False, is_page=False)
        return opinions

    def _take_spike(self, latency: Assessment | None, *, is_normal: bool) -> None:
        is_spike = latency is not None and latency.is_spike
        self._spikes.take(is_spike=is_spike, is_normal=is_normal or is_spike)

    def _follow(self, condition: str, opinion: Assessment) -> None:
        """Open or close the condition's alarm; when it closes its evidence is forgotten, so that it does not echo."""
        params = self._params
        alarm = self._alarms.setdefault(condition, Alarm())
        was_open = alarm.is_open
        is_quiet = settled(opinion.scores) if alarm.is_slow else opinion.is_quiet
        closed = alarm.take(
            is_anomalous=opinion.is_anomalous,
            is_slow=opinion.is_slow,
            is_quiet=is_quiet,
            quiet_least=params.quiet_windows,
            quiet_most=params.quiet_windows_max,
            n_watched=self._n_watched,
            n_since=self._n_since,
        )
        if closed:
            self._forget_evidence(condition)
        elif alarm.n_open * self.size_ms >= params.max_alarm_s * 1000:
            self._renew(condition)
            alarm.reset()
        self._n_open += alarm.is_open - was_open
        if alarm.is_over:
            del self._alarms[condition]

    def _age_unheard(self, opinions: Mapping[str, Assessment]) -> None:
        """End alarms of what is heard of no more, when they are the new normal: else nothing would be learned ever again."""
        for condition in [*self._alarms.keys() - opinions.keys()]:
            alarm = self._alarms[condition]
            alarm.n_open += alarm.is_open
            if alarm.is_open and alarm.n_open * self.size_ms >= self._params.max_alarm_s * 1000:
                self._renew(condition)
                self._drop_alarm(condition)

    def _findings(self, opinions: Mapping[str, Assessment]) -> list[Finding]:
        """Return the findings on all conditions; what nearly all of them are, normal, is made in the loop, without a call."""
        by_name, alarms, ready, half = self._detectors.by_name, self._alarms, self._tuning.ready_windows, self._half_sure
        findings, is_held = [], False
        for condition, signal, unit in _all_told_as(self._detectors.conditions):
            opinion, n_seen = opinions.get(condition), by_name[condition].n_seen
            if alarms:
                is_held = condition in alarms and alarms[condition].holds
            if opinion is None:
                judgement = _NO_DATA if n_seen >= ready else _NOT_READY
                findings.append(Finding(condition, signal, judgement, unit=unit, is_recovered=not is_held, n_seen=n_seen))
            elif opinion.is_anomalous or unit in _TOLD_PER_S:
                findings.append(self._finding((condition, signal, unit), opinion, n_seen, is_held=is_held))
            else:
                findings.append(
                    Finding(  # by place: keywords take twice the time
                        condition,
                        signal,
                        _NORMAL,
                        _PAGE if opinion.is_page else _TICKET,
                        unit,
                        "",  # statistic
                        opinion.observed,
                        opinion.expected,
                        opinion.lower,
                        opinion.upper,
                        opinion.score if n_seen >= ready else None,
                        not is_held,  # is_recovered
                        0.5 * n_seen / (n_seen + half),  # confidence
                        n_seen,
                        opinion.terms,
                    )
                )
        return findings

    def _finding(self, told_as: tuple[str, str, str], opinion: Assessment, n_seen: int, *, is_held: bool) -> Finding:
        """Return the finding on a condition that is anomalous, or is told in another unit than it is judged in."""
        condition, signal, unit = told_as
        is_anomalous = opinion.is_anomalous
        observed, expected, lower, upper = opinion.observed, opinion.expected, opinion.lower, opinion.upper
        if unit in _TOLD_PER_S:  # judged by the window
            rate = self._per_second * _TOLD_PER_S[unit]
            observed, expected, lower, upper = (
                observed and observed * rate,
                expected and expected * rate,
                lower and lower * rate,
                upper and upper * rate,
            )
        confidence = (_rarity(opinion) if is_anomalous else 0.5) * n_seen / (n_seen + self._half_sure)
        return Finding(
            condition,
            signal,
            _ANOMALOUS if is_anomalous else _NORMAL,
            _PAGE if opinion.is_page else _TICKET,
            unit,
            "",  # statistic
            observed,
            expected,
            lower,
            upper,
            opinion.score if n_seen >= self._tuning.ready_windows else None,
            not (is_held or is_anomalous),  # is_recovered
            min(confidence, _MOST_CONFIDENT),
            n_seen,
            opinion.terms,
        )

    def to_state(self) -> dict[str, Any]:
        """Return plain, versioned data."""
        return {
            "kind": "service_model",
            "v": 2,
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
        with reading(state, "service_model", 2):
            self.last_start_ms = int(state["last_start_ms"])
            self._detectors.from_state(state["detectors"])
            self._spikes.from_state(state["spikes"])
            self._alarms = {name: Alarm.from_state(alarm) for name, alarm in state["alarms"].items()}
            self._n_named = sum(name.startswith(NAMED) for name in self._detectors.by_name)
            self._n_open = sum(alarm.is_open for alarm in self._alarms.values())
        return self


SIGNAL = "signal"
"""Kind of the conditions of named signals, and the signal that they belong to."""
_UNITS = {
    "latency": "ms",
    "traffic": "requests/s",
    "errors": "ratio",
    "saturation": "utilization",
    "silence": "windows",
    SIGNAL: "a minute",
}
_TOLD_PER_S = {"requests/s": 1, "a minute": 60}
"""Units of what is judged by the window, and how many seconds each is of."""


_SIGNALS = {"silence": "traffic"}
"""Conditions that belong to a signal of another name."""


def _rarity(opinion: Assessment) -> float:
    """Return how sure an anomalous opinion is, by how improbable it is; in ``[0.5, 1)``."""
    return 1 - 0.5 * math.exp(-max(abs(opinion.score) - opinion.terms.get("threshold", 3.0), 0.0))


@lru_cache(maxsize=4096)
def _all_told_as(conditions: tuple[str, ...]) -> list[tuple[str, str, str]]:
    """Return (condition, signal, unit) of each; one list for all services that are judged by the same."""
    kinds = [condition.partition(":")[0] for condition in conditions]
    return [(condition, _SIGNALS.get(kind, kind), _UNITS.get(kind, "")) for condition, kind in zip(conditions, kinds, strict=True)]


@lru_cache(maxsize=1024)
def _resource_condition(resource: str) -> str:
    return f"saturation:{resource}"


def _any_anomalous(opinions: Mapping[str, Assessment]) -> bool:
    for opinion in opinions.values():  # noqa: SIM110 - a generator costs more than the loop
        if opinion.is_anomalous:
            return True
    return False


def _one_for_all(log_latency: float | None, requests: float) -> Features:
    """Return the features of one number that stands for all requests: what it wanders by is learned as variability."""
    if log_latency is None:
        return {"n": 0.0, "mean_log": 0.0, "var_log": 0.0, "load": requests}
    return {"n": 1.0, "mean_log": log_latency, "var_log": 0.0, "load": requests}


def _of_two(mean: Assessment, slow: Assessment) -> Assessment:
    """Return the opinion on latency of a mean and a 95th percentile that arrived ready-made, at least one of them anomalous.

    Together they are worth what the further one of them is. A mean that is high where the p95 is usual is a few requests: its
    opinion names no threshold, so that one wide window of it is no proof.
    """
    if not slow.is_anomalous:
        terms = {("mean_threshold" if name == "threshold" else name): value for name, value in mean.terms.items()}
        return replace(mean, is_page=False, terms=terms)
    if mean.is_anomalous and mean.score / mean.terms["threshold"] >= slow.score / slow.terms["threshold"]:
        return mean
    return replace(slow, is_page=mean.is_page, terms=_named("p95", slow))


def _named(prefix: str, opinion: Assessment) -> dict[str, float]:
    told = {name if name in RARITY else f"{prefix}_{name}": value for name, value in opinion.terms.items()}
    return told | {"threshold": opinion.terms.get("threshold", 3.0)}
