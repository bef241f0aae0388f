"""The example in docs/remediation-events.md is what the code publishes."""

import json
import re
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from pipeline.act.alerts import restore
from pipeline.act.params import ActParams
from pipeline.act.remediation import RemediationParams
from pipeline.analyse.lifecycle import AlertingParams
from pipeline.analyse.lifecycle import restore as restore_life_cycle
from pipeline.contracts.codec import decode, encode
from pipeline.contracts.directory import Directory
from pipeline.contracts.records import OutRecord
from pipeline.contracts.remediation import RemediationResult
from tests.alert_samples import ORIGIN_MS, deployment, feed, record, verdict

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "remediation-events.md"


def published() -> OutRecord:
    """Return the request that the shipped configuration makes of a page-worthy latency after a deployment."""
    alerting = TypeAdapter(AlertingParams).validate_python(_config("alerting.yaml"))
    directory = TypeAdapter(Directory).validate_python(_config("services.yaml"))
    act = _config("remediation.yaml")
    life_cycle = restore_life_cycle(alerting, directory, 0, {})
    stage = restore(
        TypeAdapter(ActParams).validate_python(act["act"]),
        TypeAdapter(RemediationParams).validate_python(act["remediation"]),
        0,
        {},
    )
    told = feed(life_cycle, [verdict(0, "P", changes=[deployment(120_000)]), verdict(1, "P")])
    outputs = [out for i, one in enumerate(told) for out in stage.step(record(i, one.value), ORIGIN_MS + 23_000)]
    (request,) = (out for out in outputs if out.topic == "remediation.requests")
    return request


def shown(kind: str) -> str:
    """Return the block of the page that follows the comment of this name."""
    found = re.search(rf"<!-- {kind} -->\n```\w+\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None, kind
    return found.group(1)


def expected(kind: str) -> str:
    """Return what the block must hold."""
    out = published()
    if kind == "value":
        return json.dumps(json.loads(out.value or b""), indent=2, ensure_ascii=False) + "\n"
    headers = [f"{name}: {(value or b'').decode()}" for name, value in out.headers]
    return "\n".join([f"key: {out.key}", *headers]) + "\n"


def test_the_example_value_is_what_the_code_publishes() -> None:
    assert shown("value") == expected("value")


def test_the_example_key_and_headers_are_what_the_code_publishes() -> None:
    assert shown("headers") == expected("headers")


def test_the_example_result_is_a_sound_answer_to_the_example() -> None:
    result = decode(shown("result").encode(), RemediationResult)

    assert result.idempotency_key == json.loads(published().value or b"")["id"]
    assert json.loads(encode(result)) == json.loads(shown("result"))


def test_the_filters_shown_ask_for_paths_that_exist() -> None:
    value = json.loads(published().value or b"")
    paths = set(re.findall(r"event\.body\.([a-z_.]+)", shown("eda"))) | set(re.findall(r"body\.([a-z_.]+)", shown("argo")))

    assert paths >= {"type", "data.action", "data.dry_run"}
    for path in paths:
        found = value
        for name in path.split("."):
            assert name in found, path
            found = found[name]


def test_every_kind_of_condition_has_a_place_in_the_runbook() -> None:
    headings = set(re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE))

    assert headings >= {"latency", "traffic", "errors", "saturation", "silence"}


def _config(name: str) -> dict[str, object]:
    content = yaml.safe_load((ROOT / "config" / name).read_text(encoding="utf-8"))
    assert isinstance(content, dict)
    return content
