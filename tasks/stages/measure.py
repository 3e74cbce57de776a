"""measure: engine and vLLM answer the same client, started by their serve commands from what ships."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from artifacts.hosts import ENGINE_FILE, EngineManifest, probe_host, refuse_stand_in
from artifacts.settings import PlacementName, QuietHost
from artifacts.store import Measurement, Store
from engine_specs.preflight import content_digest
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import (
    NOTHING_SERVED,
    BenchmarkOpinion,
    BenchmarkPlan,
    Comparison,
    ReferenceTrees,
    engine_side,
    judging_protocol,
    measure_sides,
    occupied_devices,
    opinion_toolchains,
    placement_here,
    reference_sides,
    served_memory,
)
from tasks.errors import TokenizerForeign
from tasks.hosts import this_host
from tasks.hub import CONFIG_FILE, ITEMS_FILE, REPORT_FILE, TaskItem, TextsReport, parse_items
from tasks.judging import JudgingProtocol, Measured, Side, Vocabulary
from tasks.judging.decide import has_looked, is_conclusive, is_exhausted, lacks_engine_in_open_loop
from tasks.kinds import ToolCommand, kind_named
from tasks.runs import Finding, KeptPhases, MeasurementCall, Pipeline, measure_once, spend_attempt
from tasks.stages.baseline import end_tokens_in, texts_in, vocabulary_in
from tasks.stages.build import Build
from tasks.stages.draft import AddDraft, draft_in
from tasks.stages.fetch import TOKENIZER_FILE, FetchCheckpoint, FetchTask, FetchTexts
from tasks.stages.node import CHECKPOINT, DRAFTED, ENGINE, HELDOUT, TASK, WEIGHTS, Inputs, MeasuredNode, Need
from tasks.stages.quantize import Quantize, stored_in
from tasks.stages.sources import Sources
from tasks.toolchains import ensure, tool_of

STAGE = "measure"


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured, and under which protocol.

    Attributes:
        protocol: what was asked.
        measured: the answers.
        measurement: the record in the store.
        reason: why it was measured, or reused.
        versions: tools that served, with their versions, by name of the toolchain.
    """

    protocol: JudgingProtocol
    measured: Measured
    measurement: Measurement
    reason: str
    versions: dict[str, str] = field(default_factory=dict)


class Measure(MeasuredNode):
    """The measurement of an engine against its references.

    Args:
        spec: the spec.
        variant: the variant.
        engine: makes the engine.
        checkpoint: makes the checkpoint that vLLM serves.
        weights: makes the checkpoint that the engine is made of, which vLLM serves as well if it can.
        heldout: makes the texts that accuracy is judged by.
        tasks: make the questions of tasks.
        cpu_features: CPU flags of the host that measures; empty for any host of the target.
        placement: the placement that the user wants; None: the best one that is possible.
        quiet_host: whether the host has to be quiet.
        drafted: makes the checkpoint that vLLM serves with its draft; None if no checkpoint drafts.
    """

    stage = STAGE
    does = (
        "One client asks all sides: first for accuracy, then, unless that rejects the engine, for speed, in "
        "alternating rounds; or, if the host cannot hold all sides at once, in alternating blocks of rounds."
    )

    def __init__(
        self,
        spec: Spec,
        variant: ResolvedVariant,
        engine: Build,
        checkpoint: FetchCheckpoint,
        weights: FetchCheckpoint | Quantize,
        heldout: FetchTexts,
        tasks: tuple[FetchTask, ...] = (),
        cpu_features: Collection[str] = (),
        placement: PlacementName | None = None,
        quiet_host: QuietHost = "require",
        drafted: AddDraft | None = None,
    ) -> None:
        self._variant = variant
        self._cpu_features = cpu_features
        self._placement = placement
        self._quiet_host = quiet_host
        super().__init__(
            spec,
            variant.name,
            needs=(
                Need(ENGINE, engine),
                Need(CHECKPOINT, checkpoint),
                Need(WEIGHTS, weights),
                Need(HELDOUT, heldout),
                *((Need(DRAFTED, drafted),) if drafted else ()),
                *(Need(one.makes, one) for one in tasks),
            ),
            toolchains=(
                *(side.serve.toolchain for side in self._sides(spec, "", NOTHING_SERVED)),
                *opinion_toolchains(spec.validation.tasks),
            ),
        )
        self.work_pool = variant.target.work_pool

    def params(self, inputs: Inputs) -> dict[str, Any]:
        """Return the judging protocol; vocabulary, end tokens and texts are known after they are fetched."""
        engine, *references = self.sides(inputs)
        protocol = judging_protocol(
            self.spec,
            self._variant,
            engine=engine,
            references=tuple(references),
            vocabulary=Vocabulary(size=2),
            end_tokens=(),
            text_sha256="known after fetch heldout",
            items_sha256={
                one.name: f"known after fetch {TASK}-{one.name}" for one in self.spec.validation.tasks
            },
        )
        shown = protocol.model_dump(mode="json", exclude={"engine", "references"})
        late = "known after fetch checkpoint"
        return shown | {"vocabulary": late, "accuracy": shown["accuracy"] | {"end_tokens": late}}

    def sides(self, inputs: Inputs) -> tuple[Side, ...]:
        """Return the engine, with the serve command of its kind, and the references."""
        trees = inputs.trees
        served = ReferenceTrees(trees[CHECKPOINT], trees[WEIGHTS], trees.get(DRAFTED, ""))
        return self._sides(self.spec, trees[ENGINE], served)

    def _sides(self, spec: Spec, engine: str, served: ReferenceTrees) -> tuple[Side, ...]:
        variant = self._variant
        serve = kind_named(variant.engine.kind).serve_command(variant)
        own = Side(name=ENGINE, serve=serve, tree=engine, devices=variant.devices)
        return (own, *reference_sides(spec, variant, served, self._cpu_features))

    def call(self, inputs: Inputs, sources: Sources, store: Store) -> MeasurementCall:  # noqa: ARG002  no sources
        """Return what the measurements depend on; reads small files of the trees."""
        protocol = protocol_for(store, self.spec, self._variant, **inputs.trees)
        identities = {name: inputs.identities[name] for name in _toolchains_of(protocol)}
        benchmark = benchmark_of(self.spec, self._variant)
        return _call(protocol, identities, self._placement, self._quiet_host, benchmark)

    def second_opinion(self) -> ToolCommand | None:
        """Return the command of the tool's own benchmark, which asks the engine after all others. Pure."""
        return benchmark_of(self.spec, self._variant)

    def run(self, pipeline: Pipeline, trees: dict[str, str]) -> Measurements:
        """Measure the engine; raise what `measure` raises."""
        protocol = protocol_for(pipeline.store, self.spec, self._variant, **trees)
        return measure(pipeline, self.spec, self._variant, protocol, trees)


def protocol_for(
    store: Store,
    spec: Spec,
    variant: ResolvedVariant,
    *,
    engine: str,
    checkpoint: str,
    weights: str,
    heldout: str,
    drafted: str = "",
    **tasks: str,
) -> JudgingProtocol:
    """Return the judging protocol of an engine in the store; reads only small files of the trees.

    Trees of `tasks` are by role.

    Raises:
        artifacts.errors.StandInRefused: a stand-in of the tool made the engine, so it cannot be measured.
    """
    refuse_stand_in(store, engine, "measured")
    manifest = engine_manifest(store, engine)
    require_tokenizer(store, manifest, checkpoint, engine if variant.quantization.source else None)
    return judging_protocol(
        spec,
        variant,
        engine=engine_side(variant, engine, manifest),
        references=reference_sides(
            spec, variant, ReferenceTrees(checkpoint, weights, drafted), probe_host().cpu_features
        ),
        vocabulary=vocabulary_in(store, checkpoint),
        end_tokens=end_tokens_in(store, checkpoint),
        text_sha256=_digest_in(store, heldout),
        items_sha256={
            one.name: _digest_in(store, tasks[f"{TASK}-{one.name}"]) for one in spec.validation.tasks
        },
    )


def _digest_in(store: Store, tree: str) -> str:
    """Return the digest of the chosen rows of a tree."""
    return store.read_document(tree, REPORT_FILE, TextsReport).sample_digest


def measure(
    pipeline: Pipeline,
    spec: Spec,
    variant: ResolvedVariant,
    protocol: JudgingProtocol,
    trees: Mapping[str, str],
) -> Measurements:
    """Measure an engine against its references, or reuse a recent measurement.

    Raises:
        tasks.errors.TaskError: a toolchain is unavailable, this host cannot place the sides, or a server did
            not become ready, failed or ended.
        artifacts.errors.StandInRefused: a stand-in of the tool made the engine.
    """
    refuse_stand_in(pipeline.store, protocol.engine.tree, "measured")
    toolchains = [ensure(name, pipeline.settings, say=pipeline.say) for name in _toolchains_of(protocol)]
    identities = {one.name: one.identity for one in toolchains}
    benchmark = benchmark_of(spec, variant)
    call = _call(protocol, identities, pipeline.settings.placement, pipeline.settings.quiet_host, benchmark)
    kept = KeptPhases.of(pipeline.settings, call.key, say=pipeline.say, force=pipeline.force)

    def ask(attempt: int) -> Finding[Measured]:
        comparison = replace(
            comparison_of(pipeline, spec, variant, protocol, trees),
            attempt=attempt,
            on_look=partial(spend_attempt, pipeline, call, attempt),
        )
        if benchmark is None:
            return _finding(measure_sides(pipeline, comparison, kept), protocol)
        opinion = BenchmarkOpinion(BenchmarkPlan(protocol, benchmark, trees[CHECKPOINT], comparison.label))
        measured = measure_sides(pipeline, replace(comparison, on_text=opinion.read), kept)
        found = _finding(opinion.add_to(measured, pipeline), protocol)
        return replace(found, aside_s=opinion.took_s)

    def devices(measured: Measured) -> int:
        sides = (protocol.engine, *protocol.references)
        return occupied_devices(sides, measured.conditions.placement.name)

    measurement, reason = measure_once(pipeline, call, ask, devices=devices)
    kept.remove()
    versions = {one.name: tool_of(one) for one in toolchains}
    return Measurements(protocol, measurement.result_as(Measured), measurement, reason, versions)


def benchmark_of(spec: Spec, variant: ResolvedVariant) -> ToolCommand | None:
    """Return the command by which the tool's own benchmark asks the engine as well, if it is to."""
    if not spec.validation.speed.second_opinion_minutes:
        return None
    return kind_named(variant.engine.kind).benchmark_command(variant, spec.workload.operating_point)


def _finding(measured: Measured, protocol: JudgingProtocol) -> Finding[Measured]:
    return Finding(
        measured,
        conclusive=is_conclusive(measured, protocol),
        looked=has_looked(measured),
        exhausted=is_exhausted(measured, protocol),
    )


def comparison_of(
    pipeline: Pipeline,
    spec: Spec,
    variant: ResolvedVariant,
    protocol: JudgingProtocol,
    trees: Mapping[str, str],
) -> Comparison:
    """Return what is measured, and where on this host; of the trees, small files are read.

    Raises:
        tasks.errors.TaskError: this host cannot place the sides.
    """
    label = f"{spec.name}-{variant.name}-{STAGE}"
    texts = texts_in(pipeline.store, trees[HELDOUT])
    checkpoint = trees[CHECKPOINT]
    file_bytes = {file.path: file.size for file in pipeline.store.get_listing(checkpoint).files}
    config = pipeline.store.read_json(checkpoint, CONFIG_FILE)
    stored = stored_in(pipeline.store, protocol.engine.tree) if variant.quantization.source else None
    asked = variant.speculative.draft if variant.speculative else None
    draft = draft_in(pipeline.store, trees[DRAFTED], asked) if asked else None
    served = served_memory(spec, variant, config, file_bytes, stored, draft)
    choice = placement_here(spec, variant, served, probe_host(), pipeline.settings)
    return Comparison(
        protocol,
        texts,
        label,
        choice,
        served,
        items=_items_in(pipeline.store, protocol, trees),
        tokenizer=pipeline.store.read_file(checkpoint, TOKENIZER_FILE),
    )


def _items_in(
    store: Store, protocol: JudgingProtocol, trees: Mapping[str, str]
) -> dict[str, tuple[TaskItem, ...]]:
    """Return the questions of each task, by its name."""
    return {
        one.task.name: parse_items(store.read_file(trees[f"{TASK}-{one.task.name}"], ITEMS_FILE))
        for one in protocol.tasks
    }


def require_tokenizer(
    store: Store, manifest: EngineManifest, checkpoint: str, ready_made: str | None = None
) -> None:
    """Refuse an engine that was built with another tokenizer than the checkpoint's.

    Args:
        store: holds both trees.
        manifest: of the engine.
        checkpoint: tree of the spec's checkpoint.
        ready_made: tree of the engine if it was built from a ready-made checkpoint, whose publisher may have
            written the same tokenizer with other bytes; None: the bytes have to be the same.

    Raises:
        tasks.errors.TokenizerForeign: the digests of tokenizer.json differ.
    """
    own = {file.path: file.sha256 for file in store.get_listing(checkpoint).files}.get(TOKENIZER_FILE)
    says_the_same = ready_made is not None and _content(store, ready_made) == _content(store, checkpoint)
    if manifest.tokenizer_sha256 != own and not says_the_same:
        raise TokenizerForeign(
            "the engine was built with another tokenizer.json than the checkpoint's",
            where=f"engine.json: {manifest.tokenizer_sha256[:16]}, checkpoint: {(own or 'none')[:16]}",
            fix="build the engine again from this checkpoint (--force), or report a defect of its kind",
        )


def _content(store: Store, tree: str) -> str:
    return content_digest(store.read_json(tree, TOKENIZER_FILE))


def engine_manifest(store: Store, engine: str) -> EngineManifest:
    """Return `engine.json` of an engine tree in the store."""
    return store.read_document(engine, ENGINE_FILE, EngineManifest)


def _toolchains_of(protocol: JudgingProtocol) -> tuple[str, ...]:
    sides = (protocol.engine, *protocol.references)
    others = opinion_toolchains(plan.task for plan in protocol.tasks)
    return tuple(sorted({*(side.serve.toolchain for side in sides), *others}))


def _call(
    protocol: JudgingProtocol,
    identities: dict[str, str],
    placement: PlacementName | None,
    quiet_host: QuietHost,
    benchmark: ToolCommand | None = None,
) -> MeasurementCall:
    """Return what the measurements of an engine are keyed by; `identities` of toolchains are by name.

    A placement that the user wants is part of it. One that was chosen follows from the host class, and the
    result says which it was. What was measured on a host that need not be quiet is not used on one that has
    to be. What was measured without a second opinion is not used if one is asked for.
    """
    document = {
        "stage": STAGE,
        "protocol": protocol.digest,
        "toolchains": identities,
        "host": this_host().model_dump(mode="json"),
        "placement": placement or "chosen",
        "quiet_host": quiet_host,
        **({"second_opinion": list(benchmark.argv)} if benchmark else {}),
    }

    def lacks(measurement: Measurement) -> str:
        lacking = lacks_engine_in_open_loop(measurement.result_as(Measured), protocol)
        return "the engine in open loop, which decides with today's number of variants" if lacking else ""

    return MeasurementCall("judged", document, protocol.speed.gate.budget_minutes, lacks)
