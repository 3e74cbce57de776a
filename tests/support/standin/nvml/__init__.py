"""GPUs for programs under test: a stand-in of the driver's library, found before any real one."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from artifacts.hosts import Gpu, GpuProcess, GpuReading

SOURCE = Path(__file__).with_name("nvml.c")
LIBRARY = "libnvidia-ml.so.1"


def compile_standin(directory: Path) -> Path:
    """Compile the stand-in into a directory, which is to go into LD_LIBRARY_PATH."""
    argv = ["gcc", "-w", "-D_GNU_SOURCE", "-shared", "-fPIC", "-o", str(directory / LIBRARY), str(SOURCE)]
    subprocess.run(argv, check=True, timeout=60)
    return directory


def environment(directory: Path, gpus: Sequence[Gpu], driver: str, *readings: str) -> dict[str, str]:
    """The environment in which a program finds these GPUs; driver "broken" is one that does not start.

    `readings` are what it says of each GPU: "MiB in use|throttle reasons|MIG mode|pid:MiB,pid:MiB".
    """
    rows = (f"{g.name}|{g.uuid}|{g.memory_bytes >> 20}|{g.compute_capability}" for g in gpus)
    return {
        "LD_LIBRARY_PATH": str(directory),
        "ENGINERY_TEST_GPUS": ";".join(rows),
        "ENGINERY_TEST_DRIVER": driver,
        **({"ENGINERY_TEST_READINGS": ";".join(readings)} if readings else {}),
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


class Recorded:
    """A reader of GPUs that returns what a test recorded, one reading after the other; the last one stays."""

    def __init__(self, readings: Mapping[str, Sequence[GpuReading]]) -> None:
        self._readings = {uuid: list(each) for uuid, each in readings.items()}
        self.asked: list[str] = []

    def read(self, uuid: str) -> GpuReading | None:
        self.asked.append(uuid)
        left = self._readings.get(uuid, [])
        return left.pop(0) if len(left) > 1 else next(iter(left), None)


def reading(gib: float | None = 0.0, *processes: tuple[int, float | None], throttled: str = "") -> GpuReading:
    """A reading: memory in use, processes with theirs, and one reason for lowered clocks."""
    return GpuReading(
        used_bytes=None if gib is None else int(gib * 2**30),
        processes=tuple(
            GpuProcess(pid=pid, name="python3", used_bytes=None if used is None else int(used * 2**30))
            for pid, used in processes
        ),
        throttled=(throttled,) if throttled else (),
    )
