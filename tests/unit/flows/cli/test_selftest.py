"""`enginery selftest`: its table, as text and as JSON, and its exit code."""

import json

import pytest

from flows.cli.main import run
from tasks.judging.selftest import table
from tasks.judging.selftest.rates import Rate, Row


def plant(monkeypatch: pytest.MonkeyPatch, false_alarms: int) -> None:
    """Replace the simulation by one scenario with this many false alarms."""

    def rows(repetitions: int, _seed: int) -> list[Row]:
        rare, found = Rate.of(0, repetitions), Rate.of(repetitions, repetitions)
        alarms = Rate.of(false_alarms, repetitions)
        return [
            Row(
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


def test_at_least_one_judgement_is_simulated(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["selftest", "--repetitions", "0"]) == 2
    assert "repetitions" in capsys.readouterr().err
