"""Which spans travel with a sample of traces: a share, chosen by the trace's id, without the pairs that a message holds."""

from dataclasses import replace

import pytest

from pipeline.contracts.config import IngestConfig
from pipeline.contracts.partials import Partial
from pipeline.contracts.trace_samples import KEY, SpanStub, TraceSample, hash_below, is_below, merged_samples, stub_key
from pipeline.ingest.reduce import PartialKey, fold_sampled
from tests.unit.ingest.test_calls import CLIENT, CONFIG, CONSUMER, INTERNAL, PRODUCER, SERVER, Message

ALL = replace(CONFIG, trace_sample=1.0)


def stubs(message: Message, config: IngestConfig = ALL) -> dict[tuple[str, str, bool], int]:
    found: dict[tuple[str, str, bool], int] = {}
    for span in message.decoded(config).sampled:
        told = (span.stub.service, span.stub.parent.lstrip("0"), span.stub.failed)
        found[told] = found.get(told, 0) + 1
    return found


def trace(i: int) -> bytes:
    return i.to_bytes(16, "big")


def test_spans_whose_other_end_is_in_another_message_travel() -> None:
    message = Message()
    message.span("web", SERVER, 1)  # nobody called it
    message.span("web", INTERNAL, 2, 1)
    message.span("web", CLIENT, 3, 2, failed=True)
    message.span("web", PRODUCER, 4, 2)
    message.span("mailer", CONSUMER, 6, 5)

    assert stubs(message) == {("prod/web", "", True): 1, ("prod/web", "", False): 1, ("prod/mailer", "5", False): 1}


def test_pairs_that_the_message_holds_are_counted_there_and_do_not_travel() -> None:
    message = Message()
    message.span("web", CLIENT, 3)
    message.span("cart", SERVER, 4, 3)

    assert stubs(message) == {}
    assert message.calls(ALL)["web"].keys() == {"service:prod/cart"}


@pytest.mark.parametrize("broken", ["trace_id", "span_id", "end_time_unix_nano"])
def test_what_is_wrong_with_a_span_keeps_it_from_the_sample_and_refuses_no_more_than_before(broken: str) -> None:
    message = Message()
    span = message.span("web", CLIENT, 3)
    span.ClearField(broken)  # type: ignore[arg-type] - any of them

    assert stubs(message) == {}
    assert message.decoded(ALL).rejections == message.decoded(replace(ALL, trace_sample=0.0)).rejections


def test_the_share_is_kept_and_a_trace_is_chosen_by_its_id_alone() -> None:
    chosen: list[set[str]] = []
    for service in ("web", "cart"):
        message = Message()
        for i in range(1, 4_001):
            message.span(service, CLIENT, i).trace_id = trace(i)
        chosen.append({span.key for span in message.decoded(replace(ALL, trace_sample=0.1)).sampled})

    assert chosen[0] == chosen[1], "both services keep the same traces"
    assert 320 < len(chosen[0]) < 480, "400 of 4,000 expected, 19 of standard deviation"


def test_none_are_chosen_when_the_share_is_zero() -> None:
    message = Message()
    message.span("web", CLIENT, 3)

    assert stubs(message, replace(ALL, trace_sample=0.0)) == {}


def test_a_partial_that_is_full_halves_its_share_and_keeps_whole_traces() -> None:
    message = Message()
    for i in range(1, 1_001):
        message.span("web", CLIENT, 2 * i).trace_id = trace(i)
        message.span("web", CLIENT, 2 * i + 1).trace_id = trace(i)
    config = replace(ALL, max_span_stubs=100)
    partials: dict[PartialKey, Partial] = {}
    for span in message.decoded(config).sampled:
        fold_sampled(partials, span, config)

    ((key, partial),) = partials.items()
    sample = partial.traces
    assert key[0] == KEY
    assert sample is not None
    assert 20 < len(sample.stubs) <= 100
    assert sample.share in {1 / 16, 1 / 32, 1 / 64}
    expected = {h for i in range(1, 1_001) if is_below(h := hash_below(trace(i), 1.0), sample.share)}
    assert {key[:16] for key in sample.stubs} == expected
    assert len(sample.stubs) == 2 * len(expected)
    assert partial.readings == 2_000


def test_samples_merge_in_any_order_and_grouping() -> None:
    parts = []
    for part in range(4):
        sample = TraceSample()
        for i in range(60):
            sample.add(stub_key(hash_below(trace(i), 1.0), f"{part:016x}"), SpanStub(service="prod/web"), most=10 * (part + 3))
        parts.append(sample)
    a, b, c, d = parts

    whole = merged_samples(parts, most=50)
    grouped = merged_samples([merged_samples([d, b], most=50), merged_samples([c, a], most=50)], most=50)

    assert whole == grouped
    assert 0 < len(whole.stubs) <= 50
    assert whole.share < 1


def test_a_service_of_a_very_long_name_is_in_no_sample() -> None:
    message = Message()
    message.span("w" * 240, CLIENT, 3)
    message.span("w" * 250, CLIENT, 4)

    assert [len(span.stub.service) for span in message.decoded(ALL).sampled] == [245]
