"""fetch: a pinned commit on the Hub becomes a tree; so do the texts for calibration and judging.

Once a tree is in the store, the Hub is not asked again: a pinned spec can be built again without a network.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from artifacts.errors import StoreUnreachable
from artifacts.progress import Say
from artifacts.store import Store
from engine_specs.preflight import CONTENT_FILE, TEMPLATE_FILE, SmallFiles, prompt_facts
from engine_specs.preflight import TOKENIZER_FILE as TOKENIZER_CONFIG
from engine_specs.spec import RowSource, Spec, Task, TextSource
from tasks.hub import (
    CONFIG_FILE,
    ITEMS_FILE,
    TEXTS_FILE,
    CheckpointFacts,
    HubAccess,
    Repository,
    TextsReport,
    parse_items,
    parse_texts,
    read_small,
    refuse_asked,
    refuse_overlap,
)
from tasks.hub import chats as hub_chats
from tasks.hub import checkpoint as hub_checkpoint
from tasks.hub import rows as hub_rows
from tasks.hub import selection as hub_selection
from tasks.hub import task_items as hub_items
from tasks.hub import texts as hub_texts
from tasks.hub.row_files import json_lines, parquet, reader, row, splits
from tasks.runs import (
    Hit,
    Made,
    Pipeline,
    StageCall,
    StageResult,
    build_document,
    look_up,
    run_stage,
    source_of,
)
from tasks.stages.node import CHECKPOINT, TASK, Inputs, KeyedNode
from tasks.stages.sources import Sources
from tasks.workers.completions_server.text import chat_template

STAGE = "fetch"
TOKENIZER_FILE = CONTENT_FILE
# What rows are read by, whatever is made of them.
READ_ROWS = tuple(source_of(one) for one in (hub_rows, json_lines, parquet, reader, row, splits))
# Among the metrics of a fetched checkpoint: what it does to prompts.
PROMPTS = "prompts"
# Settings of a task that decide what is read of a row.
ITEM_FIELDS = ("form", "prompt", "options_field", "label_field", "labels_field", "answer_field")


class FetchCheckpoint(KeyedNode):
    """The download of the files of a commit that vLLM and the engine kinds read."""

    stage = STAGE
    does = (
        "Downloads the files of the commit that vLLM and the kinds read, and verifies each by the digest "
        "that the Hub declares."
    )

    def __init__(self, spec: Spec, role: str = CHECKPOINT) -> None:
        super().__init__(spec, role, makes=role)

    @property
    def repo(self) -> str:
        """Repository on the Hub."""
        return self.spec.checkpoint.repo

    def commit(self, sources: Sources) -> str:
        """Return the commit that the spec means now; raise what `Sources.checkpoint` raises."""
        return sources.checkpoint.commit

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  it has no inputs
        """Return the repository and the revision."""
        return self.spec.checkpoint.model_dump(mode="json")

    def call(self, inputs: Inputs, sources: Sources, store: Store) -> StageCall:  # noqa: ARG002  it has no inputs
        """Return the call for the commit that the spec means now."""
        return checkpoint_call(self.spec, self.commit(sources), self.repo, self.variant)

    def run(self, pipeline: Pipeline, sources: Sources) -> StageResult:
        """Fetch the checkpoint unless the store holds it.

        Raises:
            tasks.errors.TaskError: as `tasks.hub.checkpoint.fetch`.
        """
        repo, commit = _repository(self.repo), self.commit(sources)

        def produce(output: Path, _scratch: Path) -> Made:
            report = hub_checkpoint.fetch(repo, commit, output, sources.access, pipeline.say)
            left_out = {refused.path: refused.reason for refused in report.selection.refused}
            metrics = {"total_bytes": report.total_bytes, "left_out": left_out, PROMPTS: _prompts(output)}
            return Made(metrics=metrics)

        return run_stage(pipeline, checkpoint_call(self.spec, commit, self.repo, self.variant), produce)


class FetchPinned(FetchCheckpoint):
    """The download of a further checkpoint, which the spec pins.

    Args:
        spec: the spec.
        role: what it is for.
        repo: its repository on the Hub.
        revision: its commit.
    """

    def __init__(self, spec: Spec, role: str, repo: str, revision: str) -> None:
        super().__init__(spec, role)
        self._repo = repo
        self._revision = revision

    @property
    def repo(self) -> str:
        """Repository on the Hub."""
        return self._repo

    def commit(self, sources: Sources) -> str:  # noqa: ARG002  it is pinned
        """Return the commit that the spec names."""
        return self._revision

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  it has no inputs
        """Return the repository and the commit."""
        return {"repo": self._repo, "revision": self._revision}


class FetchTexts(KeyedNode):
    """The choice of texts of one split.

    Args:
        spec: the spec.
        role: what the texts are for: `heldout` or `calibration-VARIANT`.
        source: where they are, and how many are chosen.
    """

    stage = STAGE
    does = "Reads the split, and keeps the texts that the seed selects."

    def __init__(self, spec: Spec, role: str, source: TextSource) -> None:
        super().__init__(spec, role, makes=role)
        self._source = source

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  it has no inputs
        """Return the source as the spec declares it."""
        return self._source.model_dump(mode="json", include=set(TextSource.model_fields), exclude_none=True)

    def call(self, inputs: Inputs, sources: Sources, store: Store) -> StageCall:  # noqa: ARG002  it has no inputs
        """Return the call for the commit or file that the spec means now."""
        request = _chosen_rows(self._source, sources) | {"text_field": self._source.text_field}
        read_by = [*READ_ROWS, source_of(hub_texts)]
        if hub_texts.holds_chats(self._source):
            request["chat_template_of"] = f"{self.spec.checkpoint.repo}@{sources.checkpoint.commit}"
            read_by += [source_of(hub_chats), source_of(chat_template)]
        document = build_document(stage=STAGE, sources=read_by, toolchain=None, request=request)
        return StageCall(STAGE, self.spec.name, self.variant, document)

    def run(self, pipeline: Pipeline, sources: Sources) -> StageResult:
        """Fetch and choose the texts unless the store holds them.

        Raises:
            tasks.errors.TaskError: as `tasks.hub.texts.fetch_texts`.
        """
        source, location, access = self._source, sources.location(self._source), sources.access

        def produce(output: Path, scratch: Path) -> Made:
            chats = self._chats(sources, scratch, pipeline.say) if hub_texts.holds_chats(source) else None
            report = hub_texts.fetch_texts(
                source, location, output, access=access, say=pipeline.say, chats=chats
            )
            return Made(metrics=_counts(report))

        call = self.call(Inputs({}, {}), sources, pipeline.store)
        return run_stage(pipeline, call, produce)

    def _chats(self, sources: Sources, scratch: Path, say: Say) -> hub_chats.Chats:
        """Return what writes conversations as the checkpoint reads them."""
        dest = scratch / "chat-template"
        return hub_chats.fetch_chats(
            _repository(self.spec.checkpoint.repo), sources.checkpoint.commit, dest, sources.access, say
        )


class FetchTask(KeyedNode):
    """The choice of a task's questions from one split.

    Args:
        spec: the spec.
        task: where the rows are, how many are chosen, and which of their fields are read.
    """

    stage = STAGE
    does = "Reads the split, keeps the rows that the seed selects, and makes questions with answers of them."

    def __init__(self, spec: Spec, task: Task) -> None:
        role = f"{TASK}-{task.name}"
        super().__init__(spec, role, makes=role)
        self.task = task

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  it has no inputs
        """Return the source as the spec declares it, and what is read."""
        read = {*RowSource.model_fields, *ITEM_FIELDS}
        return self.task.model_dump(mode="json", include=read, exclude_none=True)

    def call(self, inputs: Inputs, sources: Sources, store: Store) -> StageCall:  # noqa: ARG002  it has no inputs
        """Return the call for the commit or file that the spec means now."""
        read = self.task.model_dump(mode="json", include=set(ITEM_FIELDS))
        document = build_document(
            stage=STAGE,
            sources=[*READ_ROWS, source_of(hub_items)],
            toolchain=None,
            request=_chosen_rows(self.task, sources) | read,
        )
        return StageCall(STAGE, self.spec.name, self.variant, document)

    def run(self, pipeline: Pipeline, sources: Sources) -> StageResult:
        """Fetch the rows and make questions of them, unless the store holds them.

        Raises:
            tasks.errors.TaskError: as `tasks.hub.rows.fetch_rows`.
        """
        task, location = self.task, sources.location(self.task)

        def produce(output: Path, _scratch: Path) -> Made:
            report = hub_items.fetch_items(task, location, output, access=sources.access, say=pipeline.say)
            return Made(metrics=_counts(report))

        call = self.call(Inputs({}, {}), sources, pipeline.store)
        return run_stage(pipeline, call, produce)


def _counts(report: TextsReport) -> dict[str, Any]:
    return {
        "rows": report.rows,
        "samples": len(report.sample_ids),
        "left_out": report.left_out,
        "replaced": report.replaced,
    }


def _chosen_rows(source: RowSource, sources: Sources) -> dict[str, Any]:
    """Return what decides which rows are chosen."""
    return {
        **sources.location(source).identity,
        "split": source.split,
        "samples": source.samples,
        "seed": source.seed,
    }


def require_disjoint(
    store: Store, calibration: str, heldout: str, tasks: Mapping[str, str], variant: str
) -> None:
    """Refuse calibration texts that the engine is judged on; all trees are in the store.

    Args:
        store: holds the trees.
        calibration: tree of the texts that calibrate.
        heldout: tree of the held-out texts.
        tasks: trees of the tasks, by name.
        variant: name of the variant.

    Raises:
        tasks.errors.TextsInvalid: at least one text is held out as well, or a question of a task.
    """
    ours, judged = (parse_texts(store.read_file(tree, TEXTS_FILE)) for tree in (calibration, heldout))
    refuse_overlap(ours, judged, variant)
    for name, tree in tasks.items():
        refuse_asked(ours, name, parse_items(store.read_file(tree, ITEMS_FILE)), variant)


def _prompts(checkpoint: Path) -> dict[str, str]:
    """Return what a fetched checkpoint does to prompts; every side has the same files."""

    def content(name: str) -> dict[str, Any]:
        path = checkpoint / name
        return hub_checkpoint.read_object(path.read_bytes(), name, str(path)) if path.is_file() else {}

    template = checkpoint / TEMPLATE_FILE
    written = template.read_text(encoding="utf-8") if template.is_file() else None
    return prompt_facts(content(CONTENT_FILE), content(TOKENIZER_CONFIG), written)


def checkpoint_call(spec: Spec, commit: str, repo: str | None = None, role: str = CHECKPOINT) -> StageCall:
    """Return what identifies a fetched checkpoint: the commit, and how files are selected.

    Args:
        spec: the spec.
        commit: the commit.
        repo: its repository; None: that of the spec's checkpoint.
        role: what the checkpoint is for.
    """
    request = {"repo": repo or spec.checkpoint.repo, "commit": commit}
    document = build_document(
        stage=STAGE, sources=[source_of(hub_selection)], toolchain=None, request=request
    )
    return StageCall(STAGE, spec.name, role, document)


def checkpoint_facts(pipeline: Pipeline, spec: Spec, commit: str, access: HubAccess) -> CheckpointFacts:
    """Return what pre-flight needs to know about the spec's checkpoint; raises what `facts_of` raises."""
    return facts_of(pipeline, checkpoint_call(spec, commit), spec.checkpoint.repo, commit, access)


def facts_of(
    pipeline: Pipeline, call: StageCall, repo: str, commit: str, access: HubAccess
) -> CheckpointFacts:
    """Return what pre-flight needs to know about a checkpoint, from the store, otherwise from the Hub.

    It costs a listing, small files and headers of weights, never weights. If the store does not answer, the
    Hub is asked: a plan needs no store, and a build fails at its next use of the store.

    Args:
        pipeline: gives the store.
        call: the call that fetches it.
        repo: its repository.
        commit: its commit.
        access: the Hub.

    Raises:
        tasks.errors.CheckpointUnsupported, CheckpointUnavailable, HubUnreachable: as `tasks.hub.checkpoint`.
    """
    tree = _fetched(pipeline, call)
    if tree is None:
        return hub_checkpoint.metadata(_repository(repo), commit, access, pipeline.say)
    sizes = {file.path: file.size for file in pipeline.store.get_listing(tree).files}
    config = checkpoint_config(pipeline.store, tree)
    small = _small_files(pipeline.store, tree, sizes)
    return CheckpointFacts(commit=commit, config=config, file_bytes=sizes, small=small)


def tokenizer_of(
    pipeline: Pipeline, call: StageCall, repo: str, commit: str, access: HubAccess
) -> dict[str, Any]:
    """Return tokenizer.json of a checkpoint; arguments, and where it is looked for, as in `facts_of`."""
    tree = _fetched(pipeline, call)
    if tree is None:
        return hub_checkpoint.tokenizer_content(_repository(repo), commit, access, pipeline.say)
    return pipeline.store.read_json(tree, TOKENIZER_FILE)


def _fetched(pipeline: Pipeline, call: StageCall) -> str | None:
    """Return the tree of a fetched checkpoint; None if the store lacks it, or does not answer."""
    try:
        found = look_up(pipeline.store, call)
    except StoreUnreachable:
        return None
    return found.action.tree if isinstance(found, Hit) else None


def _small_files(store: Store, checkpoint: str, file_bytes: dict[str, int]) -> SmallFiles:
    """Read small files of a checkpoint in the store, whose tensors were looked at before it was fetched."""
    return read_small(file_bytes, lambda path: store.read_file(checkpoint, path), checkpoint)


def checkpoint_config(store: Store, checkpoint: str) -> dict[str, Any]:
    """Return config.json of a checkpoint in the store; raise what `Store.read_json` raises."""
    return store.read_json(checkpoint, CONFIG_FILE)


def _repository(repo: str) -> Repository:
    return Repository(kind="model", id=repo)
