"""This host as a place to build and measure: its class, its disk, its GPUs and their locks.

Promises: no two jobs or servers of this host compute on one GPU at the same time, across all processes.
"""

from tasks.hosts.disk import free_disk_bytes
from tasks.hosts.gpu_locks import VISIBLE, GpuNeed, HeldGpus, gpu_environment, gpus_for, need_of
from tasks.hosts.host_class import this_host
from tasks.hosts.requirements import host_requirements

__all__ = [
    "VISIBLE",
    "GpuNeed",
    "HeldGpus",
    "free_disk_bytes",
    "gpu_environment",
    "gpus_for",
    "host_requirements",
    "need_of",
    "this_host",
]
