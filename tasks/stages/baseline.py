"""baseline: vLLM serves the unquantized checkpoint on the declared workload, before anything is compiled."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from artifacts.settings import QuietHost
from artifacts.store import Measurement, Store
from engine_specs.spec import ResolvedVariant, Spec
from engine_specs.tables import HopedSpeedup, load_kinds
from tasks.comparison import (
    ReferenceTrees,
    load_plan,
    occupied_devices,
    reference_sides,
    resident_sides,
    speed_plan,
)
from tasks.hosts import this_host
from tasks.hub import CONFIG_FILE, REPORT_FILE, TEXTS_FILE, TextsReport, parse_texts
from tasks.judging import LoadPlan, LoadResult, Side, Vocabulary, end_tokens, vocabulary_of
from tasks.judging.decide import (
    BaselineTerms,
    Go,
    Stay,
    baseline_decision,
    lacks_open_loop,
    objective_needs,
    suffices_so_far,
)
from tasks.judging.judge import baseline_load
from tasks.runs import Finding, MeasurementCall, Pipeline, measure_once
from tasks.stages.fetch import TOKENIZER_FILE, FetchCheckpoint, FetchTexts
from tasks.stages.node import CHECKPOINT, HELDOUT, Inputs, MeasuredNode, Need
from tasks.stages.sources import Sources
from tasks.toolchains import ensure, tool_of

STAGE = "baseline"
MOST_HOPED = 100


@dataclass(frozen=True, slots=True)
class Baseline:
    """What vLLM achieves, and whether compiling is worth trying.

    Attributes:
        load: what it achieves.
        decision: whether compiling is worth trying.
        measurement: the record in the store.
        reason: why it was measured, or reused.
        versions: the tool that served, with its version, by name of the toolchain.
    """

    load: LoadResult
    decision: Stay | Go
    measurement: Measurement
    reason: str
    versions: dict[str, str] = field(default_factory=dict)


class MeasureBaseline(MeasuredNode):
    """The measurement of vLLM alone, on the unquantized checkpoint.

    Args:
        spec: the spec.
        variant: gives target and devices.
        checkpoint: makes the checkpoint that is served.
        heldout: makes the texts that prompts are windows of.
        quiet_host: whether the host has to be quiet.
    """

    stage = STAGE
    does = (
        "vLLM serves the checkpoint and is measured on the declared workload. With compile: when-justified, "
        "if an engine as fast as can be hoped would not pay off, it is asked in open loop as well. If that "
        "shows that it meets the SLO, the verdict is stay-on-vllm and nothing is compiled."
    )

    def __init__(
        self,
        spec: Spec,
        variant: ResolvedVariant,
        checkpoint: FetchCheckpoint,
        heldout: FetchTexts,
        quiet_host: QuietHost = "require",
    ) -> None:
        super().__init__(
            spec,
            variant.name,
            needs=(Need(CHECKPOINT, checkpoint), Need(HELDOUT, heldout)),
            toolchains=(reference_sides(spec, variant)[0].serve.toolchain,),
        )
        self._variant = variant
        self._quiet_host = quiet_host
        self.work_pool = variant.target.work_pool

    def params(self, inputs: Inputs) -> dict[str, Any]:  # noqa: ARG002  the spec is enough
        """Return the workload."""
        return {"workload": self.spec.workload.model_dump(mode="json")}

    def sides(self, inputs: Inputs) -> tuple[Side, ...]:
        """Return the unquantized reference."""
        return reference_sides(self.spec, self._variant, ReferenceTrees(inputs.trees[CHECKPOINT]))[:1]

    def call(self, inputs: Inputs, sources: Sources, store: Store) -> MeasurementCall:  # noqa: ARG002  no sources
        """Return what the measurement depends on; reads the tokenizer, and the report of the texts."""
        (side,) = self.sides(inputs)
        plan = self._plan(store, inputs.trees)
        return self._call(side, plan, inputs.identities[side.serve.toolchain], self._quiet_host)

    def end_after(self, measurement: Measurement) -> str:
        """Return why nothing is compiled for this variant; empty if it is."""
        decision = self._decide(measurement.result_as(LoadResult))
        return decision.reason if isinstance(decision, Stay) else ""

    def run(self, pipeline: Pipeline, trees: dict[str, str]) -> Baseline:
        """Measure vLLM, or reuse a recent measurement, and decide whether to go on.

        Raises:
            tasks.errors.TaskError: the toolchain is unavailable, or the server did not start, or ended.
        """
        (side,) = self.sides(Inputs(trees, {}))
        plan = self._plan(pipeline.store, trees)
        texts = texts_in(pipeline.store, trees[HELDOUT])
        toolchain = ensure(side.serve.toolchain, pipeline.settings, say=pipeline.say)

        def measure(_attempt: int) -> Finding[LoadResult]:
            with resident_sides(pipeline, [side], f"{self.spec.name}-{self.variant}-{STAGE}") as placement:
                load = baseline_load(
                    placement, side, texts, plan, suffices=self._suffices_so_far, say=pipeline.say
                )
            return baseline_finding(load)

        call = self._call(side, plan, toolchain.identity, pipeline.settings.quiet_host)
        measurement, reason = measure_once(
            pipeline, call, measure, devices=lambda _load: occupied_devices([side])
        )
        load = measurement.result_as(LoadResult)
        decision = self._decide(load)
        pipeline.say(f"baseline {self.variant}: {decision.reason}")
        if isinstance(decision, Go):
            speedup = hoped_speedup(self._variant)
            needs = objective_needs(load, self.spec.workload, speed_plan(self.spec), speedup)
            pipeline.say(f"baseline {self.variant}: {needs}")
        return Baseline(load, decision, measurement, reason, {toolchain.name: tool_of(toolchain)})

    def _plan(self, store: Store, trees: Mapping[str, str]) -> LoadPlan:
        report = store.read_document(trees[HELDOUT], REPORT_FILE, TextsReport)
        return load_plan(self.spec, vocabulary_in(store, trees[CHECKPOINT]), report.sample_digest)

    def _decide(self, load: LoadResult) -> Stay | Go:
        return baseline_decision(load, self._terms)

    def _suffices_so_far(self, load: LoadResult) -> bool:
        return suffices_so_far(load, self._terms)

    def _lacks(self, measurement: Measurement) -> str:
        lacks = lacks_open_loop(measurement.result_as(LoadResult), self._terms)
        return "vLLM in open loop, which decides under today's prices and load" if lacks else ""

    @property
    def _terms(self) -> BaselineTerms:
        return baseline_terms(self.spec, self._variant)

    def _call(self, side: Side, plan: LoadPlan, identity: str, quiet_host: QuietHost) -> MeasurementCall:
        """Return what a baseline is keyed by; `identity` is that of the serving toolchain."""
        document = {
            "stage": STAGE,
            "protocol": plan.digest(side),
            "toolchains": {side.serve.toolchain: identity},
            "host": this_host().model_dump(mode="json"),
            "quiet_host": quiet_host,
        }
        return MeasurementCall(
            "baseline", document, budget_minutes=speed_plan(self.spec).gate.budget_minutes, lacks=self._lacks
        )


def baseline_finding(load: LoadResult) -> Finding[LoadResult]:
    """Return a baseline as it is kept: one that its budget cut short is made again within a larger one."""
    cut = load.is_cut_short
    return Finding(load, conclusive=not (load.host_busy or cut), looked=False, exhausted=cut)


def baseline_terms(spec: Spec, variant: ResolvedVariant) -> BaselineTerms:
    """Return what the decision before compiling depends on besides the baseline."""
    return BaselineTerms(
        prices=spec.economics.at(variant.target.name),
        workload=spec.workload,
        speedup=hoped_speedup(variant),
        compile_mode=spec.compile,
        confidence=speed_plan(spec).confidence,
    )


def hoped_speedup(variant: ResolvedVariant) -> HopedSpeedup:
    """Return how much faster than vLLM an engine can be hoped to be; of drafts, that all are accepted."""
    kind = load_kinds()[variant.engine.kind].hoped_speedup
    if variant.speculative is None:
        return kind
    steps = 1 + variant.speculative.tokens
    source = f"{steps} tokens for each step, if all drafted ones are accepted; besides, {kind.source}"
    return HopedSpeedup(ratio=min(MOST_HOPED, kind.ratio * steps), source=source)


def end_tokens_in(store: Store, checkpoint: str) -> tuple[int, ...]:
    """Return the ids that end a sequence, for a checkpoint in the store; reads small files only."""
    there = {file.path for file in store.get_listing(checkpoint).files}
    generation, config, tokenizer_config, tokenizer = (
        store.read_json(checkpoint, name) if name in there else {}
        for name in ("generation_config.json", CONFIG_FILE, "tokenizer_config.json", TOKENIZER_FILE)
    )
    return end_tokens(
        generation=generation, config=config, tokenizer_config=tokenizer_config, tokenizer=tokenizer
    )


def texts_in(store: Store, tree: str) -> list[str]:
    """Return the texts of a tree in the store, in their order."""
    return [text.text for text in parse_texts(store.read_file(tree, TEXTS_FILE))]


def vocabulary_in(store: Store, checkpoint: str) -> Vocabulary:
    """Return the vocabulary of a checkpoint in the store; reads only its tokenizer."""
    return vocabulary_of(store.read_json(checkpoint, TOKENIZER_FILE))
