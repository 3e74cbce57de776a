"""The stages: fetch, baseline, quantize, build, measure, judge, publish; and their graph.

Promises:
- A stage's module says once what it needs, what it would run, and what identifies its result (a `Node`).
- `graph` yields the nodes of a spec in order; code that runs, looks up or shows stages iterates over it.
"""

from tasks.stages.baseline import Baseline, end_tokens_in, texts_in, vocabulary_in
from tasks.stages.draft import draft_facts
from tasks.stages.fetch import checkpoint_call, checkpoint_facts, require_disjoint
from tasks.stages.graph import SpecGraph, VariantGraph
from tasks.stages.judge import Case, Judged
from tasks.stages.measure import Measurements, comparison_of, engine_manifest
from tasks.stages.node import CHECKPOINT, HELDOUT, Inputs, KeyedNode, MeasuredNode, Node
from tasks.stages.publish import Published, Withheld, content
from tasks.stages.quantize import ready_made_facts, stored_of
from tasks.stages.sources import Sources
from tasks.stages.verdicts import gather
from tasks.stages.worker_stage import JobNode, WorkerStage

__all__ = [
    "CHECKPOINT",
    "HELDOUT",
    "Baseline",
    "Case",
    "Inputs",
    "JobNode",
    "Judged",
    "KeyedNode",
    "MeasuredNode",
    "Measurements",
    "Node",
    "Published",
    "Sources",
    "SpecGraph",
    "VariantGraph",
    "Withheld",
    "WorkerStage",
    "checkpoint_call",
    "checkpoint_facts",
    "comparison_of",
    "content",
    "draft_facts",
    "end_tokens_in",
    "engine_manifest",
    "gather",
    "ready_made_facts",
    "require_disjoint",
    "stored_of",
    "texts_in",
    "vocabulary_in",
]
