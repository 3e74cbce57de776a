"""quantize: ModelOpt turns a checkpoint into a quantized checkpoint, in its own toolchain.

With recipe none and an unquantized KV cache, the stage is left out: the checkpoint itself is built; so it is
if the variant names a ready-made checkpoint, which is built instead. But if
the kind reads TensorRT-LLM's layout, the stage always runs, and writes that layout, quantized or not.

A ready-made checkpoint takes the place of a quantized one: its commit is pinned, so what is fetched is what
was judged, and what pre-flight compares with the spec's checkpoint is read before any weight is fetched.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from artifacts.store import Store
from engine_specs.preflight import ReadyMade, SmallFiles, StoredWeights, content_digest, stored_weights
from engine_specs.spec import QuantizedSource, ResolvedVariant, Spec
from engine_specs.tables import load_kinds
from tasks.hosts import need_of
from tasks.hub import CONFIG_FILE, CheckpointFacts, HubAccess, read_small
from tasks.runs import Pipeline
from tasks.stages.fetch import (
    FetchCheckpoint,
    FetchTexts,
    checkpoint_call,
    checkpoint_config,
    facts_of,
    tokenizer_of,
)
from tasks.stages.node import CALIBRATION, CHECKPOINT, READY_MADE, Inputs, Need
from tasks.stages.quantize_request import admission, names_family, request_params
from tasks.stages.sources import Sources, spec_dir
from tasks.stages.worker_stage import JobNode, WorkerStage
from tasks.workers.common.sources import closure

STAGE = "quantize"
WORKER = "tasks.workers.quantize.main"


class Quantize(JobNode):
    """The quantization of a checkpoint for a variant, or its conversion to the layout that the kind reads.

    Args:
        spec: the spec.
        variant: the variant to quantize for.
        checkpoint: makes the checkpoint.
        calibration: makes the texts; None if and only if the recipe needs none.
    """

    stage = STAGE
    does = "ModelOpt quantizes the checkpoint and exports it in the layout that the kind compiles."

    def __init__(
        self,
        spec: Spec,
        variant: ResolvedVariant,
        checkpoint: FetchCheckpoint,
        calibration: FetchTexts | None,
    ) -> None:
        texts = (Need(CALIBRATION, calibration),) if calibration else ()
        super().__init__(
            spec,
            variant.name,
            makes=f"quantized-{variant.name}",
            needs=(Need(CHECKPOINT, checkpoint), *texts),
            toolchains=(toolchain_of(variant),),
        )
        self._variant = variant
        self.work_pool = variant.target.work_pool
        if source := variant.quantization.source:
            self.left_out = f"{source.repo}@{source.revision[:12]} is quantized, and built as it is"
        elif built_as_fetched(variant):
            self.left_out = f"recipe {variant.quantization.recipe}: the checkpoint is built as it is"

    def completed(self, inputs: Inputs, store: Store) -> Inputs:
        """Return the inputs with config.json, which decides the model family in TensorRT-LLM's layout."""
        if not names_family(self._variant):
            return inputs
        return replace(inputs, config=checkpoint_config(store, inputs.trees[CHECKPOINT]))

    def job(self, inputs: Inputs) -> WorkerStage:
        """Return the job of the worker.

        Raises:
            RecipeFileInvalid: the recipe file does not exist, or has another digest than the spec says.
        """
        return quantize_job(self.spec.name, self._variant, inputs, spec_dir(self.spec))


def quantize_job(spec: str, variant: ResolvedVariant, inputs: Inputs, spec_dir: Path) -> WorkerStage:
    """Return the job that quantizes for a variant; `spec` is the spec's name, `spec_dir` its directory."""
    return WorkerStage(
        STAGE,
        spec,
        variant.name,
        toolchain_of(variant),
        WORKER,
        closure(WORKER),
        request_params(variant, inputs.config, spec_dir),
        dict(inputs.trees),
        gpus=need_of(variant),
        admission=admission(variant),
    )


def built_as_fetched(variant: ResolvedVariant) -> bool:
    """Whether a checkpoint is compiled as it was fetched: not quantized or ready-made, in the same layout."""
    asked = variant.quantization
    as_it_is = asked.source is not None or (asked.recipe == "none" and asked.kv_cache == "none")
    return as_it_is and load_kinds()[variant.engine.kind].export_format == "hf"


def toolchain_of(variant: ResolvedVariant) -> str:
    """Return the name of the toolchain that quantizes for a variant."""
    device = variant.quantization.device or variant.target.accelerator
    return load_kinds()[variant.engine.kind].toolchains.quantize[device]


class FetchReadyMade(FetchCheckpoint):
    """The download of a checkpoint that others quantized, for one variant.

    Args:
        spec: the spec.
        variant: name of the variant.
        source: where the checkpoint is.
    """

    does = (
        "Downloads the quantized checkpoint that the variant names as its source, and verifies each file by "
        "the digest that the Hub declares."
    )

    def __init__(self, spec: Spec, variant: str, source: QuantizedSource) -> None:
        super().__init__(spec, f"{READY_MADE}-{variant}")
        self._source = source

    @property
    def repo(self) -> str:
        """Repository on the Hub."""
        return self._source.repo

    def commit(self, sources: Sources) -> str:  # noqa: ARG002  it is pinned
        """Return the commit that the spec names."""
        return self._source.revision

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  it has no inputs
        """Return the repository and the commit."""
        return self._source.model_dump(mode="json")


def ready_made_facts(
    pipeline: Pipeline,
    spec: Spec,
    variant: ResolvedVariant,
    base: CheckpointFacts | None,
    access: HubAccess,
) -> ReadyMade | None:
    """Return what pre-flight needs to know of a variant's ready-made checkpoint; None if it has none.

    Args:
        pipeline: gives the store.
        spec: its spec.
        variant: the variant.
        base: what is known of the spec's checkpoint; None: its tokenizer is not compared.
        access: the Hub.

    Raises:
        tasks.errors.CheckpointUnsupported, CheckpointUnavailable, HubUnreachable: as `tasks.hub.checkpoint`.
    """
    source = variant.quantization.source
    if source is None:
        return None
    repo, commit = source.repo, source.revision
    call = checkpoint_call(spec, commit, repo, f"{READY_MADE}-{variant.name}")
    facts = facts_of(pipeline, call, repo, commit, access)
    tokenizer = content_digest(tokenizer_of(pipeline, call, repo, commit, access))
    base_tokenizer = None
    if base is not None:
        own = checkpoint_call(spec, base.commit)
        content = tokenizer_of(pipeline, own, spec.checkpoint.repo, base.commit, access)
        base_tokenizer = content_digest(content)
    return ReadyMade(
        repo=repo,
        commit=commit,
        config=facts.config,
        file_bytes=facts.file_bytes,
        small=facts.small,
        tokenizer=tokenizer,
        base_tokenizer=base_tokenizer,
        base_small=base.small if base else SmallFiles(),
    )


def stored_of(facts: ReadyMade | None) -> StoredWeights | None:
    """Return what a ready-made checkpoint holds; None if there is none."""
    return stored_weights(facts.config, facts.file_bytes, facts.small) if facts else None


def stored_in(store: Store, engine: str) -> StoredWeights:
    """Return what an engine holds of the ready-made checkpoint that its tree is a copy of."""
    sizes = {file.path: file.size for file in store.get_listing(engine).files}
    config: Mapping[str, Any] = store.read_json(engine, CONFIG_FILE)
    small = read_small(sizes, lambda path: store.read_file(engine, path), engine)
    return stored_weights(config, sizes, small)
