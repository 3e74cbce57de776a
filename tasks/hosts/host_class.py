"""The host class: measurements are comparable within one class, and never between two."""

import os
import platform
from functools import cache

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import GpusFound, NoGpus, cpu_model, probe_gpus
from artifacts.settings import load_settings


class HostClass(Frozen):
    """What decides how fast a server runs on a host; without names, so equal machines share measurements."""

    machine: str = Field(description="Architecture by platform.machine(), such as x86_64.")
    cpu_model: str = Field(description="Model name from /proc/cpuinfo.")
    cores: int = Field(ge=1, description="Logical processors that this process may use.")
    memory_gib: int = Field(ge=0, description="Memory of the host, rounded to GiB.")
    gpus: tuple[str, ...] = Field(default=(), description="GPU names and drivers; empty on a CPU host.")
    tool_env: dict[str, str] = Field(
        default_factory=dict,
        description="Variables that the user passes to tools, which may change their speed.",
    )


@cache
def this_host() -> HostClass:
    """Return the class of the host that this process runs on."""
    page_bytes, pages = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_PHYS_PAGES")
    return HostClass(
        machine=platform.machine(),
        cpu_model=cpu_model() or "unknown",
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(page_bytes * pages / 2**30),
        gpus=gpu_class(probe_gpus()),
        tool_env=load_settings().tool_env,
    )


def gpu_class(found: GpusFound | NoGpus) -> tuple[str, ...]:
    """Return what decides how fast a host's GPUs are: each one's name, with the driver; no UUIDs."""
    if isinstance(found, NoGpus):
        return ()
    return tuple(sorted(f"{gpu.name}, driver {found.driver}" for gpu in found.gpus))
