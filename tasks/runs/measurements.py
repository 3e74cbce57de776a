"""Keeping measurements, and finding them again.

Invariants:
- A measurement is keyed by trees and serve commands (through the protocol), toolchains, the host class,
  whether the host had to be quiet and, if it is forced, the placement of the sides.
- It is reused if it is younger than the configured age; it is never replaced. One that is dated in the
  future, by a host with a wrong clock, has no age and is not reused.
- One that lacks what is needed now, because something that decides nothing about it changed, is not reused.
- An inconclusive one is not repeated unless its time budget grows: whoever measures until the result is the
  wanted one gets it sooner or later. Every further measurement of one key gets the number of its attempt, and
  has to spend less of the permitted error. One whose host was busy may be repeated, and does not count if
  it had looked at nothing.
- An attempt is spent in the store before the first look, so that one that is ended afterwards counts, too.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from artifacts.canonical import digest_of
from artifacts.store import Measurement, MeasurementKind, new_measurement
from tasks.errors import CacheMissRefused
from tasks.runs.pipeline import Pipeline

# As far apart as clocks of hosts may be; what is further in the future has no age.
CLOCKS_DIFFER = timedelta(minutes=5)
STAGES: Mapping[MeasurementKind, str] = {"baseline": "baseline", "judged": "measure"}

ResultT = TypeVar("ResultT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MeasurementCall:
    """The complete description of a measurement, before it is made.

    Attributes:
        kind: what is measured.
        document: everything that it depends on.
        budget_minutes: how long it may take; it decides nothing else, so it is not part of the document.
        lacks: says what a measurement does not hold that is needed now; empty if it holds all.
    """

    kind: MeasurementKind
    document: dict[str, Any]
    budget_minutes: float | None = None
    lacks: Callable[[Measurement], str] = lambda _measurement: ""

    @property
    def key(self) -> str:
        """The digest of the document."""
        return digest_of(self.document)

    @property
    def stage(self) -> str:
        """The stage that measures this, as plans and messages name it."""
        return STAGES[self.kind]


@dataclass(frozen=True, slots=True)
class Finding(Generic[ResultT]):
    """What was measured.

    Attributes:
        result: the result.
        conclusive: whether it answers the question.
        looked: whether it looked at what decides.
        exhausted: whether only a larger budget can make it conclusive.
        aside_s: seconds of it that went to what decides nothing: nobody is charged for them.
    """

    result: ResultT
    conclusive: bool = True
    looked: bool = True
    exhausted: bool = False
    aside_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Usable:
    """A measurement that may be used instead of a new one, and why."""

    measurement: Measurement
    reason: str


@dataclass(frozen=True, slots=True)
class NotUsable:
    """There is no usable measurement, and why."""

    reason: str


def find_measurement(
    pipeline: Pipeline, call: MeasurementCall, *, now: datetime | None = None
) -> Usable | NotUsable:
    """Return the newest measurement that fits this description, if it may be reused."""
    if pipeline.force:
        return NotUsable("forced")
    now = now or datetime.now(UTC)
    every = pipeline.store.measurements(call.key)
    made = [one for one in every if one.created_at <= now + CLOCKS_DIFFER]
    if not made:
        return NotUsable(
            f"measured on {every[-1].created_at:%Y-%m-%d %H:%M} UTC, which is in the future: check the clocks"
            if every
            else "never measured with these trees, this protocol, these toolchains, this host class and "
            "these settings (ENGINERY_QUIET_HOST, ENGINERY_PLACEMENT)"
        )
    newest = made[-1]
    if not newest.conclusive:
        return _after_inconclusive(newest, call)
    limit = timedelta(hours=pipeline.settings.measurement_max_age_hours)
    age = max(now - newest.created_at, timedelta(0))
    if age > limit:
        return NotUsable(f"the newest measurement is {_hours(age)} old; the limit is {_hours(limit)}")
    if lack := call.lacks(newest):
        return NotUsable(f"the newest measurement does not have {lack}")
    return Usable(newest, f"measured {_hours(age)} ago with the same trees, protocol and host class")


def _after_inconclusive(newest: Measurement, call: MeasurementCall) -> Usable | NotUsable:
    """Say whether a question may be asked again to which the newest answer was inconclusive."""
    spent, budget = newest.exhausted_minutes, call.budget_minutes
    if spent is None or budget is None:
        return NotUsable("the newest measurement was inconclusive")
    found = f"it was inconclusive within a budget of {spent:g} min"
    if budget > spent:
        return NotUsable(f"{found}, which is now {budget:g} min")
    return Usable(
        newest,
        f"{found}; to ask the same again until it is not would be to choose the answer. It is measured again "
        "with a larger validation.speed.budget_minutes, or if an input changes",
    )


def keep_measurement(
    pipeline: Pipeline,
    call: MeasurementCall,
    finding: Finding[Any],
    *,
    device_s: float,
    attempt: int = 1,
) -> Measurement:
    """Append a measurement that was just made, and return it."""
    measurement = new_measurement(
        call.kind,
        call.document,
        finding.result.model_dump(mode="json"),
        conclusive=finding.conclusive,
        device_s=device_s,
        attempt=attempt,
        looked=finding.looked,
        exhausted_minutes=call.budget_minutes if finding.exhausted else None,
    )
    pipeline.store.append_measurement(measurement.key, measurement)
    return measurement


def measure_once(
    pipeline: Pipeline,
    call: MeasurementCall,
    measure: Callable[[int], Finding[ResultT]],
    *,
    devices: Callable[[ResultT], int],
) -> tuple[Measurement, str]:
    """Return a usable measurement, or make a new one; and the reason for that.

    `measure` takes the number of the attempt; `devices` returns how many devices a result kept busy.

    Raises:
        CacheMissRefused: none is usable, and the run requires cached results.
    """
    found = find_measurement(pipeline, call)
    if isinstance(found, Usable):
        pipeline.say(f"{call.stage}: reused, {found.reason}")
        return found.measurement, found.reason
    if pipeline.require_cached:
        raise CacheMissRefused(
            f"{call.stage}: no measurement can be reused: {found.reason}",
            fix="run without --require-cached to measure",
        )
    attempt = 1 + _attempts_spent(pipeline, call)
    ended = ", runs that were ended after a look included"
    counted = f"; attempt {attempt} at the same question{ended}" if attempt > 1 else ""
    pipeline.say(f"{call.stage}: measuring ({found.reason}{counted})")
    begin = time.monotonic()
    finding = measure(attempt)
    device_s = (time.monotonic() - begin - finding.aside_s) * devices(finding.result)
    made = keep_measurement(pipeline, call, finding, device_s=device_s, attempt=attempt)
    return made, f"{found.reason}{counted}"


def spend_attempt(pipeline: Pipeline, call: MeasurementCall, attempt: int) -> None:
    """Record that an attempt is about to look at what decides, whatever becomes of it.

    The record holds no result and has a key of its own, so that nobody takes it for an answer.
    """
    document = _looks_of(call)
    spent = new_measurement(call.kind, document, {}, conclusive=False, device_s=0.0, attempt=attempt)
    pipeline.store.append_measurement(spent.key, spent)


def _attempts_spent(pipeline: Pipeline, call: MeasurementCall) -> int:
    """Return how often a question was looked at, by runs that finished and by runs that were ended."""
    store = pipeline.store
    finished = [one.attempt for one in store.measurements(call.key) if one.looked]
    begun = [one.attempt for one in store.measurements(digest_of(_looks_of(call)))]
    return max(len(finished), *finished, *begun, 0)


def _looks_of(call: MeasurementCall) -> dict[str, Any]:
    return {"attempts_at": call.key}


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} h"
