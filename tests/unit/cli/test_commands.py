"""The command line as people meet it: exit codes, help, JSON, and errors that are one sentence."""

import json
from pathlib import Path

import pytest

from pipeline.cli.main import run
from pipeline.cli.replay import Span, parse_speed, shift_of
from pipeline.errors import UsageError

COMMANDS = [
    ["up"],
    ["worker"],
    ["topics", "create"],
    ["topics", "check"],
    ["simulate"],
    ["replay"],
    ["tail"],
    ["explain"],
    ["backtest"],
    ["train"],
    ["feedback"],
    ["check-config"],
    ["dead-letters", "list"],
    ["dead-letters", "show"],
    ["dead-letters", "replay"],
    ["version"],
]
NOBODY = ["--broker", "127.0.0.1:1"]

Captured = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_and_takes_json(command: list[str], capsys: Captured) -> None:
    assert run([*command, "--help"]) == 0

    shown = capsys.readouterr().out
    assert f"$ tocsin {' '.join(command)}" in shown
    assert "--json" in shown


def test_version_is_readable_and_json(capsys: Captured) -> None:
    assert run(["version"]) == 0
    assert capsys.readouterr().out.startswith("tocsin ")
    assert run(["version", "--json"]) == 0
    assert {"tocsin", "aiokafka", "faust-streaming"} <= json.loads(capsys.readouterr().out).keys()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["nonsense"], "No such command"),
        (["feedback", "/cart", "expected"], "environment/service"),
        (["feedback", "prod/cart", "great"], "Invalid value"),
        (["worker", "--role", "everything"], "Invalid value"),
        (["worker", "--set", "delay"], "SETTING.KEY=VALUE"),
        (["simulate", "--as-fast-as-possible"], "needs --duration"),
        (["simulate", "--duration", "-1"], "above 0"),
        (["simulate", "--duration", "1", "--fault", "fire:cart:0:1", "--out", "-"], "kind is one of"),
        (["simulate", "--duration", "1", "--fault", "errors:search:0:1", "--out", "-"], "no service 'search'"),
        (["simulate", "--duration", "1", "--start", "soon", "--out", "-"], "--start is RFC 3339"),
        (["simulate", "--duration", "1", "--as-fast-as-possible", "--out", "/nowhere/x"], "No such file"),
        (["replay", "/nowhere"], "no such file or folder"),
        (["replay", "/nowhere", "--speed", "fast"], "--speed is a number"),
        (["replay", "/nowhere", "--shift", "1", "--shift-to-now"], "exclude one another"),
        (["tail"], "Missing argument"),
        (["backtest"], "name a file or folder, or --topic"),
        (["backtest", "x.ndjson", "--topic", "signals"], "one of the two"),
        (["backtest", "/nowhere"], "no such file or folder"),
        (["backtest", "/nowhere", "--from-offset", "3"], "are of topics"),
        (["backtest", "/nowhere", "--from", "soon"], "--from is RFC 3339"),
        (["backtest", "/nowhere", "--from", "2026-01-06", "--to", "2026-01-05"], "--to must be later"),
        (["backtest", "/nowhere", "--score-from", "soon"], "--score-from is RFC 3339"),
        (["backtest", "/nowhere", "--labels", "/nowhere.json"], "/nowhere.json: no such file"),
        (["backtest", "--topic", "signals"], "is no telemetry topic of this configuration"),
        (["backtest", "/nowhere", "--models", "/nowhere.models"], "/nowhere.models: no such file"),
        (["train"], "name a file or folder, or --topic"),
        (["train", "x.ndjson", "--load", "models.ndjson"], "neither a history nor --out"),
        (["train", "--load", "/nowhere"], "/nowhere: no such file"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_would_do(arguments: list[str], why: str, capsys: Captured) -> None:
    assert run(arguments) == 2

    told = capsys.readouterr()
    assert why in told.err
    assert told.out == ""
    assert "Traceback" not in told.err


@pytest.mark.parametrize(
    "command",
    [
        ["topics", "check"],
        ["topics", "create"],
        ["tail", "signals"],
        ["explain", "a/b"],
        ["dead-letters", "list"],
        ["backtest", "--topic", "telemetry.metrics"],
    ],
    ids=" ".join,
)
def test_a_broker_that_is_not_there_is_exit_code_1_and_one_sentence(command: list[str], capsys: Captured) -> None:
    assert run([*command, *NOBODY]) == 1

    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "cannot reach a Kafka at 127.0.0.1:1" in told.err


def test_check_config_names_every_problem_at_once(tmp_path: Path, capsys: Captured) -> None:
    assert run(["check-config", "--config", str(tmp_path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3
    assert lines[-1] == f"{len(lines) - 1} problems"

    assert run(["check-config", "--config", str(tmp_path), "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert (answer["ok"], len(answer["problems"])) == (False, len(lines) - 1)


def test_the_shop_can_be_written_to_a_file_as_ndjson(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "shop.ndjson"

    assert run(["simulate", "--as-fast-as-possible", "--duration", "20", "--out", str(out), "--json", "--start", "1700000000"]) == 0

    lines = out.read_bytes().splitlines()
    assert json.loads(capsys.readouterr().out) == {"records": len(lines), "out": str(out)}
    assert {json.loads(line)["kind"] for line in lines} >= {"summary", "gauge"}
    assert min(json.loads(line)["time"] for line in lines) >= 1_700_000_000_000


def test_a_short_simulation_is_a_whole_window_and_not_nothing(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "shop.ndjson"

    assert run(["simulate", "--as-fast-as-possible", "--duration", "3", "--out", str(out), "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["records"] > 0


SPAN = Span(first_ms=1_000_000, last_ms=1_400_000)
KEPT = {"now": 9_000_000, "shift_to_now": False, "shift_s": None, "start_at": None, "is_paced": False}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, 0),
        ({"shift_s": 1.5}, 1_500),
        ({"shift_to_now": True}, 7_600_000),
        ({"shift_to_now": True, "is_paced": True}, 8_000_000),
        ({"shift_to_now": True, "now": 9_003_456}, 7_600_000),
        ({"start_at": "1970-01-01T00:20:00Z"}, 200_000),
    ],
)
def test_a_recording_is_moved_as_asked_and_keeps_its_place_within_windows(asked: dict[str, object], expected: int) -> None:
    assert shift_of(SPAN, **{**KEPT, **asked}) == expected  # type: ignore[arg-type]


def test_speeds() -> None:
    assert (parse_speed("max"), parse_speed("2.5")) == (None, 2.5)
    for wrong in ("0", "-1", "inf", "nan", "x"):
        with pytest.raises(UsageError):
            parse_speed(wrong)
