"""The quick way through OTLP histograms says what the slow way says, whatever the message: sound, odd or broken."""

import random
from dataclasses import replace

import msgspec
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from benchmarks.field_order import from_last_to_first
from benchmarks.fuzz import mutated
from benchmarks.otlp import T0_MS, TOPIC, metrics
from pipeline.contracts.partials import Partial
from pipeline.contracts.readings import Decoded
from pipeline.contracts.records import InRecord
from pipeline.ingest.decoders import otlp_metrics, otlp_quick
from pipeline.ingest.decoders.otlp_metrics import decode_otlp_metrics, decode_slowly
from pipeline.ingest.reduce import PartialKey, fold
from pipeline.settings import load_settings

CONFIG = replace(load_settings(env={}).ingest, decoders={TOPIC: "otlp_metrics"})


def said(decoded: Decoded) -> object:
    partials: dict[PartialKey, Partial] = {}
    for reading in decoded.readings:
        fold(partials, reading, CONFIG)
    plain = {key: rounded(msgspec.to_builtins(partial, str_keys=True)) for key, partial in partials.items()}
    rejections = sorted((r.index or 0, r.reason, r.detail) for r in decoded.rejections)
    return plain, rejections, decoded.n_ignored, decoded.unmapped, len(decoded.readings) + decoded.n_merged


def rounded(value: object) -> object:
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def agree(value: bytes) -> Decoded:
    record = InRecord(0, T0_MS, None, value)
    quick, slow = decode_otlp_metrics(CONFIG, TOPIC, record), decode_slowly(CONFIG, TOPIC, record)
    assert said(quick) == said(slow), value.hex()
    return quick


def odd(rng: random.Random, *, cumulative: bool) -> bytes:
    """A message some of whose points break a rule, lack a field, or have more than usual."""
    message = ExportMetricsServiceRequest.FromString(metrics(rng, 0, cumulative=cumulative))
    for sender in message.resource_metrics:
        metric = sender.scope_metrics[0].metrics[0]
        for point in metric.histogram.data_points:
            if rng.random() > 0.2:
                continue
            spoil(rng, point)
        other = sender.scope_metrics[0].metrics.add(
            name=rng.choice(["http.client.request.duration", "http.server.duration"]), unit="ms"
        )
        other.CopyFrom(metric) if rng.random() < 0.5 else None
        other.name = rng.choice(["http.client.request.duration", "http.server.duration", "system.memory.utilization"])
    return message.SerializeToString()


def spoil(rng: random.Random, point: object) -> None:
    choice = rng.randrange(12)
    if choice == 0:
        point.count += 1
    elif choice == 1:
        point.ClearField("sum")
    elif choice == 2:
        point.sum = rng.choice([-1.0, float("nan"), float("inf"), 1e300])
    elif choice == 3:
        point.flags = 1
    elif choice == 4:
        point.time_unix_nano += rng.choice([10**11, 10**18])
    elif choice == 5:
        point.start_time_unix_nano = rng.choice(
            [0, point.time_unix_nano + 10**9, point.time_unix_nano - 10**12, point.time_unix_nano - 5 * 10**10]
        )
    elif choice == 6:
        point.explicit_bounds[3] = point.explicit_bounds[2]
    elif choice == 7:
        del point.bucket_counts[-1]
    elif choice == 8:
        point.exemplars.add(as_double=0.5)
    elif choice == 9:
        point.ClearField("min")
        point.ClearField("max")
    elif choice == 10:
        point.bucket_counts[0] = 2**63
    else:
        point.attributes[1].value.string_value = rng.choice(["\x07", "x" * 300, "Y" + "a" * 17])


def as_the_collector(value: bytes) -> bytes:
    return from_last_to_first(ExportMetricsServiceRequest.FromString(value))


ORDERS = {"sdk": bytes, "collector": as_the_collector}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cumulative", [False, True])
def test_usual_messages(cumulative: bool, order: str) -> None:
    decoded = agree(ORDERS[order](metrics(random.Random(1), 0, cumulative=cumulative)))

    assert len(decoded.readings) + decoded.n_merged == 500
    assert len(decoded.readings) < 20, "the quick way reads many at once"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("cumulative", [False, True])
def test_messages_with_odd_points(cumulative: bool, order: str) -> None:
    rng = random.Random(2)

    decoded = [agree(ORDERS[order](odd(rng, cumulative=cumulative))) for _ in range(25)]

    assert sum(len(one.rejections) for one in decoded) > 500


@pytest.mark.parametrize("order", ORDERS)
def test_mutated_messages(order: str) -> None:
    rng = random.Random(3)
    samples = [ORDERS[order](metrics(rng, 0, cumulative=cumulative)) for cumulative in (False, True)]

    decoded = [agree(mutated(rng, rng.choice(samples), rng.choice(samples))) for _ in range(150)]

    assert any(one.readings for one in decoded)


def test_a_quick_way_that_believes_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    believable = otlp_quick._believable
    monkeypatch.setattr(otlp_quick, "_believable", lambda *args, **more: believable(*args, **more) | True)
    rng = random.Random(2)

    with pytest.raises(AssertionError):
        [agree(odd(rng, cumulative=True)) for _ in range(10)]


@pytest.mark.parametrize("order", ORDERS)
def test_messages_of_the_usual_form_do_not_go_the_slow_way(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    monkeypatch.setattr(otlp_metrics, "decode_slowly", lambda *_: pytest.fail("the slow way was taken"))
    rng = random.Random(4)

    decode_otlp_metrics(CONFIG, TOPIC, InRecord(0, T0_MS, None, ORDERS[order](metrics(rng, 0, cumulative=True))))
