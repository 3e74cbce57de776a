"""The nodes of the graph, looked up in the store: what is reused, what would run, and why.

What depends on a stage that has to run is "known after" it; what depends on the Hub, the store or a toolchain
that is unavailable is "known once" it is there.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from artifacts.errors import StoreUnreachable
from tasks.plan.checkpoint import HUB_UNAVAILABLE
from tasks.plan.records import FindToolchain, PlannedStage, StageWork, State
from tasks.runs import MeasurementCall, Miss, Pipeline, Usable, find_measurement, look_up
from tasks.stages import Inputs, KeyedNode, MeasuredNode, Node, Sources, SpecGraph
from tasks.toolchains import NotInstalled, Toolchain


@dataclass
class Lookup:
    """The lookups of one spec; trees that are found are kept, as later stages depend on them.

    Attributes:
        pipeline: settings and store.
        sources: what the spec refers to; asks the Hub for what it tracks.
        find_toolchain: returns a toolchain of this host, or why it is not installed.
        work: returns what a stage would run, if that is to be shown.
    """

    pipeline: Pipeline
    sources: Sources
    find_toolchain: FindToolchain
    work: Callable[[Node], StageWork | None]
    _trees: dict[str, str] = field(default_factory=dict)
    _ended: str = ""
    _store_problem: str = ""

    def stages(self, graph: SpecGraph) -> Iterator[PlannedStage]:
        """Yield all stages, in the order in which they would run."""
        yield from map(self._stage, graph.shared)
        for nodes in graph.variants:
            self._ended = ""
            yield from map(self._stage, nodes)
        yield self._stage(graph.publish)

    def _stage(self, node: Node) -> PlannedStage:
        if not isinstance(node, KeyedNode):
            return self._planned(node, "always", "every build does this anew")
        if left_out := self._ended or node.left_out:
            return self._planned(node, "left-out", left_out)
        if self._store_problem:
            return self._planned(node, "unknown", self._store_problem)
        try:
            return self._looked_up(node)
        except StoreUnreachable as error:
            self._store_problem = f"known once the store answers: {error.what}"
            return self._planned(node, "unknown", self._store_problem)
        except HUB_UNAVAILABLE as error:
            return self._planned(node, "unknown", f"known once the Hub answers: {error.what}")

    def _looked_up(self, node: KeyedNode) -> PlannedStage:
        missing = [need.node.title for need in node.needs if need.node.title not in self._trees]
        if missing:
            return self._planned(node, "unknown", f"known after {' and '.join(missing)}")
        asked = {name: self.find_toolchain(name) for name in node.toolchains}
        if absent := [one for one in asked.values() if isinstance(one, NotInstalled)]:
            reasons = (f"known once toolchain {one.name} is installed: {one.reason}" for one in absent)
            return self._planned(node, "unknown", *reasons)
        toolchains = {name: one for name, one in asked.items() if isinstance(one, Toolchain)}
        trees = {need.role: self._trees[need.node.title] for need in node.needs}
        call = node.call(Inputs.given(trees, toolchains), self.sources, self.pipeline.store)
        if isinstance(call, MeasurementCall):
            measured = find_measurement(self.pipeline, call)
            usable = isinstance(measured, Usable)
            if isinstance(measured, Usable) and isinstance(node, MeasuredNode):
                ended = node.end_after(measured.measurement)
                self._ended = f"the variant ends after its baseline: {ended}" if ended else ""
            return self._planned(node, "hit" if usable else "miss", measured.reason, fingerprint=call.key)
        found = look_up(self.pipeline.store, call)
        if isinstance(found, Miss):
            return self._planned(node, "miss", *found.reasons, fingerprint=call.fingerprint)
        self._trees[node.title] = tree = found.action.tree
        return self._planned(node, "hit", found.reason, fingerprint=call.fingerprint, tree=tree)

    def _planned(self, node: Node, state: State, *reasons: str, **digests: str) -> PlannedStage:
        work = None if state == "left-out" else self.work(node)
        return PlannedStage(
            stage=node.stage, variant=node.variant, state=state, reasons=reasons, work=work, **digests
        )
