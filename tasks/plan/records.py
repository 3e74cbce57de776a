"""The records of a plan: what a stage would do, what the store holds of it, the commands it would run.

Invariants:
- Equal specs, data and code give equal commands: they hold no time, host name or path of this host. Whatever
  differs between hosts is a placeholder in angle brackets (`tasks.commands.symbols`).
- What depends on a stage that has not run yet says after which stage it is known.
"""

from typing import Any, Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.commands import Command

State = Literal["hit", "miss", "unknown", "left-out"]


class StageInput(Frozen):
    """A directory that a stage reads."""

    role: str = Field(description="Its role in the stage.")
    path: str = Field(description="Placeholder of the directory.")
    tree: str | None = Field(default=None, description="Digest of the tree, if the store holds it.")
    known_after: str | None = Field(
        default=None, description="Stage that makes it, if its digest is not known."
    )


class StageCommands(Frozen):
    """What a stage would run."""

    stage: str = Field(description="Name of the stage.")
    variant: str = Field(description="Name of the variant, or what is fetched; empty for the whole spec.")
    does: str = Field(description="What happens, in a sentence, or why nothing happens.")
    left_out: bool = Field(default=False, description="Whether the stage is left out for this variant.")
    work_pool: str | None = Field(default=None, description="Work pool that runs it; null for any.")
    gpus: int = Field(default=0, ge=0, description="GPUs that it holds while it runs.")
    toolchains: tuple[str, ...] = Field(default=(), description="Names of the toolchains that it uses.")
    inputs: tuple[StageInput, ...] = Field(default=(), description="What it reads.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="What decides its result besides the inputs; plain JSON values."
    )
    commands: tuple[Command, ...] = Field(
        default=(), description="What is run, in order; empty if the stage runs in this program."
    )
    output: str | None = Field(default=None, description="Placeholder of the tree that it makes.")


class PlannedStage(Frozen):
    """One stage of one variant, looked up."""

    variant: str = Field(description="Name of the variant, or what is fetched.")
    stage: str = Field(description="Name of the stage.")
    state: State = Field(
        description="hit: reused; miss: would run; unknown: cannot be looked up yet; left-out."
    )
    fingerprint: str | None = Field(default=None, description="Fingerprint or measurement key, once known.")
    reasons: tuple[str, ...] = Field(description="Why: sentences or changed fields.")
    tree: str | None = Field(default=None, description="Digest of the tree that is reused.")
