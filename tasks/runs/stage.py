"""Running a stage once: look its fingerprint up, or make its tree, keep it, and record the action.

Invariants:
- A stage turns trees into one tree. Equal fingerprints are never made twice unless `force` asks for it.
- A result counts as there only where the store has every blob of it, by size; a forced run reads them, too,
  and replaces what is damaged.
- An action is recorded after its tree is whole in the store; a run that is killed earlier leaves nothing
  that counts.
- Where two runs race, both go on with the tree of whoever recorded the action first.
- What was made here stays in this host's cache: the stages after this one do not download it.
- Every lookup carries its reason, hit or miss, into the log and into the plan.
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
    """One stage of one variant, described completely before anything runs.

    Attributes:
        stage: name of the stage.
        spec: name of the spec, for finding the previous action of the same place.
        variant: name of the variant, or what is fetched.
        document: the fingerprint document.
    """

    stage: str
    spec: str
    variant: str
    document: Document

    @property
    def fingerprint(self) -> str:
        """Digest of the document."""
        return fingerprint_of(self.document)

    @property
    def label(self) -> str:
        """Short name for log files and work directories."""
        return f"{self.spec}-{self.variant}-{self.stage}-{self.fingerprint[:12]}"


@dataclass(frozen=True, slots=True)
class Hit:
    """The store already holds what this call would make."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Miss:
    """The call has to run; `reasons` say what is different from the last time.

    Attributes:
        reasons: one sentence or changed field each.
        lost: an action is recorded, but the record or its tree is not whole in the store; the record has to
            be replaced.
    """

    reasons: tuple[str, ...]
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What a producer says of the tree that it wrote."""

    metrics: Mapping[str, Any] = field(default_factory=dict)
    tools: Mapping[str, str] = field(default_factory=dict)


class StageResult(Frozen):
    """A stage's tree and where it came from."""

    stage: str = Field(description="Name of the stage.")
    variant: str = Field(description="Name of the variant, or what was fetched.")
    fingerprint: str = Field(description="Digest of all that the result depends on.")
    tree: str = Field(description="Digest of the tree that the stage made.")
    metrics: dict[str, Any] = Field(description="Figures that the stage reported.")
    tools: dict[str, str] = Field(description="Versions of the tools that made it.")
    reused: bool = Field(description="Whether the store already held it.")
    reason: str = Field(description="Why it was reused or made.")
    duration_s: float = Field(description="Seconds this run spent on it.")
    made_in_s: float = Field(description="Seconds it took when it was made, by whichever run.")


def look_up(store: Store, call: StageCall) -> Hit | Miss:
    """Ask the store whether a call's result is there, whole, and if not, why not."""
    try:
        action = store.read_action(call.stage, call.fingerprint)
    except IntegrityError as error:
        return Miss((f"the record of this action is damaged: {error.what}",), lost=True)
    if action is None:
        return Miss(_why(store, call))
    if missing := store.missing_of(action.tree):
        more = f" ({len(missing)} in all)" if len(missing) > MISSING_SHOWN else ""
        lacks = "; ".join(missing[:MISSING_SHOWN]) + more
        return Miss((f"the store lost tree {action.tree[:12]} of this action: {lacks}",), lost=True)
    return Hit(action, f"same inputs as on {action.created_at:%Y-%m-%d %H:%M} UTC")


def _why(store: Store, call: StageCall) -> tuple[str, ...]:
    try:
        last = store.last_action(call.spec, call.variant, call.stage)
    except IntegrityError as error:
        return (f"what was used last is not known: {error.what}",)
    return ("never made before",) if last is None else explain_difference(last.document, call.document)


def run_stage(pipeline: Pipeline, call: StageCall, produce: Callable[[Path, Path], Made]) -> StageResult:
    """Return the tree of a call, making it only when the store does not hold it.

    Args:
        pipeline: surroundings of the run.
        call: what to make.
        produce: writes the tree into its first argument, an empty directory; the second is scratch space.

    Raises:
        CacheMissRefused: nothing in the store, and the run requires cached results.
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
        listing = pipeline.store.put_tree(output, consume=True, recheck=pipeline.force)
    return Action(
        stage=call.stage,
        fingerprint=call.fingerprint,
        document=call.document,
        spec=call.spec,
        variant=call.variant,
        tree=listing.digest,
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
