"""What was learned goes through a file unchanged, and a damaged file is refused."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.backtest.chain import Chain, learning_stages
from pipeline.backtest.histories import Period, of_recordings, run
from pipeline.backtest.memories import file_lines, key_of, new_stage, read_file, snapshots_of
from pipeline.cli.main import run as command
from pipeline.contracts.models import ModelSnapshot
from pipeline.errors import StateError, UsageError
from pipeline.settings import load_settings
from pipeline.simulation.replay import lines

START_S = 1_767_571_200
HALF_S = START_S + 3_000
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A hundred minutes of the shop; in the second half payments fails for five minutes."""
    out = tmp_path_factory.mktemp("shop") / "shop.ndjson"
    arguments = ["--as-fast-as-possible", "--duration", "6000", "--start", str(START_S), "--seed", "3"]
    assert command(["simulate", *arguments, "--fault", "errors:payments:4200:300", "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def learned(recording: Path) -> dict[str, ModelSnapshot]:
    settings = load_settings(env={})
    detectors = new_stage(settings)
    chain = Chain(settings, stages=learning_stages(settings, detectors))
    for _ in run(chain, of_recordings([lines([recording])], Period(end_ms=HALF_S * 1000))):
        pass
    return snapshots_of(detectors)


def test_every_service_is_learned_and_belongs_to_no_worker(learned: dict[str, ModelSnapshot]) -> None:
    assert len(learned) == 12  # six services, the fast path and the novelty of each
    assert {one.app for one in learned.values()} == {"tocsin/train"}
    assert {(one.applied, one.n) for one in learned.values()} == {(-1, 0)}


def test_a_half_window_at_the_end_is_nobodys_memory(learned: dict[str, ModelSnapshot]) -> None:
    assert max(one.at_ms for one in learned.values()) <= (HALF_S - 10) * 1000


def test_what_was_learned_is_the_same_behind_a_file(learned: dict[str, ModelSnapshot]) -> None:
    assert {key_of(one): one for one in read_file(file_lines(learned))} == learned


def altered(lines_: Iterator[bytes], number: int, **fields: object) -> list[bytes]:
    found = list(lines_)
    found[number] = json.dumps(json.loads(found[number]) | fields).encode()
    return found


def test_a_file_that_is_damaged_or_foreign_is_refused(learned: dict[str, ModelSnapshot]) -> None:
    whole = list(file_lines(learned))

    with pytest.raises(UsageError, match="first line must say tocsin-models"):
        read_file([b'{"kind": "summary"}'])
    with pytest.raises(UsageError, match="first line"):
        read_file([])
    with pytest.raises(StateError, match="schema 2"):
        read_file(altered(file_lines(learned), 0, schema=2))
    with pytest.raises(StateError, match="cut off"):
        read_file(whole[:-1])
    with pytest.raises(StateError, match="line 2 holds no snapshot"):
        read_file([whole[0], b"nonsense"])
    with pytest.raises(StateError, match="line 2: "):
        read_file(altered(file_lines(learned), 1, snapshot="not Base64!"))
    with pytest.raises(StateError, match="line 2: not a ModelSnapshot"):
        read_file(altered(file_lines(learned), 1, snapshot="AAAA"))
    with pytest.raises(StateError, match="its key is"):
        read_file(altered(file_lines(learned), 1, key="prod/other"))


def alerts_of(tmp_path: Path, *arguments: object) -> list[tuple[object, ...]]:
    out = tmp_path / "alerts.ndjson"
    assert command(["backtest", *map(str, arguments), "--alerts", str(out)]) == 0
    told = [json.loads(line) for line in out.read_text().splitlines()]
    return [(one["service"], one["signal"], one["severity"], one["fired_at"]) for one in told if one["fired_at"] > HALF_S]


def test_a_warm_start_alerts_as_if_it_had_seen_all_of_it(recording: Path, tmp_path: Path, capsys: Captured) -> None:
    models = tmp_path / "models.ndjson"
    assert command(["train", str(recording), "--to", str(HALF_S), "--out", str(models), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["snapshots"] >= 6

    whole = alerts_of(tmp_path, recording)
    warm = alerts_of(tmp_path, recording, "--from", HALF_S, "--models", models)
    cold = alerts_of(tmp_path, recording, "--from", HALF_S, "--to", HALF_S + 1_150)

    assert warm == whole
    assert whole
    assert not cold  # the fault begins in the first twenty minutes, in which a cold start cannot judge


def test_snapshots_that_come_too_late_are_told(recording: Path, tmp_path: Path, capsys: Captured) -> None:
    models = tmp_path / "models.ndjson"
    command(["train", str(recording), "--to", str(HALF_S), "--out", str(models)])

    alerts_of(tmp_path, recording, "--to", START_S + 600, "--models", models)

    assert "are of a time after the history's first window" in capsys.readouterr().err
