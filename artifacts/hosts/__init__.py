"""What a host has, and what an engine tree requires of the host that serves it.

Promises:
- Facts of a host (NVML, /proc/cpuinfo) are read only here; pure functions decide whether they suffice, with
  a reason.
- An engine's manifest (engine.json) is defined, read and written here.
"""

from artifacts.hosts.engine import (
    ENGINE_FILE,
    BuiltOn,
    EngineManifest,
    HostRequirements,
    ServeCommand,
    TuningCache,
    WarmCaches,
)
from artifacts.hosts.gpu_readings import GpuProcess, GpuReader, GpuReading, NvmlReader
from artifacts.hosts.gpus import Gpu, GpusFound, NoGpus, probe_gpus
from artifacts.hosts.host_match import (
    Fits,
    HostFacts,
    Refused,
    cpu_model,
    fits,
    gpus_in_words,
    probe_host,
    suitable_gpus,
)
from artifacts.hosts.servable import refuse_host, refuse_unservable
from artifacts.hosts.stand_in import refuse_stand_in

__all__ = [
    "ENGINE_FILE",
    "BuiltOn",
    "EngineManifest",
    "Fits",
    "Gpu",
    "GpuProcess",
    "GpuReader",
    "GpuReading",
    "GpusFound",
    "HostFacts",
    "HostRequirements",
    "NoGpus",
    "NvmlReader",
    "Refused",
    "ServeCommand",
    "TuningCache",
    "WarmCaches",
    "cpu_model",
    "fits",
    "gpus_in_words",
    "probe_gpus",
    "probe_host",
    "refuse_host",
    "refuse_stand_in",
    "refuse_unservable",
    "suitable_gpus",
]
