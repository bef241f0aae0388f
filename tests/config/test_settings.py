"""Configuration: what is refused, how it is said, and what goes over what."""

import shutil
from pathlib import Path

import pytest
import yaml

from models.alert_policy import PROFILES
from pipeline.analyse.profile_params import Profiles
from pipeline.errors import ConfigError
from pipeline.settings import load_settings

CONFIG = Path(__file__).parents[2] / "config"
BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONFIG, tmp_path / "config"))


def test_the_shipped_configuration_is_sound() -> None:
    settings = load_settings(CONFIG, env={})

    assert settings.app_id == "tocsin"
    assert settings.windows.delay_ms == settings.source.delay_ms


def test_the_three_profiles_are_found_by_name_and_shipped_as_the_code_has_them() -> None:
    shipped = load_settings(CONFIG, env={}).detection.profiles

    assert list(yaml.safe_load((CONFIG / "profiles.yaml").read_text())) == ["page", "ticket", "nab"]
    assert shipped == Profiles()
    for name in ("page", "ticket", "nab"):
        assert getattr(shipped, name).novelty.policy() == PROFILES[name]


def test_a_profile_decides_what_is_a_page_and_what_a_ticket_at_both_speeds(folder: Path) -> None:
    text = (folder / "profiles.yaml").read_text()
    (folder / "profiles.yaml").write_text(
        text.replace("traffic_drop: 2.0", "traffic_drop: 7.0").replace("threshold: 2.5", "threshold: 9")
    )

    changed = load_settings(folder, env={}).detection.profiles

    assert changed.page.fast.traffic_drop == 7
    assert changed.page.novelty.policy().threshold == 9
    assert changed.ticket == Profiles().ticket


@pytest.mark.parametrize("bad", BAD, ids=lambda path: path.stem)
def test_a_bad_file_is_refused_with_place_and_rule(folder: Path, bad: Path) -> None:
    expected = bad.read_text().splitlines()[0].removeprefix("# expect: ")
    target = f"{bad.name.split('.')[0]}.yaml"
    shutil.copy(bad, folder / target)

    with pytest.raises(ConfigError) as refused:
        load_settings(folder, env={})

    assert any(target in problem and expected in problem for problem in refused.value.problems), refused.value.problems


def test_every_problem_of_every_file_is_reported_at_once(folder: Path) -> None:
    for name in ("tocsin.unknown-key.yaml", "tocsin.wrong-type.yaml"):
        shutil.copy(Path(__file__).parent / "bad" / name, folder / "tocsin.yaml")
    (folder / "services.yaml").unlink()
    (folder / "alerting.yaml").write_text("no_such_key: 1\n")

    with pytest.raises(ConfigError) as refused:
        load_settings(folder, env={})

    assert {Path(problem.split(":")[0]).name for problem in refused.value.problems} >= {
        "tocsin.yaml",
        "services.yaml",
        "alerting.yaml",
    }


def test_the_environment_goes_over_the_file_and_the_caller_over_both() -> None:
    env = {"TOCSIN_BROKER": "env:9092", "TOCSIN_APP_ID": "from-env"}

    settings = load_settings(CONFIG, {"connection.bootstrap": "caller:9092"}, env)

    assert (settings.connection.bootstrap, settings.app_id) == ("caller:9092", "from-env")


def test_a_secret_in_a_refused_file_is_not_repeated(folder: Path) -> None:
    (folder / "tocsin.yaml").write_text("broker: {bootstrap: 'a:1', sasl_password: hunter2}\n")

    with pytest.raises(ConfigError) as refused:
        load_settings(folder, env={})

    assert "hunter2" not in str(refused.value)
