"""Locks on GPUs: jobs and servers hold the GPUs that they compute on.

Invariants:
- On one host, a GPU has one owner at a time, across processes, checkouts and state directories: a lock on a
  file named by the GPU's UUID, in one directory for all.
- GPUs are taken in the order of their UUIDs, by one process at a time; so no two processes wait for each
  other, and one that needs many GPUs is not overtaken forever by those that need few.
- A lock belongs to the open file. Child processes that keep the descriptor keep the GPU, so if an owner is
  killed, nobody else gets the GPU before its server has ended.
- A GPU that somebody else's process computes on is not taken: whoever holds a lock is alone on its GPU.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from artifacts.hosts import Gpu, GpuReader, GpuReading, HostFacts, NvmlReader, gpus_in_words, probe_host
from artifacts.progress import Say
from artifacts.settings import Settings
from engine_specs.spec import ResolvedVariant
from tasks.errors import GpusUnavailable
from tasks.toolchains import Toolchain

VISIBLE = "CUDA_VISIBLE_DEVICES"
# Held by the process that is taking GPUs; others wait for it.
QUEUE = "queue.lock"
LOOK_AGAIN_S = 0.2
# How long a GPU may still seem busy after its last owner has ended.
BUSY_PATIENCE_S = 10.0
# Memory in use by processes that the driver does not list (another container) counts from here on: displays
# and the driver's own services take less.
BUSY_SHARE = 0.05

NVML = NvmlReader()


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

    def same(self, counts: Sequence[int]) -> tuple["HeldGpus", ...]:
        """Give each of several servers the first GPUs, as many as it needs."""
        return tuple(HeldGpus(self.gpus[:count], self.descriptors if count else ()) for count in counts)


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
    reader: GpuReader = NVML,
) -> Iterator[HeldGpus]:
    """Hold GPUs for the time of the context.

    Waits until they are free, and says once what it waits for. Raises GpusUnavailable if this host, or
    CUDA_VISIBLE_DEVICES, does not have enough of them, or if processes that are not of this program compute
    on too many.
    """
    usable = usable_gpus(need, facts, environ)
    with ExitStack() as stack:
        taken = _Taking(usable, need.count, reader, say).take(stack, locks_dir)
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


def busy_with(gpu: Gpu, reading: GpuReading | None) -> str:
    """Return what computes on a GPU, as part of a sentence; empty if nothing does, or nobody can know."""
    if reading is None:
        return ""
    used = reading.used_bytes or 0
    if not reading.processes and used <= BUSY_SHARE * gpu.memory_bytes:
        return ""
    return f"GPU {gpu.index} ({gpu.name}), {used / 1e9:.1f} GB in use by {reading.holders}"


def free_gpus(
    need: GpuNeed,
    facts: HostFacts,
    *,
    environ: Mapping[str, str] = os.environ,
    reader: GpuReader = NVML,
    ours: Callable[[Gpu], bool] = lambda _gpu: False,
    sides: int = 1,
    patience_s: float = 0.0,
) -> tuple[tuple[Gpu, ...], tuple[str, ...]]:
    """Return the suitable GPUs that nobody else computes on, and what computes on the others.

    Args:
        need: the GPUs that one side needs.
        facts: what this host has.
        environ: may hide GPUs.
        reader: asks the driver.
        ours: whether a GPU is locked by another job of this program, which will give it back.
        sides: how many sides get GPUs of their own, if there are so many suitable ones.
        patience_s: how long to wait if fewer are free than the sides need: a GPU may still seem busy when its
            server has just ended.
    """
    suitable = _suitable(need, facts, environ)
    enough = need.count * sides if len(suitable) >= need.count * sides else need.count
    deadline = time.monotonic() + patience_s
    while True:
        busy = {gpu: "" if ours(gpu) else busy_with(gpu, reader.read(gpu.uuid)) for gpu in suitable}
        free = tuple(gpu for gpu in suitable if not busy[gpu])
        if len(free) >= enough or len(free) == len(suitable) or time.monotonic() >= deadline:
            return free, tuple(filter(None, busy.values()))
        time.sleep(LOOK_AGAIN_S)


def locked_by_a_job(gpu: Gpu, locks_dir: Path) -> bool:
    """Whether a job or server of this program holds a GPU."""
    path = locks_dir / f"{gpu.uuid}.lock"
    if not path.exists():
        return False
    with ExitStack() as stack:
        return not _try_lock(_open(stack, path))


def _suitable(need: GpuNeed, facts: HostFacts, environ: Mapping[str, str]) -> tuple[Gpu, ...]:
    visible = visible_gpus(facts.gpus, environ)
    return tuple(gpu for gpu in visible if not gpu.mig and (not need.names or gpu.name in need.names))


def usable_gpus(need: GpuNeed, facts: HostFacts, environ: Mapping[str, str] = os.environ) -> tuple[Gpu, ...]:
    """Return the GPUs that this process may use for a need, whoever computes on them, in the locks' order.

    Raises:
        GpusUnavailable: this host, or CUDA_VISIBLE_DEVICES, does not have enough of them.
    """
    usable = _suitable(need, facts, environ)
    if len(usable) >= need.count:
        return tuple(sorted(usable, key=lambda gpu: gpu.uuid))
    visible = visible_gpus(facts.gpus, environ)
    hidden = f", of which {VISIBLE} allows {len(visible)}" if len(visible) < len(facts.gpus) else ""
    slices = "; MIG slices are unsupported" if "MIG-" in environ.get(VISIBLE, "") else ""
    raise GpusUnavailable(
        f"{need.count} x {' or '.join(need.names) or 'NVIDIA GPU'} are needed at once",
        where=f"this host has {gpus_in_words(facts)}{hidden}{slices}",
        fix="run it on a host of the target: `enginery targets list` names the GPUs and the work pools",
    )


class _Taking:
    """The taking of GPUs by one process."""

    def __init__(self, usable: Sequence[Gpu], count: int, reader: GpuReader, say: Say) -> None:
        self._usable = usable
        self._count = count
        self._reader = reader
        self._say = say
        self._taken: dict[Gpu, int] = {}
        self._busy: dict[Gpu, str] = {}
        self._busy_since: dict[Gpu, float] = {}

    def take(self, stack: ExitStack, locks_dir: Path) -> dict[Gpu, int]:
        """Lock as many GPUs as needed; they stay locked as long as the stack is open."""
        locks_dir.mkdir(parents=True, exist_ok=True)
        with ExitStack() as queue:
            turn = _open(queue, locks_dir / QUEUE)
            _wait_until(lambda: _try_lock(turn), lambda: "another job is taking some", self._say)
            files = {gpu: _open(stack, locks_dir / f"{gpu.uuid}.lock") for gpu in self._usable}
            _wait_until(lambda: self._enough(files), self._missing, self._say)
        return self._taken

    def _enough(self, files: Mapping[Gpu, int]) -> bool:
        for gpu, descriptor in files.items():
            if len(self._taken) < self._count and gpu not in self._taken and _try_lock(descriptor):
                self._keep_unless_busy(gpu, descriptor)
        if len(self._usable) - len(self._busy_for_long()) < self._count:
            raise GpusUnavailable(
                f"{self._count} GPUs are needed, and processes that are not of this program compute on "
                f"{len(self._busy)} of {len(self._usable)}",
                where="; ".join(self._busy.values()),
                fix="end these processes, or wait until they end",
            )
        return len(self._taken) == self._count

    def _keep_unless_busy(self, gpu: Gpu, descriptor: int) -> None:
        busy = busy_with(gpu, self._reader.read(gpu.uuid))
        if not busy:
            self._busy.pop(gpu, None)
            self._busy_since.pop(gpu, None)
            self._taken[gpu] = descriptor
            return
        self._busy[gpu] = busy
        self._busy_since.setdefault(gpu, time.monotonic())
        fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _busy_for_long(self) -> list[Gpu]:
        now = time.monotonic()
        return [gpu for gpu, since in self._busy_since.items() if now - since >= BUSY_PATIENCE_S]

    def _missing(self) -> str:
        others = "".join(f"; {busy}" for busy in self._busy.values())
        return f"{len(self._taken)} of {self._count} are free{others}"


def _wait_until(holds: Callable[[], bool], why: Callable[[], str], say: Say) -> None:
    if holds():
        return
    say(f"waiting for GPUs: {why()}")
    while not holds():
        time.sleep(LOOK_AGAIN_S)


def _open(stack: ExitStack, path: Path) -> int:
    """Open a lock, which another user may have made.

    What is there is opened without O_CREAT, which Linux refuses for files of others in a directory like /tmp
    (fs.protected_regular), and for reading if it may not be written to: that suffices for a lock, except on
    NFS.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except PermissionError:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    stack.callback(os.close, descriptor)
    return descriptor


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
