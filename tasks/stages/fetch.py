"""fetch: a pinned commit on the Hub becomes a tree; so do the texts that calibrate and judge.

Once the tree is in the store the Hub is not asked again: a pinned spec is built again without a network.
"""

import json
from pathlib import Path
from typing import Any

from artifacts.store import Store
from engine_specs.spec import Spec, TextSource
from tasks.hub import CONFIG_FILE, CheckpointFacts, HubAccess, Location, Repository
from tasks.hub import checkpoint as fetch
from tasks.hub import selection as hub_selection
from tasks.hub import texts as datasets
from tasks.runs import Hit, Made, Pipeline, StageCall, StageResult, build_document, look_up, run_stage

STAGE = "fetch"
TOKENIZER_FILE = "tokenizer.json"


def describe_checkpoint(spec: Spec, commit: str) -> StageCall:
    """The call that fetches a checkpoint; beside the commit it depends on how files are selected."""
    request = {"repo": spec.checkpoint.repo, "commit": commit}
    document = build_document(
        stage=STAGE, sources=[Path(hub_selection.__file__)], toolchain=None, request=request
    )
    return StageCall(STAGE, spec.name, "checkpoint", document)


def fetch_checkpoint(pipeline: Pipeline, spec: Spec, commit: str, access: HubAccess) -> StageResult:
    """Fetch the checkpoint unless the store holds it; raises what `tasks.hub.checkpoint.fetch` raises."""
    repo = Repository(kind="model", id=spec.checkpoint.repo)

    def produce(output: Path, _scratch: Path) -> Made:
        report = fetch.fetch(repo, commit, output, access, pipeline.say)
        left_out = {refused.path: refused.reason for refused in report.selection.refused}
        return Made(metrics={"total_bytes": report.total_bytes, "left_out": left_out})

    return run_stage(pipeline, describe_checkpoint(spec, commit), produce)


def describe_texts(spec: Spec, role: str, source: TextSource, location: Location) -> StageCall:
    """The call that chooses texts; `role` is calibration-VARIANT or heldout."""
    request = {
        **location.identity,
        "split": source.split,
        "samples": source.samples,
        "seed": source.seed,
        "text_field": source.text_field,
    }
    document = build_document(stage=STAGE, sources=[Path(datasets.__file__)], toolchain=None, request=request)
    return StageCall(STAGE, spec.name, role, document)


def fetch_texts(
    pipeline: Pipeline, spec: Spec, role: str, source: TextSource, location: Location, access: HubAccess
) -> StageResult:
    """Fetch and choose texts unless the store holds them; raises what `tasks.hub` raises."""

    def produce(output: Path, _scratch: Path) -> Made:
        report = datasets.fetch_texts(source, location, output, access=access, say=pipeline.say)
        return Made(metrics={"rows": report.rows, "samples": len(report.sample_ids)})

    return run_stage(pipeline, describe_texts(spec, role, source, location), produce)


def checkpoint_facts(pipeline: Pipeline, spec: Spec, commit: str, access: HubAccess) -> CheckpointFacts:
    """What pre-flight needs to know of a checkpoint: from the store where it is there, else from the Hub.

    Costs a listing and one small file, never weights.
    """
    found = look_up(pipeline.store, describe_checkpoint(spec, commit))
    if isinstance(found, Hit):
        listing = pipeline.store.get_listing(found.action.tree)
        sizes = {file.path: file.size for file in listing.files}
        config = read_json(pipeline.store, found.action.tree, CONFIG_FILE)
        return CheckpointFacts(commit=commit, config=config, file_bytes=sizes)
    return fetch.metadata(Repository(kind="model", id=spec.checkpoint.repo), commit, access, pipeline.say)


def read_json(store: Store, tree: str, path: str) -> dict[str, Any]:
    """One small JSON file of a tree, without the rest of it; raises what `Store.read_file` raises."""
    parsed: dict[str, Any] = json.loads(store.read_file(tree, path))
    return parsed
