"""The manifest of every engine tree (`engine.json`): how to serve it, and what the host must have.

Invariants:
- An engine tree is self-contained: with the named toolchain and nothing else, its serve command starts it.
- Nothing in `engine.json` depends on where or when it was built: equal inputs give equal bytes.
- A serve command's argv has placeholders only for what differs between hosts and releases: `{python}` and
  `{bin}` (the toolchain's interpreter and its directory of programs), `{tree}` (the installed directory),
  `{host}`, `{port}`, `{scratch}` (a directory of the server's own) and `{model}` (the name that the server
  answers to: the release's when it is served, the command's own when it is judged).
- A server never writes to the tree: the files that it rewrites are listed, and it gets copies of them.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from artifacts.frozen import Frozen
from artifacts.placeholders import fill_placeholders
from artifacts.store import path_problem

ENGINE_FILE = "engine.json"


class ServeCommand(Frozen):
    """The command that serves a directory over the OpenAI completions protocol."""

    toolchain: str = Field(description="Name of the toolchain whose interpreter runs the server.")
    argv: tuple[str, ...] = Field(
        description="Command with placeholders {python}, {bin}, {tree}, {scratch}, {host}, {port}, {model}."
    )
    env: dict[str, str] = Field(
        default_factory=dict,
        description="Environment that the server needs beyond the toolchain's; values may contain {tree} and "
        "{scratch}, a directory of the server's own that is deleted afterwards.",
    )
    rewrites: tuple[str, ...] = Field(
        default=(),
        description="Files of the tree that the server writes to: each is copied to {scratch}, under the "
        "same path, before the server starts.",
    )
    fills: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda fills: not fills,
        description="Text files of the tree that name {tree}: each is copied to {scratch}, under the same "
        "path, with the directory filled in, before the server starts.",
    )
    ready_path: str = Field(
        default="/health", description="Path that answers 200 once the server accepts requests."
    )
    model: str = Field(
        description="Value of `model` in requests to this server, unless it is started under another name."
    )
    generated_ids: Literal["with-text", "instead-of-text"] = Field(
        default="with-text",
        description="How the server returns generated token ids: next to their text and with the prompt's "
        "ids, if a request sets `return_token_ids` (vLLM); or instead of text and without the prompt's, if "
        "it sets `detokenize: false` (TensorRT-LLM, which refuses unknown fields).",
    )

    @model_validator(mode="after")
    def _stays_inside(self) -> Self:
        for path in (*self.rewrites, *self.fills):
            if problem := path_problem(path):
                raise ValueError(f"path {path!r} {problem}")
        return self

    def served_model(self, name: str) -> str:
        """Return the model name that a server started as `name` answers to; its own if argv lacks {model}."""
        return name if any("{model}" in part for part in self.argv) else self.model

    def command(
        self,
        *,
        python: str,
        bin_dir: str,
        tree: str,
        scratch: str,
        host: str,
        port: int | str,
        model: str,
    ) -> list[str]:
        """Return the argument list with its placeholders filled in, ready to run."""
        values = {
            "python": python,
            "bin": bin_dir,
            "tree": tree,
            "scratch": scratch,
            "host": host,
            "port": str(port),
            "model": model,
        }
        return [fill_placeholders(part, values) for part in self.argv]

    def environment(self, *, tree: str, scratch: str) -> dict[str, str]:
        """Return the environment with its placeholders filled in."""
        values = {"tree": tree, "scratch": scratch}
        return {name: fill_placeholders(value, values) for name, value in self.env.items()}

    def copies(self, *, tree: str, scratch: str) -> list[tuple[str, ...]]:
        """Return the commands that copy files for the server, to be run before it starts."""
        rewritten = [("install", "-Dm644", f"{tree}/{path}", f"{scratch}/{path}") for path in self.rewrites]
        fill = f"s|{{tree}}|{tree}|g;w {scratch}/"
        return [*rewritten, *(("sed", "-n", f"{fill}{path}", f"{tree}/{path}") for path in self.fills)]

    def filled(self, content: str, *, tree: str) -> str:
        """Return the content of one of `fills` with the directory filled in."""
        return fill_placeholders(content, {"tree": tree})


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


class BuiltOn(Frozen):
    """The host that an engine was built on, as far as that decides where the engine loads."""

    gpu_name: str = Field(description="Product name that the driver reports.")
    compute_capability: str = Field(description="CUDA compute capability, such as 9.0.")
    driver: str = Field(description="Version of the NVIDIA driver.")
    cuda: str = Field(description="CUDA version that the tool was built with.")


class TuningCache(Frozen):
    """Kernel choices measured on one GPU; on another they are wrong, and nothing else reports it."""

    path: str = Field(description="The file, relative to the tree.")
    gpu_name: str = Field(description="Product name of the GPU that it was measured on.")
    compute_capability: str = Field(description="CUDA compute capability of that GPU.")
    tool_version: str = Field(description="Version of the tool that wrote it.")
    tensor_parallel: int = Field(ge=1, description="GPUs that each layer was spread over.")
    config_sha256: str = Field(description="Digest of the file with the tool's settings.")


class WarmCaches(Frozen):
    """What the tool compiles when it starts, as it was left by a start on the build host."""

    path: str = Field(description="The directory, relative to the tree.")
    place: str = Field(
        description="Absolute path of the directory that holds a copy of it while the engine is served: "
        "compiled code is found again only behind the path that it was compiled behind."
    )
    captured: dict[str, str] = Field(
        description="What it was captured with: elsewhere the server starts without it."
    )
    environment: dict[str, str | None] = Field(
        description="Variables that may enter the tool's key of it, as they were then; null: not set. The "
        "server starts with these."
    )


class DraftSource(Frozen):
    """A checkpoint on the Hub."""

    repo: str = Field(description="Its repository.")
    revision: str = Field(description="Its commit.")


class Drafting(Frozen):
    """How a server drafts tokens that the model then checks."""

    method: str = Field(description="ngram, mtp, eagle3 or draft_model.")
    tokens: int = Field(ge=1, description="Tokens that are drafted for each step of a sequence.")
    draft: DraftSource | None = Field(
        default=None, description="The checkpoint that drafts, which is in the folder draft."
    )


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
        description="Identity of each toolchain that took part in making it, by role."
    )
    tools: dict[str, str] = Field(description="Versions of the tools, such as torch.")
    built_on: BuiltOn | None = Field(
        default=None, description="Where it was built; none if that does not decide where it loads."
    )
    tuning: TuningCache | None = Field(default=None, description="Kernel choices that ship with it.")
    warm_caches: WarmCaches | None = Field(
        default=None, description="Caches that ship with it, so that it starts faster; none if it has none."
    )
    stand_in: bool = Field(
        default=False,
        description="Made by a stand-in for the tool: never to be judged or published.",
    )
    unchecked_args: tuple[str, ...] = Field(
        default=(),
        description="Arguments of its server that no table of the tool's release has: nothing checked them.",
    )
    speculative: Drafting | None = Field(
        default=None, description="How its server drafts tokens; none if it generates one at a time."
    )
    serve: ServeCommand
