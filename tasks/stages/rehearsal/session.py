"""The rehearsal: build with the other version, bring all sides up, and compare them."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from artifacts.canonical import digest_of
from artifacts.errors import NotFound
from artifacts.hosts import probe_host, refuse_stand_in
from artifacts.releases import VariantRelease
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import (
    engine_side,
    judging_protocol,
    placement_here,
    resident_sides,
    served_memory,
    sides_in_turn,
)
from tasks.errors import ToolchainSettingInvalid
from tasks.evidence import last_accepted
from tasks.hosts import need_of, this_host
from tasks.hub import CONFIG_FILE, REPORT_FILE, HubAccess, TextsReport
from tasks.judging import JudgingProtocol, Placement, PlacementChoice, Side
from tasks.runs import KeptPhases, Pipeline
from tasks.stages import (
    Inputs,
    Sources,
    SpecGraph,
    VariantGraph,
    end_tokens_in,
    engine_manifest,
    require_disjoint,
    texts_in,
    vocabulary_in,
)
from tasks.stages.rehearsal.cycles import measure_cycles
from tasks.stages.rehearsal.records import Rehearsal, RehearsedSide, ratios_of, speed_of
from tasks.stages.rehearsal.upgrade import OPTION, Upgrade
from tasks.toolchains import Toolchain, ensure, tool_of

RELEASED, REBUILT = "released engine", "rehearsed engine"
REFERENCE, NEW_REFERENCE = "reference", "rehearsed reference"


@dataclass(frozen=True, slots=True)
class _Side:
    """A side, and the toolchain that serves it."""

    side: Side
    toolchain: Toolchain


@dataclass(frozen=True, slots=True)
class Made:
    """What was fetched and built, by the title of its stage."""

    upgrade: Upgrade
    sources: Sources
    trees: dict[str, str]
    checkpoint: str
    heldout: str
    engine: str


def rehearse(
    pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, upgrade: Upgrade, access: HubAccess
) -> Rehearsal:
    """Build a variant with another version of a toolchain, and measure it next to what is released.

    Raises:
        artifacts.errors.NotFound: no release deploys an engine of this variant.
        tasks.errors.ToolchainSettingInvalid: the other version changes neither engine nor reference.
        tasks.errors.TaskError: a toolchain or GPUs are unavailable, a stage failed, a server did not start,
            or others kept the host busy.
    """
    accepted = last_accepted(pipeline.store, spec.name, variant.name)
    if accepted is None:
        raise NotFound(
            f"no release of {spec.name} deploys an engine of {variant.name}, so there is nothing to compare",
            where=str(pipeline.store.bucket),
            fix=f"enginery build {spec.name}",
        )
    version, entry = accepted
    graph, sources = SpecGraph(spec, (variant,)), Sources(spec, access)
    built = _rebuilt(pipeline, upgrade, graph, sources)
    sides = sides_of(pipeline, variant, entry, built)
    names = [one.side.name for one in sides]
    protocol = _protocol(pipeline, spec, variant, [one.side for one in sides], built)
    choice = _placement(pipeline, spec, variant, built.checkpoint, len(sides))
    pipeline.say(f"placement: {choice.text()}")
    with _placed(pipeline, f"{spec.name}-{variant.name}-rehearsal", sides, choice) as placement:
        made = measure_cycles(
            placement,
            [one.side for one in sides],
            next(one.side for one in sides if one.side.name == REFERENCE),
            texts_in(pipeline.store, built.heldout),
            protocol,
            say=pipeline.say,
        )
    metric = protocol.speed.gate.metric
    return Rehearsal(
        spec=f"{spec.name} {spec.version}",
        variant=variant.name,
        release=f"{spec.name}@{version}",
        toolchain=upgrade.name,
        now=_version(ensure(upgrade.name, upgrade.now)),
        rehearsed=_version(ensure(upgrade.name, upgrade.rehearsed)),
        metric=metric,
        concurrency=protocol.workload.operating_point,
        host=this_host(),
        placement=choice,
        quiet_host=pipeline.settings.quiet_host,
        cycles=made.cycles,
        made_again=made.made_again,
        sides=tuple(
            RehearsedSide(
                name=one.side.name,
                toolchain=one.toolchain.name,
                version=_version(one.toolchain),
                tree=one.side.tree,
                speed=speed_of(one.side.name, made.rounds, metric),
            )
            for one in sides
        ),
        ratios=ratios_of(compared(names), made.rounds, protocol.speed),
        notes=tuple(_notes(pipeline, graph, built, entry, names)),
    )


def _version(toolchain: Toolchain) -> str:
    """Return the tool with its version, and where it comes from: two of one version may differ."""
    return f"{tool_of(toolchain)} ({toolchain.provider} {toolchain.identity[:8]})"


def compared(names: Sequence[str]) -> list[tuple[str, str]]:
    """Return which sides are divided by which: those of a release, those after the upgrade, then and now."""
    asked = (
        (RELEASED, REFERENCE),
        (REBUILT, NEW_REFERENCE if NEW_REFERENCE in names else REFERENCE),
        (REBUILT, RELEASED),
        (RELEASED, NEW_REFERENCE),
        (NEW_REFERENCE, REFERENCE),
    )
    return [(side, to) for side, to in asked if side in names and to in names]


def _rebuilt(pipeline: Pipeline, upgrade: Upgrade, graph: SpecGraph, sources: Sources) -> Made:
    """Fetch, quantize and build, the last two with the rehearsed version."""
    nodes: VariantGraph = graph.variants[0]
    upgraded = Pipeline(upgrade.rehearsed, pipeline.store, say=pipeline.say, force=pipeline.force)
    made = {one.title: one.run(pipeline, sources).tree for one in graph.tasks}
    made[graph.checkpoint.title] = graph.checkpoint.run(pipeline, sources).tree
    made[graph.heldout.title] = graph.heldout.run(pipeline, sources).tree
    if nodes.calibration is not None:
        texts = made[nodes.calibration.title] = nodes.calibration.run(pipeline, sources).tree
        tasks = {one.task.name: made[one.title] for one in graph.tasks}
        require_disjoint(pipeline.store, texts, made[graph.heldout.title], tasks, nodes.variant.name)
    for node in (nodes.quantize, nodes.build):
        if not node.left_out:
            trees = {need.role: made[need.node.title] for need in node.needs}
            made[node.title] = node.run(upgraded, trees).tree
    return Made(
        upgrade=upgrade,
        sources=sources,
        trees=made,
        checkpoint=made[graph.checkpoint.title],
        heldout=made[graph.heldout.title],
        engine=made[nodes.build.title],
    )


def sides_of(pipeline: Pipeline, variant: ResolvedVariant, entry: VariantRelease, made: Made) -> list[_Side]:
    """Return the sides that differ, the reference first.

    Raises ToolchainSettingInvalid if the rehearsed version serves neither side, and makes the same engine.
    """
    released, rebuilt, upgrade, need = str(entry.tree), made.engine, made.upgrade, need_of(variant)
    manifests = {tree: engine_manifest(pipeline.store, tree) for tree in (released, rebuilt)}
    for tree in manifests:
        refuse_stand_in(pipeline.store, tree, "measured")
    quantized = entry.vllm_tree != entry.checkpoint_tree
    vllm = Side(
        name=REFERENCE,
        serve=entry.vllm_serve,
        # Its command is for the weights that the released engine was made of.
        tree=entry.vllm_tree if quantized else made.checkpoint,
        devices=need.count,
        gpu_names=need.names,
    )
    named = {
        REFERENCE: (vllm, upgrade.now),
        NEW_REFERENCE: (vllm, upgrade.rehearsed),
        RELEASED: (engine_side(variant, released, manifests[released]), upgrade.now),
        REBUILT: (engine_side(variant, rebuilt, manifests[rebuilt]), upgrade.rehearsed),
    }
    sides: list[_Side] = []
    for name, (side, settings) in named.items():
        toolchain = ensure(side.serve.toolchain, settings, say=pipeline.say)
        candidate = _Side(side.model_copy(update={"name": name}), toolchain)
        if not any(_is_the_same(candidate, other) for other in sides):
            sides.append(candidate)
    if {one.side.name for one in sides} == {REFERENCE, RELEASED}:
        raise ToolchainSettingInvalid(
            f"the rehearsed version of {upgrade.name} changes neither the engine nor the reference of "
            f"{variant.name}",
            where=OPTION,
            fix="name a toolchain that builds or serves one of them, in another version",
        )
    return sides


def _is_the_same(one: _Side, other: _Side) -> bool:
    """Whether both serve the same tree with the same command and the same toolchain."""
    mine, theirs = (each.side.model_copy(update={"name": ""}) for each in (one, other))
    return mine == theirs and one.toolchain.identity == other.toolchain.identity


def _protocol(
    pipeline: Pipeline,
    spec: Spec,
    variant: ResolvedVariant,
    sides: Sequence[Side],
    made: Made,
) -> JudgingProtocol:
    """Return how sides are asked: as a build asks them in timed rounds."""
    store = pipeline.store
    report = store.read_document(made.heldout, REPORT_FILE, TextsReport)
    return judging_protocol(
        spec,
        variant,
        engine=next(side for side in sides if side.name in (REBUILT, RELEASED)),
        references=tuple(side for side in sides if side.name in (REFERENCE, NEW_REFERENCE)),
        vocabulary=vocabulary_in(store, made.checkpoint),
        end_tokens=end_tokens_in(store, made.checkpoint),
        text_sha256=report.sample_digest,
    )


def _placement(
    pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, checkpoint: str, sides: int
) -> PlacementChoice:
    """Choose where sides run: together if each has devices of its own, in turn otherwise."""
    config = pipeline.store.read_json(checkpoint, CONFIG_FILE)
    file_bytes = {file.path: file.size for file in pipeline.store.get_listing(checkpoint).files}
    served = served_memory(spec, variant, config, file_bytes)
    choice = placement_here(spec, variant, served, probe_host(), pipeline.settings, sides)
    if choice.name != "shared":
        return choice
    return PlacementChoice(name="in-turn", reason="sides of a rehearsal do not share devices")


@contextmanager
def _placed(
    pipeline: Pipeline, label: str, sides: Sequence[_Side], choice: PlacementChoice
) -> Iterator[Placement]:
    served_with = {one.side.name: one.toolchain for one in sides}
    asked = [one.side for one in sides]
    if choice.name == "together":
        with resident_sides(pipeline, asked, label, choice, served_with=served_with) as placement:
            yield placement
        return
    key = digest_of({"rehearsal": [side.model_dump(mode="json") for side in asked]})
    kept = KeptPhases.of(pipeline.settings, key, say=pipeline.say, force=True)
    with sides_in_turn(pipeline, asked, label, choice, kept, served_with=served_with) as in_turn:
        yield in_turn
    kept.remove()


def _notes(
    pipeline: Pipeline, graph: SpecGraph, made: Made, entry: VariantRelease, names: Sequence[str]
) -> Iterator[str]:
    if entry.checkpoint_tree != made.checkpoint:
        yield (
            "The released engine was made of another commit than this spec names "
            f"({made.sources.checkpoint.commit[:12]}), which the others serve."
        )
    elif _made_otherwise(pipeline, graph, made, entry):
        yield (
            "The released engine was made of other sources, or of another spec, than these, so it differs "
            "from the rehearsed engine not by the toolchain alone. Release a build first, to see that alone."
        )
    if REBUILT not in names:
        yield "The rehearsed version makes and serves the same engine, so there is one engine."
    if NEW_REFERENCE not in names:
        yield "The rehearsed version does not serve vLLM, so there is one reference."
    yield "Answers were not judged: a build with this version does that."


def _made_otherwise(pipeline: Pipeline, graph: SpecGraph, made: Made, entry: VariantRelease) -> bool:
    """Whether a build with the version that is compared with would not find the released engine.

    Nobody can say if the rehearsed version quantized; then nothing is claimed.
    """
    build, quantize = graph.variants[0].build, graph.variants[0].quantize
    if made.upgrade.name in quantize.toolchains and not quantize.left_out:
        return False
    toolchains = {name: ensure(name, made.upgrade.now, say=pipeline.say) for name in build.toolchains}
    trees = {need.role: made.trees[need.node.title] for need in build.needs}
    inputs = build.completed(Inputs.given(trees, toolchains), pipeline.store)
    call = build.call(inputs, made.sources, pipeline.store)
    return entry.fingerprints.get(f"{build.stage}:{build.variant}") != call.fingerprint
