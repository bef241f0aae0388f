"""When a condition fires and ends: the decision table, window by window."""

import msgspec
import pytest

from pipeline.analyse.lives import ConditionRule, Decision, Life, Patience, begun, counted, decide
from pipeline.contracts.anomalies import Severity
from tests.alert_samples import ORIGIN_MS, WINDOW_MS, finding

RULE = ConditionRule(match="*", pending_windows=2, recovery_windows=3)
PATIENCE = Patience(reminder_ms=60_000, max_pending_windows=4, give_up_ms=120_000)


def lived(letters: str, rule: ConditionRule = RULE, *, is_firing: bool = False) -> tuple[Life, Decision]:
    """Return the life after these windows (the first anomalous), and the decision about the last of them."""
    life = begun(finding(letters[0]), ORIGIN_MS, ORIGIN_MS + WINDOW_MS, is_rollup=False)
    decision = Decision.WAIT
    for i, letter in enumerate(letters):
        end_ms = ORIGIN_MS + (i + 1) * WINDOW_MS
        life = counted(life, None if letter == "." else finding(letter), end_ms)
        if is_firing:
            life = msgspec.structs.replace(life, fired_at_ms=ORIGIN_MS + WINDOW_MS)
        decision = decide(life, rule, PATIENCE, end_ms)
    return life, decision


@pytest.mark.parametrize(
    ("letters", "decision"),
    [
        ("A", Decision.WAIT),
        ("AA", Decision.FIRE),
        ("AN", Decision.CANCEL),
        ("An", Decision.CANCEL),
        ("A-", Decision.WAIT),
        ("A?", Decision.WAIT),
        ("A.", Decision.WAIT),
        ("A-A", Decision.FIRE),
        ("A--", Decision.WAIT),
        ("A---", Decision.CANCEL),
    ],
)
def test_a_pending_condition_fires_when_confirmed_and_is_cancelled_otherwise(letters: str, decision: Decision) -> None:
    assert lived(letters)[1] is decision


@pytest.mark.parametrize(
    ("window_ms", "score", "threshold", "decision"),
    [
        (300_000, 6.0, 4.0, Decision.FIRE),
        (60_000, -6.0, 4.0, Decision.FIRE),  # a drop
        (300_000, 5.1, 4.0, Decision.WAIT),
        (300_000, 60.0, None, Decision.WAIT),  # silence and saturation have no threshold in their terms
        (300_000, None, 4.0, Decision.WAIT),
        (10_000, 60.0, 4.0, Decision.WAIT),
    ],
)
def test_a_wide_window_far_beyond_its_threshold_needs_no_confirmation(
    window_ms: int, score: float | None, threshold: float | None, decision: Decision
) -> None:
    seen = finding("A", score=score, explanation={} if threshold is None else {"threshold": threshold})
    life = begun(seen, ORIGIN_MS, ORIGIN_MS + window_ms, is_rollup=False)

    assert decide(counted(life, seen, ORIGIN_MS + window_ms), RULE, PATIENCE, ORIGIN_MS + window_ms) is decision


def test_a_rule_of_one_window_fires_at_once() -> None:
    assert lived("A", ConditionRule(match="*", pending_windows=1))[1] is Decision.FIRE


@pytest.mark.parametrize(
    ("letters", "decision"),
    [
        ("ANN", Decision.CONTINUE),
        ("ANNN", Decision.RECOVER),
        ("ANNnN", Decision.CONTINUE),  # normal is not recovered: the band that ends an alert is narrower
        ("ANNAN", Decision.CONTINUE),
        ("ANN-N", Decision.RECOVER),  # no data neither adds nor resets
        ("ANN---", Decision.CONTINUE),
        ("ANN----", Decision.REMIND),
        ("AAAAAAA", Decision.REMIND),
        ("A------------", Decision.GIVE_UP),
        ("A............", Decision.GIVE_UP),
        ("A-----------N", Decision.REMIND),
    ],
)
def test_a_firing_condition_ends_only_when_it_recovered_or_nothing_is_known_any_more(letters: str, decision: Decision) -> None:
    assert lived(letters, is_firing=True)[1] is decision


def test_a_firing_condition_that_becomes_a_page_is_told_at_once() -> None:
    life, decision = lived("AP", is_firing=True)

    assert (decision, life.severity) == (Decision.REMIND, Severity.PAGE)


def test_severity_and_the_worst_score_never_go_down_within_a_life() -> None:
    life, _ = lived("PAN", is_firing=True)

    assert (life.severity, life.worst_score) == (Severity.PAGE, 7.0)
    assert life.finding.score == 0.3


def test_the_worst_score_is_the_one_furthest_outside_on_either_side() -> None:
    life = begun(finding("A", score=-4.0), 0, 1, is_rollup=False)
    for i, score in enumerate([-4.0, 3.0, -6.0, None]):
        life = counted(life, finding("A", score=score), i + 1)

    assert life.worst_score == -6.0
