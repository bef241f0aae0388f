"""`tocsin backtest` from a file to figures, alerts and a page."""

import json
from pathlib import Path

import pytest

from pipeline.cli.main import run

START_S = 1_767_571_200
FAULT_S, FAULT_LASTS_S = 2_700, 300
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An hour of the shop, in which payments fails for five minutes."""
    out = tmp_path_factory.mktemp("shop") / "shop.ndjson"
    fault = f"errors:payments:{FAULT_S}:{FAULT_LASTS_S}"
    arguments = ["--as-fast-as-possible", "--duration", "3600", "--start", str(START_S), "--seed", "3", "--fault", fault]
    assert run(["simulate", *arguments, "--out", str(out)]) == 0
    return out


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    file = tmp_path / "labels.csv"
    begins = START_S + FAULT_S
    file.write_text(
        f"service,start,end,kind,affected\npayments,{begins},{begins + FAULT_LASTS_S},errors,payments;checkout;storefront\n"
    )
    return file


def figures(capsys: Captured, *arguments: str | Path) -> dict[str, object]:
    capsys.readouterr()
    assert run(["backtest", *map(str, arguments), "--json"]) == 0
    answer: dict[str, object] = json.loads(capsys.readouterr().out)
    return answer


def test_a_labelled_recording_becomes_figures_alerts_and_a_page(
    recording: Path, labels: Path, tmp_path: Path, capsys: Captured
) -> None:
    report, alerts = tmp_path / "report.html", tmp_path / "alerts.ndjson"

    found = figures(capsys, recording, "--labels", labels, "--report", report, "--alerts", alerts)

    marks = found["against_labels"]
    assert isinstance(marks, dict)
    assert (marks["labels"], marks["detected"], marks["recall"]) == (1, 1, 1.0)
    assert 0 < marks["median_delay_s"] <= 60
    assert found["services"] == 6
    assert found["service_days"] == pytest.approx(6 / 24, abs=0.001)
    told = [json.loads(line) for line in alerts.read_text().splitlines()]
    assert any(one["service"] == "payments" and one["was"] == "own" for one in told)
    page = report.read_text()
    assert "errors: found" in page
    assert "demo/payments" in page


def test_before_the_scored_time_alerts_do_not_count(recording: Path, labels: Path, capsys: Captured) -> None:
    late = figures(capsys, recording, "--labels", labels, "--score-from", str(START_S + 3_500))

    assert late["alerts"] == 0
    assert late["service_days"] == pytest.approx(6 * 100 / 86_400, abs=0.001)
    assert isinstance(late["against_labels"], dict)
    assert late["against_labels"]["labels"] == 0


def test_what_lies_outside_the_period_is_not_read(recording: Path, capsys: Captured) -> None:
    found = figures(capsys, recording, "--from", str(START_S + 600), "--to", "2026-01-05T00:20:00Z")

    assert isinstance(found["start_ms"], int)
    assert found["start_ms"] >= (START_S + 590) * 1000
    assert isinstance(found["end_ms"], int)
    assert found["end_ms"] <= (START_S + 1_200) * 1000


def test_a_recording_cut_into_files_gives_what_it_gives_whole(recording: Path, tmp_path: Path, capsys: Captured) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    by_service: dict[str, list[str]] = {}
    for line in recording.read_text().splitlines():
        by_service.setdefault(json.loads(line).get("service", ""), []).append(line)
    for name, lines in by_service.items():
        (parts / f"{name}.ndjson").write_text("\n".join(lines))

    assert figures(capsys, parts) == figures(capsys, recording)


def test_the_figures_are_readable_too(recording: Path, labels: Path, capsys: Captured) -> None:
    assert run(["backtest", str(recording), "--labels", str(labels)]) == 0

    shown = capsys.readouterr().out
    assert "100.0 % (1 of 1)" in shown
    assert "pages alone" in shown


def test_lines_that_are_no_telemetry_are_counted_and_do_no_harm(recording: Path, tmp_path: Path, capsys: Captured) -> None:
    dirty = tmp_path / "dirty.ndjson"
    lines = recording.read_text().splitlines()
    dirty.write_text("\n".join(["nonsense", *lines[:600], '{"kind": "request"}', *lines[600:], "[[1]]"]))

    found, clean = figures(capsys, dirty), figures(capsys, recording)

    assert found["rejected_messages"] == 3
    assert {name: value for name, value in found.items() if name != "rejected_messages"} == {
        name: value for name, value in clean.items() if name != "rejected_messages"
    }


def test_a_file_without_telemetry_is_refused_in_one_sentence(tmp_path: Path, capsys: Captured) -> None:
    empty = tmp_path / "empty.ndjson"
    empty.write_text("nonsense\n")

    assert run(["backtest", str(empty)]) == 2
    assert "no window of any service" in capsys.readouterr().err
