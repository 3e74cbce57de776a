"""What a build would do: the graph of stages, looked up in the store and shown as commands.

Promises: nothing is run or written, and only metadata is downloaded.
"""

from tasks.plan.preflight import KnownCheckpoints, examine_variant, read_checkpoints, room_here
from tasks.plan.records import Command, PlannedStage, StageWork
from tasks.plan.spec import SpecPlan, plan_spec
from tasks.plan.variant import PlannedVariant

__all__ = [
    "Command",
    "KnownCheckpoints",
    "PlannedStage",
    "PlannedVariant",
    "SpecPlan",
    "StageWork",
    "examine_variant",
    "plan_spec",
    "read_checkpoints",
    "room_here",
]
