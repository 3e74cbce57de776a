"""A plan as records: what a stage would do, what the store holds of it, the commands that it would run.

Invariants:
- Commands of equal specs, data and code are equal: no time, no host name, no path of this host. What differs
  between hosts stands as a placeholder in angle brackets (`tasks.commands.symbols`).
- What depends on a stage that has not run says after which one it is known.
"""

from typing import Any, Literal

from pydantic import Field

from artifacts.frozen import Frozen
from tasks.commands import Command

State = Literal["hit", "miss", "unknown", "left-out"]


class StageInput(Frozen):
    """A directory that a stage reads."""

    role: str = Field(description="The role that it has in the stage.")
    path: str = Field(description="Placeholder of the directory.")
    tree: str | None = Field(default=None, description="Digest of the tree, if the store holds it.")
    known_after: str | None = Field(default=None, description="Stage that makes it, if it is not known.")


class StageCommands(Frozen):
    """What a stage would run."""

    stage: str = Field(description="Name of the stage.")
    variant: str = Field(description="Name of the variant, or what is fetched; empty: the whole spec.")
    does: str = Field(description="What happens, in a sentence, or why nothing does.")
    left_out: bool = Field(default=False, description="Whether nothing is run for this variant.")
    work_pool: str | None = Field(default=None, description="Whose workers run it; null: any that build.")
    gpus: int = Field(default=0, ge=0, description="GPUs that it holds while it runs.")
    toolchains: tuple[str, ...] = Field(
        default=(), description="Names of the toolchains that have a part in it."
    )
    inputs: tuple[StageInput, ...] = Field(default=(), description="What it reads.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="What decides its result besides the inputs; plain JSON values."
    )
    commands: tuple[Command, ...] = Field(
        default=(), description="What is run, in order; empty: it happens in this program."
    )
    output: str | None = Field(default=None, description="Placeholder of the tree that it makes.")


class PlannedStage(Frozen):
    """One stage of one variant, looked up."""

    variant: str = Field(description="Name of the variant, or what is fetched.")
    stage: str = Field(description="Name of the stage.")
    state: State = Field(description="hit: reused; miss: would run; unknown: depends on another; left-out.")
    fingerprint: str | None = Field(default=None, description="Fingerprint or measurement key, once known.")
    reasons: tuple[str, ...] = Field(description="Why, one sentence or changed field each.")
    tree: str | None = Field(default=None, description="The tree that is reused.")
