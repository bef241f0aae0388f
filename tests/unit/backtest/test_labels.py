"""What a labels file may say, and what is refused."""

import json
from pathlib import Path

import pytest

from pipeline.backtest.labels import parsed, read_labels
from pipeline.errors import UsageError

ENTRY = {"service": "cart", "start": 1_767_571_200, "end": 1_767_571_500}


def test_a_list_an_object_and_csv_say_the_same() -> None:
    csv = "service,start,end\ncart,1767571200,2026-01-05T00:05:00Z\n"

    assert parsed(json.dumps([ENTRY])) == parsed(json.dumps({"windows": [ENTRY]})) == parsed(csv)


def test_the_truth_of_the_exam_is_read_whole() -> None:
    fault = ENTRY | {"id": "F1", "kind": "latency_step", "hard": True, "affected": ["cart", "edge"], "magnitude": 3.0}
    spike = ENTRY | {"kind": "spike"}

    labels = parsed(json.dumps({"faults": [fault], "benign": [spike], "warmup_until": 1_767_570_000, "services": ["cart"]}))

    (label,) = labels.labels
    assert (label.name, label.kind, label.is_hard, label.affected) == ("F1", "latency_step", True, frozenset({"cart", "edge"}))
    assert (label.start_ms, label.end_ms) == (1_767_571_200_000, 1_767_571_500_000)
    assert [event.kind for event in labels.harmless] == ["spike"]
    assert labels.scored_from_ms == 1_767_570_000_000


def test_csv_may_name_kind_environment_and_affected_services() -> None:
    (label,) = parsed("service,start,end,kind,environment,affected\ncart,1767571200,1767571500,slow,prod,cart;edge\n").labels

    assert (label.kind, label.environment, label.affected) == ("slow", "prod", frozenset({"cart", "edge"}))
    assert label.is_on("prod", "cart")
    assert not label.is_on("test", "cart")
    assert label.touches("prod", "edge")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "there is no entry"),
        ("{", "this is no JSON"),
        ("[" * 100_000, "this is no JSON"),
        ('{"services": []}', "must have one of labels, faults, windows"),
        ('{"labels": [], "faults": []}', "has labels, faults"),
        ('{"labels": 3}', "labels is no list"),
        ("[3]", "label 1: must be an object"),
        (json.dumps([ENTRY | {"service": ""}]), "label 1: service must be a name"),
        (json.dumps([ENTRY | {"service": ["cart"]}]), "label 1: service must be a name"),
        (json.dumps([ENTRY | {"start": "soon"}]), "label 1: start must be RFC 3339"),
        (json.dumps([ENTRY, ENTRY | {"end": 1e308}]), "label 2: end must be"),
        ('[{"service": "cart", "start": NaN, "end": 1}]', "start must be"),
        (json.dumps([ENTRY | {"end": 1_767_571_100}]), "label 1: ends before it starts"),
        (json.dumps([ENTRY | {"hard": "perhaps"}]), "hard must be true or false"),
        (json.dumps([ENTRY | {"hard": [1]}]), "hard must be true or false"),
        (json.dumps([ENTRY | {"affected": [3]}]), "affected must be a list of services"),
        (json.dumps([ENTRY | {"kind": 3}]), "kind and environment must be text"),
        ("service,end\ncart,1767571500\n", "row 1: start must be"),
    ],
)
def test_what_is_wrong_is_refused_with_the_entry(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        parsed(text)


def test_a_file_that_cannot_be_read_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes(b"service,start,end\ncaf\xe9,1,2\n")

    for name in ("missing.json", "latin.csv"):
        with pytest.raises(UsageError, match=name):
            read_labels(tmp_path / name)
