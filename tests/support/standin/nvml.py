"""GPUs for programs under test: a stand-in of the driver's library, found before any real one."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from artifacts.hosts import Gpu

SOURCE = Path(__file__).with_name("nvml.c")
LIBRARY = "libnvidia-ml.so.1"


def compile_standin(directory: Path) -> Path:
    """Compile the stand-in into a directory, which is to go into LD_LIBRARY_PATH."""
    argv = ["gcc", "-w", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(directory / LIBRARY), str(SOURCE)]
    subprocess.run(argv, check=True, timeout=60)
    return directory


def environment(directory: Path, gpus: Sequence[Gpu], driver: str) -> dict[str, str]:
    """The environment in which a program finds these GPUs; driver "broken" is one that does not start."""
    rows = (f"{g.name}|{g.uuid}|{g.memory_bytes >> 20}|{g.compute_capability}" for g in gpus)
    return {
        "LD_LIBRARY_PATH": str(directory),
        "ENGINERY_TEST_GPUS": ";".join(rows),
        "ENGINERY_TEST_DRIVER": driver,
    }


def gpu(name: str = "NVIDIA H200", index: int = 0, capability: str = "9.0", mib: int = 143771) -> Gpu:
    """A GPU; its UUID is made of its index."""
    return Gpu(
        index=index,
        name=name,
        uuid=f"GPU-{index:08d}-0000-4000-8000-000000000000",
        memory_bytes=mib << 20,
        compute_capability=capability,
    )
