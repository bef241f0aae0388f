"""What an alert about log lines says in its sentence: how many, of what kind, one of them made harmless, since when."""

import pytest

from pipeline.analyse.lives import Life
from pipeline.analyse.sentences import sentence
from pipeline.contracts.alerts import Transition
from pipeline.contracts.anomalies import Finding, Judgement, LogNote

START_MS = 1_767_571_200_000


def told(condition: str, log: LogNote, expected: float = 0.0, n_since: float = 0.0) -> str:
    finding = Finding(
        condition=condition,
        signal="errors",
        judgement=Judgement.ANOMALOUS,
        observed=float(log.n),
        expected=expected,
        explanation={"lines_since_new": n_since},
        log=log,
    )
    life = Life(
        condition=condition,
        signal="errors",
        since_ms=START_MS,
        first_end_ms=START_MS + 10_000,
        judged_ms=START_MS + 20_000,
        finding=finding,
    )
    return sentence(
        environment="prod", service="cart", life=life, transition=Transition.FIRED, at_ms=START_MS + 20_000, reason=None, others=()
    )


@pytest.mark.parametrize(("n_kinds", "others"), [(1, ""), (2, " and of one more kind"), (4, " and of 3 more kinds")])
def test_a_new_kind(n_kinds: int, others: str) -> None:
    log = LogNote(template="no route to <*>", severity="error", n=4, n_kinds=n_kinds, example="no route to 10.0.0.1")

    assert told("template_new", log, n_since=17.0) == (
        f"cart (prod): 17 error log lines of a kind never seen before, 4 in the last 10 seconds{others}, "
        'such as "no route to 10.0.0.1", since 00:00 UTC.'
    )


def test_one_line_of_a_new_kind() -> None:
    log = LogNote(template="no route to <*>", severity="warn", n=1, example="no route to 10.0.0.1")

    assert "1 warn log line of a kind never seen before" in told("template_new", log, n_since=1.0)


def test_a_jump() -> None:
    log = LogNote(template="cache miss for <*>", severity="info", n=1234, example="cache miss for 7")

    assert told("template_rate", log, expected=5.2) == (
        "cart (prod): 1,234 info log lines of a kind in 10 seconds, where 5.2 are usual, "
        'such as "cache miss for 7", since 00:00 UTC.'
    )


def test_the_line_is_harmless_and_short_and_without_one_the_template_stands_for_it() -> None:
    hostile = LogNote(template="t", severity="error", n=1, example='"; rm\x1b[2J\u202e ' + "x" * 500)
    said = told("template_new", hostile, n_since=1.0)

    assert said.isprintable()
    assert said.count('"') == 2
    assert len(said) < 300
    assert 'such as "no route to <*>"' in told(
        "template_new", LogNote(template="no route to <*>", severity="error", n=3), n_since=3.0
    )
