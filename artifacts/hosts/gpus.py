"""The NVIDIA GPUs of this host, as its driver's management library (NVML) reports them.

Invariants:
- Only the driver is asked: a host without one is a result (`NoGpus`), not an error.
- A GPU without memory of its own, such as the GB10, has the host's: of it the driver says nothing.
- GPUs come in the driver's order, by PCI bus; `index` is the number that CUDA_VISIBLE_DEVICES takes if
  CUDA_DEVICE_ORDER is PCI_BUS_ID.
"""

import os
from types import ModuleType

from pydantic import Field

from artifacts.frozen import Frozen


class Gpu(Frozen):
    """One GPU of a host."""

    index: int = Field(ge=0, description="Position in the driver's order, by PCI bus.")
    name: str = Field(description="Product name, such as NVIDIA H100 80GB HBM3.")
    uuid: str = Field(description="The driver's unique id of this device: GPU-...")
    memory_bytes: int = Field(gt=0, description="Total memory.")
    compute_capability: str = Field(description="CUDA compute capability, such as 9.0.")
    mig: bool = Field(default=False, description="Whether it is divided into MIG slices: unsupported here.")


class GpusFound(Frozen):
    """A driver answers, though it may report no GPU."""

    driver: str = Field(description="Version of the driver, such as 580.95.05.")
    cuda: str = Field(description="Newest CUDA version that the driver runs, such as 13.0.")
    gpus: tuple[Gpu, ...] = Field(description="The GPUs, in the driver's order.")


class NoGpus(Frozen):
    """No driver answers."""

    reason: str = Field(description="Why, as part of a sentence.")


def probe_gpus() -> GpusFound | NoGpus:
    """Return the GPUs of this host, or why no driver answers."""
    import pynvml  # here, as it takes longer to load than the rest of this package

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return NoGpus(reason="no NVIDIA driver is installed (libnvidia-ml.so.1 was not found)")
    except pynvml.NVMLError as error:
        return NoGpus(reason=f"the NVIDIA driver does not start: {error}")
    try:
        return _found(pynvml)
    except pynvml.NVMLError as error:
        return NoGpus(reason=f"the NVIDIA driver does not answer: {error}")
    finally:
        pynvml.nvmlShutdown()


def _found(nvml: ModuleType) -> GpusFound:
    cuda = nvml.nvmlSystemGetCudaDriverVersion_v2()
    return GpusFound(
        driver=nvml.nvmlSystemGetDriverVersion(),
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}",
        gpus=tuple(_gpu(nvml, index) for index in range(nvml.nvmlDeviceGetCount())),
    )


def _gpu(nvml: ModuleType, index: int) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        index=index,
        name=nvml.nvmlDeviceGetName(handle),
        uuid=nvml.nvmlDeviceGetUUID(handle),
        memory_bytes=_memory_bytes(nvml, handle),
        compute_capability=f"{major}.{minor}",
        mig=_mig(nvml, handle),
    )


def _memory_bytes(nvml: ModuleType, handle: object) -> int:
    try:
        return int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
    except nvml.NVMLError_NotSupported:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _mig(nvml: ModuleType, handle: object) -> bool:
    """Whether MIG is on; drivers and GPUs without MIG say that they do not support the question."""
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(handle)
    except nvml.NVMLError:
        return False
    return bool(current == nvml.NVML_DEVICE_MIG_ENABLE)
