"""What a build would do: each stage with its call, looked up in the store or shown as commands.

Promises: nothing is run, nothing is written, and nothing is downloaded but metadata.
"""

from tasks.plan.checkpoint import Metadata, NoMetadata, planned_commit
from tasks.plan.commands import recipe_commands
from tasks.plan.dry_run import HostView, vendored_metadata
from tasks.plan.records import DryCommand, DryInput, DryRun, DryStage, DryToolchain
from tasks.plan.spec import SpecPlan, plan_spec
from tasks.plan.stages import Surroundings, planned_stages
from tasks.plan.symbols import REQUEST
from tasks.plan.toolchains import HostToolchains
from tasks.plan.variant import PlannedVariant

__all__ = [
    "REQUEST",
    "DryCommand",
    "DryInput",
    "DryRun",
    "DryStage",
    "DryToolchain",
    "HostToolchains",
    "HostView",
    "Metadata",
    "NoMetadata",
    "PlannedVariant",
    "SpecPlan",
    "Surroundings",
    "plan_spec",
    "planned_commit",
    "planned_stages",
    "recipe_commands",
    "vendored_metadata",
]
