"""The name of the settings that decided."""

from pipeline.backtest.outcome import config_digest
from pipeline.settings import load_settings


def test_what_decides_changes_the_name_and_where_a_worker_runs_does_not() -> None:
    shipped = config_digest(load_settings(env={}))

    assert config_digest(load_settings(env={}, overrides={"connection.bootstrap": "elsewhere:9092"})) == shipped
    assert config_digest(load_settings(env={}, overrides={"detection.ready_windows": "121"})) != shipped
    assert config_digest(load_settings(env={}, overrides={"windows.delay_ms": "4000", "source.delay_ms": "4000"})) != shipped
