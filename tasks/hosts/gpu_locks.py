"""Locks on GPUs: jobs and servers hold the GPUs that they compute on.

Invariants:
- On one host, a GPU has one owner at a time, across processes, checkouts and state directories: a lock on a
  file named by the GPU's UUID, in one directory for all.
- GPUs are taken in the order of their UUIDs, by one process at a time; so no two processes wait for each
  other, and one that needs many GPUs is not overtaken forever by those that need few.
- A lock belongs to the open file. Child processes that keep the descriptor keep the GPU, so if an owner is
  killed, nobody else gets the GPU before its server has ended.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from artifacts.hosts import Gpu, HostFacts, gpus_in_words, probe_host
from artifacts.progress import Say
from artifacts.settings import Settings
from engine_specs.spec import ResolvedVariant
from tasks.errors import GpusUnavailable
from tasks.toolchains import Toolchain

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Held by the process that is taking GPUs; others wait for it.
QUEUE = "queue.lock"
LOOK_AGAIN_S = 0.2


@dataclass(frozen=True, slots=True)
class GpuNeed:
    """The GPUs that a job or server needs.

    Attributes:
        count: how many.
        names: accepted product names; empty if any will do.
    """

    count: int = 1
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldGpus:
    """GPUs that this process holds.

    Attributes:
        gpus: the GPUs, in the driver's order.
        descriptors: the open locks, for the child processes that compute on them.
    """

    gpus: tuple[Gpu, ...] = ()
    descriptors: tuple[int, ...] = ()

    @property
    def uuids(self) -> tuple[str, ...]:
        """The UUIDs of the GPUs, in the same order."""
        return tuple(gpu.uuid for gpu in self.gpus)

    @property
    def env(self) -> dict[str, str]:
        """The variables by which a process sees only these GPUs."""
        return gpu_environment(",".join(str(gpu.index) for gpu in self.gpus))

    def shares(self, counts: Sequence[int]) -> tuple["HeldGpus", ...]:
        """Divide the GPUs between servers that need so many each; every share keeps all locks."""
        ends = tuple(accumulate(counts))
        return tuple(
            HeldGpus(self.gpus[end - count : end], self.descriptors if count else ())
            for count, end in zip(counts, ends, strict=True)
        )


def gpu_environment(numbers: str) -> dict[str, str]:
    """Return the variables by which a process sees only the GPUs of these numbers; none if there are none.

    They hold numbers, not UUIDs, as some tools read them as integers. CUDA_DEVICE_ORDER makes CUDA number the
    GPUs by PCI bus, as the driver does.
    """
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", VISIBLE: numbers} if numbers else {}


def need_of(variant: ResolvedVariant) -> GpuNeed:
    """Return the GPUs that quantizing, building or serving a variant needs."""
    gpu = variant.target.gpu
    return GpuNeed(variant.devices, gpu.product_names if gpu else ())


@contextmanager
def held_gpus(
    need: GpuNeed,
    facts: HostFacts,
    locks_dir: Path,
    *,
    say: Say,
    environ: Mapping[str, str] = os.environ,
) -> Iterator[HeldGpus]:
    """Hold GPUs for the time of the context.

    Waits until they are free, and says once what it waits for. Raises GpusUnavailable if this host, or
    CUDA_VISIBLE_DEVICES, does not have enough of them.
    """
    usable = _usable(need, facts, environ)
    with ExitStack() as stack:
        taken = _take(stack, usable, need.count, locks_dir, say)
        gpus = tuple(sorted(taken, key=lambda gpu: gpu.index))
        yield HeldGpus(gpus, tuple(taken[gpu] for gpu in gpus))


@contextmanager
def gpus_for(toolchain: Toolchain, need: GpuNeed, settings: Settings, say: Say) -> Iterator[HeldGpus]:
    """Hold the GPUs that a job or server of this toolchain needs; none if the toolchain computes on the CPU.

    Raises GpusUnavailable as `held_gpus` does.
    """
    if toolchain.accelerator == "cpu":
        yield HeldGpus()
        return
    with held_gpus(need, probe_host(), settings.gpu_locks_dir, say=say) as held:
        say(f"GPUs held: {', '.join(f'{gpu.index} ({gpu.name})' for gpu in held.gpus)}")
        yield held


def visible_gpus(gpus: Sequence[Gpu], environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    """Return the GPUs that CUDA_VISIBLE_DEVICES allows: all if it is not set."""
    value = environ.get(VISIBLE)
    if value is None:
        return tuple(gpus)
    wanted = [part.strip() for part in value.split(",") if part.strip()]
    return tuple(gpu for gpu in gpus if str(gpu.index) in wanted or any(_means(part, gpu) for part in wanted))


def _means(part: str, gpu: Gpu) -> bool:
    """Whether a part of CUDA_VISIBLE_DEVICES is the UUID of this GPU, or the start of it."""
    return part.startswith("GPU-") and gpu.uuid.startswith(part)


def _usable(need: GpuNeed, facts: HostFacts, environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    visible = visible_gpus(facts.gpus, environ)
    usable = [gpu for gpu in visible if not need.names or gpu.name in need.names]
    if len(usable) >= need.count:
        return tuple(sorted(usable, key=lambda gpu: gpu.uuid))
    hidden = f", of which {VISIBLE} allows {len(visible)}" if len(visible) < len(facts.gpus) else ""
    raise GpusUnavailable(
        f"{need.count} x {' or '.join(need.names) or 'NVIDIA GPU'} are needed at once",
        where=f"this host has {gpus_in_words(facts)}{hidden}",
        fix="run it on a host of the target: `enginery targets list` names the GPUs and the work pools",
    )


def _take(stack: ExitStack, usable: Sequence[Gpu], count: int, locks_dir: Path, say: Say) -> dict[Gpu, int]:
    """Lock as many GPUs as needed; they stay locked as long as the stack is open."""
    locks_dir.mkdir(parents=True, exist_ok=True)
    taken: dict[Gpu, int] = {}
    with ExitStack() as queue:
        turn = _open(queue, locks_dir / QUEUE)
        _wait_until(lambda: _try_lock(turn), lambda: "another job is taking some", say)
        files = {gpu: _open(stack, locks_dir / f"{gpu.uuid}.lock") for gpu in usable}

        def enough() -> bool:
            for gpu, descriptor in files.items():
                if len(taken) < count and gpu not in taken and _try_lock(descriptor):
                    taken[gpu] = descriptor
            return len(taken) == count

        _wait_until(enough, lambda: f"{len(taken)} of {count} are free", say)
    return taken


def _wait_until(holds: Callable[[], bool], why: Callable[[], str], say: Say) -> None:
    if holds():
        return
    say(f"waiting for GPUs: {why()}")
    while not holds():
        time.sleep(LOOK_AGAIN_S)


def _open(stack: ExitStack, path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    stack.callback(os.close, descriptor)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
