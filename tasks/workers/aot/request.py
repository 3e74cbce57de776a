"""The request of the aot-inductor worker: records that the kind writes and the worker reads.

The input `checkpoint` is a directory in Hugging Face's layout.
"""

from dataclasses import dataclass

from tasks.workers.common.requests import EngineParams, Request
from tasks.workers.common.shape import Shape

# The module that serves the engine; the tree ships it, with everything that it imports.
SERVER = "tasks.workers.completions_server.main"


@dataclass(frozen=True)
class Target:
    """The hosts to compile for.

    Attributes:
        machine: their `platform.machine()`.
        march: level for the compiler's -march; None if engines do not compute on x86-64 processors.
        cpu_features: flags as /proc/cpuinfo spells them; none if engines compute on a GPU.
        gpu_names: product names by which the driver reports the GPU.
        compute_capability: of the GPU, such as 9.0; None if engines compute on the processor.
    """

    machine: str
    march: str | None
    cpu_features: tuple[str, ...]
    gpu_names: tuple[str, ...] = ()
    compute_capability: str | None = None

    @property
    def device(self) -> str:
        """What engines compute on, as torch names it: cpu or cuda."""
        return "cpu" if self.compute_capability is None else "cuda"


@dataclass(frozen=True, kw_only=True)
class AotParams(EngineParams):
    """What decides the engine.

    Attributes:
        shape: how large it is.
        target: hosts.
        dtype: bfloat16 or float32; None: as the checkpoint is stored, and bfloat16 on GPUs.
    """

    shape: Shape
    target: Target
    dtype: str | None = None


@dataclass(frozen=True)
class AotAdmission:
    """What decides whether the engine may be built: the architectures that the kind compiles."""

    architectures: tuple[str, ...]


AotRequest = Request[AotParams, AotAdmission]
