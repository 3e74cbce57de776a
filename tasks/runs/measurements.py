"""Keeping measurements and finding them again.

Invariants:
- A measurement is keyed by trees and recipes (through the protocol), toolchains and the class of host.
- It is reused only while it is younger than the declared age and settled its question; it is never replaced.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from artifacts.canonical import digest_of
from artifacts.store import Measurement, MeasurementKind, new_measurement
from tasks.runs.pipeline import Pipeline


@dataclass(frozen=True, slots=True)
class MeasurementCall:
    """A measurement, described completely before it is made.

    Attributes:
        kind: what is measured.
        document: what it depends on.
    """

    kind: MeasurementKind
    document: dict[str, Any]

    @property
    def key(self) -> str:
        """Digest of the document."""
        return digest_of(self.document)


@dataclass(frozen=True, slots=True)
class Usable:
    """A measurement that may stand in for a new one."""

    measurement: Measurement
    reason: str


@dataclass(frozen=True, slots=True)
class NoneUsable:
    """It has to be measured, and why."""

    reason: str


def find_measurement(
    pipeline: Pipeline, call: MeasurementCall, *, now: datetime | None = None
) -> Usable | NoneUsable:
    """The newest measurement of that description that may be reused."""
    if pipeline.force:
        return NoneUsable("forced")
    made = pipeline.store.measurements(call.key)
    if not made:
        return NoneUsable(
            "never measured with these trees, this protocol, these toolchains and this class of host"
        )
    limit = timedelta(hours=pipeline.settings.measurement_max_age_hours)
    newest = made[-1]
    age = (now or datetime.now(UTC)) - newest.created_at
    if age > limit:
        return NoneUsable(f"the newest is {_hours(age)} old, the limit is {_hours(limit)}")
    if not newest.conclusive:
        return NoneUsable("the newest was inconclusive")
    return Usable(newest, f"measured {_hours(age)} ago with the same trees, protocol and class of host")


def keep_measurement(
    pipeline: Pipeline,
    call: MeasurementCall,
    result: dict[str, Any],
    *,
    conclusive: bool,
    device_s: float,
) -> Measurement:
    """Append a measurement that was just made."""
    measurement = new_measurement(call.kind, call.document, result, conclusive=conclusive, device_s=device_s)
    pipeline.store.append_measurement(measurement.key, measurement)
    return measurement


def measure_once(
    pipeline: Pipeline,
    call: MeasurementCall,
    measure: Callable[[], tuple[dict[str, Any], bool]],
    *,
    devices: int,
) -> tuple[Measurement, str]:
    """The usable measurement of a description, or a new one; and the reason why it is that one.

    `measure` returns the result and whether it is conclusive; meanwhile it keeps `devices` busy.
    """
    found = find_measurement(pipeline, call)
    if isinstance(found, Usable):
        pipeline.say(f"{call.kind}: reused, {found.reason}")
        return found.measurement, found.reason
    pipeline.say(f"{call.kind}: measuring ({found.reason})")
    begin = time.monotonic()
    result, conclusive = measure()
    device_s = (time.monotonic() - begin) * devices
    made = keep_measurement(pipeline, call, result, conclusive=conclusive, device_s=device_s)
    return made, found.reason


def _hours(span: timedelta) -> str:
    return f"{span.total_seconds() / 3600:.1f} h"
