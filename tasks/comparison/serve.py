"""Starting the sides of a measurement by their serve commands, to measure them undisturbed.

Invariants:
- Only one measurement at a time runs on a host, as two would disturb each other.
- Every side is served from exactly its tree, which is made and verified anew for this measurement.
- A run that was killed leaves trees only until the next measurement.
- A tree has the same path each time, because vLLM finds what it compiled for a checkpoint by its path.
- All GPUs are taken at once, and held until the measurement ends: two measurements that each hold some of
  them would wait for each other.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from artifacts.hosts import Gpu, ServeCommand, probe_host, refuse_unservable
from tasks.comparison.inquiry import ran_with
from tasks.hosts import (
    NVML,
    GpuNeed,
    GpuWatch,
    HeldGpus,
    HostWatch,
    ProcReader,
    Unattributable,
    gpus_for,
)
from tasks.judging import Endpoint, PlacementChoice, RanWith, Side
from tasks.kinds import is_vllm, with_memory_share
from tasks.runs import Pipeline
from tasks.toolchains import Toolchain, ensure, serving

ServedWith = Mapping[str, Toolchain]
"""The toolchain that serves each side, by its name."""


@dataclass(frozen=True, slots=True)
class Running:
    """A side that is up.

    Attributes:
        endpoint: where it answers.
        pid: process id of its server.
    """

    endpoint: Endpoint
    pid: int


@dataclass(frozen=True, slots=True)
class Equipped:
    """A side with its toolchain, the GPUs that are held for it, and the directory of its tree."""

    side: Side
    toolchain: Toolchain
    gpus: HeldGpus
    tree: Path


class Bench:
    """What the servers of one measurement need: trees, toolchains, GPUs, and watches."""

    def __init__(
        self,
        pipeline: Pipeline,
        equipped: Mapping[str, Equipped],
        choice: PlacementChoice,
        watch: GpuWatch,
        host: HostWatch,
        label: str,
    ) -> None:
        self._pipeline = pipeline
        self._equipped = equipped
        self._choice = choice
        self._label = label
        self._starts = 0
        self._up: dict[str, int] = {}
        self.ran_with: dict[str, RanWith] = {}
        self.watch = watch
        self.host = host
        self.say = pipeline.say

    @property
    def gpus(self) -> tuple[Gpu, ...]:
        """The GPUs that the measurement holds; none on a CPU host."""
        return tuple(dict.fromkeys(gpu for one in self._equipped.values() for gpu in one.gpus.gpus))

    @property
    def unstoppable(self) -> tuple[str, ...]:
        """Sides whose servers are not plain processes of this host, so that no signal suspends them."""
        return tuple(name for name, one in self._equipped.items() if not one.toolchain.launcher.plain)

    def idle_next_to(self, side: Side) -> tuple[int, ...]:
        """Return the servers that are up and take processors from a side that computes on them, by pid.

        One that computes on GPUs waits for these, and takes next to nothing; so there are none next to it.
        """
        if side.gpu_names:
            return ()
        return tuple(pid for name, pid in self._up.items() if name != side.name)

    def equipment(self, side: Side) -> Equipped:
        """Return what a side has: it is there whether or not its server is up."""
        return self._equipped[side.name]

    @contextmanager
    def start(self, side: Side) -> Iterator[Running]:
        """Serve a side for the time of the context.

        Raises:
            tasks.errors.TaskError: the server did not become ready, or ended meanwhile.
            artifacts.errors.CannotServe: this host or a toolchain cannot serve an engine.
        """
        one = self.equipment(side)
        refuse_unservable(one.tree, probe_host(), one.toolchain.versions)
        name = "".join(character if character.isalnum() else "-" for character in side.name)
        share = self._choice.memory_share
        serve = with_memory_share(side.serve, share) if share else side.serve
        with serving(
            one.toolchain,
            serve,
            one.tree,
            log=self._pipeline.log_file(f"{self._label}-{name}"),
            on_line=self.say,
            ready_limit_s=self._pipeline.settings.server_ready_limit_s,
            extra_env=one.gpus.env,
            gpus=one.gpus.uuids,
            keep_fds=one.gpus.descriptors,
        ) as server:
            self.say(f"{side.name}: ready after {server.ready_s:.1f} s")
            self._starts += 1
            endpoint = Endpoint(
                base_url=server.base_url, side=side, start=self._starts, ready_s=round(server.ready_s, 3)
            )
            alone = self._choice.name != "shared"
            with self.watch.side(side.name, one.gpus.uuids, server.pid, alone=alone):
                self._inquire(side, serve, server.base_url)
                self._up[side.name] = server.pid
                try:
                    yield Running(endpoint, server.pid)
                finally:
                    del self._up[side.name]

    def _inquire(self, side: Side, serve: ServeCommand, base_url: str) -> None:
        """Ask a server of vLLM once what it runs with; if it does not say, a line does."""
        if side.name in self.ran_with or not is_vllm(serve):
            return
        try:
            self.ran_with[side.name] = ran_with(side.name, serve, base_url)
        except OSError as error:
            self.say(f"{side.name}: its server does not say what it runs with ({error})")


@contextmanager
def bench(
    pipeline: Pipeline,
    sides: Sequence[Side],
    label: str,
    choice: PlacementChoice,
    served_with: ServedWith | None = None,
) -> Iterator[Bench]:
    """Hold everything that these sides need, for the time of the context, a whole measurement.

    `served_with` names the toolchain of each side; if it is not given, the settings say which it is.

    Raises:
        tasks.errors.TaskError: a toolchain or its GPUs are unavailable.
    """
    root = pipeline.settings.home / "serving"
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"), ExitStack() as stack:
        _remove_leftovers(root)
        for tree in {side.tree for side in sides}:
            stack.callback(shutil.rmtree, root / tree, ignore_errors=True)
            pipeline.store.materialize(tree, root / tree)
        equipped = _equipped(pipeline, stack, sides, choice, root, served_with)
        watch = stack.enter_context(GpuWatch(NVML).running())
        plain = all(one.toolchain.launcher.plain for one in equipped.values())
        host = HostWatch(
            ProcReader() if plain else Unattributable(),
            pipeline.settings.quiet_host,
            strangers=watch.strangers_now,
        )
        yield Bench(pipeline, equipped, choice, watch, stack.enter_context(host.running()), label)


def _remove_leftovers(root: Path) -> None:
    """Remove the trees of killed runs; whoever holds the lock is the only one that serves any."""
    for path in root.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _equipped(
    pipeline: Pipeline,
    stack: ExitStack,
    sides: Sequence[Side],
    choice: PlacementChoice,
    root: Path,
    served_with: ServedWith | None,
) -> dict[str, Equipped]:
    """Get the toolchains and GPUs of all sides."""
    toolchains = [
        served_with[side.name]
        if served_with
        else ensure(side.serve.toolchain, pipeline.settings, say=pipeline.say)
        for side in sides
    ]
    counts = [each.gpus_held(side.devices) for side, each in zip(sides, toolchains, strict=True)]
    computing = next((one for one in toolchains if one.accelerator == "cuda"), toolchains[0])
    together = choice.name == "together"
    need = GpuNeed(sum(counts) if together else max(counts), sides[0].gpu_names)
    held = stack.enter_context(gpus_for(computing, need, pipeline.settings, pipeline.say))
    shares = held.shares(counts) if together else held.same(counts)
    return {
        side.name: Equipped(side, toolchain, gpus, root / side.tree)
        for side, toolchain, gpus in zip(sides, toolchains, shares, strict=True)
    }
