"""The placements of a measurement: all sides up at once, on their own GPUs or on the same, or one at a time.

Invariants:
- A side is up exactly as long as the placement's context or phase lasts, and ends with its owner.
- In turn, the next side starts only when the GPUs are as free as they were before the first one.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from time import perf_counter

from artifacts.progress import Say
from artifacts.settings import QuietHost
from engine_specs.preflight import ServedMemory
from tasks.comparison.serve import Bench, Running, ServedWith, bench
from tasks.comparison.sides import ENGINE
from tasks.comparison.suspension import suspended
from tasks.hosts import NVML, await_released, memory_in_use
from tasks.judging import (
    Conditions,
    Endpoint,
    HostLoad,
    IdleCheck,
    Placement,
    PlacementChoice,
    RanWith,
    Resident,
    Side,
    SideMemory,
    Start,
)
from tasks.runs import KeptPhases, Pipeline

ALONE = PlacementChoice(name="together", reason="one side is measured alone")


class Observed:
    """What is seen of the host and its GPUs, next to pre-flight's estimate of their memory."""

    def __init__(self, bench: Bench, served: ServedMemory | None) -> None:
        self._watch = bench.watch
        self._idle_next_to = bench.idle_next_to
        self._ran_with = bench.ran_with
        self._host = bench.host
        self._served = served

    @property
    def quiet_host(self) -> QuietHost:
        """Whether speed is measured only while nobody else computes on the host."""
        return self._host.required

    def await_quiet(self, say: Say) -> None:
        """Return when the host is quiet, if it has to be; raise HostBusy if others keep computing on it."""
        self._host.await_quiet(say)

    def begin_round(self) -> None:
        """Take the reading before a round, and none until it has ended."""
        self._host.begin_round()

    def end_round(self, side: Side, begin_s: float) -> HostLoad | None:
        """Return what others used of the host since a time of `perf_counter`; None if nobody can say."""
        found = self._host.end_round(begin_s, self._idle_next_to(side))
        if found is None:
            return None
        load = HostLoad(
            cores=found.cores,
            foreign=round(found.share, 4),
            steal=round(found.steal, 4),
            on_gpus=self._watch.strangers(side.name, begin_s, perf_counter()),
        )
        return load.model_copy(update={"busiest": found.busiest}) if load.disturbs else load

    def throttled(self, side: Side, begin_s: float, end_s: float) -> tuple[str, ...]:
        """Return why the clocks of a side's GPUs were lowered between two times of `perf_counter`."""
        return self._watch.throttled(side.name, begin_s, end_s)

    def memory(self) -> tuple[SideMemory, ...]:
        """Return the peak of each side that computes on GPUs."""
        return tuple(
            SideMemory(
                side=name, estimated_bytes=self._estimated(name), peak_bytes=peak.bytes, read_by=peak.read_by
            )
            for name, peak in self._watch.peaks().items()
        )

    def ran_with(self) -> tuple[RanWith, ...]:
        """Return what each side that vLLM serves ran with."""
        return tuple(self._ran_with.values())

    def _estimated(self, name: str) -> int | None:
        if self._served is None:
            return None
        estimate = self._served.engine if name == ENGINE else self._served.reference
        return estimate.total_bytes


class ServedSides(Resident):
    """All sides up; all but one can be suspended.

    Args:
        running: the sides.
        choice: the placement, and why.
        observer: observes their GPUs.
        unstoppable: sides that cannot be suspended after all.
        idle: how the check went that idle sides cost nothing, if there was one.
    """

    def __init__(
        self,
        running: Sequence[Running],
        choice: PlacementChoice,
        observer: Observed,
        unstoppable: Sequence[str],
        idle: Sequence[IdleCheck] = (),
    ) -> None:
        super().__init__([one.endpoint for one in running], choice, observer, idle)
        self._running = running
        self._observed = observer
        self._pids = {one.endpoint.side.name: one.pid for one in running}
        self.unstoppable = tuple(unstoppable)

    def conditions(self) -> Conditions:
        """Return the conditions, with what vLLM ran with."""
        return super().conditions().model_copy(update={"ran_with": self._observed.ran_with()})

    def checked(self, idle: Sequence[IdleCheck]) -> "ServedSides":
        """Return the same, after a check of what idle sides cost."""
        return ServedSides(self._running, self._choice, self._observed, self.unstoppable, idle)

    def alone(self, side: Side) -> AbstractContextManager[None]:
        """Suspend all other sides for the time of the context."""
        return suspended([pid for name, pid in self._pids.items() if name != side.name])


class InTurn:
    """Starts a side for each phase, and ends it with the phase.

    Args:
        bench: starts servers.
        choice: the placement, and why.
        observer: observes their GPUs.
        kept: what earlier runs of this measurement recorded.
        idle: how the check went that idle sides cost nothing, if sides were to share GPUs.
    """

    resident = False

    def __init__(
        self,
        bench: Bench,
        choice: PlacementChoice,
        observer: Observed,
        kept: KeptPhases,
        idle: Sequence[IdleCheck],
    ) -> None:
        self._bench = bench
        self._choice = choice
        self._kept = kept
        self._idle = tuple(idle)
        self._before = memory_in_use(bench.gpus, NVML)
        self.observer = observer

    @contextmanager
    def serving(self, sides: Sequence[Side]) -> Iterator[Sequence[Endpoint]]:
        """Start the one side that a phase needs.

        Raises:
            tasks.errors.GpuNotReleased: the memory of the side before it is still in use.
            tasks.errors.TaskError: it did not start, or ended meanwhile.
        """
        (side,) = sides
        await_released(self._bench.gpus, self._before, NVML)
        with self._bench.start(side) as running:
            endpoint = running.endpoint
            self._kept.append("starts", Start(side=side.name, ready_s=endpoint.ready_s))
            yield [endpoint]
        for one in self.observer.memory():
            if one.side == side.name:
                self._kept.append("memory", one)
        known = {one.side for one in self._kept.appended("ran-with", RanWith)}
        for said in self.observer.ran_with():
            if said.side not in known:
                self._kept.append("ran-with", said)

    def conditions(self) -> Conditions:
        """Return the placement, with all starts and peaks of this run and of earlier ones."""
        return Conditions(
            placement=self._choice,
            idle=self._idle,
            starts=self._kept.appended("starts", Start),
            ran_with=self._kept.appended("ran-with", RanWith),
            memory=_most(self._kept.appended("memory", SideMemory)),
        )


def _most(seen: Sequence[SideMemory]) -> tuple[SideMemory, ...]:
    """Return the largest peak of each side."""
    most: dict[str, SideMemory] = {}
    for one in seen:
        if one.side not in most or (one.peak_bytes or 0) > (most[one.side].peak_bytes or 0):
            most[one.side] = one
    return tuple(most.values())


@contextmanager
def resident_sides(
    pipeline: Pipeline,
    sides: Sequence[Side],
    label: str,
    choice: PlacementChoice = ALONE,
    served: ServedMemory | None = None,
    served_with: ServedWith | None = None,
) -> Iterator[ServedSides]:
    """Bring up all sides at once, and keep them up for the time of the context, a whole measurement.

    `served_with` as for `bench`.

    Raises:
        tasks.errors.TaskError: a toolchain or its GPUs are unavailable, or a server did not become ready, or
            ended meanwhile.
        artifacts.errors.CannotServe: this host or a toolchain cannot serve an engine.
    """
    with bench(pipeline, sides, label, choice, served_with) as at, ExitStack() as stack:
        running = [stack.enter_context(at.start(side)) for side in sides]
        yield ServedSides(running, choice, Observed(at, served), at.unstoppable)


@contextmanager
def sides_in_turn(
    pipeline: Pipeline,
    sides: Sequence[Side],
    label: str,
    choice: PlacementChoice,
    kept: KeptPhases,
    *,
    served: ServedMemory | None = None,
    idle: Sequence[IdleCheck] = (),
    served_with: ServedWith | None = None,
) -> Iterator[Placement]:
    """Hold what all sides need for the time of the context, and start each when a phase needs it.

    `served_with` as for `bench`.

    Raises:
        tasks.errors.TaskError: a toolchain or its GPUs are unavailable.
    """
    with bench(pipeline, sides, label, choice, served_with) as at:
        yield InTurn(at, choice, Observed(at, served), kept, idle)
