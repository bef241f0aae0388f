"""`tocsin backtest` and `tocsin train` over a range of topics give what they give over the file that was sent there."""

import asyncio
import json
import math
from pathlib import Path
from typing import Any
from uuid import uuid4

import msgspec
import numpy as np
import pytest

from benchmarks.own_config import write_config
from pipeline.adapters.brokers import LocalBroker
from pipeline.cli.main import run
from pipeline.cli.train import loaded
from pipeline.contracts.models import ModelSnapshot
from tests.scenarios.running import Sent, running

START_S = 1_767_571_200


@pytest.fixture
def config(broker: LocalBroker, tmp_path: Path) -> Path:
    """The shipped configuration with topics that nobody else has; not created yet."""
    write_config(tmp_path / "own", prefix=f"b{uuid4().hex[:8]}-", bootstrap=broker.bootstrap, partitions=3)
    return tmp_path / "own"


async def call(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, Any]:
    """Run a command in a thread of its own, for it brings an event loop; return what it says as JSON."""
    capsys.readouterr()
    code = await asyncio.to_thread(run, [*map(str, arguments), "--json"])
    said = capsys.readouterr()
    assert code == 0, said.err
    answer: dict[str, Any] = json.loads(said.out.splitlines()[-1])
    return answer


def equal(one: Any, other: Any) -> bool:
    """Tell whether two memories are the same, but for rounding: a topic's partitions are summed up in another order."""
    if isinstance(one, ModelSnapshot):
        return equal(msgspec.structs.asdict(one), msgspec.structs.asdict(other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[name], other[name]) for name in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, bytes) and one != other:  # arrays; those of the hours are float64
        return len(one) == len(other) and len(one) % 8 == 0 and equal(list(np.frombuffer(one)), list(np.frombuffer(other)))
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    return bool(one == other)


@pytest.mark.timeout(240)
async def test_a_topic_gives_what_the_file_gives(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shop = tmp_path / "shop.ndjson"
    fault = ("--fault", "errors:payments:2400:300")
    await call(capsys, "simulate", "--as-fast-as-possible", "--duration", 3000, "--start", START_S, "--out", shop, *fault)
    await call(capsys, "topics", "create", "--config", config)
    await call(capsys, "replay", shop, "--config", config)
    topics = ("--topic", "telemetry.metrics", "--topic", "changes", "--config", config)

    from_file = await call(capsys, "backtest", shop)
    from_topics = await call(capsys, "backtest", *topics)
    first_half = await call(capsys, "backtest", *topics, "--to", START_S + 1500)
    nothing_left_out = await call(capsys, "backtest", *topics, "--from-offset", 0, "--to-offset", 10**9)
    tail = await call(capsys, "backtest", *topics, "--from-offset", 500)

    assert from_file["alerts"] > 0
    assert from_topics == from_file
    assert nothing_left_out == from_file
    assert first_half["end_ms"] == (START_S + 1500) * 1000
    assert first_half["alerts"] == 0
    assert tail["start_ms"] > from_file["start_ms"]


@pytest.mark.timeout(240)
async def test_what_is_learned_from_a_topic_is_what_is_learned_from_the_file(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, first_s, last_s = tmp_path / "shop.ndjson", START_S + 600, START_S + 2400
    await call(capsys, "simulate", "--as-fast-as-possible", "--duration", 3000, "--start", START_S, "--out", shop)
    await call(capsys, "topics", "create", "--config", config)
    await call(capsys, "replay", shop, "--config", config)
    topics = ("--topic", "telemetry.metrics", "--topic", "telemetry.logs", "--topic", "changes")

    async def learned(name: str, *arguments: object) -> dict[str, ModelSnapshot]:
        told = await call(capsys, "train", *arguments, "--config", config, "--out", tmp_path / name)
        snapshots = loaded(tmp_path / name)
        assert told["snapshots"] == len(snapshots) > 0
        return snapshots

    of_file, of_topic = await learned("file", shop), await learned("topic", *topics)
    part_of_file = await learned("file-part", shop, "--from", first_s, "--to", last_s)
    part_of_topic = await learned("topic-part", *topics, "--from", first_s, "--to", last_s)
    tail_of_topic = await learned("topic-tail", *topics, "--from-offset", 500)

    assert equal(of_topic, of_file)
    assert equal(part_of_topic, part_of_file)
    assert not equal(part_of_topic, of_topic)
    assert not equal(tail_of_topic, of_topic)
    assert max(one.at_ms for one in part_of_topic.values()) <= last_s * 1000
    assert max(one.at_ms for one in of_topic.values()) > last_s * 1000


@pytest.mark.timeout(300)
async def test_a_worker_that_starts_after_a_training_is_warm(
    broker: LocalBroker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, models = tmp_path / "shop.ndjson", tmp_path / "models.ndjson"
    await call(capsys, "simulate", "--as-fast-as-possible", "--duration", 3000, "--start", START_S, "--out", shop)
    learned = await call(capsys, "train", shop, "--to", START_S + 2400, "--out", models)
    async with running(broker, tmp_path / "own", is_started=False) as tocsin:
        own = ("--config", tocsin.folder / "config")
        assert await call(capsys, "train", "--load", models, *own) == {"snapshots": learned["snapshots"], "kept": 0}
        await tocsin.start()
        lines = [line for line in shop.read_bytes().splitlines() if json.loads(line)["time"] >= (START_S + 2400) * 1000]
        sent: list[Sent] = [("telemetry.metrics", None, line, int(json.loads(line)["time"]), ()) for line in lines]
        await tocsin.send(sent)
        last_ms = (START_S + 2900) * 1000
        read = await tocsin.until(
            "anomalies", lambda one: json.loads(one.record.value or b"")["window_end_ms"] >= last_ms, "the last verdicts"
        )
        assert await tocsin.stop() == 0  # it leaves snapshots of its own
        again = await call(capsys, "train", "--load", models, *own)

    first = min((json.loads(one.record.value or b"") for one in read), key=lambda verdict: verdict["window_end_ms"])
    traffic = next(finding for finding in first["findings"] if finding["condition"] == "traffic")
    assert first["window_start_ms"] >= (START_S + 2380) * 1000
    assert traffic["n_seen"] > 200
    assert traffic["judgement"] != "not_ready"
    assert again["kept"] > 0
    assert again["snapshots"] + again["kept"] == learned["snapshots"]
