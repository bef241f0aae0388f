"""The main job through a real broker: telemetry in; exact windows, an alert, a remediation event and a dead letter out."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.adapters.brokers import LocalBroker
from pipeline.adapters.clock import now_ms
from pipeline.adapters.reading import ReadRecord
from tests.poison import CHANGES, LOGS, METRICS, poison, request
from tests.scenarios.running import Sent, Windows, running, values

WINDOW_MS, MINUTE_MS = 10_000, 60_000
LOGICAL = {METRICS: "telemetry.metrics", LOGS: "telemetry.logs", CHANGES: "changes"}
Truth = Counter[tuple[str, int]]


def shop(end_ms: int, truth: Truth) -> list[Sent]:
    """Return two calm services for an hour that ends at ``end_ms``; payments is slow from 4 to 2 minutes before the end."""
    return sorted(_requests(end_ms, truth), key=lambda sent: sent[3])


def _requests(end_ms: int, truth: Truth) -> Iterator[Sent]:
    rng = random.Random(7)
    for start_ms in range(end_ms - 60 * MINUTE_MS, end_ms, WINDOW_MS):
        is_slow = end_ms - 4 * MINUTE_MS <= start_ms < end_ms - 2 * MINUTE_MS
        for service, slow in (("cart", False), ("payments", is_slow)):
            for _ in range(rng.randint(25, 35)):
                record = {
                    "kind": "request",
                    "service": service,
                    "environment": "demo",
                    "time": start_ms + rng.randrange(WINDOW_MS),
                    "duration_ms": rng.lognormvariate(4, 0.3) * (6 if slow else 1),
                    "status": 200,
                }
                truth[f"demo/{service}", start_ms] += 1
                yield "telemetry.metrics", None, json.dumps(record).encode(), start_ms + WINDOW_MS, ()


def is_(**fields: object) -> Any:
    """Return whether a record's JSON value has these fields (dots go deeper)."""

    def check(read: ReadRecord) -> bool:
        value = json.loads(read.record.value or b"{}")
        for name, wanted in fields.items():
            found: Any = value
            for part in name.split("__"):
                found = found.get(part) if isinstance(found, dict) else None
            if found != wanted:
                return False
        return True

    return check


async def test_telemetry_becomes_exact_windows_an_alert_and_a_remediation_event(broker: LocalBroker, tmp_path: Path) -> None:
    truth: Truth = Counter()
    end_ms = now_ms() // WINDOW_MS * WINDOW_MS
    bad = b'{"kind": "request", "service": "cart"}'
    async with running(broker, tmp_path) as tocsin:
        await tocsin.send(shop(end_ms, truth))
        await tocsin.send([("telemetry.metrics", b"k", bad, end_ms, (("h", b"v"),))])

        windows = Windows()
        await tocsin.until("signals", lambda read: windows.take(read) >= truth.total(), "all requests in windows")
        assert {key: windows.by_key[key]["traffic"]["requests"] for key in truth} == dict(truth)

        events = values(await tocsin.until("alert-events", is_(transition="resolved", signal="latency"), "a resolved alert"))
        fired = [event for event in events if event["transition"] == "fired"]
        assert {event["service"] for event in fired} == {"payments"}
        latency = next(event for event in fired if event["signal"] == "latency")
        began_ms = end_ms - 4 * MINUTE_MS
        assert began_ms < latency["fired_at_ms"] <= began_ms + 3 * WINDOW_MS
        assert latency["observed"] > 2 * latency["expected"]
        assert "payments" in latency["sentence"]
        assert latency["owner"]
        assert latency["runbook"]

        current = await tocsin.until(
            "alerts", is_(event__dedup_key=latency["dedup_key"], event__state="resolved"), "the alert's resolved state"
        )
        assert values(current)[-1]["delivery"] == "notified"

        (remediation,) = await tocsin.until("remediation.requests", lambda _read: True, "a remediation request")
        envelope = json.loads(remediation.record.value or b"")
        headers = dict(remediation.record.headers)
        assert remediation.record.key == b"demo/payments"
        assert headers["ce_id"] == envelope["id"].encode()
        assert headers["content-type"] == b"application/cloudevents+json; charset=UTF-8"
        assert (envelope["specversion"], envelope["data"]["service"]) == ("1.0", "payments")

        (letter,) = await tocsin.until("dead-letters", lambda _read: True, "the dead letter")
        assert letter.record.value == bad
        assert dict(letter.record.headers)["h"] == b"v"
        assert about(letter)["rejections"][0]["reason"] == "missing_field"


def about(letter: ReadRecord) -> dict[str, Any]:
    """Return what a dead letter says of itself."""
    found: dict[str, Any] = json.loads(dict(letter.record.headers)["tocsin-dead-letter"] or b"")
    return found


async def test_every_kind_of_bad_message_is_a_dead_letter_and_the_good_ones_around_it_count(
    broker: LocalBroker, tmp_path: Path
) -> None:
    at_ms = now_ms() - MINUTE_MS
    bad = poison(at_ms)
    good: Sent = ("telemetry.metrics", b"prod/bystander", json.dumps(request(at_ms, service="bystander")).encode(), at_ms, ())
    n_letters = sum(one.n_rejected > 0 for one in bad)
    n_good = sum(one.n_good for one in bad) + 2 * len(bad)
    async with running(broker, tmp_path) as tocsin:
        for one in bad:
            key = b"aiokafka refuses a record of nothing" if one.key is None and one.value is None else one.key
            await tocsin.send([good, (LOGICAL[one.topic], key, one.value, one.timestamp_ms, one.headers), good])

        keys: set[bytes | None] = set()

        def has_all(read: ReadRecord) -> bool:
            keys.add(read.record.key)
            return len(keys) >= n_letters

        letters = await tocsin.until("dead-letters", has_all, f"{n_letters} dead letters")
        windows = Windows()
        await tocsin.until("signals", lambda read: windows.take(read) >= n_good, f"{n_good} good readings")

    by_coordinates = {read.record.key: about(read) for read in letters}
    assert sum(letter["n_rejected"] for letter in by_coordinates.values()) == sum(one.n_rejected for one in bad)
    seen = Counter(reason for letter in by_coordinates.values() for reason in {r["reason"] for r in letter["rejections"]})
    assert seen == Counter(str(reason) for one in bad for reason in one.reasons)
    assert windows.n_readings == n_good


async def test_what_began_and_ended_while_tocsin_was_away_is_recorded_and_not_paged(broker: LocalBroker, tmp_path: Path) -> None:
    truth: Truth = Counter()
    long_ago_ms = now_ms() // WINDOW_MS * WINDOW_MS - 120 * MINUTE_MS
    async with running(broker, tmp_path) as tocsin:
        await tocsin.send(shop(long_ago_ms, truth))

        alerts = values(await tocsin.until("alerts", is_(event__state="resolved", event__signal="latency"), "the old alert's end"))
        old = [alert for alert in alerts if alert["event"]["signal"] == "latency"]
        assert {alert["delivery"] for alert in old} <= {"recorded", "pending"}
        await tocsin.send([("remediation.requests", b"end", b"{}", now_ms(), ())])
        requests = await tocsin.until("remediation.requests", lambda read: read.record.key == b"end", "our own end mark")
        assert not [r for r in values(requests[:-1]) if r["data"]["signal"] == "latency"]
