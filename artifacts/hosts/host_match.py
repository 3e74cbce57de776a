"""Whether a host can run an engine: compares what it has with what the engine needs, and gives reasons."""

import platform
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from packaging.version import Version
from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts.engine import HostRequirements
from artifacts.hosts.gpus import Gpu, GpusFound, probe_gpus

CPUINFO = Path("/proc/cpuinfo")
# x86 kernels print "flags", 64-bit ARM kernels "Features".
FEATURE_LINES = ("flags", "Features")
MODEL_LINES = ("model name", "CPU part")
MIG_IN_WORDS = ", divided into MIG slices, which are unsupported: turn MIG off (nvidia-smi -mig 0)"


class HostFacts(Frozen):
    """What a host has."""

    machine: str = Field(description="platform.machine(): x86_64, aarch64.")
    cpu_features: tuple[str, ...] = Field(description="CPU flags as in /proc/cpuinfo, sorted.")
    cpu_model: str = Field(
        default="", description="Model name of its processor; empty if the kernel does not say."
    )
    gpus: tuple[Gpu, ...] = Field(default=(), description="Its NVIDIA GPUs, in the driver's order.")
    driver: str | None = Field(
        default=None, description="Version of the NVIDIA driver; none if no driver answers."
    )
    no_gpus: str = Field(default="", description="Why no driver answers; empty if one does.")


class Fits(Frozen):
    """The host has all that is needed."""

    reason: str = Field(description="Why it fits, as part of a sentence.")


class Refused(Frozen):
    """The host lacks something, or there is nothing to run."""

    reason: str = Field(description="Why, as part of a sentence.")


def probe_host(cpuinfo: Path = CPUINFO) -> HostFacts:
    """Return the facts of this host; the CPU flags are those of its first processor."""
    facts = HostFacts(
        machine=platform.machine(),
        cpu_features=tuple(sorted(_first(FEATURE_LINES, cpuinfo).split())),
        cpu_model=_first(MODEL_LINES, cpuinfo),
    )
    found = probe_gpus()
    if isinstance(found, GpusFound):
        return facts.model_copy(update={"gpus": found.gpus, "driver": found.driver})
    return facts.model_copy(update={"no_gpus": found.reason})


def fits(requires: HostRequirements, facts: HostFacts) -> Fits | Refused:
    """Decide whether a host meets the requirements of an engine.

    Compute capabilities must be equal: what was compiled for one does not load on another.
    """
    lack = next(_lacks(requires, facts), None)
    return Fits(reason=_has(requires, facts)) if lack is None else Refused(reason=lack)


def suitable_gpus(requires: HostRequirements, gpus: tuple[Gpu, ...]) -> tuple[Gpu, ...]:
    """Return the GPUs that meet the requirements, in their order; none that is divided into MIG slices."""
    return tuple(
        gpu
        for gpu in gpus
        if not gpu.mig
        and (not requires.gpu_names or gpu.name in requires.gpu_names)
        and requires.compute_capability in (None, gpu.compute_capability)
    )


def gpus_in_words(facts: HostFacts) -> str:
    """Describe a host's GPUs as part of a sentence, or say why there are none."""
    if not facts.gpus:
        return f"no GPU: {facts.no_gpus}" if facts.no_gpus else "no GPU"
    kinds = Counter((gpu.name, gpu.compute_capability, gpu.mig) for gpu in facts.gpus)
    return ", ".join(
        f"{count} x {name} (compute capability {cc}{MIG_IN_WORDS if mig else ''})"
        for (name, cc, mig), count in kinds.items()
    )


def cpu_model(cpuinfo: Path = CPUINFO) -> str:
    """Return the model name of this host's first processor; empty if the kernel does not say."""
    return _first(MODEL_LINES, cpuinfo)


def _first(labels: tuple[str, ...], cpuinfo: Path) -> str:
    """Return the value of the first line with one of these labels; empty if there is none."""
    for line in cpuinfo.read_text(errors="replace").splitlines():
        label, _, value = line.partition(":")
        if label.strip() in labels:
            return value.strip()
    return ""


def _lacks(requires: HostRequirements, facts: HostFacts) -> Iterator[str]:
    """Yield what a host lacks, each with what it has; the first often explains the others."""
    if requires.machine != facts.machine:
        yield f"needs {requires.machine}, this host is {facts.machine}"
    if missing := sorted(set(requires.cpu_features) - set(facts.cpu_features)):
        yield f"needs CPU features that this host lacks: {', '.join(missing)}"
    if len(suitable_gpus(requires, facts.gpus)) < requires.gpu_count:
        names = " or ".join(requires.gpu_names) or "NVIDIA GPU"
        capability = requires.compute_capability
        of = f" of compute capability {capability}" if capability else ""
        yield f"needs {requires.gpu_count} x {names}{of}; this host has {gpus_in_words(facts)}"
    floor = requires.driver_floor
    if floor is not None and not (facts.driver and Version(facts.driver) >= Version(floor)):
        yield f"needs NVIDIA driver {floor} or newer, this host has {facts.driver or 'none'}"


def _has(requires: HostRequirements, facts: HostFacts) -> str:
    """Say what the host has of what is required, as part of a sentence."""
    features = len(requires.cpu_features)
    machine = (
        f"{facts.machine} with all {features} CPU features asked for" if features else f"any {facts.machine}"
    )
    if not requires.gpu_count:
        return machine
    kinds = sorted({gpu.name for gpu in suitable_gpus(requires, facts.gpus)})
    return f"{machine}, {requires.gpu_count} x {' or '.join(kinds)}, driver {facts.driver}"
