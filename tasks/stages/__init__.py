"""The stages, one module each: fetch, baseline, quantize, build, measure, judge, publish.

Each module has a pure part that describes the call (what its result depends on) and a thin part that runs it.
"""

from tasks.stages.fetch import checkpoint_facts, describe_checkpoint
from tasks.stages.host_selection import HostVariants, divide_by_host, lacks_for_measuring, require_measurable
from tasks.stages.judge import Case, Judged
from tasks.stages.publish import Published, Withheld, content
from tasks.stages.sources import (
    Sources,
    beside,
    calibration_location,
    checkpoint_commit,
    heldout_location,
    resolve_sources,
)
from tasks.stages.verdicts import gather
from tasks.stages.worker_stage import WorkerStage

__all__ = [
    "Case",
    "HostVariants",
    "Judged",
    "Published",
    "Sources",
    "Withheld",
    "WorkerStage",
    "beside",
    "calibration_location",
    "checkpoint_commit",
    "checkpoint_facts",
    "content",
    "describe_checkpoint",
    "divide_by_host",
    "gather",
    "heldout_location",
    "lacks_for_measuring",
    "require_measurable",
    "resolve_sources",
]
