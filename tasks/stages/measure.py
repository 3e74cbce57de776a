"""measure: engine and vLLM answer the same client, each started by its serve recipe, from trees that ship."""

from dataclasses import dataclass
from typing import Any

from artifacts.hosts import ENGINE_FILE, EngineManifest, probe_host, refuse_stand_in
from artifacts.store import Measurement, Store
from engine_specs.spec import ResolvedVariant, Spec
from tasks.comparison import engine_side, judging_protocol, occupied_devices, reference_sides, served
from tasks.hosts import this_host
from tasks.hub import REPORT_FILE, load_texts
from tasks.judging.gates import judge_lengths, judge_regret, judge_speed
from tasks.judging.judge import measure_engine
from tasks.judging.judged import Measured
from tasks.judging.protocol import JudgingProtocol
from tasks.judging.results import NotMeasured
from tasks.runs import Pipeline, measure_once
from tasks.stages.baseline import end_tokens_in, vocabulary_in
from tasks.stages.fetch import read_json
from tasks.toolchains import ensure

STAGE = "measure"


@dataclass(frozen=True, slots=True)
class Measurements:
    """What was measured under which protocol."""

    protocol: JudgingProtocol
    measured: Measured
    measurement: Measurement
    reason: str


def protocol_for(
    store: Store, spec: Spec, variant: ResolvedVariant, *, engine: str, checkpoint: str, heldout: str
) -> JudgingProtocol:
    """The judging protocol of an engine in the store; reads small files of the three trees alone.

    Raises:
        artifacts.errors.StandInRefused: a stand-in of the tool made the engine: there is nothing to measure.
    """
    refuse_stand_in(store, engine, "measured")
    return judging_protocol(
        spec,
        variant,
        engine=engine_side(variant, engine, engine_manifest(store, engine)),
        references=reference_sides(spec, variant, checkpoint, probe_host().cpu_features),
        vocabulary=vocabulary_in(store, checkpoint),
        end_tokens=end_tokens_in(store, checkpoint),
        text_sha256=read_json(store, heldout, REPORT_FILE)["sample_digest"],
    )


def engine_manifest(store: Store, engine: str) -> EngineManifest:
    """`engine.json` of an engine tree in the store."""
    return EngineManifest.model_validate(read_json(store, engine, ENGINE_FILE))


def toolchains_of(protocol: JudgingProtocol) -> tuple[str, ...]:
    """Names of the toolchains that serve the sides."""
    sides = (protocol.engine, *protocol.references)
    return tuple(sorted({side.recipe.toolchain for side in sides}))


def describe(protocol: JudgingProtocol, identities: dict[str, str]) -> dict[str, Any]:
    """What the measurements of an engine are keyed by; `identities` of the serving toolchains, by name."""
    return {
        "stage": STAGE,
        "protocol": protocol.digest,
        "toolchains": identities,
        "host": this_host().model_dump(mode="json"),
    }


def is_conclusive(measured: Measured, protocol: JudgingProtocol) -> bool:
    """Whether every gate could tell; only then may the measurements be reused."""
    if isinstance(measured.speed, NotMeasured):
        return True  # rejected, which more samples would not change
    outcomes = {
        judge_regret(measured.accuracy.samples, protocol.accuracy).outcome,
        judge_lengths(measured.accuracy.lengths, protocol.accuracy).outcome,
        judge_speed(measured.speed.at_operating_point, protocol.speed).outcome,
    }
    return not outcomes & {"underpowered", "noisy"}


def measure(
    pipeline: Pipeline, spec: Spec, variant: ResolvedVariant, protocol: JudgingProtocol, heldout: str
) -> Measurements:
    """Measure an engine against its references, or reuse young and conclusive measurements.

    Raises:
        tasks.errors.TaskError: a toolchain cannot be had, or a server never got ready, broke or died.
        artifacts.errors.StandInRefused: a stand-in of the tool made the engine.
    """
    refuse_stand_in(pipeline.store, protocol.engine.tree, "measured")
    identities = {
        name: ensure(name, pipeline.settings, on_progress=pipeline.say).identity
        for name in toolchains_of(protocol)
    }

    def ask() -> tuple[dict[str, Any], bool]:
        label = f"{spec.name}-{variant.name}-{STAGE}"
        with pipeline.work_dir(label) as work:
            pipeline.store.materialize(heldout, work / "heldout")
            texts = [text.text for text in load_texts(work / "heldout")]
        sides = (protocol.engine, *protocol.references)
        with served(pipeline, sides, label) as (engine, *references):
            measured = measure_engine(engine, references, texts, protocol, say=pipeline.say)
        return measured.model_dump(mode="json"), is_conclusive(measured, protocol)

    document, devices = (
        describe(protocol, identities),
        occupied_devices([protocol.engine, *protocol.references]),
    )
    measurement, reason = measure_once(pipeline, "judged", document, ask, devices=devices)
    return Measurements(protocol, Measured.model_validate(measurement.result), measurement, reason)
