"""Finished phases of a measurement: kept until it is done, unless they are old, forced away or unreadable."""

import os
import time
from pathlib import Path

import pytest

from artifacts.frozen import Frozen
from artifacts.settings import Settings
from tasks.runs import KeptPhases

KEY = "a" * 64
DAY_S = 86_400.0


class Answer(Frozen):
    value: int


class Other(Frozen):
    text: str


@pytest.fixture
def lines() -> list[str]:
    return []


def kept(settings: Settings, lines: list[str], *, force: bool = False) -> KeptPhases:
    return KeptPhases.of(settings, KEY, say=lines.append, force=force)


def unexpected() -> Answer:
    raise AssertionError("a finished phase was made again")


def test_a_phase_is_made_once(settings: Settings, lines: list[str]) -> None:
    assert kept(settings, lines).once("answers vllm fp8", Answer, lambda: Answer(value=1)) == Answer(value=1)
    assert lines == []
    assert kept(settings, lines).once("answers vllm fp8", Answer, unexpected) == Answer(value=1)
    assert lines == ["phase answers vllm fp8: reused from an earlier run"]


def test_a_phase_that_fails_is_not_kept(settings: Settings, lines: list[str]) -> None:
    with pytest.raises(AssertionError):
        kept(settings, lines).once("answers", Answer, unexpected)
    assert kept(settings, lines).once("answers", Answer, lambda: Answer(value=2)) == Answer(value=2)


def test_what_another_version_kept_is_made_again(settings: Settings, lines: list[str]) -> None:
    kept(settings, lines).once("answers", Other, lambda: Other(text="before"))
    kept(settings, lines).append("starts", Other(text="before"))
    assert kept(settings, lines).once("answers", Answer, lambda: Answer(value=3)) == Answer(value=3)
    assert lines == ["phase answers: what an earlier run kept is unreadable, so it is made again"]
    assert kept(settings, lines).appended("starts", Answer) == ()


def test_records_are_kept_in_their_order(settings: Settings, lines: list[str]) -> None:
    assert kept(settings, lines).appended("starts", Answer) == ()
    for value in (1, 2):
        kept(settings, lines).append("starts", Answer(value=value))
    assert kept(settings, lines).appended("starts", Answer) == (Answer(value=1), Answer(value=2))


def test_another_measurement_finds_nothing(settings: Settings, lines: list[str]) -> None:
    kept(settings, lines).once("answers", Answer, lambda: Answer(value=1))
    other = KeptPhases.of(settings, "b" * 64, say=lines.append, force=False)
    assert other.once("answers", Answer, lambda: Answer(value=2)) == Answer(value=2)


def test_a_forced_run_uses_nothing(settings: Settings, lines: list[str]) -> None:
    kept(settings, lines).once("answers", Answer, lambda: Answer(value=1))
    forced = kept(settings, lines, force=True)
    assert forced.once("answers", Answer, lambda: Answer(value=2)) == Answer(value=2)


def test_what_is_older_than_a_measurement_may_be_is_removed(settings: Settings, lines: list[str]) -> None:
    kept(settings, lines).once("answers", Answer, lambda: Answer(value=1))
    long_ago = time.time() - 8 * DAY_S
    os.utime(settings.home / "phases" / KEY, (long_ago, long_ago))
    KeptPhases.of(settings, "b" * 64, say=lines.append, force=False)
    assert not (settings.home / "phases" / KEY).exists()


def test_nothing_is_left_of_a_measurement_that_is_done(settings: Settings, lines: list[str]) -> None:
    phases = kept(settings, lines)
    phases.once("answers", Answer, lambda: Answer(value=1))
    phases.remove()
    assert list(Path(settings.home, "phases").iterdir()) == []


def test_phases_that_another_run_removes_meanwhile_are_no_error(settings: Settings, lines: list[str]) -> None:
    root = settings.home / "phases"
    root.mkdir(parents=True)
    (root / ("b" * 64)).symlink_to("nowhere")  # is listed, and has no status: as if it had just been removed
    assert kept(settings, lines).once("answers", Answer, lambda: Answer(value=1)) == Answer(value=1)
