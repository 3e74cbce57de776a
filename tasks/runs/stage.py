"""Running a stage: look up its fingerprint; on a miss, make its tree, store it, and record the action.

Invariants:
- A stage turns trees into one tree. It is not run again for an equal fingerprint unless `force` is set.
- A result counts as present only if the store has all of its blobs, in the right size; a forced run also
  reads them, and replaces those that are damaged.
- An action is recorded after its tree is complete in the store; a run that is killed earlier leaves nothing
  that is used later.
- If two runs race, both go on with the tree whose action was recorded first.
- What was made here stays in this host's cache: later stages do not download it.
- Every lookup, hit or miss, has a reason, which appears in the log and in the plan.
"""

import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import Field

from artifacts.errors import IntegrityError
from artifacts.frozen import Frozen
from artifacts.store import Action, Store
from tasks.errors import CacheMissRefused
from tasks.runs.fingerprint import Document, explain_difference, fingerprint_of
from tasks.runs.pipeline import Pipeline

MISSING_SHOWN = 3


@dataclass(frozen=True, slots=True)
class StageCall:
    """The complete description of one stage of one variant, before anything runs.

    Attributes:
        stage: name of the stage.
        spec: name of the spec, to find the action that this stage used last.
        variant: name of the variant, or what is fetched.
        document: the fingerprint document.
    """

    stage: str
    spec: str
    variant: str
    document: Document

    @property
    def fingerprint(self) -> str:
        """The digest of the document."""
        return fingerprint_of(self.document)

    @property
    def label(self) -> str:
        """A short name for log files and work directories."""
        return f"{self.spec}-{self.variant}-{self.stage}-{self.fingerprint[:12]}"


@dataclass(frozen=True, slots=True)
class Hit:
    """The store already holds what this call would make."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Miss:
    """The stage has to run; `reasons` say what differs from last time.

    Attributes:
        reasons: sentences or changed fields.
        lost: whether an action is recorded, but the record or its tree is damaged or incomplete in the store;
            the record then has to be replaced.
    """

    reasons: tuple[str, ...]
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What is known about a tree that was just made.

    Attributes:
        metrics: figures.
        tools: versions of the tools that made it.
        tree: its digest, if the store has it already; None: it is what the output directory holds.
    """

    metrics: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)
    tree: str | None = None


class StageResult(Frozen):
    """The tree of a stage, and where it came from."""

    stage: str = Field(description="Name of the stage.")
    variant: str = Field(description="Name of the variant, or what was fetched.")
    fingerprint: str = Field(description="Digest of everything that the result depends on.")
    tree: str = Field(description="Digest of the tree that the stage made.")
    metrics: dict[str, Any] = Field(description="Figures that the stage reported.")
    tools: dict[str, str] = Field(description="Versions of the tools that made it.")
    reused: bool = Field(description="Whether the store already held it.")
    reason: str = Field(description="Why it was reused or made again.")
    duration_s: float = Field(description="Seconds this run spent on it.")
    made_in_s: float = Field(description="Seconds it took when it was made, in this run or an earlier one.")


def look_up(store: Store, call: StageCall) -> Hit | Miss:
    """Look up whether the store holds the whole result of a call, and if not, why not."""
    try:
        action = store.read_action(call.stage, call.fingerprint)
    except IntegrityError as error:
        return Miss((f"the record of this action is damaged: {error.what}",), lost=True)
    if action is None:
        return Miss(_why(store, call))
    if missing := store.missing_of(action.tree):
        more = f" ({len(missing)} in all)" if len(missing) > MISSING_SHOWN else ""
        lacks = "; ".join(missing[:MISSING_SHOWN]) + more
        return Miss((f"the store lost parts of tree {action.tree[:12]} of this action: {lacks}",), lost=True)
    return Hit(action, f"same inputs as on {action.created_at:%Y-%m-%d %H:%M} UTC")


def _why(store: Store, call: StageCall) -> tuple[str, ...]:
    try:
        last = store.last_action(call.spec, call.variant, call.stage)
    except IntegrityError as error:
        return (f"the last action is not known: {error.what}",)
    return ("never made before",) if last is None else explain_difference(last.document, call.document)


def run_stage(pipeline: Pipeline, call: StageCall, produce: Callable[[Path, Path], Made]) -> StageResult:
    """Return the tree of a call; make it only if the store does not hold it.

    Args:
        pipeline: settings and store of the run.
        call: what to make.
        produce: writes the tree into its first argument, an empty directory; the second is a scratch
            directory.

    Raises:
        CacheMissRefused: the store does not hold the tree, and the run requires cached results.
    """
    begin = time.monotonic()
    found = look_up(pipeline.store, call)
    if isinstance(found, Hit) and not pipeline.force:
        pipeline.say(f"{call.stage} {call.variant}: reused {found.action.tree[:12]}, {found.reason}")
        pipeline.store.remember_action(call.spec, call.variant, found.action)
        return _result(call, found.action, reused=True, reason=found.reason, begin=begin)
    reason = "forced" if isinstance(found, Hit) else "; ".join(found.reasons)
    if pipeline.require_cached:
        raise CacheMissRefused(
            f"{call.stage} of {call.spec}/{call.variant} is not in the store: {reason}",
            fix="run without --require-cached to make it",
        )
    pipeline.say(f"{call.stage} {call.variant}: running ({reason})")
    action = _make(pipeline, call, produce, begin)
    replace = isinstance(found, Hit) or found.lost
    action = pipeline.store.write_action(action, replace=replace)
    pipeline.store.remember_action(call.spec, call.variant, action)
    return _result(call, action, reused=False, reason=reason, begin=begin)


def _make(pipeline: Pipeline, call: StageCall, produce: Callable[[Path, Path], Made], begin: float) -> Action:
    with pipeline.work_dir(call.label) as work:
        output, scratch = work / "output", work / "scratch"
        output.mkdir()
        scratch.mkdir()
        made = produce(output, scratch)
        tree = made.tree or pipeline.store.put_tree(output, consume=True, recheck=pipeline.force).digest
    return Action(
        stage=call.stage,
        fingerprint=call.fingerprint,
        document=call.document,
        spec=call.spec,
        variant=call.variant,
        tree=tree,
        metrics=dict(made.metrics),
        tools=dict(made.tools),
        duration_s=round(time.monotonic() - begin, 3),
        host=platform.node(),
        created_at=datetime.now(UTC),
    )


def _result(call: StageCall, action: Action, *, reused: bool, reason: str, begin: float) -> StageResult:
    return StageResult(
        stage=call.stage,
        variant=call.variant,
        fingerprint=call.fingerprint,
        tree=action.tree,
        metrics=action.metrics,
        tools=action.tools,
        reused=reused,
        reason=reason,
        duration_s=round(time.monotonic() - begin, 3),
        made_in_s=action.duration_s,
    )
