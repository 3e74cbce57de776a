"""What is left of a measurement by a run that was ended: finished phases, or that it had looked."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from pydantic import BaseModel

PhaseT = TypeVar("PhaseT", bound=BaseModel)
OnLook = Callable[[], None]
"""Called before the first look at a ratio of sides that are up together, where no phase is kept."""


class PhaseKeeper(Protocol):
    """Keeps what phases leave, by name, until the whole measurement is done."""

    def once(self, name: str, model: type[PhaseT], make: Callable[[], PhaseT]) -> PhaseT:
        """Return what an earlier run kept under this name, or make it and keep it."""


class NothingKept:
    """Every phase is made."""

    def once(self, name: str, model: type[PhaseT], make: Callable[[], PhaseT]) -> PhaseT:  # noqa: ARG002
        """Make it."""
        return make()


def ignore_look() -> None:
    """Record nothing: nobody asks the same question again."""
