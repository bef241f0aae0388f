"""The commands that talk to a broker, as people call them, on both brokers: topics, replay, tail, dead letters, explain."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol
from uuid import uuid4

import pytest

from benchmarks.own_config import REPOSITORY, write_config
from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.clock import now_ms
from pipeline.adapters.kafka import producer
from pipeline.cli.main import run
from pipeline.contracts.codec import encode
from pipeline.settings import load_settings
from tests.scenarios.running import Sent, running
from tests.unit.cli.test_lines import event

EXAMPLE = REPOSITORY / "config" / "examples" / "telemetry.ndjson"
TELEMETRY = ("telemetry.metrics", "telemetry.logs", "changes")


@dataclass(frozen=True)
class Answer:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def records(self) -> list[dict[str, Any]]:
        """Its output, where that is a JSON object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Tocsin(Protocol):
    """Runs a command."""

    async def __call__(self, *arguments: str, config: Path) -> Answer:
        """Run it with a configuration, in a thread of its own, for it brings an event loop."""


@pytest.fixture
def tocsin(capsysbinary: pytest.CaptureFixture[bytes]) -> Tocsin:
    """The command line as `main` runs it, in this process: a dozen processes would each take seconds to start."""

    async def call(*arguments: str, config: Path) -> Answer:
        capsysbinary.readouterr()
        code = await asyncio.to_thread(run, [*arguments, "--config", str(config)])
        said = capsysbinary.readouterr()
        return Answer(code, said.out.decode(), said.err.decode())

    return call


@pytest.fixture
def config(broker: LocalBroker, tmp_path: Path) -> Path:
    """The shipped configuration with topics that nobody else has; not created yet."""
    write_config(tmp_path / "own", prefix=f"c{uuid4().hex[:8]}-", bootstrap=broker.bootstrap, partitions=2)
    return tmp_path / "own"


async def test_topics_are_missing_then_created_then_as_configured(tocsin: Tocsin, config: Path) -> None:
    missing = await tocsin("topics", "check", config=config)
    assert missing.code == 1
    assert missing.out.count("does not exist") == 15

    created = await tocsin("topics", "create", "--json", config=config)
    assert created.code == 0, created.err
    assert {record["outcome"] for record in created.records} == {"created"}

    checked = await tocsin("topics", "check", "--json", config=config)
    assert (checked.code, [record["ok"] for record in checked.records]) == (0, [True])
    again = await tocsin("topics", "create", "--json", config=config)
    assert {record["outcome"] for record in again.records} == {"exists"}


async def test_feedback_is_published_under_the_service_s_key(tocsin: Tocsin, config: Path) -> None:
    await tocsin("topics", "create", config=config)

    said = await tocsin("feedback", "prod/cart", "false_positive", "--condition", "latency", "--by", "jo", config=config)
    read = await tocsin("tail", "feedback", "--from-beginning", "--json", config=config)

    assert said.code == 0, said.err
    assert "it takes more to be told of this again" in said.err
    (record,) = read.records
    assert record["service"] == "prod/cart"
    assert (record["record"]["verdict"], record["record"]["condition"], record["record"]["by"]) == (
        "false_positive",
        "latency",
        "jo",
    )


async def test_feedback_on_an_alert_is_of_its_service_and_condition(tocsin: Tocsin, config: Path) -> None:
    await tocsin("topics", "create", config=config)
    settings = load_settings(config)
    async with producer(settings.connection) as sender:
        await sender.send_and_wait(settings.topics.names()["alert-events"], value=encode(event()), key=b"prod/cart")

    by_key = await tocsin("feedback", "prod/cart/latency", "expected", "--json", config=config)
    by_id = await tocsin("feedback", "a1", "expected", "--json", config=config)
    by_nothing = await tocsin("feedback", "a2", "expected", config=config)

    assert [answer.records[0]["service"] for answer in (by_key, by_id)] == ["cart", "cart"]
    assert [answer.records[0]["condition"] for answer in (by_key, by_id)] == ["latency", "latency"]
    assert by_nothing.code == 2


async def test_a_recording_is_replayed_and_can_be_read_again(tocsin: Tocsin, config: Path) -> None:
    lines = EXAMPLE.read_bytes().splitlines()
    assert (await tocsin("topics", "create", config=config)).code == 0

    sent = await tocsin("replay", str(EXAMPLE), "--shift", "3600", "--json", config=config)

    assert sent.code == 0, sent.err
    assert sent.records[0]["messages"] == len(lines)
    answers = [await tocsin("tail", topic, "--from-beginning", "--json", config=config) for topic in TELEMETRY]
    told = [record for answer in answers for record in answer.records]
    assert len(told) == len(lines)
    assert all(record["readable"] for record in told)
    first = json.loads(lines[0])
    moved = [
        record for record in told if isinstance(record["record"], dict) and record["record"]["time"] == first["time"] + 3_600_000
    ]
    assert [(record["service"], record["timestamp_ms"]) for record in moved] == [("prod/cart", first["time"] + 3_600_000)]

    few = await tocsin("tail", "telemetry.metrics", "-n", "2", "--service", "prod/cart", config=config)
    assert len(few.out.splitlines()) == 2
    assert all(" prod/cart " in line for line in few.out.splitlines())


async def test_what_is_not_there_is_said_in_one_sentence(tocsin: Tocsin, config: Path) -> None:
    assert (await tocsin("topics", "create", config=config)).code == 0

    nothing, nobody, none = [
        await tocsin(*arguments, config=config)
        for arguments in (("tail", "alerts"), ("explain", "demo/nobody"), ("dead-letters", "show", "abc"))
    ]
    unknown = await tocsin("tail", "nonsense", config=config)

    assert (nothing.code, nothing.out, nothing.err.count("\n")) == (0, "", 1)
    assert (nobody.code, nobody.err.count("\n")) == (2, 1)
    assert "nothing is known of 'demo/nobody'" in nobody.err
    assert (none.code, unknown.code) == (2, 2)
    assert "no dead letter 'abc'" in none.err
    assert "there is no topic nonsense" in unknown.err


def request(at_ms: int, **changes: object) -> dict[str, object]:
    """Return a sound record of prod/cart."""
    return {
        "kind": "request", "service": "cart", "environment": "prod", "time": at_ms, "duration_ms": 12.5, "status": 200, **changes,
    }  # fmt: skip


async def test_dead_letters_are_listed_shown_and_replayed_and_a_service_explained(
    tocsin: Tocsin, broker: LocalBroker, tmp_path: Path
) -> None:
    at_ms = now_ms()
    alone = b'{"kind": "request", "service": "cart"}'
    partly = [request(at_ms), request(at_ms, duration_ms=-3), request(at_ms, operation="kept"), request(at_ms, status="fine")]
    messages: list[Sent] = [
        ("telemetry.metrics", b"prod/cart", alone, at_ms, (("trace", b"t1"),)),
        ("telemetry.metrics", b"prod/cart", json.dumps(partly).encode(), at_ms, ()),
    ]
    async with running(broker, tmp_path) as worker:
        config = tmp_path / "config"
        await worker.send(messages)
        await worker.until("dead-letters", at_least(2), "two dead letters")

        listed = (await tocsin("dead-letters", "list", "--json", config=config)).records
        by_reason = {record["reasons"][0]: record for record in listed}
        assert set(by_reason) == {"missing_field", "out_of_range"}
        table = await tocsin("dead-letters", "list", config=config)
        assert all(record["place"] in table.out for record in listed)

        whole = by_reason["missing_field"]["dead_letter"]["id"]
        shown = await tocsin("dead-letters", "show", whole[:12], config=config)
        assert "field status" in shown.out or "field time" in shown.out
        assert "trace: t1" in shown.out
        raw = await tocsin("dead-letters", "show", by_reason["missing_field"]["place"], "--raw", config=config)
        assert raw.out.encode() == alone

        tried = await tocsin("dead-letters", "replay", "--dry-run", "--json", config=config)
        assert [record["sent"] for record in tried.records] == [False, False]
        done = await tocsin("dead-letters", "replay", by_reason["out_of_range"]["place"], "--json", config=config)
        assert (done.code, [record["sent"] for record in done.records]) == (0, [True])
        await worker.until("dead-letters", at_least(4), "a note of that, and the same records refused again")
        once = await tocsin("dead-letters", "replay", by_reason["out_of_range"]["place"], "--json", config=config)
        assert (once.code, [record["sent"] for record in once.records]) == (1, [False])
        again = await tocsin("dead-letters", "list", "--json", config=config)
        newest = max(again.records, key=lambda record: record["dead_letter"]["offset"])
        assert (newest["dead_letter"]["n_rejected"], newest["dead_letter"]["n_records"]) == (2, 2)
        assert "kept" not in newest["value"]

        await worker.until("anomalies", is_of("cart"), "a verdict on cart")
        story = await tocsin("explain", "prod/cart", "--json", config=config)
        assert story.code == 0, story.err
        data = story.records[0]
        assert data["service"] == "prod/cart"
        assert sum(window["traffic"]["requests"] for window in data["windows"]) == 2
        assert data["findings"]["latency"]["judgement"] == "not_ready"
        told = await tocsin("explain", "cart", config=config)
        assert told.out.startswith("prod/cart\n")
        assert "still learning" in told.out


def at_least(n: int) -> Callable[[object], bool]:
    """Return a check that is true of the n-th record it is asked about."""
    seen = 0

    def check(_: object) -> bool:
        nonlocal seen
        seen += 1
        return seen >= n

    return check


def is_of(service: str) -> Callable[[Any], bool]:
    """Return a check that is true of a record whose JSON value names the service."""
    return lambda read: bool(json.loads(read.record.value or b"{}").get("service") == service)
