"""What a build would run, written down: commands with every flag, their environment, inputs and outputs.

Invariants:
- Equal specs, data and code give equal records: no time, no host name, no path of this host. What differs
  between hosts stands as a placeholder in angle brackets (`tasks.plan.symbols`).
- What depends on a stage that has not run says after which one it is known.
"""

from typing import Any, Literal

from pydantic import Field

from artifacts.frozen import Frozen
from engine_specs.preflight import DiskEstimate, MemoryEstimate


class DryToolchain(Frozen):
    """A toolchain, as this host has it or not; the one thing in a plan that depends on the host."""

    name: str = Field(description="Name in the table of toolchains.")
    identity: str | None = Field(description="Digest of what is installed; null where it is not installed.")
    absent: str | None = Field(default=None, description="Why it is not there, and what to do about it.")


class DryInput(Frozen):
    """A directory that a stage reads."""

    role: str = Field(description="What the stage knows it by.")
    path: str = Field(description="Placeholder of the directory.")
    tree: str | None = Field(default=None, description="Digest of the tree, where the store holds it.")
    known_after: str | None = Field(default=None, description="Stage that makes it, where it is not known.")


class DryCommand(Frozen):
    """One command, ready to run once its placeholders are filled in."""

    what: str = Field(description="What it does.")
    run_by: Literal["stage", "worker"] = Field(
        description="Who starts it: the stage, or the worker that the stage started before."
    )
    directory: str | None = Field(default=None, description="Where it runs; null: it does not matter.")
    argv: tuple[str, ...] = Field(description="Program and arguments.")
    env: dict[str, str] = Field(
        description="Its environment, but for `passed_variables`; empty where it does not matter."
    )
    request: dict[str, Any] | None = Field(
        default=None, description="Content of <request.json>, for the command of a worker."
    )


class DryStage(Frozen):
    """One stage of one variant."""

    stage: str = Field(description="Name of the stage.")
    variant: str = Field(description="Name of the variant, or what is fetched; empty for the whole spec.")
    does: str = Field(description="What happens, in a sentence; why nothing does, where it is left out.")
    left_out: bool = Field(default=False, description="Whether nothing is run for this variant.")
    work_pool: str | None = Field(default=None, description="Whose workers run it; null: any that build.")
    gpus: int = Field(default=0, ge=0, description="GPUs that it holds while it runs.")
    memory: MemoryEstimate | None = Field(
        default=None, description="Memory of one device while the engine serves, where it can be estimated."
    )
    disk: DiskEstimate | None = Field(
        default=None, description="Disk of the building host, where it can be estimated."
    )
    toolchains: tuple[str, ...] = Field(
        default=(), description="Names of the toolchains that have a part in it."
    )
    inputs: tuple[DryInput, ...] = Field(default=(), description="What it reads.")
    params: dict[str, Any] = Field(
        default_factory=dict, description="What decides its result beside the inputs; plain JSON values."
    )
    commands: tuple[DryCommand, ...] = Field(
        default=(), description="What is run, in order; empty for what happens in this program."
    )
    output: str | None = Field(default=None, description="Placeholder of the tree that it makes.")


class DryPreflight(Frozen):
    """What is wrong with the spec, as far as metadata tells."""

    outcome: Literal["passed", "refused", "not run"] = Field(description="What came of it.")
    judged: str = Field(description="By which metadata, or why it was not run.")
    problems: tuple[str, ...] = Field(description="Every reason why it cannot work; empty: none was found.")
    warnings: tuple[str, ...] = Field(description="What may go wrong, but need not.")


class DryRun(Frozen):
    """All stages of one spec, in the order in which they would run."""

    format: Literal[1] = 1
    spec: str = Field(description="Name of the spec.")
    version: str = Field(description="Declared major.minor.")
    checkpoint: str = Field(description="Repository of the checkpoint.")
    revision: str = Field(description="Its commit, or the branch that is followed.")
    preflight: DryPreflight = Field(description="What metadata says against it.")
    placeholders: dict[str, str] = Field(description="What each placeholder stands for.")
    passed_variables: tuple[str, ...] = Field(
        description="Variables that every command also gets, where this program's environment has them."
    )
    toolchains: tuple[DryToolchain, ...] = Field(description="The toolchains of all stages, by name.")
    stages: tuple[DryStage, ...] = Field(description="The stages.")
