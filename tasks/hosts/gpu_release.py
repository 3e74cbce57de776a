"""Waiting until the memory of a GPU is really free after a server has ended."""

import time
from collections.abc import Mapping, Sequence

from artifacts.hosts import Gpu, GpuReader
from tasks.errors import GpuNotReleased

# The driver frees memory a moment after the last process has ended.
RELEASE_LIMIT_S = 60.0
LOOK_AGAIN_S = 0.2
# What may differ without a server: the driver's own bookkeeping.
SLACK_BYTES = 256 << 20


def memory_in_use(gpus: Sequence[Gpu], reader: GpuReader) -> dict[str, int]:
    """Return the bytes in use on each GPU, by UUID; a GPU is missing if the driver does not say."""
    readings = {gpu.uuid: reader.read(gpu.uuid) for gpu in gpus}
    return {
        uuid: reading.used_bytes
        for uuid, reading in readings.items()
        if reading is not None and reading.used_bytes is not None
    }


def await_released(
    gpus: Sequence[Gpu], before: Mapping[str, int], reader: GpuReader, *, limit_s: float = RELEASE_LIMIT_S
) -> None:
    """Wait until GPUs have no more memory in use than before the first server started.

    Args:
        gpus: the GPUs.
        before: bytes in use then, by UUID; a GPU that is missing is not waited for.
        reader: asks the driver.
        limit_s: how long to wait.

    Raises:
        GpuNotReleased: memory is still in use at the end of that time; the message names who holds it.
    """
    deadline = time.monotonic() + limit_s
    while held := [text for gpu in gpus if (text := _held(gpu, before, reader))]:
        if time.monotonic() >= deadline:
            raise GpuNotReleased(
                f"the memory of a GPU is still in use {limit_s:g} s after its server has ended",
                where="; ".join(held),
                fix="end these processes, and run the command again: finished phases are reused",
            )
        time.sleep(LOOK_AGAIN_S)


def _held(gpu: Gpu, before: Mapping[str, int], reader: GpuReader) -> str:
    """Return what a GPU holds beyond what it held before, and who holds it; empty if nothing."""
    reading = reader.read(gpu.uuid)
    if reading is None or reading.used_bytes is None or gpu.uuid not in before:
        return ""
    more = reading.used_bytes - before[gpu.uuid]
    if more <= SLACK_BYTES:
        return ""
    return f"GPU {gpu.index} ({gpu.name}): {more / 1e9:.1f} GB held by {reading.holders}"
