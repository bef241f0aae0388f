"""When an alarm is open, and when its condition has recovered."""

from pipeline.analyse.alarm import Alarm


def take(alarm: Alarm, *, bad: bool, slow: bool = False) -> bool:
    return alarm.take(is_anomalous=bad, is_slow=slow, is_quiet=not bad, quiet_least=3, quiet_most=30, n_watched=150, n_since=360)


def test_two_bad_windows_open_it_and_as_many_quiet_ones_as_it_lasted_close_it() -> None:
    alarm = Alarm()
    opened = [(take(alarm, bad=True), alarm.is_open)[1] for _ in range(8)]
    closed = [take(alarm, bad=False) for _ in range(7)]

    assert opened == [False, *[True] * 7]
    assert closed == [*[False] * 5, True, False]
    assert not alarm.holds


def test_what_only_a_long_scale_saw_is_held_until_the_longest_can_see_it_again() -> None:
    alarm = Alarm()
    take(alarm, bad=True, slow=True)
    take(alarm, bad=True, slow=True)
    while not take(alarm, bad=False):
        pass
    held = 0
    while alarm.holds:
        take(alarm, bad=False)
        held += 1

    assert held == 150
    for _ in range(360 - 150):
        assert not alarm.is_over
        take(alarm, bad=False)
    assert alarm.is_over


def test_trouble_that_is_back_within_an_hour_is_held_and_what_is_back_later_is_not() -> None:
    held = {}
    for pause in (100, 400):
        alarm = Alarm()
        for _ in range(2):
            for _ in range(pause):
                take(alarm, bad=False)
            for _ in range(3):
                take(alarm, bad=True)
            while not take(alarm, bad=False):
                pass
        held[pause] = alarm.n_watched

    assert held == {100: 150, 400: 0}


def test_trouble_that_comes_back_while_it_is_held_opens_it_again() -> None:
    alarm = Alarm()
    for _ in range(2):
        take(alarm, bad=True, slow=True)
    while not take(alarm, bad=False):
        pass
    for _ in range(2):
        take(alarm, bad=True, slow=True)

    assert alarm.is_open


def test_a_restored_alarm_is_the_same() -> None:
    alarm = Alarm()
    for _ in range(5):
        take(alarm, bad=True, slow=True)

    assert Alarm.from_state(alarm.to_state()) == alarm


def test_an_alarm_that_no_scale_has_seen_for_as_long_as_the_longest_needs_closes_though_no_window_is_quiet() -> None:
    alarm = Alarm()

    def unquiet(*, bad: bool) -> bool:
        return alarm.take(is_anomalous=bad, is_slow=True, is_quiet=False, quiet_least=3, quiet_most=30, n_watched=150, n_since=360)

    unquiet(bad=True)
    unquiet(bad=True)
    closed = [unquiet(bad=i == 40) for i in range(192)]

    assert closed.index(True) == 190
    assert Alarm.from_state(alarm.to_state()) == alarm
    assert Alarm.from_state(Alarm(run=1).to_state()[:8]) == Alarm(run=1)
