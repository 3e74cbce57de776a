"""The stages of a spec in the order in which they run, described once.

Invariants:
- Every input is made by an earlier node.
- A build runs the nodes, a plan looks them up, a list of commands shows them; order, inputs and roles are
  known only here.
- A variant with a ready-made checkpoint builds that; everything is judged against the spec's own.
- If a checkpoint drafts tokens, it is below the one that is built, and below one that vLLM serves.
- A variant ends after its baseline if vLLM suffices (`MeasuredNode.end_after`), and quantizing is left out if
  the checkpoint is compiled as it is (`Node.left_out`).
"""

from collections.abc import Collection, Iterator

from artifacts.settings import PlacementName, QuietHost
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import loads_weights
from tasks.stages.baseline import MeasureBaseline
from tasks.stages.build import Build
from tasks.stages.draft import AddDraft, FetchDraft
from tasks.stages.fetch import FetchCheckpoint, FetchTask, FetchTexts
from tasks.stages.judge import Judge
from tasks.stages.measure import Measure
from tasks.stages.node import CALIBRATION, HELDOUT, Node
from tasks.stages.publish import Publish
from tasks.stages.quantize import FetchReadyMade, Quantize


class VariantGraph:
    """The stages of one variant."""

    def __init__(
        self,
        spec: Spec,
        variant: ResolvedVariant,
        checkpoint: FetchCheckpoint,
        heldout: FetchTexts,
        tasks: tuple[FetchTask, ...],
        cpu_features: Collection[str],
        placement: PlacementName | None,
        quiet_host: QuietHost,
    ) -> None:
        texts = variant.quantization.calibration
        self.variant = variant
        self.baseline = MeasureBaseline(spec, variant, checkpoint, heldout, quiet_host)
        self.calibration = FetchTexts(spec, f"{CALIBRATION}-{variant.name}", texts) if texts else None
        self.quantize = Quantize(spec, variant, checkpoint, self.calibration)
        source = variant.quantization.source
        self.ready_made = FetchReadyMade(spec, variant.name, source) if source else None
        compiled = self.ready_made or (checkpoint if self.quantize.left_out else self.quantize)
        drafts = variant.speculative.draft if variant.speculative else None
        self.draft = FetchDraft(spec, variant.name, drafts) if drafts else None
        self.drafted = tuple(self._drafted(spec, checkpoint, compiled))
        self.build = Build(spec, variant, self.drafted[0] if self.drafted else compiled)
        self.measure = Measure(
            spec,
            variant,
            self.build,
            checkpoint,
            compiled,
            heldout,
            tasks,
            cpu_features,
            placement,
            quiet_host,
            drafted=self.drafted[-1] if self.drafted else None,
        )
        self.judge = Judge(spec, variant)

    def _drafted(
        self, spec: Spec, checkpoint: FetchCheckpoint, compiled: FetchCheckpoint | Quantize
    ) -> Iterator[AddDraft]:
        """Yield what is built, and then what vLLM drafts with if it does not load what is built."""
        if self.draft is None:
            return
        yield AddDraft(spec, self.variant.name, compiled, self.draft)
        if compiled is not checkpoint and not loads_weights(spec, self.variant):
            yield AddDraft(spec, f"{self.variant.name}-reference", checkpoint, self.draft)

    def __iter__(self) -> Iterator[Node]:
        """Yield the stages, in order."""
        yield self.baseline
        if self.calibration is not None:
            yield self.calibration
        if self.ready_made is not None:
            yield self.ready_made
        if self.draft is not None:
            yield self.draft
        yield from (self.quantize, *self.drafted, self.build, self.measure, self.judge)


class SpecGraph:
    """The stages of a spec.

    Args:
        spec: the spec.
        variants: the variants of the spec to include.
        cpu_features: CPU flags of this host, used for variants whose target it matches; empty for any host of
            the target.
        placement: the placement of sides that the user wants; None: the best one that is possible.
        quiet_host: whether the host has to be quiet while speed is measured.
    """

    def __init__(
        self,
        spec: Spec,
        variants: tuple[ResolvedVariant, ...],
        cpu_features: Collection[str] = (),
        placement: PlacementName | None = None,
        quiet_host: QuietHost = "require",
    ) -> None:
        self.spec = spec
        self.checkpoint = FetchCheckpoint(spec)
        self.heldout = FetchTexts(spec, HELDOUT, spec.validation.accuracy)
        self.tasks = tuple(FetchTask(spec, one) for one in spec.validation.tasks)
        self.variants = tuple(
            VariantGraph(
                spec,
                one,
                self.checkpoint,
                self.heldout,
                self.tasks,
                _features(one, cpu_features),
                placement,
                quiet_host,
            )
            for one in variants
        )
        self.publish = Publish(spec)

    @property
    def shared(self) -> tuple[Node, ...]:
        """The stages before those of the variants: what all of them use is fetched."""
        return (self.checkpoint, self.heldout, *self.tasks)

    def __iter__(self) -> Iterator[Node]:
        """Yield all stages, in the order in which they run."""
        yield from self.shared
        for one in self.variants:
            yield from one
        yield self.publish


def _features(variant: ResolvedVariant, cpu_features: Collection[str]) -> Collection[str]:
    return cpu_features if set(variant.target.cpu_features) <= set(cpu_features) else ()
