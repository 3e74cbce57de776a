"""vLLM against itself: two servers of one command, measured as an engine is.

An interval without 1 here means that order, client, placement or host favours a side: then no ratio of this
host is worth anything.
"""

from artifacts.canonical import digest_of
from engine_specs.spec import Spec, resolve_variants
from flows.gpu_check.figures import idle_of, memory_of, points_of, starts_of
from flows.gpu_check.result import SelfComparison
from tasks.comparison import ReferenceTrees, judging_protocol, measure_sides, reference_sides
from tasks.hub import REPORT_FILE, HubAccess, TextsReport
from tasks.judging import JudgingProtocol, NotMeasured
from tasks.runs import KeptPhases, Pipeline
from tasks.stages import (
    CHECKPOINT,
    HELDOUT,
    Sources,
    SpecGraph,
    comparison_of,
    end_tokens_in,
    vocabulary_in,
)


def compare_with_itself(pipeline: Pipeline, spec: Spec, placement: str) -> SelfComparison:
    """Fetch a spec's checkpoint and texts unless they are in the store, and compare vLLM with itself.

    Args:
        pipeline: settings and store.
        spec: gives checkpoint, texts, workload and shape.
        placement: name of the placement; empty for the automatic one.

    Raises:
        tasks.errors.TaskError: a toolchain is unavailable, or a server did not start, or ended.
    """
    (variant,) = resolve_variants(spec)
    graph, sources = SpecGraph(spec, (variant,)), Sources(spec, HubAccess.from_environment())
    trees = {
        CHECKPOINT: graph.checkpoint.run(pipeline, sources).tree,
        HELDOUT: graph.heldout.run(pipeline, sources).tree,
    }
    protocol = _protocol(pipeline, spec, trees)
    quiet_host = pipeline.settings.quiet_host
    key = digest_of({"itself": protocol.digest, "placement": placement, "quiet_host": quiet_host})
    kept = KeptPhases.of(pipeline.settings, key, say=pipeline.say, force=pipeline.force)
    measured = measure_sides(pipeline, comparison_of(pipeline, spec, variant, protocol, trees), kept)
    kept.remove()
    speed, conditions = measured.speed, measured.conditions
    return SelfComparison(
        placement=conditions.placement.name,
        why=conditions.placement.text(),
        not_timed=speed.reason if isinstance(speed, NotMeasured) else "",
        points=points_of(speed, protocol.speed),
        starts=starts_of(conditions),
        memory=memory_of(conditions),
        idle=idle_of(conditions),
    )


def _protocol(pipeline: Pipeline, spec: Spec, trees: dict[str, str]) -> JudgingProtocol:
    (variant,) = resolve_variants(spec)
    store, checkpoint = pipeline.store, trees[CHECKPOINT]
    reference = reference_sides(spec, variant, ReferenceTrees(checkpoint))[0]
    return judging_protocol(
        spec,
        variant,
        engine=reference.model_copy(update={"name": "vllm again"}),
        references=(reference,),
        vocabulary=vocabulary_in(store, checkpoint),
        end_tokens=end_tokens_in(store, checkpoint),
        text_sha256=store.read_document(trees[HELDOUT], REPORT_FILE, TextsReport).sample_digest,
    )
