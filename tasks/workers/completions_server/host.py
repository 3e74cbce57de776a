"""Checks that this host has what an engine was compiled for, before any of its code is loaded.

Code with instructions that the processor lacks ends in SIGILL, which explains nothing; kernels for another
GPU end in an error of the driver about an image.
"""

import json
import platform
from pathlib import Path
from typing import Any

from tasks.workers.common.gpu_host import gpu_facts, refuse_unless
from tasks.workers.common.io import Refusal

CPUINFO = Path("/proc/cpuinfo")


class HostRefused(Exception):
    """This host cannot run the engine; the message says what it lacks."""


def read_manifest(tree: Path) -> dict[str, Any]:
    """The engine's own description, `engine.json`."""
    return dict(json.loads((tree / "engine.json").read_text(encoding="utf-8")))


def check_host(requires: dict[str, Any], cpuinfo: Path = CPUINFO) -> None:
    """Compare `requires` of engine.json with this machine.

    Raises:
        HostRefused: the machine type is another one, CPU features are missing, or the GPU is none that the
            engine was built for.
    """
    if platform.machine() != requires["machine"]:
        raise HostRefused(f"the engine is for {requires['machine']}, this host is {platform.machine()}")
    missing = sorted(set(requires["cpu_features"]) - cpu_flags(cpuinfo))
    if missing:
        raise HostRefused(
            f"this host's CPU lacks {', '.join(missing)}, which the engine was compiled for; "
            "pull a variant for a lower CPU level"
        )
    if requires.get("gpu_count"):
        _check_gpu(requires)


def _check_gpu(requires: dict[str, Any]) -> None:
    try:
        refuse_unless(
            gpu_facts(), requires["gpu_names"], requires["compute_capability"], requires["gpu_count"]
        )
    except Refusal as refusal:
        raise HostRefused(refusal.what) from None


def cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """The flags that every processor of this host has, as Linux names them."""
    lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    processors = [frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")]
    return frozenset.intersection(*processors) if processors else frozenset()
