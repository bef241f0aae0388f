"""Writes a configuration folder whose topics, groups and timings are a run's own, so that runs share a broker without meeting."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parent.parent


def write_config(
    folder: Path, *, prefix: str, bootstrap: str, partitions: int, changed: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, str]:
    """Write the shipped configuration with every topic and the app id prefixed, and the test profile's timeouts.

    Parameters
    ----------
    folder
        Where to; must not exist.
    prefix
        Goes before every topic name and the app id.
    bootstrap
        The broker.
    partitions
        Of every topic that has several.
    changed
        Section of tocsin.yaml to keys that differ.

    Returns
    -------
    dict
        Topic name by logical name.

    """
    shutil.copytree(REPOSITORY / "config", folder)
    topics = yaml.safe_load((folder / "topics.yaml").read_text())
    for spec in topics["topics"]:
        spec["name"] = prefix + spec["name"]
    topics["service_partitions"] = topics["telemetry_partitions"] = partitions
    (folder / "topics.yaml").write_text(yaml.safe_dump(topics))
    main = yaml.safe_load((folder / "tocsin.yaml").read_text())
    main["broker"] = {"bootstrap": bootstrap}
    main["worker"] |= {"app_id": f"{prefix}tocsin", "profile": "test", "web_port": 0, "checkpoint_ms": 500}
    main["ingest"]["decoders"] = {prefix + topic: decoder for topic, decoder in main["ingest"]["decoders"].items()}
    for section, values in (changed or {}).items():
        main[section] |= values
    (folder / "tocsin.yaml").write_text(yaml.safe_dump(main))
    return {spec["logical"]: spec["name"] for spec in topics["topics"]}
