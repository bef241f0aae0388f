"""docs/configuration.md: every key, as the code has it."""

from pathlib import Path

from pipeline.cli.config_docs import render

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_what_the_code_says() -> None:
    assert PAGE.read_text() == render(), "run: make config-docs"


def test_every_key_has_a_meaning() -> None:
    empty = [line for line in render().splitlines() if line.startswith("| `") and line.endswith("|  |")]

    assert not empty
