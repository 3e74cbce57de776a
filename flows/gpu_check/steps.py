"""The steps of a check: each is timed and recorded, and one that fails does not lose the others.

Invariants:
- A step that fails is on the page with its message, and the check's exit code says that something failed.
- Nothing begins after the time that the user allows; what is left out is on the page, too.
"""

import time
import traceback
from collections.abc import Callable
from typing import Literal, TypeVar

from pydantic import Field

from artifacts.errors import EngineryError
from artifacts.frozen import Frozen
from artifacts.progress import Say

ResultT = TypeVar("ResultT")
SECONDS_PER_MINUTE = 60.0


class StepRecord(Frozen):
    """One step, as it ran."""

    name: str = Field(description="What was done.")
    state: Literal["done", "failed", "not run"] = Field(description="How it ended.")
    duration_s: float = Field(default=0.0, ge=0, description="Seconds that it took.")
    detail: str = Field(default="", description="Why it failed or was not run; empty if it was done.")


class Steps:
    """Runs steps and keeps their records.

    Args:
        say: takes lines of progress.
        allowed_minutes: no step begins after this time; None: no limit.
    """

    def __init__(self, say: Say, allowed_minutes: float | None = None) -> None:
        self.records: list[StepRecord] = []
        self._say = say
        self._allowed_minutes = allowed_minutes
        self._begin = time.monotonic()

    def run(self, name: str, work: Callable[[], ResultT], *, always: bool = False) -> ResultT | None:
        """Run one step, whatever the time if `always`; returns None if it failed, or may no longer begin."""
        begin = time.monotonic()
        if not always and (late := self._late(begin)):
            self.leave_out(name, late)
            return None
        self._say(f"== {name}")
        try:
            result = work()
        except EngineryError as error:
            self._failed(name, begin, str(error))
        except Exception as error:  # noqa: BLE001  a defect in one step must not lose the others
            self._say(traceback.format_exc())
            self._failed(name, begin, f"{type(error).__name__}: {error}")
        else:
            self._keep(StepRecord(name=name, state="done", duration_s=_since(begin)))
            return result
        return None

    def leave_out(self, name: str, why: str) -> None:
        """Record a step that is not run."""
        self._keep(StepRecord(name=name, state="not run", detail=why))

    @property
    def failed(self) -> bool:
        """Whether a step failed."""
        return any(record.state == "failed" for record in self.records)

    def _late(self, now: float) -> str:
        limit = self._allowed_minutes
        if limit is None or now - self._begin < limit * SECONDS_PER_MINUTE:
            return ""
        return f"the {limit:g} minutes that it was given had passed"

    def _failed(self, name: str, begin: float, detail: str) -> None:
        self._keep(StepRecord(name=name, state="failed", duration_s=_since(begin), detail=detail))

    def _keep(self, record: StepRecord) -> None:
        self.records.append(record)
        took = f" in {record.duration_s:.1f} s" if record.duration_s else ""
        self._say(f"== {record.name}: {record.state}{took}{f': {record.detail}' if record.detail else ''}")


def _since(begin: float) -> float:
    return round(time.monotonic() - begin, 1)
