"""Measurements: appended, and reused only while they are young, conclusive and of the same kind."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from artifacts.canonical import digest_of
from artifacts.frozen import Frozen
from artifacts.settings import Settings
from artifacts.store import Store
from tasks.runs import MeasurementCall, Pipeline, Usable, find_measurement, measure_once
from tasks.runs.measurements import NotUsable, keep_measurement

DOCUMENT = {"protocol": "p" * 64, "host": {"cores": 2}}
CALL = MeasurementCall("judged", DOCUMENT)


@pytest.fixture
def pipeline(settings: Settings, store: Store) -> Pipeline:
    return Pipeline(settings, store, say=lambda _line: None)


def keep(pipeline: Pipeline, *, conclusive: bool = True, value: int = 1) -> None:
    keep_measurement(pipeline, CALL, {"value": value}, conclusive=conclusive, device_s=1.0)


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


def test_an_inconclusive_one_is_kept_and_never_reused(pipeline: Pipeline, store: Store) -> None:
    keep(pipeline, conclusive=False)
    found = find_measurement(pipeline, CALL)
    assert isinstance(found, NotUsable)
    assert "inconclusive" in found.reason
    assert len(store.measurements(digest_of(DOCUMENT))) == 1


def test_measure_once_measures_once(pipeline: Pipeline) -> None:
    values: Iterator[int] = iter([1])

    class Value(Frozen):
        value: int

    def measure() -> tuple[Value, bool]:
        time.sleep(0.05)
        return Value(value=next(values)), True

    for _ in range(2):
        made, _reason = measure_once(pipeline, CALL, measure, devices=lambda one: 3 * one.value)
        assert made.result == {"value": 1}
        assert made.device_s >= 3 * 0.05


def test_force_measures_again(settings: Settings, store: Store, pipeline: Pipeline) -> None:
    keep(pipeline)
    forced = Pipeline(settings, store, say=lambda _line: None, force=True)
    assert find_measurement(forced, CALL) == NotUsable("forced")
