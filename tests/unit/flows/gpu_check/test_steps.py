"""Steps of a check: one that fails is recorded and does not lose the others; late ones do not begin."""

import pytest

from artifacts.errors import NotFound
from flows.gpu_check import steps as module
from flows.gpu_check.steps import Steps


def said() -> tuple[list[str], Steps]:
    lines: list[str] = []
    return lines, Steps(lines.append)


def test_a_step_hands_on_what_it_made() -> None:
    _, steps = said()
    assert steps.run("count", lambda: 3) == 3
    (record,) = steps.records
    assert (record.name, record.state, record.detail) == ("count", "done", "")
    assert not steps.failed


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (NotFound("there is no tree", fix="make one"), "there is no tree\n  fix: make one"),
        (KeyError("x"), "KeyError: 'x'"),
    ],
)
def test_a_step_that_fails_is_recorded_in_its_words_and_the_next_one_runs(
    error: Exception, detail: str
) -> None:
    lines, steps = said()

    def fail() -> None:
        raise error

    assert steps.run("first", fail) is None
    assert steps.run("second", lambda: "made") == "made"
    assert [(one.state, one.detail) for one in steps.records] == [("failed", detail), ("done", "")]
    assert steps.failed
    assert any("first: failed" in line for line in lines)


def test_an_interruption_is_no_failed_step() -> None:
    _, steps = said()

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        steps.run("first", interrupt)


def test_nothing_begins_late_but_for_what_always_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    steps = Steps(lambda _line: None, allowed_minutes=10)
    assert steps.run("in time", lambda: 1) == 1
    now[0] += 600
    assert steps.run("late", lambda: 2) is None
    assert steps.run("stop the stack", lambda: 3, always=True) == 3
    assert [one.state for one in steps.records] == ["done", "not run", "done"]
    assert "10 minutes" in steps.records[1].detail
    assert not steps.failed
