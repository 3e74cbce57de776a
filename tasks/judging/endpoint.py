"""Who is measured: a side of a comparison, and the address at which it can be reached."""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen
from artifacts.hosts import ServeCommand

Role = Literal["defaults", "recommended", "same-weights", "own-quantization", "declared"]
"""Why a reference takes part: vLLM as it is; with what its project recommends for the model; on the very
weights that the engine was made of; quantizing by itself; or because the spec names it."""


class Side(Frozen):
    """One side of a comparison, by content: what is served, and by which command."""

    name: str = Field(
        description="Name in reports, such as `engine`, `vllm` or `vllm fp8`; unique in one judgement."
    )
    roles: tuple[Role, ...] = Field(
        default=(), description="Why it takes part, if it is a reference; the engine has none."
    )
    serve: ServeCommand = Field(description="The command that serves it.")
    tree: str = Field(description="Digest of the tree that is served.")
    devices: int = Field(default=1, ge=1, description="Accelerators that one server occupies; on CPU, hosts.")
    gpu_names: tuple[str, ...] = Field(
        default=(), description="Product names of the GPUs that it may be served on; empty on CPU."
    )


class Endpoint(Frozen):
    """A running server of one side. The address never enters a digest."""

    base_url: str = Field(description="Address without a trailing slash, such as http://127.0.0.1:8000.")
    side: Side
    start: int = Field(
        default=1,
        ge=1,
        description="How many times the side was started, this time included; each start is cold.",
    )
    ready_s: float = Field(default=0.0, ge=0, description="Seconds from that start until it was ready.")

    @property
    def model(self) -> str:
        """Value of `model` in requests."""
        return self.side.serve.model

    def url(self, path: str) -> str:
        """Return the absolute address of a path such as /v1/completions."""
        return self.base_url.rstrip("/") + path
