"""The Docker files say what Tocsin's own command line, settings and metrics understand; two tools check their form."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from pipeline.adapters.vocabulary import METRICS
from pipeline.cli.main import app
from pipeline.settings import CONFIG_DIR_VARIABLE, ENVIRONMENT

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
PROMETHEUS = ROOT / "config" / "prometheus"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text())["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("tocsin:")}
WORKERS = {name: service for name, service in OURS.items() if service["command"][0] == "worker"}
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def tool(*names: str) -> str:
    """Return the path of the first tool that is there; skip the test without one."""
    found = next(
        (path for name in names if (path := shutil.which(name, path=f"{ROOT}/.venv/bin:/usr/local/bin:/usr/bin:/bin"))), None
    )
    if found is None:
        pytest.skip(f"{' or '.join(names)} is not installed")
    return found


def test_compose_reads_its_file() -> None:
    done = subprocess.run([tool("docker-compose"), "-f", COMPOSE, "config"], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert set(yaml.safe_load(done.stdout)["services"]) == set(SERVICES)


def test_compose_refuses_a_file_that_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text(COMPOSE.read_text().replace("  topics:\n    <<", "  no-topics:\n    <<"))

    done = subprocess.run([tool("docker-compose"), "-f", wrong, "config"], capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert "undefined" in done.stderr


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    done = subprocess.run([tool("hadolint"), "--format", "json", ROOT / "Dockerfile"], capture_output=True, text=True, check=False)

    assert json.loads(done.stdout) == []


def test_hadolint_finds_what_is_wrong(tmp_path: Path) -> None:
    wrong = tmp_path / "Dockerfile"
    wrong.write_text(re.sub(r"FROM python:\S+", "FROM python:latest", DOCKERFILE))

    done = subprocess.run([tool("hadolint"), "--format", "json", wrong], capture_output=True, text=True, check=False)

    assert "DL3007" in done.stdout


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_that_tocsin_has(name: str) -> None:
    result = CliRunner().invoke(app, [*OURS[name]["command"], "--help"])

    assert result.exit_code == 0, result.output


def test_a_command_that_tocsin_has_not_is_refused() -> None:
    assert CliRunner().invoke(app, ["worker", "--roll", "act", "--help"]).exit_code == 2


def test_the_roles_are_one_service_each() -> None:
    assert {service["command"][-1] for service in WORKERS.values()} == {"ingest", "analyse", "act"}


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_one_that_the_settings_know(name: str) -> None:
    assert set(OURS[name]["environment"]) <= set(ENVIRONMENT)


def test_the_image_sets_only_variables_that_are_known() -> None:
    assert set(re.findall(r"\b(TOCSIN_\w+)=", DOCKERFILE)) <= {*ENVIRONMENT, CONFIG_DIR_VARIABLE}


@pytest.mark.parametrize("name", SERVICES)
def test_every_image_is_pinned_and_nothing_is_open_to_the_network(name: str) -> None:
    service = SERVICES[name]

    assert re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", service["image"])
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert not service.get("privileged", False)


@pytest.mark.parametrize("name", sorted(set(SERVICES) - {"topics", "simulator"}))
def test_what_runs_on_is_restarted_and_checked(name: str) -> None:
    assert SERVICES[name]["restart"] == "unless-stopped"
    assert SERVICES[name]["healthcheck"]["test"]


@pytest.mark.parametrize("name", [*WORKERS, "simulator"])
def test_nothing_reads_or_writes_before_the_topics_are_made(name: str) -> None:
    assert OURS[name]["depends_on"]["topics"]["condition"] == "service_completed_successfully"
    assert SERVICES["topics"]["depends_on"]["kafka"]["condition"] == "service_healthy"
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_health_is_asked_where_the_image_serves_it() -> None:
    (port,) = re.findall(r"TOCSIN_WEB_PORT=(\d+)", DOCKERFILE)
    (scrape,) = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    (targets,) = scrape["dns_sd_configs"]

    assert f"EXPOSE {port}" in DOCKERFILE
    assert all(f"http://127.0.0.1:{port}/ready" in service["healthcheck"]["test"][-1] for service in WORKERS.values())
    assert targets["port"] == int(port)
    assert set(targets["names"]) == set(WORKERS)


def test_the_image_runs_as_nobody_special_and_installs_by_hash() -> None:
    stages = DOCKERFILE.split("FROM ")[1:]

    assert len(stages) == 2
    assert re.search(r"^USER 10001:10001$", stages[-1], re.MULTILINE)
    assert "--no-deps --require-hashes -r requirements-runtime.lock" in stages[0]
    assert "pip" not in stages[-1]
    assert "index-url" not in DOCKERFILE


def test_the_build_context_holds_what_is_copied_and_nothing_else() -> None:
    ignored, *allowed = [
        line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith(("#", "**"))
    ]
    copied = {
        name.removeprefix("./")
        for line in DOCKERFILE.splitlines()
        if line.startswith("COPY ") and "--from" not in line
        for name in line.split()[1:-1]
    }

    assert ignored == "*"
    assert {line.removeprefix("!") for line in allowed} == copied


def rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    return list(group["rules"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_every_rule_speaks_of_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    by_name = {metric.name: metric for metric in METRICS}
    text = " ".join([rule["expr"], *rule["annotations"].values()])
    names = {re.sub(r"_(bucket|count|sum)$", "", name) for name in re.findall(r"\btocsin_\w+", text)}
    known = {"job", "instance", "role", "le", *(label for name in names for label in by_name[name].labels)}  # type: ignore[index]
    used = set(re.findall(r"\$labels\.(\w+)", text)) | set(re.findall(r"(\w+)=~?\"", rule["expr"]))

    assert used <= known
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert set(rule["annotations"]) == {"summary", "action"}


def test_the_rules_are_the_ones_that_prometheus_loads() -> None:
    loaded = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["rule_files"]

    assert [(PROMETHEUS / name).is_file() for name in loaded] == [True]
    assert len(rules()) >= 5
