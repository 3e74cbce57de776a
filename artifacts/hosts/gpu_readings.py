"""What the driver says of a GPU at this moment: memory in use, by which processes, and lowered clocks.

Invariants:
- What the driver does not report (an older one, another process namespace) is absent, never zero.
- Reading changes nothing and takes milliseconds.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from artifacts.frozen import Frozen


class GpuProcess(Frozen):
    """A process that computes on a GPU."""

    pid: int = Field(description="Its process id, as the driver sees it.")
    name: str = Field(description="Its program; empty if it is not visible from here.")
    used_bytes: int | None = Field(description="Memory that it takes; null if the driver does not say.")

    def __str__(self) -> str:
        used = "" if self.used_bytes is None else f", {self.used_bytes / 1e9:.1f} GB"
        return f"process {self.pid} ({self.name or 'program unknown'}{used})"


class GpuReading(Frozen):
    """One look at a GPU."""

    used_bytes: int | None = Field(
        default=None, description="Memory in use, without what the driver reserves; null if it does not say."
    )
    processes: tuple[GpuProcess, ...] = Field(default=(), description="Processes that compute on it.")
    throttled: tuple[str, ...] = Field(
        default=(), description="Why clocks are lower than load and settings ask for; empty if they are not."
    )

    @property
    def holders(self) -> str:
        """Who holds its memory, as part of a sentence."""
        if self.processes:
            return ", ".join(map(str, self.processes))
        return "processes that the driver does not list"


class GpuReader(Protocol):
    """Reads GPUs by their UUIDs."""

    def read(self, uuid: str) -> GpuReading | None:
        """Return what the driver says now; None if no driver answers, or it does not know the GPU."""


class NvmlReader:
    """Asks the driver's management library (NVML), which stays open from the first reading on."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: dict[str, Any] = {}

    def read(self, uuid: str) -> GpuReading | None:
        """Return what NVML says now; None if no driver answers, or it does not know the GPU."""
        import pynvml  # here, as it takes longer to load than the rest of this package

        try:
            handle = self._handle(pynvml, uuid)
        except pynvml.NVMLError:
            return None
        return GpuReading(
            used_bytes=_answer(pynvml, lambda: _used_bytes(pynvml, handle)),
            processes=_answer(pynvml, lambda: _processes(pynvml, handle)) or (),
            throttled=_answer(pynvml, lambda: _throttled(pynvml, handle)) or (),
        )

    def _handle(self, nvml: Any, uuid: str) -> Any:
        if self._nvml is None:
            nvml.nvmlInit()
            self._nvml = nvml
        if uuid not in self._handles:
            self._handles[uuid] = nvml.nvmlDeviceGetHandleByUUID(uuid)
        return self._handles[uuid]


def _answer(nvml: Any, ask: Callable[[], Any]) -> Any:
    """Return the driver's answer; None if it has none."""
    with suppress(nvml.NVMLError):
        return ask()
    return None


def _used_bytes(nvml: Any, handle: Any) -> int:
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle, version=nvml.nvmlMemory_v2).used)
    except nvml.NVMLError:  # an older driver, which counts what it reserves as used
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).used)


def _processes(nvml: Any, handle: Any) -> tuple[GpuProcess, ...]:
    return tuple(
        GpuProcess(pid=one.pid, name=_program(one.pid), used_bytes=one.usedGpuMemory)
        for one in nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    )


def _program(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    return ""


def _throttled(nvml: Any, handle: Any) -> tuple[str, ...]:
    """Return the reasons that make a measurement slower than the GPU is; idling and settings are none."""
    reasons = {
        nvml.nvmlClocksThrottleReasonSwPowerCap: "power cap",
        nvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slowdown",
        nvml.nvmlClocksThrottleReasonSwThermalSlowdown: "temperature",
        nvml.nvmlClocksThrottleReasonHwThermalSlowdown: "temperature, by hardware",
        nvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake",
    }
    found = nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
    return tuple(name for bit, name in reasons.items() if found & bit)
