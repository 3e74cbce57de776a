"""Where and when the sides of a measurement run.

A measurement is a sequence of phases. Each phase brings up the sides that it needs, and keeps their answers;
a side is only asked in a phase that has it up. So the placement alone decides how many sides run at a time.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from artifacts.progress import Say
from artifacts.settings import QuietHost
from tasks.judging.conditions import HostLoad, PlacementChoice, SideMemory, Start
from tasks.judging.endpoint import Endpoint, Side
from tasks.judging.results import Conditions, IdleCheck


class Observer(Protocol):
    """What is observed of the host and its GPUs while sides serve; what nobody can say is absent."""

    @property
    def quiet_host(self) -> QuietHost:
        """Whether speed is measured only while nobody else computes on the host."""

    def await_quiet(self, say: Say) -> None:
        """Return when the host is quiet, if it has to be.

        Raises:
            tasks.errors.HostBusy: others keep computing on it.
        """

    def begin_round(self) -> None:
        """Note that a round begins: nothing is read until it has ended."""

    def end_round(self, side: Side, begin_s: float) -> HostLoad | None:
        """Return what others used of the host since a time of `perf_counter`; None if nobody can say."""

    def throttled(self, side: Side, begin_s: float, end_s: float) -> tuple[str, ...]:
        """Return why the clocks of a side's GPUs were lowered between two times of `perf_counter`."""

    def memory(self) -> tuple[SideMemory, ...]:
        """Return the memory of each side, as seen so far."""


class Placement(Protocol):
    """Brings sides up for as long as a phase needs them."""

    @property
    def resident(self) -> bool:
        """Whether all sides stay up from the first phase to the last; otherwise each phase starts them."""

    @property
    def observer(self) -> Observer:
        """What observes the GPUs."""

    def serving(self, sides: Sequence[Side]) -> AbstractContextManager[Sequence[Endpoint]]:
        """Keep these sides up for the time of the context; endpoints are in the order of the sides.

        If sides are not resident, only one may be asked for at a time.

        Raises:
            tasks.errors.TaskError: a side did not start, or ended while it was needed.
        """

    def conditions(self) -> Conditions:
        """Return the conditions so far."""


class Unobserved:
    """Nothing is observed."""

    quiet_host: QuietHost = "record"

    def await_quiet(self, say: Say) -> None:
        """Return at once."""

    def begin_round(self) -> None:
        """Do nothing."""

    def end_round(self, side: Side, begin_s: float) -> HostLoad | None:  # noqa: ARG002
        """Return nothing."""
        return None

    def throttled(self, side: Side, begin_s: float, end_s: float) -> tuple[str, ...]:  # noqa: ARG002
        """Return nothing."""
        return ()

    def memory(self) -> tuple[SideMemory, ...]:
        """Return nothing."""
        return ()


class Resident:
    """All sides run from the first phase to the last.

    Args:
        endpoints: running servers of all sides, which outlive the measurement.
        choice: where they run, and why.
        observer: observes their GPUs.
        idle: how the check went that idle sides cost nothing, if there was one.
    """

    resident = True

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        choice: PlacementChoice,
        observer: Observer | None = None,
        idle: Sequence[IdleCheck] = (),
    ) -> None:
        self._endpoints = {endpoint.side.name: endpoint for endpoint in endpoints}
        self._choice = choice
        self._idle = tuple(idle)
        self.observer = observer or Unobserved()

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[Sequence[Endpoint]]:
        """Yield the endpoints of these sides."""
        yield [self._endpoints[side.name] for side in sides]

    def checked(self, idle: Sequence[IdleCheck]) -> "Resident":
        """Return the same, after a check of what idle sides cost."""
        return Resident(tuple(self._endpoints.values()), self._choice, self.observer, idle)

    def conditions(self) -> Conditions:
        """Return the placement, one start per side, and what was observed."""
        starts = tuple(
            Start(side=name, ready_s=endpoint.ready_s) for name, endpoint in self._endpoints.items()
        )
        return Conditions(
            placement=self._choice, idle=self._idle, starts=starts, memory=self.observer.memory()
        )
