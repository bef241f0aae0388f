"""The import rules can fail: a planted violation of each breaks them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PLANTED = [
    ("The three roles meet on topics, not in code", "pipeline/ingest/reduce.py", "import pipeline.analyse.windows"),
    ("The core is pure", "pipeline/analyse/windows.py", "import time"),
    ("The core is pure", "models/detector.py", "import logging"),
    ("The core is pure", "pipeline/act/alerts.py", "import pipeline.adapters.clock"),
    ("river is an implementation detail of models", "pipeline/analyse/agents.py", "import river"),
    ("models can be used alone", "models/detector.py", "import pipeline.contracts.ids"),
    ("Contracts know nothing of the project but its errors", "pipeline/contracts/ids.py", "import pipeline.settings"),
    ("Contracts know nothing of the project but its errors", "pipeline/contracts/ids.py", "import pipeline.contradictions"),
    ("Adapters are below agents, the app and the command line", "pipeline/adapters/clock.py", "import pipeline.gauges"),
    ("Adapters are below agents, the app and the command line", "pipeline/adapters/clock.py", "import pipeline.ingest.agents"),
]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    for package in ("pipeline", "models"):
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([program, "--no-cache"], cwd=folder, env=env, capture_output=True, text=True, check=False)


def test_the_tree_keeps_every_rule(copy: Path) -> None:
    done = lint(copy)

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("rule", "file", "line"), PLANTED, ids=[f"{file}: {line}" for _, file, line in PLANTED])
def test_a_planted_import_breaks_its_rule(copy: Path, rule: str, file: str, line: str) -> None:
    module = copy / file
    before = module.read_text()
    module.write_text(f"{before}\n{line}  # planted\n")
    try:
        done = lint(copy)
    finally:
        module.write_text(before)

    assert done.returncode == 1
    assert f"{rule} BROKEN" in done.stdout
