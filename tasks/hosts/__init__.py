"""This host as a place to build and measure: its class, its room, its GPUs and their locks, and who else
computes on it.

Promises: no two jobs or servers of this host compute on one GPU at the same time, across all processes.
"""

from tasks.hosts.cpu_readings import ProcReader
from tasks.hosts.gpu_locks import (
    BUSY_PATIENCE_S,
    NVML,
    VISIBLE,
    GpuNeed,
    HeldGpus,
    free_gpus,
    gpu_environment,
    gpus_for,
    locked_by_a_job,
    need_of,
    usable_gpus,
    visible_gpus,
)
from tasks.hosts.gpu_release import await_released, memory_in_use
from tasks.hosts.gpu_watch import GpuWatch
from tasks.hosts.host_class import HostClass, this_host
from tasks.hosts.host_watch import HostWatch, QuietRule, Unattributable
from tasks.hosts.requirements import host_requirements
from tasks.hosts.room import free_disk_bytes, host_memory_bytes

__all__ = [
    "BUSY_PATIENCE_S",
    "NVML",
    "VISIBLE",
    "GpuNeed",
    "GpuWatch",
    "HeldGpus",
    "HostClass",
    "HostWatch",
    "ProcReader",
    "QuietRule",
    "Unattributable",
    "await_released",
    "free_disk_bytes",
    "free_gpus",
    "gpu_environment",
    "gpus_for",
    "host_memory_bytes",
    "host_requirements",
    "locked_by_a_job",
    "memory_in_use",
    "need_of",
    "this_host",
    "usable_gpus",
    "visible_gpus",
]
