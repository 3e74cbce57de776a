"""A stage of one variant as a node of the graph: what it needs, what it would run, and what identifies it.

A node says this once, before anything runs. A build runs the node, a plan looks it up, and a list of commands
shows it with placeholders instead of digests.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from artifacts.store import Measurement, Store
from engine_specs.spec import Spec
from tasks.judging import Side
from tasks.kinds import ToolCommand
from tasks.runs import MeasurementCall, StageCall
from tasks.stages.sources import Sources
from tasks.toolchains import Toolchain

# Roles of inputs in more than one stage; the trees that are fetched have the same names.
CHECKPOINT, HELDOUT, CALIBRATION, ENGINE = "checkpoint", "heldout", "calibration", "engine"
# The tree that an engine is made of: the checkpoint, or the quantized one.
WEIGHTS = "weights"
TASK = "task"
"""What the roles of tasks begin with."""
READY_MADE = "ready-made"
# The checkpoint that drafts tokens, and one that has it below it.
DRAFT, DRAFTED = "draft", "drafted"


@dataclass(frozen=True, slots=True)
class Need:
    """An input: its role in the stage, and the node that makes it."""

    role: str
    node: "Node"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs of a stage, once they are known; in a list of commands, placeholders.

    Attributes:
        trees: digest of each input tree, by role.
        identities: identity of each toolchain that the stage uses, by name.
        stand_ins: names of those toolchains that hold a stand-in of their tool.
        config: config.json of the checkpoint, for a stage that reads it; None if it is not known.
    """

    trees: Mapping[str, str]
    identities: Mapping[str, str]
    stand_ins: frozenset[str] = frozenset()
    config: Mapping[str, Any] | None = None

    @classmethod
    def given(
        cls,
        trees: Mapping[str, str],
        toolchains: Mapping[str, Toolchain],
        config: Mapping[str, Any] | None = None,
    ) -> "Inputs":
        """Return the inputs of a stage that uses these toolchains, which are by name."""
        identities = {name: toolchain.identity for name, toolchain in toolchains.items()}
        stand_ins = frozenset(name for name, toolchain in toolchains.items() if toolchain.stand_in)
        return cls(trees, identities, stand_ins, config)


class Node(ABC):
    """One stage of one variant.

    Attributes:
        stage: name of the stage.
        does: what happens, in a sentence.
        spec: the spec.
        variant: name of the variant, or what is fetched; empty for the whole spec.
        makes: name of the tree that it makes; empty if it makes none.
        needs: its inputs.
        toolchains: names of the toolchains that it uses.
        left_out: why it is not run for this variant; empty if it is.
        work_pool: work pool that runs it; None for any.
    """

    stage: ClassVar[str]
    does: ClassVar[str]
    left_out: str = ""
    work_pool: str | None = None

    def __init__(
        self,
        spec: Spec,
        variant: str,
        *,
        makes: str = "",
        needs: tuple[Need, ...] = (),
        toolchains: tuple[str, ...] = (),
    ) -> None:
        self.spec = spec
        self.variant = variant
        self.makes = makes
        self.needs = needs
        self.toolchains = tuple(sorted(set(toolchains)))

    @property
    def title(self) -> str:
        """Stage and variant, by which messages refer to this node."""
        return f"{self.stage} {self.variant}".strip()

    @abstractmethod
    def params(self, inputs: Inputs) -> dict[str, Any]:
        """Return what decides the result besides the inputs, as plain JSON values. Pure."""


class KeyedNode(Node):
    """A node whose result can be looked up before it runs."""

    @abstractmethod
    def call(self, inputs: Inputs, sources: Sources, store: Store) -> StageCall | MeasurementCall:
        """Return what identifies the result; reads at most small files of the inputs from the store.

        Raises:
            EngineryError: the spec tracks a branch but the Hub does not answer, or the store lacks an input.
        """


class MeasuredNode(KeyedNode):
    """A node that measures servers."""

    @abstractmethod
    def sides(self, inputs: Inputs) -> tuple[Side, ...]:
        """Return the sides that are served and asked. Pure."""

    def second_opinion(self) -> ToolCommand | None:
        """Return the command of a tool's own benchmark, which asks the engine after all others. Pure."""
        return None

    def end_after(self, measurement: Measurement) -> str:  # noqa: ARG002  most measurements end nothing
        """Return why this measurement makes the variant's later stages unnecessary; empty if it does not."""
        return ""
