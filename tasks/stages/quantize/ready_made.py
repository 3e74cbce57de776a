"""A ready-made checkpoint takes the place of a quantized one.

Its commit is pinned, so what is fetched is what was judged, and what pre-flight compares with the spec's
checkpoint is read before any weight is fetched.
"""

from collections.abc import Mapping
from typing import Any

from artifacts.store import Store
from engine_specs.preflight import ReadyMade, SmallFiles, StoredWeights, content_digest, stored_weights
from engine_specs.spec import QuantizedSource, ResolvedVariant, Spec
from tasks.hub import CONFIG_FILE, CheckpointFacts, HubAccess, read_small
from tasks.kinds import DRAFT_FOLDER
from tasks.runs import Pipeline
from tasks.stages.fetch import FetchPinned, checkpoint_call, facts_of, tokenizer_of
from tasks.stages.node import READY_MADE


class FetchReadyMade(FetchPinned):
    """The download of a checkpoint that others quantized, for one variant."""

    does = (
        "Downloads the quantized checkpoint that the variant names as its source, and verifies each file by "
        "the digest that the Hub declares."
    )

    def __init__(self, spec: Spec, variant: str, source: QuantizedSource) -> None:
        super().__init__(spec, f"{READY_MADE}-{variant}", source.repo, source.revision)


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
    listed = store.get_listing(engine).files
    sizes = {file.path: file.size for file in listed if not file.path.startswith(f"{DRAFT_FOLDER}/")}
    config: Mapping[str, Any] = store.read_json(engine, CONFIG_FILE)
    small = read_small(sizes, lambda path: store.read_file(engine, path), engine)
    return stored_weights(config, sizes, small)
