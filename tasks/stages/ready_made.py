"""Ready-made checkpoints: those that others quantized, which a variant uses as they are.

Invariants:
- The commit is pinned in the spec: what is fetched is what was judged.
- What pre-flight compares with the spec's checkpoint is read from small files, before any weight is fetched.
"""

from collections.abc import Mapping
from typing import Any

from artifacts.store import Store
from engine_specs.preflight import ReadyMade, SmallFiles, StoredWeights, content_digest, stored_weights
from engine_specs.spec import QuantizedSource, ResolvedVariant, Spec
from tasks.hub import CONFIG_FILE, CheckpointFacts, HubAccess, small_contents
from tasks.runs import Pipeline
from tasks.stages.fetch import FetchCheckpoint, checkpoint_call, facts_of, tokenizer_of
from tasks.stages.node import READY_MADE, Inputs
from tasks.stages.sources import Sources


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
    small = SmallFiles(json_files=small_contents(sizes, lambda path: store.read_json(engine, path)))
    return stored_weights(config, sizes, small)
