import json
from pathlib import Path

import pytest

from benchmarks.fuzz_samples import samples
from pipeline.cli.main import run
from pipeline.cli.mapping import explanation, lines_of
from pipeline.settings import load_settings

CONFIG = load_settings(env={}).ingest
NOW_MS = 1_800_000_000_000


def told(value: bytes) -> str:
    return "\n".join(lines_of(explanation(CONFIG, "telemetry.metrics", "auto", value, now_ms=NOW_MS)))


def test_an_otlp_message_says_by_which_rule_each_metric_counts() -> None:
    text = told(samples()["otlp_metrics"][0])

    assert "read by     otlp_metrics" in text
    assert (
        "http.server.request.duration: duration of requests in s; semantic-conventions http/http-metrics, stable since 1.23" in text
    )
    assert "saturation of memory (ratio)" in text
    assert "becomes     1 x latency of failed requests (cumulative) of default/shop, /x" in text


def test_a_metric_that_maps_to_nothing_is_named() -> None:
    value = json.dumps(
        {"timestamp": "2026-01-05T00:00:09Z", "value": "1", "name": "go_goroutines", "labels": {"job": "a"}}
    ).encode()

    text = told(value)

    assert "go_goroutines: means nothing here" in text
    assert "ignored     1" in text


def test_what_is_refused_is_said_with_field_and_rule() -> None:
    assert "missing_field: service" in told(b"just a line of text")


@pytest.mark.parametrize("decoder", samples())
def test_every_format_is_explained_in_words_and_as_json(decoder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sample"
    file.write_bytes(samples()[decoder][0])

    assert run(["explain-mapping", str(file), "--decoder", decoder, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)

    assert found["decoder"] == decoder
    assert found["becomes"] or found["refused"]


def test_a_decoder_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "sample"
    file.write_bytes(b"x")

    assert run(["explain-mapping", str(file), "--decoder", "carbon"]) == 2
    assert "--decoder must be one of" in capsys.readouterr().err
