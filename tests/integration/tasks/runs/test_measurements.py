"""Measurements: appended, and reused only while they are young, conclusive and of the same kind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from artifacts.settings import Settings
from artifacts.store import Store, new_measurement
from tasks.errors import CacheMissRefused
from tasks.runs import (
    Finding,
    MeasurementCall,
    Pipeline,
    Usable,
    find_measurement,
    measure_once,
    spend_attempt,
)
from tasks.runs.measurements import NotUsable, keep_measurement

DOCUMENT = {"protocol": "p" * 64, "host": {"cores": 2}}
CALL = MeasurementCall("judged", DOCUMENT)
# It measures until it is killed, after it has looked, or before it does.
MEASURE = """
import json, sys, time
from functools import partial
from artifacts.settings import Settings
from artifacts.store import open_store
from tasks.runs import MeasurementCall, Pipeline, measure_once, spend_attempt
call = MeasurementCall("judged", json.loads(sys.argv[1]))
pipeline = Pipeline(Settings(), open_store(Settings()), say=lambda line: None, force=True)

def measure(attempt):
    if sys.argv[2] == "looks":
        spend_attempt(pipeline, call, attempt)
    print(attempt, flush=True)
    time.sleep(600)

measure_once(pipeline, call, measure, devices=lambda one: 1)
"""


@pytest.fixture
def pipeline(settings: Settings, store: Store) -> Pipeline:
    return Pipeline(settings, store, say=lambda _line: None)


class Value(Frozen):
    value: int


def keep(pipeline: Pipeline, value: int = 1, call: MeasurementCall = CALL, **switches: bool) -> None:
    keep_measurement(pipeline, call, Finding(Value(value=value), **switches), device_s=1.0)


def within(budget_minutes: float) -> MeasurementCall:
    """The same question, with a time budget."""
    return MeasurementCall("judged", DOCUMENT, budget_minutes)


def test_time_that_went_to_what_decides_nothing_is_charged_to_nobody(pipeline: Pipeline) -> None:
    def measure(_attempt: int) -> Finding[Value]:
        return Finding(Value(value=1), aside_s=-1000.0)

    made, _ = measure_once(pipeline, CALL, measure, devices=lambda _value: 2)
    assert 2000 <= made.device_s < 2100


def test_none_is_usable_before_the_first(pipeline: Pipeline) -> None:
    assert isinstance(find_measurement(pipeline, CALL), NotUsable)


def test_the_newest_is_reused(pipeline: Pipeline) -> None:
    keep(pipeline, value=1)
    keep(pipeline, value=2)
    found = find_measurement(pipeline, CALL)
    assert isinstance(found, Usable)
    assert found.measurement.result == {"value": 2}


def test_another_host_class_shares_nothing(pipeline: Pipeline) -> None:
    keep(pipeline)
    assert isinstance(
        find_measurement(pipeline, MeasurementCall("judged", DOCUMENT | {"host": {"cores": 4}})), NotUsable
    )


def test_an_old_one_is_measured_again_and_says_how_old(pipeline: Pipeline) -> None:
    keep(pipeline)
    later = datetime.now(UTC) + timedelta(hours=pipeline.settings.measurement_max_age_hours + 1)
    found = find_measurement(pipeline, CALL, now=later)
    assert isinstance(found, NotUsable)
    assert "169.0 h old" in found.reason


def test_one_from_a_host_whose_clock_is_ahead_is_not_reused_and_does_not_hide_others(
    pipeline: Pipeline,
) -> None:
    keep(pipeline, value=1)
    earlier = datetime.now(UTC) - timedelta(days=400)
    found = find_measurement(pipeline, CALL, now=earlier)
    assert isinstance(found, NotUsable)
    assert "in the future: check the clocks" in found.reason
    ahead = new_measurement(CALL.kind, DOCUMENT, {"value": 2}, conclusive=True, device_s=1.0)
    ahead = ahead.model_copy(update={"created_at": datetime.now(UTC) + timedelta(days=400)})
    pipeline.store.append_measurement(ahead.key, ahead)
    found = find_measurement(pipeline, CALL)
    assert isinstance(found, Usable)
    assert found.measurement.result == {"value": 1}
    slightly = find_measurement(pipeline, CALL, now=datetime.now(UTC) - timedelta(minutes=1))
    assert isinstance(slightly, Usable)
    assert "measured 0.0 h ago" in slightly.reason


def test_an_inconclusive_one_is_kept_and_repeated_only_with_a_larger_budget(
    pipeline: Pipeline, store: Store
) -> None:
    keep(pipeline, call=within(3), conclusive=False, exhausted=True)
    for budget in (2, 3):
        found = find_measurement(pipeline, within(budget))
        assert isinstance(found, Usable)
        assert not found.measurement.conclusive
        assert "inconclusive within a budget of 3 min" in found.reason
        assert "larger validation.speed.budget_minutes" in found.reason
    assert find_measurement(pipeline, within(4)) == NotUsable(
        "it was inconclusive within a budget of 3 min, which is now 4 min"
    )
    assert len(store.measurements(digest_of(DOCUMENT))) == 1


def test_an_inconclusive_one_stays_so_however_old_it_is(pipeline: Pipeline) -> None:
    keep(pipeline, call=within(3), conclusive=False, exhausted=True)
    later = datetime.now(UTC) + timedelta(days=1000)
    assert isinstance(find_measurement(pipeline, within(3), now=later), Usable)


def test_one_that_looked_at_nothing_may_be_repeated_and_does_not_count(pipeline: Pipeline) -> None:
    keep(pipeline, call=within(3), conclusive=False, looked=False)
    found = find_measurement(pipeline, within(3))
    assert isinstance(found, NotUsable)
    assert "inconclusive" in found.reason
    made, _ = measure_once(pipeline, within(3), lambda at: Finding(Value(value=at)), devices=lambda _: 1)
    assert made.result == {"value": 1}


def test_a_run_that_requires_cached_results_measures_nothing(settings: Settings, store: Store) -> None:
    asked: list[int] = []

    def measure(attempt: int) -> Finding[Value]:
        asked.append(attempt)
        return Finding(Value(value=attempt))

    cached = Pipeline(settings, store, say=lambda _line: None, require_cached=True)
    with pytest.raises(CacheMissRefused, match=r"^measure: no measurement can be reused: never measured"):
        measure_once(cached, CALL, measure, devices=lambda _value: 1)
    assert asked == []
    keep(cached, value=7)
    made, _ = measure_once(cached, CALL, measure, devices=lambda _value: 1)
    assert (made.result, asked) == ({"value": 7}, [])


def test_every_look_at_the_same_question_is_counted(settings: Settings, store: Store) -> None:
    lines: list[str] = []
    for budget, attempt in ((3, 1), (6, 2), (12, 3)):
        made, reason = measure_once(
            Pipeline(settings, store, say=lines.append),
            within(budget),
            lambda at: Finding(Value(value=at), conclusive=False, exhausted=True),
            devices=lambda _: 1,
        )
        assert (made.attempt, made.result, made.exhausted_minutes) == (attempt, {"value": attempt}, budget)
    assert "attempt 3 at the same question" in reason
    assert "attempt 3 at the same question" in lines[-1]
    forced = Pipeline(settings, store, say=lines.append, force=True)
    made, _ = measure_once(forced, within(12), lambda at: Finding(Value(value=at)), devices=lambda _: 1)
    assert made.attempt == 4


def test_measure_once_measures_once(pipeline: Pipeline) -> None:
    values: Iterator[int] = iter([1])

    def measure(_attempt: int) -> Finding[Value]:
        time.sleep(0.05)
        return Finding(Value(value=next(values)))

    for _ in range(2):
        made, _reason = measure_once(pipeline, CALL, measure, devices=lambda one: 3 * one.value)
        assert made.result == {"value": 1}
        assert made.device_s >= 3 * 0.05


def test_force_measures_again(settings: Settings, store: Store, pipeline: Pipeline) -> None:
    keep(pipeline)
    forced = Pipeline(settings, store, say=lambda _line: None, force=True)
    assert find_measurement(forced, CALL) == NotUsable("forced")


def killed(*, looks: bool) -> int:
    """Kill a run in the middle of its measurement; return the number of its attempt."""
    argv = [sys.executable, "-c", MEASURE, json.dumps(DOCUMENT), "looks" if looks else "does not"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        attempt = process.stdout.readline()
        process.kill()
        assert process.wait() == -signal.SIGKILL
    return int(attempt)


def test_a_run_that_is_killed_after_a_look_has_spent_its_attempt(pipeline: Pipeline) -> None:
    assert killed(looks=False) == 1
    assert killed(looks=True) == 1
    assert killed(looks=True) == 2
    found = find_measurement(pipeline, CALL)
    assert isinstance(found, NotUsable)
    assert "never measured" in found.reason, "what was not finished answers nothing"
    made, reason = measure_once(pipeline, CALL, lambda at: Finding(Value(value=at)), devices=lambda _: 1)
    assert (made.attempt, made.result) == (3, {"value": 3})
    assert reason.endswith("attempt 3 at the same question, runs that were ended after a look included")
    assert killed(looks=False) == 4


def test_a_finished_attempt_counts_once(settings: Settings, store: Store) -> None:
    forced = Pipeline(settings, store, say=lambda _line: None, force=True)

    def measure(attempt: int) -> Finding[Value]:
        spend_attempt(forced, CALL, attempt)
        return Finding(Value(value=attempt))

    attempts = [measure_once(forced, CALL, measure, devices=lambda _: 1)[0].attempt for _ in range(3)]
    assert attempts == [1, 2, 3]


def test_what_was_killed_hides_no_answer(pipeline: Pipeline) -> None:
    keep(pipeline, value=7)
    spend_attempt(pipeline, CALL, 2)
    found = find_measurement(pipeline, CALL)
    assert isinstance(found, Usable)
    assert found.measurement.result == {"value": 7}
