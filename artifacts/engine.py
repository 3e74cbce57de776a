"""What every engine directory says of itself (`engine.json`): how to serve it, and what the host must have.

Invariants:
- An engine tree is self-contained: with the named toolchain and nothing else, its serve recipe starts it.
- Nothing in `engine.json` depends on where or when it was built: equal inputs give equal bytes.
- A recipe's argv holds placeholders only for what differs between hosts: `{python}` and `{bin}` (the
  toolchain's interpreter and its directory of programs), `{tree}` (the installed directory), `{host}` and
  `{port}`.
"""

from typing import Literal

from pydantic import Field

from artifacts.frozen import Frozen

ENGINE_FILE = "engine.json"


class ServeRecipe(Frozen):
    """The command that serves a directory over the OpenAI completions protocol."""

    toolchain: str = Field(description="Name of the toolchain whose interpreter runs the server.")
    argv: tuple[str, ...] = Field(
        description="Command with placeholders {python}, {bin}, {tree}, {host}, {port}."
    )
    env: dict[str, str] = Field(
        default_factory=dict, description="Environment that the server needs, beyond the toolchain's."
    )
    ready_path: str = Field(
        default="/health", description="Path that answers 200 once the server takes requests."
    )
    model: str = Field(description="Value of `model` in requests to this server.")

    def command(self, *, python: str, bin_dir: str, tree: str, host: str, port: int) -> list[str]:
        """Fill in the placeholders; returns an argument list ready to run."""
        values = {"python": python, "bin": bin_dir, "tree": tree, "host": host, "port": str(port)}
        return [part.format(**values) for part in self.argv]


class HostRequirements(Frozen):
    """What a host must have before an engine may be started on it."""

    machine: str = Field(description="platform.machine(): x86_64, aarch64.")
    cpu_features: tuple[str, ...] = Field(
        default=(), description="CPU flags, as /proc/cpuinfo names them, sorted."
    )
    gpu_names: tuple[str, ...] = Field(default=(), description="GPU product names; empty for CPU engines.")
    compute_capability: str | None = Field(default=None, description="CUDA compute capability, such as 9.0.")
    gpu_count: int = Field(default=0, ge=0, description="GPUs that one engine needs.")
    driver_floor: str | None = Field(default=None, description="Oldest NVIDIA driver that loads it.")


class EngineManifest(Frozen):
    """`engine.json` in the root of an engine tree."""

    format: Literal[1] = 1
    kind: str = Field(description="Engine kind, such as aot-inductor.")
    architecture: str = Field(description="Hugging Face architecture class, such as LlamaForCausalLM.")
    quantization: str = Field(description="Recipe of the weights: none, int8_weight_only, ...")
    shape: dict[str, int] = Field(
        description="max_batch_size, max_input_len, max_seq_len, max_num_tokens as built."
    )
    tokenizer_sha256: str = Field(description="Digest of tokenizer.json, equal to the checkpoint's.")
    requires: HostRequirements
    toolchains: dict[str, str] = Field(
        description="Identity of each toolchain that had a part in it, by role."
    )
    tools: dict[str, str] = Field(description="Versions of the tools, such as torch.")
    serve: ServeRecipe
