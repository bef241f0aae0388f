"""Log lines: what was never seen, and what comes far more often than it used to, is told once it is enough; nothing else is."""

from collections.abc import Iterable
from itertools import repeat

import pytest

from pipeline.analyse.detection_params import DetectionParams, TemplateParams
from pipeline.analyse.template_watch import NEW, RATE, TemplateWatch
from pipeline.contracts.anomalies import Finding, Judgement, LogNote, Severity
from pipeline.contracts.partials import OTHER_TEMPLATE
from pipeline.contracts.signals import LogLines

Window = dict[str, LogLines]
PARAMS = DetectionParams(templates=TemplateParams(ready_s=600))
READY = 70
ERROR = "no route to <*>"


def lines(n: int, severity: str = "info", example: str = "an example") -> LogLines:
    return LogLines(n=n, severity=severity, example=example)


USUAL: Window = {"served <*> in <*>": lines(50), "cache miss for <*>": lines(5)}


class Watched:
    """A service's log lines over windows."""

    def __init__(self, params: DetectionParams = PARAMS, size_ms: int = 10_000) -> None:
        self.params, self.size_ms = params, size_ms
        self.watch = TemplateWatch(params, size_ms)

    def see(
        self,
        windows: Iterable[Window],
        *,
        is_frozen: bool = False,
        is_troubled: bool = False,
        raised: dict[str, float] | None = None,
    ) -> list[dict[str, Finding]]:
        """Return the findings of each window by condition; the watch is stored and read back before every one."""
        told = []
        for window in windows:
            self.watch = TemplateWatch(self.params, self.size_ms).from_state(self.watch.to_state())
            found = self.watch.judge(window, is_frozen=is_frozen, is_troubled=is_troubled, raised=raised or {})
            told.append({finding.condition: finding for finding in found})
        return told


def bad(told: list[dict[str, Finding]], condition: str) -> list[bool]:
    return [findings[condition].judgement is Judgement.ANOMALOUS for findings in told]


@pytest.fixture
def watched() -> Watched:
    service = Watched()
    told = service.see(repeat(USUAL, READY))
    assert told[0][NEW].judgement is Judgement.NOT_READY
    assert told[-1][NEW].judgement is Judgement.NORMAL
    assert not any(bad(told, NEW) + bad(told, RATE))
    return service


def test_a_new_kind_of_error_is_an_anomaly_in_its_first_window_with_an_example_and_its_count(watched: Watched) -> None:
    (told,) = watched.see([USUAL | {ERROR: lines(4, "error", "no route to 10.0.0.1")}])

    finding = told[NEW]
    assert (finding.judgement, finding.severity, finding.observed) == (Judgement.ANOMALOUS, Severity.TICKET, 4.0)
    assert finding.log == LogNote(template=ERROR, severity="error", n=4, example="no route to 10.0.0.1")
    assert not finding.is_recovered


def test_one_error_line_is_one_windows_anomaly_and_three_stay_one_for_a_minute(watched: Watched) -> None:
    assert bad(watched.see([USUAL | {ERROR: lines(1, "error")}, USUAL, USUAL]), NEW) == [True, False, False]
    three = USUAL | {"out of memory": lines(3, "error")}
    assert bad(watched.see([three, *repeat(USUAL, 7)]), NEW) == [True] * 6 + [False] * 2


def test_while_the_lines_go_on_they_are_news_and_when_they_stop_they_are_known(watched: Watched) -> None:
    assert all(bad(watched.see(repeat(USUAL | {ERROR: lines(5, "error")}, 100)), NEW))
    assert not any(bad(watched.see(repeat(USUAL, 40))[6:], NEW))
    assert not any(bad(watched.see(repeat(USUAL | {ERROR: lines(5, "error")}, 5)), NEW))


def test_a_few_harmless_lines_of_a_new_kind_are_no_news_and_many_are(watched: Watched) -> None:
    assert not any(bad(watched.see(repeat(USUAL | {"reloaded": lines(1)}, 10)), NEW))
    assert any(bad(watched.see(repeat(USUAL | {"reconnecting": lines(30)}, 3)), NEW))


def test_what_a_deployment_brings_is_taken_in_but_for_errors(watched: Watched) -> None:
    quiet = watched.see(repeat(USUAL | {"new in <*>": lines(50), "odd": lines(50, "warn")}, 5), is_frozen=True)
    later = watched.see(repeat(USUAL | {"new in <*>": lines(50), "odd": lines(50, "warn")}, 5))
    loud = watched.see([USUAL | {ERROR: lines(5, "error")}], is_frozen=True)

    assert not any(bad(quiet, NEW) + bad(later, NEW))
    assert bad(loud, NEW) == [True]


def test_rare_single_lines_do_not_hide_a_new_kind_with_many(watched: Watched) -> None:
    for word in ("ab", "cd", "ef", "gh", "ij"):
        watched.see([USUAL | {f"{word} {word} broke": lines(1, "error")}, *repeat(USUAL, 40)])

    assert all(bad(watched.see(repeat(USUAL | {ERROR: lines(3, "error")}, 3)), NEW))


def test_the_same_line_at_a_worse_severity_is_a_new_kind(watched: Watched) -> None:
    assert bad(watched.see([USUAL | {"cache miss for <*>": lines(5, "error")}]), NEW) == [True]


def test_a_service_that_always_brings_new_kinds_is_left_alone(watched: Watched) -> None:
    words = ["".join(chr(97 + (i // 26**k) % 26) for k in range(3)) for i in range(60)]
    told = watched.see(USUAL | {f"{word} {word} {word} broke": lines(3, "error")} for word in words)

    assert any(bad(told, NEW)[:5])
    assert not any(bad(told, NEW)[20:])


def test_a_kind_that_comes_far_more_often_than_usual_is_an_anomaly_with_its_count(watched: Watched) -> None:
    told = watched.see(repeat(USUAL | {"cache miss for <*>": lines(80, "info", "cache miss for 7")}, 2))

    finding = told[0][RATE]
    assert bad(told, RATE) == [True, True]
    assert (finding.observed, finding.severity) == (80.0, Severity.TICKET)
    assert finding.expected == pytest.approx(5.0)
    assert finding.log == LogNote(template="cache miss for <*>", severity="info", n=80, example="cache miss for 7")
    assert not any(bad(watched.see(repeat(USUAL, 3)), RATE))


def test_a_busy_hour_is_no_jump(watched: Watched) -> None:
    assert not any(bad(watched.see(repeat({line: lines(one.n * 8) for line, one in USUAL.items()}, 5)), RATE))


def test_a_jump_that_came_before_and_did_no_harm_is_no_news_the_second_time(watched: Watched) -> None:
    burst = USUAL | {"cache miss for <*>": lines(80)}
    assert bad(watched.see([burst, USUAL]), RATE) == [True, False]
    assert not any(bad(watched.see([*repeat(USUAL, 20), burst]), RATE))


def test_a_jump_while_something_else_was_wrong_is_not_learned(watched: Watched) -> None:
    burst = USUAL | {"cache miss for <*>": lines(80)}
    assert bad(watched.see([burst, USUAL], is_troubled=True), RATE) == [True, False]
    assert bad(watched.see([*repeat(USUAL, 20), burst]), RATE)[-1]


def storm(n: int) -> Window:
    return USUAL | {"cache miss for <*>": lines(n)}


def test_a_storm_that_goes_on_stays_one_and_leaves_what_is_usual_as_it_was() -> None:
    service = Watched()
    service.see(repeat(storm(20), 400))

    told = service.see(repeat(storm(200), 600))

    assert all(bad(told, RATE))
    assert [findings[RATE].expected for findings in told] == pytest.approx([20.0] * 600)
    assert [findings[RATE].score for findings in told] == pytest.approx([told[0][RATE].score] * 600)


def test_a_storm_that_lasts_ends_once_as_the_new_normal_and_is_the_usual_count_then() -> None:
    service = Watched()
    service.see(repeat(storm(20), 400))
    n_most = round(PARAMS.max_alarm_s / 10)

    told = service.see(repeat(storm(200), n_most + 400))

    assert bad(told, RATE) == [True] * (n_most + 1) + [False] * 399
    (above,) = service.see([storm(3000)])
    assert above[RATE].judgement is Judgement.ANOMALOUS
    assert above[RATE].expected == pytest.approx(200.0, rel=0.01)


def test_a_storm_in_a_state_of_the_first_version_is_read_and_lasts_from_then_on() -> None:
    service = Watched(DetectionParams(max_alarm_s=4000, templates=TemplateParams(ready_s=600)))
    service.see(repeat(storm(20), 400))
    service.see(repeat(storm(200), 100))
    state = service.watch.to_state()
    kinds = {i: [*held[:11], held[-1]] for i, held in state["templates"]["kinds"].items()}
    state["templates"] |= {"v": 1, "kinds": kinds}
    service.watch = TemplateWatch(service.params, service.size_ms).from_state(state)

    assert bad(service.see(repeat(storm(200), 410)), RATE) == [True] * 400 + [False] * 10


def test_what_people_call_normal_is_no_news(watched: Watched) -> None:
    new, jump = USUAL | {ERROR: lines(5, "error")}, USUAL | {"cache miss for <*>": lines(80)}
    watched.see([new, new, jump])
    watched.watch.accept(NEW)
    watched.watch.accept(RATE)

    assert not any(bad(watched.see([new, jump]), NEW))
    assert not any(bad(watched.see([new, jump]), RATE))


def test_after_a_false_alarm_it_takes_more(watched: Watched) -> None:
    raised = {NEW: 2.0, RATE: 2.0}
    assert bad(watched.see([USUAL | {ERROR: lines(4, "error"), "cache miss for <*>": lines(30)}], raised=raised), NEW) == [False]
    assert bad(watched.see([USUAL | {"disk is full": lines(7, "error")}], raised=raised), NEW) == [True]


def test_lines_for_which_there_was_no_room_are_no_kind(watched: Watched) -> None:
    assert not any(bad(watched.see(repeat(USUAL | {OTHER_TEMPLATE: lines(500, "error")}, 3)), NEW))


def test_kinds_are_bounded_and_those_that_go_are_counted() -> None:
    service = Watched(DetectionParams(templates=TemplateParams(max_kinds=10)))
    words = ["".join(chr(97 + (i // 26**k) % 26) for k in range(3)) for i in range(50)]

    service.see([{f"{word} {word} {word}": lines(1) for word in words}])

    state = service.watch.to_state()
    assert len(state["templates"]["kinds"]) == 10
    assert service.watch.take_evicted() == 40
    assert service.watch.take_evicted() == 0
