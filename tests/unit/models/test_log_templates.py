"""What is remembered of a kind of log lines, and what is told of it."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from models.errors import ModelStateError
from models.log_kinds import Kind
from models.log_templates import Lines, LogTemplates, TemplateTuning

TUNING = TemplateTuning(ready_s=100, peak_s=300, news_s=600)
OTHERS = {"served <*> in <*>": Lines(50, 2)}


def retries(n: int) -> dict[str, Lines]:
    return OTHERS | {"retry number <*>": Lines(n, 2)}


def ready() -> LogTemplates:
    templates = LogTemplates(TUNING)
    for _ in range(100):
        templates.step(retries(5))
    return templates


def test_the_highest_count_fades_and_a_lower_one_does_not_bring_it_back() -> None:
    kind = Kind(peak=400.0, peak_at=0)

    assert kind.peak_now(2, 0.5) == 100.0
    kind.saw(80.0, 2, 0.5)
    assert (kind.peak, kind.peak_at) == (100.0, 2)
    kind.saw(80.0, 4, 0.5)
    assert (kind.peak_now(4, 0.5), kind.peak_now(3, 0.5)) == (80.0, 80.0)


@pytest.mark.parametrize("ends", ["by_itself", "accepted", "by_time"])
def test_a_small_jump_does_not_bring_a_forgotten_large_one_back(ends: str) -> None:
    templates = ready()
    assert templates.step(retries(5000)).jumped
    for _ in range(150):
        templates.step(OTHERS)

    assert templates.step(retries(200)).jumped
    if ends == "accepted":
        templates.accept_jumps()
    if ends == "by_time":
        for _ in range(TUNING.windows(TUNING.news_s) + 12):
            templates.step(retries(200))
    templates.step(OTHERS)

    assert not templates.step(retries(250)).jumped
    assert templates.step(retries(3000)).jumped


def test_what_is_told_says_from_which_score_on_it_is() -> None:
    templates = ready()
    (jump,) = templates.step(retries(400)).jumped
    (new,) = templates.step(OTHERS | {"no route to <*>": Lines(6, 4)}).new

    assert jump.threshold == TUNING.jump_sd < jump.score
    assert (new.threshold, new.score) == (5.0, 10.0)


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state["open"].append(99),
        lambda state: state["n_new"].pop(),
        lambda state: state["kinds"].update({"99": next(iter(state["kinds"].values()))}),
        lambda state: state["drain"]["groups"][0][1].__setitem__(0, "77"),
        lambda state: state.update(windows=[float("inf"), 1]),
    ],
    ids=["an open kind that is none", "a count too few", "a kind without lines", "a line under another length", "no number"],
)
def test_a_snapshot_whose_parts_are_not_of_one_state_is_refused_at_once(damage: Callable[[dict[str, Any]], object]) -> None:
    state = json.loads(json.dumps(ready().to_state()))
    LogTemplates(TUNING).from_state(state)
    damage(state)

    with pytest.raises(ModelStateError):
        LogTemplates(TUNING).from_state(state)
