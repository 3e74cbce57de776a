"""What a build would do: the graph of stages, looked up in the store and shown as commands.

Promises: nothing is run or written, and only metadata is downloaded.
"""

from tasks.plan.checkpoint import Metadata, NoMetadata
from tasks.plan.records import PlannedStage, StageCommands, StageInput
from tasks.plan.spec import SpecPlan, plan_spec
from tasks.plan.toolchains import HostToolchains
from tasks.plan.variant import PlannedVariant, plan_variant

__all__ = [
    "HostToolchains",
    "Metadata",
    "NoMetadata",
    "PlannedStage",
    "PlannedVariant",
    "SpecPlan",
    "StageCommands",
    "StageInput",
    "plan_spec",
    "plan_variant",
]
