"""draft: the checkpoint that drafts tokens is fetched like any other, and put below the one that checks.

What serves is one directory: the checkpoint, with the draft in its folder `draft`. So whatever is built of it
or served for reference has both under one digest, and a server finds the draft wherever the directory is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifacts.store import Store
from engine_specs.preflight import DraftCheckpoint
from engine_specs.spec import Draft, ResolvedVariant, Spec
from tasks.hub import CONFIG_FILE, HubAccess
from tasks.kinds import DRAFT_FOLDER
from tasks.runs import Made, Pipeline, StageCall, StageResult, build_document, run_stage
from tasks.stages.fetch import STAGE, FetchCheckpoint, FetchPinned, checkpoint_call, facts_of
from tasks.stages.node import CHECKPOINT, DRAFT, DRAFTED, Inputs, KeyedNode, Need
from tasks.stages.quantize import Quantize
from tasks.stages.sources import Sources


class FetchDraft(FetchPinned):
    """The download of the checkpoint that drafts tokens, for one variant."""

    does = (
        "Downloads the checkpoint that drafts tokens for the variant, and verifies each file by the digest "
        "that the Hub declares."
    )

    def __init__(self, spec: Spec, variant: str, draft: Draft) -> None:
        super().__init__(spec, f"{DRAFT}-{variant}", draft.repo, draft.revision)


class AddDraft(KeyedNode):
    """A checkpoint with the draft below it.

    Args:
        spec: the spec.
        of: what is made of the tree, and for which variant.
        checkpoint: makes the checkpoint that checks drafted tokens.
        draft: fetches the one that drafts them.
    """

    stage = STAGE
    does = (
        "Lists the files of the draft below those of the checkpoint, in the folder draft; no byte is copied."
    )

    def __init__(
        self, spec: Spec, of: str, checkpoint: FetchCheckpoint | Quantize, draft: FetchDraft
    ) -> None:
        role = f"{DRAFTED}-{of}"
        super().__init__(spec, role, makes=role, needs=(Need(CHECKPOINT, checkpoint), Need(DRAFT, draft)))

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  its inputs decide
        """Return the folder of the draft."""
        return {"folder": DRAFT_FOLDER}

    def call(self, inputs: Inputs, sources: Sources, store: Store) -> StageCall:  # noqa: ARG002  digests suffice
        """Return the call with these trees."""
        return self._call(inputs.trees)

    def run(self, pipeline: Pipeline, trees: dict[str, str]) -> StageResult:
        """Record the tree unless the store has it; both trees are in the store."""

        def produce(_output: Path, _scratch: Path) -> Made:
            listing = pipeline.store.put_below(trees[CHECKPOINT], {DRAFT_FOLDER: trees[DRAFT]})
            return Made(tree=listing.digest)

        return run_stage(pipeline, self._call(trees), produce)

    def _call(self, trees: Mapping[str, str]) -> StageCall:
        request = {"folder": DRAFT_FOLDER, **trees}
        document = build_document(stage=STAGE, sources=(), toolchain=None, request=request)
        return StageCall(STAGE, self.spec.name, self.variant, document)


def draft_facts(
    pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, access: HubAccess
) -> DraftCheckpoint | None:
    """Return what pre-flight needs to know of what drafts for a variant; None if no checkpoint does.

    Raises:
        tasks.errors.CheckpointUnsupported, CheckpointUnavailable, HubUnreachable: as `tasks.hub.checkpoint`.
    """
    draft = variant.speculative.draft if variant.speculative else None
    if draft is None:
        return None
    call = checkpoint_call(spec, draft.revision, draft.repo, f"{DRAFT}-{variant.name}")
    facts = facts_of(pipeline, call, draft.repo, draft.revision, access)
    return DraftCheckpoint(
        repo=draft.repo, commit=draft.revision, config=facts.config, file_bytes=facts.file_bytes
    )


def draft_in(store: Store, drafted: str, draft: Draft) -> DraftCheckpoint:
    """Return what a tree holds of the checkpoint that drafts, as `draft_facts` read it before it was fetched.

    Args:
        store: holds the tree.
        drafted: a checkpoint with the draft below it.
        draft: what the variant names.
    """
    below = f"{DRAFT_FOLDER}/"
    files = [file for file in store.get_listing(drafted).files if file.path.startswith(below)]
    return DraftCheckpoint(
        repo=draft.repo,
        commit=draft.revision,
        config=store.read_json(drafted, f"{below}{CONFIG_FILE}"),
        file_bytes={file.path.removeprefix(below): file.size for file in files},
    )
