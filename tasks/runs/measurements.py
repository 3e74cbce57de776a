"""Keeping measurements, and finding them again.

Invariants:
- A measurement is keyed by trees and serve commands (through the protocol), toolchains, the host class and,
  if it is forced, the placement of the sides.
- It is reused only if it is younger than the configured age and conclusive; it is never replaced.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from artifacts.canonical import digest_of
from artifacts.store import Measurement, MeasurementKind, new_measurement
from tasks.runs.pipeline import Pipeline

ResultT = TypeVar("ResultT", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class MeasurementCall:
    """The complete description of a measurement, before it is made.

    Attributes:
        kind: what is measured.
        document: everything that it depends on.
    """

    kind: MeasurementKind
    document: dict[str, Any]

    @property
    def key(self) -> str:
        """The digest of the document."""
        return digest_of(self.document)


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
    made = pipeline.store.measurements(call.key)
    if not made:
        return NotUsable(
            "never measured with these trees, this protocol, these toolchains and this host class"
        )
    limit = timedelta(hours=pipeline.settings.measurement_max_age_hours)
    newest = made[-1]
    age = (now or datetime.now(UTC)) - newest.created_at
    if age > limit:
        return NotUsable(f"the newest measurement is {_hours(age)} old; the limit is {_hours(limit)}")
    if not newest.conclusive:
        return NotUsable("the newest measurement was inconclusive")
    return Usable(newest, f"measured {_hours(age)} ago with the same trees, protocol and host class")


def keep_measurement(
    pipeline: Pipeline,
    call: MeasurementCall,
    result: dict[str, Any],
    *,
    conclusive: bool,
    device_s: float,
) -> Measurement:
    """Append a measurement that was just made, and return it."""
    measurement = new_measurement(call.kind, call.document, result, conclusive=conclusive, device_s=device_s)
    pipeline.store.append_measurement(measurement.key, measurement)
    return measurement


def measure_once(
    pipeline: Pipeline,
    call: MeasurementCall,
    measure: Callable[[], tuple[ResultT, bool]],
    *,
    devices: Callable[[ResultT], int],
) -> tuple[Measurement, str]:
    """Return a usable measurement, or make a new one; and the reason for that.

    `measure` returns the result and whether it is conclusive; `devices` how many devices it kept busy.
    """
    found = find_measurement(pipeline, call)
    if isinstance(found, Usable):
        pipeline.say(f"{call.kind}: reused, {found.reason}")
        return found.measurement, found.reason
    pipeline.say(f"{call.kind}: measuring ({found.reason})")
    begin = time.monotonic()
    result, conclusive = measure()
    device_s = (time.monotonic() - begin) * devices(result)
    kept = result.model_dump(mode="json")
    made = keep_measurement(pipeline, call, kept, conclusive=conclusive, device_s=device_s)
    return made, found.reason


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} h"
