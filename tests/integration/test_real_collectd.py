"""collectd's write_kafka: values that we dispatch through its socket become utilizations, number by number; its own plugins', too.

Debian's librdkafka 2.0.2 does not understand the embedded broker's first answer: Apache Kafka alone.
"""

import asyncio
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.adapters.brokers import KafkaBroker
from pipeline.adapters.clock import now_ms
from pipeline.contracts.config import IngestConfig
from pipeline.contracts.records import InRecord
from tests.senders.arrived import Sum, all_records, arrived, config_for, decoded, new_topics, sums_of
from tests.senders.collectd import EXPECTED, GAUGES, RATES, collectd, put_values

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]
WAYS = {
    "json": ('Format JSON\nKey "h1"', "collectd"),
    "command": ("Format Command", "collectd"),
    "json-counters": ('Format JSON\nStoreRates false\nKey "Random"', "collectd_counters"),
    "command-counters": ("Format Command\nStoreRates false", "collectd_counters"),
}


def with_limit(config: IngestConfig) -> IngestConfig:
    """Return a configuration that knows how fast networks are: 1 Gbit/s."""
    limits = {"network in": {"*": 125_000_000.0}, "network out": {"web": 125_000_000.0, "*": 250_000_000.0}}
    return replace(config, semantic=replace(config.semantic, limits=limits))


async def test_values_become_utilizations_as_rates_and_as_counters_in_json_and_in_commands(
    kafka_broker: KafkaBroker, tmp_path: Path
) -> None:
    topics, n = await new_topics(kafka_broker, *WAYS), 4
    start_s = now_ms() // 10_000 * 10 - 40 + 5
    values = put_values(start_s, n)
    with collectd(kafka_broker, tmp_path, {topics[way]: settings for way, (settings, _) in WAYS.items()}) as daemon:
        await asyncio.to_thread(daemon.put, values)
        records = {way: await arrived(kafka_broker, topics[way], len(values)) for way in WAYS}

    for way, (_, decoder) in WAYS.items():
        found = sums_of(records[way], with_limit(config_for(decoder)))
        assert set(found) == {"web"}, way
        check_levels(found["web"], way, n)
        assert decoded(records[way], config_for("auto" if decoder == "collectd" else decoder)), way
    assert {record.key for record in records["json"]} == {b"h1"}
    assert len({record.key for record in records["json-counters"]}) == 1
    assert all(len(record.key or b"") == 8 for record in [*records["command"], *records["json-counters"]])
    assert len({record.key for record in records["command"]}) > 1


def check_levels(found: Sum, way: str, n: int) -> None:
    levels = {
        window.window_start_ms: {name: round(level.mean, 4) for name, level in window.saturation.items()}
        for window in found.windows
        if window.completeness.readings
    }
    assert len(levels) == n, way
    first, *others = [levels[start] for start in sorted(levels)]
    assert others == [EXPECTED] * (n - 1), way
    assert first == {name: share for name, share in EXPECTED.items() if name != "cpu" and "network" not in name}, way  # no rate yet


async def test_a_network_without_a_limit_says_nothing(kafka_broker: KafkaBroker, tmp_path: Path) -> None:
    topics = await new_topics(kafka_broker, "json")
    with collectd(kafka_broker, tmp_path, {topics["json"]: "Format JSON"}) as daemon:
        await asyncio.to_thread(daemon.put, put_values(now_ms() // 1000 - 30, 2))
        records = await arrived(kafka_broker, topics["json"], 2 * (len(GAUGES) + len(RATES)))

    found = sums_of(records, config_for("auto"))

    assert {name for window in found["web"].windows for name in window.saturation} == {
        name for name in EXPECTED if "network" not in name
    }


OWN = """
LoadPlugin cpu
<Plugin cpu>
  ReportByCpu true
  ReportNumCpu true
  ValuesPercentage {percent}
</Plugin>
LoadPlugin memory
LoadPlugin load
LoadPlugin interface
<Plugin interface>
  Interface "lo"
</Plugin>
LoadPlugin df
<Plugin df>
  MountPoint "/"
</Plugin>
"""


@pytest.mark.parametrize("percent", ["true", "false"])
async def test_its_own_plugins_say_what_the_machine_says(kafka_broker: KafkaBroker, tmp_path: Path, percent: str) -> None:
    topics = await new_topics(kafka_broker, "rates", "counters")
    settings = {topics["rates"]: "Format JSON", topics["counters"]: "Format JSON\nStoreRates false"}
    with collectd(kafka_broker, tmp_path, settings, plugins=OWN.format(percent=percent), host="machine"):
        used = used_memory()
        disk = shutil.disk_usage("/")
        await arrived(kafka_broker, topics["rates"], 120)
    records: dict[str, list[InRecord]] = {name: await all_records(kafka_broker, topic) for name, topic in topics.items()}

    for name, decoder in (("rates", "collectd"), ("counters", "collectd_counters")):
        found = sums_of(records[name], with_limit(config_for(decoder)))["machine"]
        levels = {resource: sum(values) / len(values) for resource, values in found.saturation.items()}
        assert set(levels) == {"cpu", "memory", "load", "filesystem root", "network in lo", "network out lo"}, name
        assert 0 < levels["cpu"] <= 1
        assert levels["memory"] == pytest.approx(used, abs=0.1)
        assert levels["filesystem root"] == pytest.approx(1 - disk.free / disk.total, abs=0.02)
        assert levels["load"] == pytest.approx(os.getloadavg()[0] / (os.cpu_count() or 1), abs=2.0)
        assert levels["network in lo"] == pytest.approx(2 * levels["network out lo"], rel=0.01)  # what goes out of it comes in
        assert levels["network in lo"] > 0


def used_memory() -> float:
    """Return which share of memory is used, as collectd reckons: neither free, nor buffers, cache or slab."""
    lines = [line.split() for line in Path("/proc/meminfo").read_text().splitlines()]
    kb = {name.rstrip(":"): int(value) for name, value, *_ in lines}
    free = sum(kb[name] for name in ("MemFree", "Buffers", "Cached", "Slab"))
    return 1 - free / kb["MemTotal"]
