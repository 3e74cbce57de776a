"""vLLM against itself: two servers of one command, by the rounds that a verdict is made of.

An interval without 1 here means that order, client, placement or host favours a side: then no ratio of this
host is worth anything.
"""

from engine_specs.spec import Spec, resolve_variants
from flows.gpu_check.figures import point_figures
from flows.gpu_check.result import SelfComparison
from tasks.comparison import judging_protocol, reference_sides, together
from tasks.hub import HubAccess
from tasks.judging import JudgingProtocol
from tasks.judging.measure import measure_speed
from tasks.runs import Pipeline
from tasks.stages import Sources, SpecGraph, vocabulary_in

NOTHING = "0" * 64  # no text is asked


def compare_with_itself(pipeline: Pipeline, spec: Spec, placement: str) -> SelfComparison:
    """Fetch a spec's checkpoint unless it is in the store, and compare its first reference with itself.

    Args:
        pipeline: settings and store.
        spec: gives checkpoint, workload and shape.
        placement: name of the placement; empty for the automatic one.

    Raises:
        tasks.errors.TaskError: a toolchain is unavailable, or a server did not start, or ended.
    """
    graph = SpecGraph(spec, resolve_variants(spec))
    fetched = graph.checkpoint.run(pipeline, Sources(spec, HubAccess.from_environment()))
    protocol = _protocol(pipeline, spec, fetched.tree)
    sides = (protocol.engine, *protocol.references)
    with together(pipeline, sides, f"{spec.name}-itself") as up:
        speed = measure_speed(up, protocol.engine, protocol.references, protocol, say=pipeline.say)
    return SelfComparison(
        placement=placement or "automatic",
        points=tuple(point_figures(point, protocol.speed) for point in speed.points),
        starts=(),
        idle=(),
    )


def _protocol(pipeline: Pipeline, spec: Spec, checkpoint: str) -> JudgingProtocol:
    (variant,) = resolve_variants(spec)
    reference = reference_sides(spec, variant, checkpoint)[0]
    return judging_protocol(
        spec,
        variant,
        engine=reference.model_copy(update={"name": "vllm again"}),
        references=(reference,),
        vocabulary=vocabulary_in(pipeline.store, checkpoint),
        end_tokens=(),
        text_sha256=NOTHING,
    )
