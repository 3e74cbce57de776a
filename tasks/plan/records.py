"""The records of a plan's stages: what the store holds of each, and what it would run.

Invariants:
- Equal specs, data and code give equal commands: whatever differs between hosts (paths, names, times) is
  a placeholder (`tasks.plan.placeholders`), except the image, client and user id of a container.
- What depends on a stage that has not run yet says after which stage it is known.
"""

from collections.abc import Callable
from typing import Any, Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.toolchains import NotInstalled, Toolchain

FindToolchain = Callable[[str], Toolchain | NotInstalled]
State = Literal["hit", "miss", "unknown", "left-out", "always"]


class Command(Frozen):
    """One command, which can be run once its placeholders are filled in."""

    what: str = Field(description="What it does.")
    run_by: Literal["stage", "worker"] = Field(
        description="What starts it: the stage, or the worker that the stage started before."
    )
    directory: str | None = Field(default=None, description="Working directory; null if it does not matter.")
    argv: tuple[str, ...] = Field(description="Program and arguments.")
    env: dict[str, str] = Field(
        description="Its environment, except `passed_variables`; empty if it does not matter."
    )
    request: dict[str, Any] | None = Field(
        default=None, description="Content of request.json in its directory, if the command is a worker."
    )


class StageWork(Frozen):
    """What a stage would run."""

    does: str = Field(description="What happens, in a sentence.")
    work_pool: str | None = Field(description="Work pool that runs it; null for any.")
    gpus: int = Field(
        ge=0, description="GPUs that it holds while it runs; while measuring, at most: sides may share them."
    )
    toolchains: tuple[str, ...] = Field(description="Names of the toolchains that it uses.")
    inputs: dict[str, str] = Field(description="Placeholder of each tree that it reads, by its role.")
    params: dict[str, Any] = Field(description="What decides its result besides the inputs, as plain JSON.")
    commands: tuple[Command, ...] = Field(
        description="What is run, in order; empty if the stage runs in this program."
    )
    output: str | None = Field(description="Placeholder of the tree that it makes.")


class PlannedStage(Frozen):
    """One stage of one variant."""

    stage: str = Field(description="Name of the stage.")
    variant: str = Field(description="Name of the variant, or what is fetched; empty for the whole spec.")
    state: State = Field(
        description="hit: reused; miss: would run; unknown: cannot be looked up yet; left-out; always: every "
        "build does it anew."
    )
    reasons: tuple[str, ...] = Field(description="Why: sentences or changed fields.")
    fingerprint: str | None = Field(default=None, description="Fingerprint or measurement key, once known.")
    tree: str | None = Field(default=None, description="Digest of the tree that is reused.")
    work: StageWork | None = Field(
        default=None, description="What it would run; null unless asked for, or if it is left out."
    )
