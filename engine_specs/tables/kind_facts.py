"""Engine kinds as facts: what each one can compile, from what, with what. One file per kind in `kinds/`.

Nothing here runs a tool: how a kind is built and served is code elsewhere, which reads these facts.
"""

import datetime as dt
from functools import lru_cache
from types import MappingProxyType
from typing import Annotated, Literal

from pydantic import Field

from engine_specs.reading import (
    KINDS_DIR,
    Problem,
    Slug,
    SpecInvalid,
    StrictFrozen,
    one_of,
    read_data,
    refuse_duplicates,
)
from engine_specs.tables.kind_options import KindOption
from engine_specs.tables.recipes import Device, KvCacheName, ModelOptLine, RecipeName
from engine_specs.tables.targets import Accelerator, ComputeCapability, Platform

ComputeCapabilities = Annotated[tuple[ComputeCapability, ...], Field(strict=False)]


class Toolchains(StrictFrozen):
    """Which toolchain does what for a kind."""

    quantize: dict[Device, Slug] = Field(
        description="Toolchain with ModelOpt, whose export the kind can read, by the device that it runs on."
    )
    build: dict[Accelerator, Slug] = Field(
        description="Toolchain that makes the engine, by what the engine computes on."
    )
    serve: dict[Accelerator, Slug] = Field(
        description="Toolchain that a serving host needs, by what the engine computes on."
    )


# The same as the model; full attention, which is the same for sequences within the window; that, unless the
# spec passes the windows to the server; or refused.
Windows = Literal["served", "within", "settable", "refused"]


class YarnSupport(StrictFrozen):
    """What a kind computes YaRN scaling from."""

    reads: Annotated[tuple[str, ...], Field(strict=False)] = Field(description="Keys of it that it reads.")
    needs: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Keys whose default there is not the checkpoint's: they have to be stated."
    )
    source: str = Field(min_length=10, description="Where that was read.")


class ExpertSupport(StrictFrozen):
    """How a kind spreads a mixture of experts over devices, besides tensor and pipeline parallelism."""

    groups: Literal["any", "one-per-device"] = Field(
        description="Groups of devices that whole experts are divided between: any number that divides the "
        "devices of a layer; or every device alone."
    )
    data_parallel_with: Annotated[
        tuple[Literal["tensor_parallel", "pipeline_parallel"], ...], Field(strict=False)
    ] = Field(description="Parallelism that attention data parallelism goes together with.")
    why_alone: str = Field(default="", description="Why it goes with no other, as part of a sentence.")
    source: str = Field(min_length=10, description="Where that was read.")


class HeadWidths(StrictFrozen):
    """How wide the heads of a model may be on GPUs."""

    multiple: int = Field(ge=1, description="Elements of a head are a multiple of this.")
    widest: int = Field(ge=1, description="Most elements of a head.")
    source: str = Field(min_length=10, description="Where that was read.")

    def takes(self, width: int) -> bool:
        """Whether heads of so many elements are among them."""
        return width % self.multiple == 0 and width <= self.widest


class ArchitectureSupport(StrictFrozen):
    """One architecture that a kind compiles."""

    name: str = Field(pattern=r"^[A-Z][A-Za-z0-9]+$", description="Class in `architectures` of config.json.")
    decoder_type: str | None = Field(
        default=None, description="ModelOpt's name of the family, if the export needs one."
    )
    recipes: Annotated[tuple[RecipeName, ...] | None, Field(strict=False)] = Field(
        default=None, description="Recipes that the kind supports for it; null: all of the kind's."
    )
    kv_caches: Annotated[tuple[KvCacheName, ...] | None, Field(strict=False)] = Field(
        default=None, description="KV cache formats that a spec may ask for with it; null: all of the kind's."
    )
    ready_made: Annotated[tuple[str, ...] | None, Field(strict=False)] = Field(
        default=None,
        description="Ready-made formats that it loads; null: those of its recipes.",
    )
    accelerators: Annotated[tuple[Accelerator, ...] | None, Field(strict=False)] = Field(
        default=None, description="What it is served on; null: whatever the kind computes on."
    )
    states: dict[str, str] = Field(
        default={},
        description="Keys that config.json has to state: without them the tool computes otherwise.",
    )
    sliding_windows: Windows | None = Field(
        default=None, description="What the kind does with its sliding windows; null: as the kind says."
    )
    yarn: YarnSupport | None = Field(
        default=None, description="What it computes YaRN from; null: as the kind says."
    )
    max_pipeline_parallel: int | None = Field(
        default=None, ge=1, description="Most devices that its layers are divided between; null: the kind's."
    )
    source: str = Field(min_length=10, description="How it is known to work.")


class KernelSupport(StrictFrozen):
    """What a kind's kernels compute on."""

    cpu: bool = Field(default=False, description="Whether the kind's kernels for CPUs support it.")
    compute_capabilities: ComputeCapabilities = Field(
        default=(), description="GPUs whose kernels support it; empty if none do."
    )
    source: str = Field(min_length=10, description="How it is known to work.")

    def takes(self, compute_capability: str | None) -> bool:
        """Whether it covers a GPU of that compute capability; None: a CPU."""
        return self.cpu if compute_capability is None else compute_capability in self.compute_capabilities


class RecipeSupport(KernelSupport):
    """One quantization recipe that a kind's kernels support."""

    name: RecipeName = Field(description="A recipe of data/recipes.yaml.")
    weight_input_multiple: int = Field(
        default=1, ge=1, description="What the input dimension of a weight must be a multiple of here."
    )
    candidates: Annotated[tuple[RecipeName, ...] | None, Field(strict=False)] = Field(
        default=None, description="Recipes that a search may mix; null: all that the kind supports."
    )


class KvCacheSupport(KernelSupport):
    """One KV cache format that a kind's kernels support."""

    name: KvCacheName = Field(description="A format of data/recipes.yaml.")
    recipes: Annotated[tuple[RecipeName, ...] | None, Field(strict=False)] = Field(
        default=None, description="Recipes of the weights that it goes with; null: all."
    )
    architectures: Annotated[tuple[str, ...] | None, Field(strict=False)] = Field(
        default=None, description="Architectures that it works for; null: all that the kind compiles."
    )


class ReadyMadeSupport(KernelSupport):
    """One format of quantized checkpoints that a kind loads as they are."""

    tool: Literal["modelopt", "compressed-tensors", "fp8", "mxfp4"] = Field(
        description="What quantized it, or the method that its config.json names."
    )
    format: str = Field(
        pattern=r"^[A-Z][A-Z0-9_]+$", description="Its name, as its files say it (`preflight.quantized`)."
    )


class NotSupported(StrictFrozen):
    """Something that a kind leaves out on purpose, and why."""

    names: Annotated[tuple[RecipeName | KvCacheName, ...], Field(strict=False)] = Field(
        default=(), description="Recipes, or formats of the KV cache; empty: all."
    )
    of: Literal["recipes", "kv_caches", "both"] = Field(description="What the names are names of.")
    compute_capabilities: ComputeCapabilities = Field(
        default=(), description="GPUs on which it is left out; empty: on all."
    )
    reason: str = Field(min_length=1, description="Why, as a part of a sentence.")
    source: str = Field(min_length=10, description="Where that was read.")

    @property
    def text(self) -> str:
        """Reason and source as part of a sentence."""
        return f"{self.reason} ({self.source})"


SpeculativeMethod = Literal["ngram", "mtp", "eagle3", "draft_model"]
# Methods that draft with a checkpoint of their own.
DRAFTED: tuple[SpeculativeMethod, ...] = ("eagle3", "draft_model")


class SpeculativeSupport(KernelSupport):
    """One way to draft tokens that a kind has."""

    method: SpeculativeMethod = Field(description="Its name in specs.")
    architectures: Annotated[tuple[str, ...] | None, Field(strict=False)] = Field(
        default=None, description="Architectures whose drafts it checks; null: all of the kind's."
    )
    draft_architectures: Annotated[tuple[str, ...] | None, Field(strict=False)] = Field(
        default=None, description="Architectures that it drafts with; null: none, or all of the kind's."
    )
    multiple_of_layers: bool = Field(
        default=False,
        description="Whether more tokens than the checkpoint has layers for it must be a multiple of these.",
    )


class ServerGap(StrictFrozen):
    """Something that vLLM's server does for its users, and a kind's server does not."""

    feature: str = Field(min_length=1, description="What is missing, in a few words.")
    refused: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(), description="Fields of requests that its server refuses for it, and paths that it lacks."
    )


class EndOfLife(StrictFrozen):
    """The end of the upstream line that a kind compiles with."""

    date: Annotated[dt.date, Field(strict=False)] = Field(
        description="Day from which nothing is fixed upstream."
    )
    instead: str = Field(min_length=1, description="What to use instead.")
    source: str = Field(min_length=10, description="Who says so.")

    def warning(self, what: str, today: dt.date) -> str:
        """Return a sentence about what belongs to this line, such as `kind trt-plan`."""
        verb = "ended" if self.date <= today else "ends"
        return f"{what}: its upstream line {verb} on {self.date}; instead: {self.instead}"


class HopedSpeedup(StrictFrozen):
    """How much faster than vLLM an engine may be: nothing is compiled if not even that would pay."""

    ratio: float = Field(gt=1, le=100, description="Engine / vLLM; rather too large than too small.")
    source: str = Field(min_length=10, description="Where it was seen, or how it is derived.")


class KindFacts(StrictFrozen):
    """The content of `kinds/<name>.yaml`."""

    name: Slug = Field(description="Name by which specs choose it; also the name of the file.")
    description: str = Field(min_length=1, description="What it compiles, with what, into what.")
    accelerators: Annotated[tuple[Accelerator, ...], Field(strict=False, min_length=1)] = Field(
        description="What its engines compute on."
    )
    platforms: Annotated[tuple[Platform, ...], Field(strict=False, min_length=1)] = Field(
        description="Where its engines are built and run."
    )
    export_format: Literal["hf", "tensorrt-llm"] = Field(
        description="Layout of the checkpoint that it compiles: Hugging Face's, or TensorRT-LLM's."
    )
    modelopt: ModelOptLine = Field(description="Line of ModelOpt whose exports it reads.")
    transformers_major: int = Field(
        ge=4, description="Major version of transformers with which its toolchains read a checkpoint."
    )
    float32_as: dict[Accelerator, Literal["float32", "bfloat16"]] = Field(
        description="Type in which its engines compute if the checkpoint is float32, by what they compute on."
    )
    rope_types: Annotated[tuple[str, ...] | None, Field(strict=False)] = Field(
        description="Scalings of rotary positions that it builds as the model was trained; null: all that "
        "its architectures have."
    )
    yarn: YarnSupport | None = Field(
        default=None, description="What it computes YaRN from; null: whatever vLLM does."
    )
    gpu_head_widths: HeadWidths | None = Field(
        default=None, description="Widths of heads that its kernels for GPUs take; null: whatever vLLM does."
    )
    sliding_windows: Windows = Field(
        description="What it does with layers that look back a few tokens only, unless an architecture says."
    )
    toolchains: Toolchains = Field(description="Toolchains by role.")
    architectures: Annotated[tuple[ArchitectureSupport, ...], Field(strict=False, min_length=1)] = Field(
        description="Architectures that it compiles."
    )
    recipes: Annotated[tuple[RecipeSupport, ...], Field(strict=False, min_length=1)] = Field(
        description="Quantization recipes that it supports."
    )
    kv_caches: Annotated[tuple[KvCacheSupport, ...], Field(strict=False, min_length=1)] = Field(
        description="KV cache formats that it supports."
    )
    ready_made: Annotated[tuple[ReadyMadeSupport, ...], Field(strict=False)] = Field(
        default=(), description="Quantized checkpoints that it loads as they are (recipe ready_made)."
    )
    not_supported: Annotated[tuple[NotSupported, ...], Field(strict=False)] = Field(
        default=(), description="What is left out on purpose, with the reason that `plan` gives."
    )
    experts: ExpertSupport | None = Field(
        default=None, description="How it spreads experts; null: like dense blocks, by tensor parallelism."
    )
    frees_windows: bool = Field(
        default=False,
        description="Whether its server frees keys and values that every later token of a windowed layer "
        "leaves behind; otherwise they are counted as if all layers looked back to the start.",
    )
    speculative: Annotated[tuple[SpeculativeSupport, ...], Field(strict=False)] = Field(
        default=(), description="Ways to draft tokens that it has (`speculative`)."
    )
    options: Annotated[tuple[KindOption, ...], Field(strict=False)] = Field(
        default=(), description="Settings of its tool that a spec may choose (`engine.options`)."
    )
    step_graphs: bool = Field(
        default=False,
        description="Whether its server on GPUs holds CUDA graphs of steps for 1, 2, 4, ... sequences, each "
        "with logits of its own.",
    )
    server_memory: Literal["fixed", "share", "rest"] = Field(
        default="rest",
        description="What its server takes of a GPU: a fixed size, a share that its command sets, or all.",
    )
    scores_options: bool = Field(
        default=False,
        description="Whether its server forces a token by `logit_bias` and reports the log-probability that "
        "the model gave it, without that bias: then multiple-choice tasks can be scored.",
    )
    server_lacks: Annotated[tuple[ServerGap, ...], Field(strict=False)] = Field(
        default=(), description="What users of vLLM's server miss in its server; empty: nothing is known."
    )
    max_tensor_parallel: int = Field(ge=1, description="Most devices that one layer spreads over.")
    max_pipeline_parallel: int = Field(ge=1, description="Most devices that the layers are divided between.")
    hoped_speedup: HopedSpeedup = Field(
        description="How many times as fast as vLLM an engine of this kind can be hoped to be."
    )
    end_of_life: EndOfLife | None = Field(description="null: the upstream line is maintained.")
    source: str = Field(min_length=10, description="Source of the facts that name none of their own.")

    @property
    def architecture_names(self) -> tuple[str, ...]:
        """Architectures by name, in the order of the file."""
        return tuple(row.name for row in self.architectures)

    def architecture(self, name: str) -> ArchitectureSupport | None:
        """Return the kind's row of an architecture; None if it does not compile it."""
        return next((row for row in self.architectures if row.name == name), None)

    def recipe(self, name: str) -> RecipeSupport | None:
        """Return the kind's row of a recipe; None if it does not support it."""
        return next((row for row in self.recipes if row.name == name), None)

    def kv_cache(self, name: str) -> KvCacheSupport | None:
        """Return the kind's row of a KV cache format; None if it does not support it."""
        return next((row for row in self.kv_caches if row.name == name), None)

    def why_not(self, of: Literal["recipes", "kv_caches"], name: str, compute_capability: str | None) -> str:
        """Return why it is left out there, with the source: of the row that says so, or of its own row.

        Without either, nobody has established that it works.
        """
        for row in self.not_supported:
            here = not row.compute_capabilities or compute_capability in row.compute_capabilities
            if row.of in (of, "both") and here and (not row.names or name in row.names):
                return row.text
        own = self.recipe(name) if of == "recipes" else self.kv_cache(name)
        if own is None:
            return f"not established for {self.name}: no row of engine_specs/kinds/{self.name}.yaml names it"
        return f"what is known of {name}: {own.source}"

    def speculation(self, method: str) -> SpeculativeSupport | None:
        """Return the kind's row of a way to draft tokens; None if it does not have it."""
        return next((row for row in self.speculative if row.method == method), None)


@lru_cache(maxsize=1)
def load_kinds() -> MappingProxyType[str, KindFacts]:
    """Return all kinds by name.

    Raises:
        SpecInvalid: a data file itself is invalid, or is not named after its kind.
    """
    kinds = {}
    for path in sorted(KINDS_DIR.glob("*.yaml")):
        facts = read_data(path, KindFacts)
        if facts.name != path.stem:
            raise SpecInvalid(path.name, (Problem("name", facts.name, f"{path.stem}, as the file is named"),))
        refuse_duplicates(path, "recipe", [row.name for row in facts.recipes])
        refuse_duplicates(path, "KV cache format", [row.name for row in facts.kv_caches])
        refuse_duplicates(path, "architecture", list(facts.architecture_names))
        refuse_duplicates(path, "option", [row.name for row in facts.options])
        refuse_duplicates(path, "speculative method", [row.method for row in facts.speculative])
        kinds[facts.name] = facts
    return MappingProxyType(kinds)


KindName = one_of("kind", load_kinds)
