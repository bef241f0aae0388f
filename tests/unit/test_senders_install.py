"""A sender that a machine cannot have: its tests skip and say how to get it, but fail in CI."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.senders import install, programs


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOCSIN_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TOCSIN_CI", raising=False)
    return tmp_path / "cache"


@pytest.mark.usefixtures("empty_cache")
@pytest.mark.parametrize("find", [programs.collector, lambda: programs.debian("usr/bin/kcat")])
def test_a_missing_sender_skips_and_in_ci_fails(find: Callable[[], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(pytest.skip.Exception, match=r"python -m tests\.senders\.install"):
        find()

    monkeypatch.setenv("TOCSIN_CI", "1")
    with pytest.raises(pytest.fail.Exception, match=r"python -m tests\.senders\.install"):
        find()


def test_a_machine_without_apt_and_go_is_told_what_is_missing(
    empty_cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(install.shutil, "which", lambda _: None)

    elsewhere = install.main()
    monkeypatch.setenv("TOCSIN_CI", "1")
    in_ci = install.main()

    assert (elsewhere, in_ci) == (0, 1)
    said = capsys.readouterr()
    assert "there is no apt-get" in said.err
    assert "there is no `go` on PATH" in said.err
    assert "some are missing, their tests skip" in said.out
    assert not empty_cache.exists()


def test_what_fails_half_way_leaves_nothing_behind(empty_cache: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").write_text("half")
        raise install.NotToBeHad("no network")

    with pytest.raises(install.NotToBeHad, match="no network"):
        install._once(empty_cache / "thing", fail)

    assert [file.name for file in empty_cache.iterdir()] == ["thing.lock"]
