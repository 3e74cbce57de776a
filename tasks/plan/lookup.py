"""The nodes of the graph, looked up in the store: what is reused, what would run, and why.

What depends on a stage that has to run is "known after" it; what depends on the Hub, the store or a toolchain
that is unavailable is "known once" it is there.
"""

from collections.abc import Iterator

from artifacts.errors import StoreUnreachable
from tasks.plan.checkpoint import HUB_UNAVAILABLE
from tasks.plan.records import PlannedStage, State
from tasks.plan.toolchains import HostToolchains
from tasks.runs import Hit, Pipeline, StageCall, Usable, find_measurement, look_up
from tasks.stages import Inputs, KeyedNode, MeasuredNode, Node, Sources, SpecGraph
from tasks.toolchains import NotInstalled


class Lookup:
    """The lookups of one spec; trees that are found are kept, as later stages depend on them.

    Args:
        pipeline: settings and store.
        sources: what the spec refers to; asks the Hub for what it tracks.
        toolchains: the toolchains of this host.
    """

    def __init__(self, pipeline: Pipeline, sources: Sources, toolchains: HostToolchains) -> None:
        self._pipeline = pipeline
        self._sources = sources
        self._toolchains = toolchains
        self.trees: dict[str, str] = {}
        self._ended = ""
        self._store_problem = ""

    def stages(self, graph: SpecGraph) -> Iterator[PlannedStage]:
        """Yield all stages whose result can be looked up, in the order in which they would run."""
        yield self._stage(graph.checkpoint)
        yield self._stage(graph.heldout)
        for nodes in graph.variants:
            self._ended = ""
            yield from (self._stage(node) for node in nodes if isinstance(node, KeyedNode))

    def _stage(self, node: KeyedNode) -> PlannedStage:
        if self._ended:
            return _planned(node, "left-out", f"the variant ends after its baseline: {self._ended}")
        if node.left_out:
            return _planned(node, "left-out", node.left_out)
        if self._store_problem:
            return _planned(node, "unknown", self._store_problem)
        try:
            return self._looked_up(node)
        except StoreUnreachable as error:
            self._store_problem = f"known once the store answers: {error.what}"
            return _planned(node, "unknown", self._store_problem)
        except HUB_UNAVAILABLE as error:
            return _planned(node, "unknown", f"known once the Hub answers: {error.what}")

    def _looked_up(self, node: KeyedNode) -> PlannedStage:
        missing = [need.node.title for need in node.needs if need.node.title not in self.trees]
        if missing:
            return _planned(node, "unknown", f"known after {' and '.join(missing)}")
        identities = self._toolchains.identities(node.toolchains)
        if not isinstance(identities, dict):
            return _planned(node, "unknown", *map(_not_installed, identities))
        trees = {need.role: self.trees[need.node.title] for need in node.needs}
        call = node.call(Inputs(trees, identities), self._sources, self._pipeline.store)
        if isinstance(call, StageCall):
            return self._made(node, call)
        found = find_measurement(self._pipeline, call)
        usable = isinstance(found, Usable)
        if isinstance(found, Usable) and isinstance(node, MeasuredNode):
            self._ended = node.end_after(found.measurement)
        return _planned(node, "hit" if usable else "miss", found.reason, fingerprint=call.key)

    def _made(self, node: Node, call: StageCall) -> PlannedStage:
        found = look_up(self._pipeline.store, call)
        if isinstance(found, Hit):
            self.trees[node.title] = found.action.tree
            return _planned(node, "hit", found.reason, fingerprint=call.fingerprint, tree=found.action.tree)
        return _planned(node, "miss", *found.reasons, fingerprint=call.fingerprint)


def _planned(
    node: Node, state: State, *reasons: str, fingerprint: str | None = None, tree: str | None = None
) -> PlannedStage:
    return PlannedStage(
        variant=node.variant,
        stage=node.stage,
        state=state,
        fingerprint=fingerprint,
        reasons=reasons,
        tree=tree,
    )


def _not_installed(absent: NotInstalled) -> str:
    return f"known once toolchain {absent.name} is installed: {absent.reason}"
