"""A ratio that changed: it is said whether the engine or the reference did, if anybody can say."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.judging import evidence as planted
from support.judging.judgements import SUBJECT, measured, protocol, terms
from support.stores.releases import release, variant

from flows.text.release import release_lines
from tasks.evidence import Drift, JudgedSpeed, drift_between
from tasks.judging.judge import judge_engine
from tasks.judging.report import render_report
from tasks.judging.report.last_release import LastRelease


def speed(ratio: float = 2.0, **settings: Any) -> JudgedSpeed:
    """What is kept of a comparison's speeds."""
    return planted.engine(ratio, **settings).speed


@cache
def then() -> JudgedSpeed:
    return speed()


def since(now: JudgedSpeed) -> Drift:
    return drift_between(then(), now, since="demo@0.1.0")


def kinds(found: Drift) -> tuple[str, ...]:
    assert not found.incomparable
    return tuple(change.kind for change in (found.reference, found.engine, found.ratio) if change)


def test_a_reference_that_became_faster_is_not_an_engine_that_became_slower() -> None:
    """The same engine at 1,000 tokens/s, next to a reference at 575 instead of 500."""
    found = since(speed(2.0 / 1.15, rate=575.0))
    assert kinds(found) == ("faster", "steady", "slower")
    said = found.text()
    assert "Since demo@0.1.0, the reference became 15.0% faster [" in said
    assert "and the engine did not change by more than 10% [" in said
    assert "The ratio was 2.0" in said


def test_an_engine_that_became_slower_is_told_apart_from_that() -> None:
    found = since(speed(2.0 * 0.85))
    assert kinds(found) == ("steady", "slower", "slower")
    assert "the engine became 14." in found.text() or "the engine became 15." in found.text()


def test_a_host_that_became_slower_changes_both_sides_and_not_the_ratio() -> None:
    assert kinds(since(speed(rate=400.0))) == ("slower", "slower", "steady")


def test_what_the_intervals_cannot_tell_is_not_claimed() -> None:
    few = [500.0, 560.0, 450.0]
    noisy = then().reference.model_copy(update={"rates": few})
    found = drift_between(
        then().model_copy(update={"reference": noisy}), speed(rate=520.0), since="demo@0.1.0"
    )
    assert found.reference is not None
    assert found.reference.kind == "unclear"
    assert "the reference may have changed: " in found.text()


@pytest.mark.parametrize(
    ("faster", "one_start", "many_starts"), [(1.01, "steady", "steady"), (1.05, "unclear", "faster")]
)
def test_small_changes_are_seen_only_over_many_starts(
    faster: float, one_start: str, many_starts: str
) -> None:
    """What the one start of a side decides looks like a change of as much."""
    now = speed(rate=500.0 * faster)
    for kind, spread in ((one_start, then().start_spread), (many_starts, 0.0)):
        before, after = (one.model_copy(update={"start_spread": spread}) for one in (then(), now))
        found = drift_between(before, after, since="demo@0.1.0").reference
        assert found is not None
        assert found.kind == kind


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (lambda: speed(host={**planted.HOST, "cores": 64}), "another class of host (cores: 2 -> 64)"),
        (
            lambda: then().model_copy(update={"placement": "in-turn"}),
            "sides ran together then, and in-turn now",
        ),
        (
            lambda: then().model_copy(update={"quiet_host": "record"}),
            "only one of them required a quiet host",
        ),
        (lambda: then().model_copy(update={"metric": "throughput_per_device"}), "another workload or metric"),
        (lambda: planted.without_engine().speed, "one is a comparison, the other a baseline"),
    ],
)
def test_what_was_measured_otherwise_is_not_compared(now: Callable[[], JudgedSpeed], why: str) -> None:
    found = since(now())
    assert (found.reference, found.engine, found.ratio) == (None, None, None)
    assert found.text().startswith("Not comparable with demo@0.1.0: ")
    assert why in found.text()


def test_another_version_of_a_tool_is_named() -> None:
    found = since(speed(rate=540.0, versions={"none": "vllm 0.33.0"}))
    assert "reference: vllm 0.32.0 -> vllm 0.33.0" in found.text()


def test_it_is_said_in_the_report_and_where_the_release_is_shown(tmp_path: Path) -> None:
    said = "Since demo@0.1.0, the reference became 8.0% faster."
    asked = protocol(samples=len(planted.GOOD))
    subject = SUBJECT.model_copy(update={"since_last": said})
    result = judge_engine(measured(asked.digest, planted.GOOD, ratio=2.0), asked, terms(), subject)
    last = LastRelease(name="demo@0.1.0", published_at=None, then=None, unreadable="a test says so")
    assert said in render_report(result, tmp_path, last=last).read_text()
    shown = list(release_lines(release(variant("cpu-int8", since_last=said)), {}))
    assert f"  {said}" in shown
