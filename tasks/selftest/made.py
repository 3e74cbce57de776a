"""The trees of a self-test (checkpoint, held-out texts, engine), made by the stages that make any others."""

from dataclasses import dataclass

from engine_specs.spec import ResolvedVariant, Spec, resolve_variants
from tasks.hub import HubAccess
from tasks.runs import Pipeline
from tasks.stages import Node, Sources, SpecGraph


@dataclass(frozen=True, slots=True)
class Made:
    """What a self-test is made of: digests of trees in the store, and what they are made for."""

    spec: Spec
    variant: ResolvedVariant
    engine: str
    checkpoint: str
    heldout: str


def make_engine(pipeline: Pipeline, spec: Spec, access: HubAccess) -> Made:
    """Fetch, quantize and compile the first variant of a spec, as far as the store does not hold it.

    Raises:
        tasks.errors.TaskError: a toolchain or the Hub is unavailable, or a tool failed.
    """
    variant = resolve_variants(spec)[0]
    graph, sources = SpecGraph(spec, (variant,)), Sources(spec, access)
    (nodes,) = graph.variants
    trees = {
        graph.checkpoint.title: graph.checkpoint.run(pipeline, sources).tree,
        graph.heldout.title: graph.heldout.run(pipeline, sources).tree,
    }

    def needed(node: Node) -> dict[str, str]:
        return {need.role: trees[need.node.title] for need in node.needs}

    for node in (nodes.quantize, nodes.build):
        if not node.left_out:
            trees[node.title] = node.run(pipeline, needed(node)).tree
    return Made(
        spec,
        variant,
        engine=trees[nodes.build.title],
        checkpoint=trees[graph.checkpoint.title],
        heldout=trees[graph.heldout.title],
    )
