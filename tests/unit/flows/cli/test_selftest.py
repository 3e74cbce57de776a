"""`enginery selftest`: its table, as text and as JSON, and its exit code."""

import json
from datetime import UTC, datetime

import pytest

from flows.cli.commands import selftest
from flows.cli.main import run
from tasks.judging.selftest import table
from tasks.judging.selftest.rates import Rate
from tasks.judging.selftest.rates import Row as Simulated
from tasks.selftest.results import LiveSelfTest, Row
from tasks.selftest.trial import Trial


def plant(monkeypatch: pytest.MonkeyPatch, false_alarms: int) -> None:
    """Replace the simulation by one scenario with this many false alarms."""

    def rows(repetitions: int, _seed: int) -> list[Simulated]:
        rare, found = Rate.of(0, repetitions), Rate.of(repetitions, repetitions)
        alarms = Rate.of(false_alarms, repetitions)
        return [
            Simulated(
                scenario="planted",
                false_alarm=alarms,
                found=found,
                missed=rare,
                inconclusive=rare,
                work={"at the bar": 64.0},
            )
        ]

    monkeypatch.setattr(table, "FAMILIES", {"speed": rows})


def test_the_table_is_markdown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plant(monkeypatch, 1)
    assert run(["selftest", "--repetitions", "100"]) == 0
    printed = capsys.readouterr().out
    assert "| scenario | false alarm | found | missed | inconclusive | work at the bar |" in printed
    assert "| planted | 0.010 [0.000, 0.054] |" in printed


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plant(monkeypatch, 1)
    assert run(["selftest", "--repetitions", "100", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["failing"] == []
    assert document["families"]["speed"][0]["false_alarm"]["times"] == 1


def test_an_error_that_is_too_frequent_is_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, 30)
    assert run(["selftest", "--repetitions", "100"]) == 1
    assert "wrong in more than 5 % of judgements: speed: planted" in capsys.readouterr().err


def test_the_live_part_is_printed_with_the_simulated_one_and_its_failures_are_an_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(monkeypatch, 1)
    asked: list[tuple[tuple[str, ...], int]] = []

    def live(only: tuple[str, ...], repeats: int) -> LiveSelfTest:
        asked.append((only, repeats))
        trial = Trial(planted="x", seed=1, texts=40, outcome="passed", gates=(), reason="all is well")
        row = Row(name="x", does="does x", expected="found", gates=("regret",), trials=(trial,))
        now = datetime(2026, 11, 28, tzinfo=UTC)
        return LiveSelfTest(began_at=now, host="here", repeats=repeats, rows=(row,), controls=())

    monkeypatch.setattr(selftest, "_live", live)
    assert run(["selftest", "--repetitions", "100", "--live"]) == 1
    printed = capsys.readouterr()
    assert "| planted | 0.010 [0.000, 0.054] |" in printed.out
    assert "| `x` | does x | found | passed | 40 | 0 of 1 [0.000, 0.975] |" in printed.out
    assert "not as it has to be: x" in printed.err
    assert run(["selftest", "--live", "--only", "x", "--repeats", "3", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document.keys() == {"live"}, "nothing is simulated for a single one"
    assert document["live"]["failing"] == ["x"]
    assert asked == [((), 2), (("x",), 3)]


def test_an_unknown_name_is_refused_before_anything_starts(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "--live", "--only", "garbage-after-3"]) == 2
    printed = capsys.readouterr().err
    assert "'garbage-after-3'" in printed
    assert "garbage-after-8" in printed


def test_at_least_one_judgement_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "--repetitions", "0"]) == 2
    assert "repetitions" in capsys.readouterr().err
