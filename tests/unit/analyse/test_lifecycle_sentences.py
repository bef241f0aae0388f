"""What alerts say: one sentence, human units, nothing dangerous in it."""

import unicodedata

import msgspec
import pytest

from pipeline.analyse.lifecycle import AlertingParams, restore
from pipeline.analyse.lives import begun, counted
from pipeline.analyse.observations import lower_of, times_expected
from pipeline.analyse.sentences import sentence
from pipeline.analyse.wording import band, clock, duration, joined, number, plain, quantity
from pipeline.contracts.alerts import ResolveReason, Transition
from pipeline.contracts.anomalies import Finding
from pipeline.contracts.directory import Directory
from pipeline.contracts.partials import ChangeNote
from tests.alert_samples import ORIGIN_MS, alert_events, deployment, feed, finding, verdict


def said(found: Finding, transition: Transition = Transition.FIRED, reason: ResolveReason | None = None) -> str:
    """Return the sentence about a finding whose window began at 03:12 UTC, twelve minutes later."""
    life = counted(begun(found, ORIGIN_MS, ORIGIN_MS + 10_000, is_rollup=False), found, ORIGIN_MS + 720_000)
    return sentence(environment="prod", service="cart", life=life, transition=transition, at_ms=ORIGIN_MS + 720_000, reason=reason)


def test_a_firing_alert_says_what_how_much_since_when_and_what_came_before() -> None:
    stage = restore(AlertingParams(), Directory(), 0, {})

    fired = alert_events(feed(stage, [verdict(0, "A", changes=[deployment(120_000)]), verdict(1, "A")]))[-1]

    assert fired.sentence == (
        "cart (prod): latency is 480 ms at p95, 3.1 times what is normal at this hour (120-180 ms), since 03:12 UTC; "
        "a deployment of 1.4.3 came 2 minutes before."
    )


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            finding("A", "errors", unit="ratio", statistic="", observed=0.124, expected=0.004, lower=0.0, upper=0.009),
            "error rate is 12 %, 31 times what is normal at this hour (up to 0.9 %), since 03:12 UTC.",
        ),
        (
            finding("A", "traffic", unit="requests/s", statistic="", observed=3.0, expected=30.0, lower=24.0, upper=38.0),
            "traffic is 3 requests/s, 10 % of what is normal at this hour (24-38 requests/s), since 03:12 UTC.",
        ),
        (
            finding("A", "saturation:cpu", unit="utilization", statistic="", observed=0.98, expected=0.61, lower=None, upper=0.95),
            "use of cpu is 98 %, 1.6 times what is normal at this hour (up to 95 %), since 03:12 UTC.",
        ),
        (
            finding("A", "silence", unit="windows", statistic="", observed=12.0, expected=0.0, lower=0.0, upper=1.0),
            "nothing is heard from it since 03:22 UTC, for 2 minutes, where at most 10 seconds is normal.",
        ),
        (
            finding("A", "silence", unit="windows", statistic="", observed=1e300, expected=0.0, lower=0.0, upper=None),
            "nothing is heard from it since 2025-10-09 09:37 UTC, for 116 days.",
        ),
        (
            finding("A", "silence", unit="", statistic="", observed=None),
            "nothing is heard from it since 03:12 UTC.",
        ),
        (
            finding("A", observed=1600.0, expected=0.0, lower=None, upper=None),
            "latency is 1.6 s at p95, outside of what is normal at this hour, since 03:12 UTC.",
        ),
        (
            finding("A", explanation={"one_in": 31_234.0, "days": 9.0, "above_all": 1.0}),
            (
                "latency is 480 ms at p95, 3.1 times what is normal at this hour (120-180 ms), "
                "further out than anything in 9 days (1 in 30,000), since 03:12 UTC."
            ),
        ),
        (
            finding("A", explanation={"one_in": 31_234.0, "days": 9.0}),
            "latency is 480 ms at p95, 3.1 times what is normal at this hour (120-180 ms), 1 in 30,000 by chance, since 03:12 UTC.",
        ),
        (
            finding(
                "A",
                "silence",
                unit="windows",
                statistic="",
                observed=2.0,
                lower=0.0,
                upper=1.0,
                explanation={"one_in": 2e6, "days": 0.5, "above_all": 1.0},
            ),
            (
                "nothing is heard from it since 03:23 UTC, for 20 seconds, where at most 10 seconds is normal, "
                "longer than anything in 12 hours (1 in 1,000,000 or rarer)."
            ),
        ),
        (
            finding("A", observed=None, expected=None),
            "latency is outside of what is normal at this hour (120-180 ms), since 03:12 UTC.",
        ),
    ],
)
def test_each_signal_is_told_in_its_own_units(found: Finding, words: str) -> None:
    assert said(found) == f"cart (prod): {words}"


@pytest.mark.parametrize(
    ("transition", "reason", "words"),
    [
        (
            Transition.RESOLVED,
            ResolveReason.RECOVERED,
            "latency is normal again (150 ms), after 12 minutes of trouble that began at 03:12 UTC.",
        ),
        (Transition.RESOLVED, ResolveReason.RETIRED, "the service was retired, which ends its alert on latency of 03:12 UTC."),
        (
            Transition.RESOLVED,
            ResolveReason.FORGOTTEN,
            "Tocsin watches too many services and lets go of this one, so its alert on latency of 03:12 UTC ends unconfirmed.",
        ),
        (
            Transition.CANCELLED,
            ResolveReason.NOT_CONFIRMED,
            "latency was unusual at 03:12 UTC and did not last, so there is no alert.",
        ),
        (
            Transition.CANCELLED,
            ResolveReason.RETIRED,
            "latency was unusual at 03:12 UTC, which was not followed up because the service was retired.",
        ),
    ],
)
def test_each_end_is_told_with_its_reason(transition: Transition, reason: ResolveReason, words: str) -> None:
    assert said(finding("N"), transition, reason) == f"cart (prod): {words}"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (  # the band is one window's, the value is not
            finding(
                "A", "errors", unit="ratio", statistic="", observed=0.031, expected=0.004, lower=0.0, upper=0.067,
                explanation={"windows": 30.0},
            ),
            "error rate is 3.1 % over the last 5 minutes, 7.8 times what is normal at this hour, since 03:12 UTC.",
        ),
        (
            finding("A", "errors", unit="ratio", statistic="", observed=0.031, expected=0.004, lower=0.0, upper=0.067),
            "error rate is 3.1 %, 7.8 times what is normal at this hour, since 03:12 UTC.",
        ),
        (
            finding("A", observed=500.0, explanation={"p95_windows": 6.0, "windows": 1.0}),
            "latency is 500 ms at p95 over the last minute, 3.2 times what is normal at this hour, since 03:12 UTC.",
        ),
        (
            finding("A", observed=150.0, statistic="", explanation={"tail_windows": 6.0, "tail_times_expected": 4.24}),
            "latency: 4.2 times as many slow requests as are normal at this hour, since 03:12 UTC.",
        ),
        (
            finding("A", observed=150.0, explanation={"spikes_last_hour": 5.0, "usual_spikes_per_day": 1.5}),
            "latency: 5 short spikes in the last hour, where 1.5 a day are normal, since 03:12 UTC.",
        ),
        (finding("N"), "latency is 150 ms at p95, as is normal at this hour (120-180 ms), after trouble since 03:12 UTC."),
        (
            finding("n", observed=170.0, explanation={"windows": 6.0}),
            "latency is 170 ms at p95 over the last minute, and calming down, after trouble since 03:12 UTC.",
        ),
        (finding("n", observed=None), "latency looks normal, after trouble since 03:12 UTC."),
        (finding("N", "silence", unit="windows", statistic=""), "it is heard again, after silence since 03:12 UTC."),
    ],
)  # fmt: skip
def test_numbers_that_stand_beside_one_another_do_not_contradict(found: Finding, words: str) -> None:
    life = counted(begun(finding("A", found.condition), ORIGIN_MS, ORIGIN_MS + 10_000, is_rollup=False), found, ORIGIN_MS + 720_000)
    life = msgspec.structs.replace(life, n_recovered=0)

    told = sentence(environment="prod", service="cart", life=life, transition=Transition.STILL_FIRING, at_ms=ORIGIN_MS + 720_000)

    assert told == f"cart (prod): {words}"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (finding("N", observed=179.0), "latency is normal again (179 ms), after"),
        (finding("N", observed=400.0), "latency is normal again, after"),
        (finding("N", observed=170.0, expected=100.0), "latency is normal again, after"),
        (finding("N", observed=150.0, explanation={"windows": 30.0}), "latency is normal again, after"),
    ],
)
def test_normal_again_is_said_only_of_a_value_that_is(found: Finding, words: str) -> None:
    assert words in said(found, Transition.RESOLVED, ResolveReason.RECOVERED)


def test_what_ends_says_what_fires_still_and_what_fires_says_what_fires_too() -> None:
    stage = restore(AlertingParams(), Directory(), 0, {})
    both, one, none = {"latency": "A", "errors": "A"}, {"latency": "N", "errors": "A"}, {"errors": "N"}

    events = alert_events(feed(stage, [verdict(i, letters) for i, letters in enumerate([both] * 2 + [one] * 3 + [none] * 3)]))

    told = {(event.condition, event.transition): (event.also_firing, event.sentence) for event in events}
    assert told["latency", Transition.FIRED][0] == ["errors"]
    assert told["latency", Transition.FIRED][1].endswith("; error rate is firing too.")
    assert told["latency", Transition.RESOLVED][0] == ["errors"]
    assert told["latency", Transition.RESOLVED][1].endswith("; error rate is still firing.")
    assert told["errors", Transition.RESOLVED][0] == []
    assert "firing" not in told["errors", Transition.RESOLVED][1]


def test_alerts_that_end_in_the_same_window_do_not_name_one_another() -> None:
    stage = restore(AlertingParams(), Directory(), 0, {})
    both, neither = {"latency": "A", "errors": "A"}, {"latency": "N", "errors": "N"}

    events = alert_events(feed(stage, [verdict(i, letters) for i, letters in enumerate([both] * 2 + [neither] * 3)]))

    ended = [event for event in events if event.transition is Transition.RESOLVED]
    assert {event.condition: event.also_firing for event in ended} == {"latency": [], "errors": []}


def test_alerts_that_are_forgotten_together_do_not_name_one_another() -> None:
    stage = restore(AlertingParams(max_services=1), Directory(), 0, {})
    both = {"latency": "A", "errors": "A"}

    events = alert_events(feed(stage, [verdict(0, both), verdict(1, both), verdict(2, "A", service="mail")]))

    ended = [event for event in events if event.resolve_reason is ResolveReason.FORGOTTEN]
    assert {event.condition: event.also_firing for event in ended} == {"latency": [], "errors": []}


def test_text_from_telemetry_is_short_and_harmless_in_the_sentence() -> None:
    evil = "\x1b[2J\u202egnp\u200b.exe\n\r" + "x" * 10_000
    found = finding("A", f"saturation:{evil}", unit=evil, statistic=evil)
    life = counted(begun(found, ORIGIN_MS, ORIGIN_MS + 10_000, is_rollup=False), found, ORIGIN_MS + 10_000)
    life = msgspec.structs.replace(life, change=ChangeNote(type=evil, time_ms=0, version=evil))

    told = sentence(
        environment=evil,
        service=evil,
        life=life,
        transition=Transition.FIRED,
        at_ms=ORIGIN_MS + 10_000,
        others=[evil, evil],
    )

    assert len(told) < 800
    assert not [char for char in told if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")]


@pytest.mark.parametrize(
    ("observed", "expected", "times"),
    [(480.0, 160.0, 3.0), (1.0, 0.0, None), (None, 1.0, None), (1.0, None, None), (1e300, 1e-300, None), (0.0, 2.0, 0.0)],
)
def test_times_expected_is_told_only_where_it_makes_sense(
    observed: float | None, expected: float | None, times: float | None
) -> None:
    assert times_expected(finding("A", observed=observed, expected=expected)) == times


def test_numbers_keep_the_digits_that_matter() -> None:
    shown = [number(value) for value in (0, 0.00004, 0.0123, 0.999, 1.04, 9.94, 9.96, 99.6, 999.6, 1e6, -48.2)]

    assert shown == ["0", "4e-05", "0.012", "1", "1", "9.9", "10", "100", "1,000", "1,000,000", "-48"]


def test_quantities_change_their_unit_with_their_size() -> None:
    assert [quantity(value, "ms") for value in (0.42, 999.4, 999.6, 90_000, 150_000)] == [
        "0.42 ms",
        "999 ms",
        "1 s",
        "90 s",
        "2.5 min",
    ]
    assert (quantity(0.25, "s"), quantity(3.0, "")) == ("250 ms", "3")


def test_bands_read_as_a_person_would_say_them() -> None:
    assert band(0.001, 0.02, "ratio") == "0.1-2 %"
    assert band(lower_of("latency", -3.0, 180.0), 180.0, "ms") == "up to 180 ms"
    assert band(None, None, "ms") == ""
    assert band(3.0, 5.0, "") == "3-5"
    assert band(lower_of("level:inlet", -40.0, -5.0), -5.0, "C") == "-40 to -5 C"
    assert band(lower_of("level:queue", 0.0, 5.0), 5.0, "") == "0-5"


def test_times_and_lengths_of_time_are_rounded_to_one_unit() -> None:
    assert [duration(ms) for ms in (0, 1_000, 59_999, 119 * 60_000, 7_200_000, 172_799_999, 10**12)] == [
        "0 seconds",
        "1 second",
        "60 seconds",
        "119 minutes",
        "2 hours",
        "48 hours",
        "11574 days",
    ]
    assert clock(10**18, 0) == "9999-12-31 23:59 UTC"


def test_names_are_joined_and_cut() -> None:
    assert (joined([]), joined(["a", "b"])) == ("", "a and b")
    assert plain("é" * 90) == "é" * 77 + "..."
