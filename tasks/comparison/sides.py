"""From a spec to the engine as a side, and to the judging protocol. Pure."""

from collections.abc import Mapping, Sequence

from artifacts.canonical import digest_of
from artifacts.hosts import EngineManifest
from artifacts.settings import PlacementName
from engine_specs.spec import ResolvedVariant, Shape, Spec
from tasks.comparison.questions import accuracy_plan
from tasks.hosts import need_of
from tasks.judging import (
    JudgingProtocol,
    LoadPlan,
    RoundPlan,
    Side,
    SpeedPlan,
    TaskPlan,
    Vocabulary,
)

ENGINE = "engine"


def occupied_devices(sides: Sequence[Side], placement: PlacementName = "together") -> int:
    """Return how many devices a measurement keeps busy: the GPUs of its sides, or the CPU of one host."""
    if not any(side.gpu_names for side in sides):
        return 1
    counts = [side.devices for side in sides]
    return sum(counts) if placement == "together" else max(counts)


def engine_side(variant: ResolvedVariant, engine: str, manifest: EngineManifest) -> Side:
    """Return the engine as a side, served by the command in its manifest."""
    need = need_of(variant)
    return Side(name=ENGINE, serve=manifest.serve, tree=engine, devices=need.count, gpu_names=need.names)


def load_plan(spec: Spec, vocabulary: Vocabulary, text_sha256: str) -> LoadPlan:
    """Return what a baseline asks; the digest is that of the held-out texts."""
    text_sha256 = text_sha256 if spec.workload.prompts == "text" else ""
    return LoadPlan(
        workload=spec.workload,
        vocabulary=vocabulary,
        speed=speed_plan(spec),
        seed=seed_of(spec),
        text_sha256=text_sha256,
    )


def judging_protocol(
    spec: Spec,
    variant: ResolvedVariant,
    *,
    engine: Side,
    references: tuple[Side, ...],
    vocabulary: Vocabulary,
    end_tokens: tuple[int, ...],
    text_sha256: str,
    items_sha256: Mapping[str, str] | None = None,
) -> JudgingProtocol:
    """Return everything that decides what is asked of all sides.

    Digests of the questions are by the names of the tasks.
    """
    return JudgingProtocol(
        seed=seed_of(spec),
        workload=spec.workload,
        vocabulary=vocabulary,
        rounds=RoundPlan(),
        speed=speed_plan(spec),
        accuracy=accuracy_plan(spec, variant.shape, end_tokens, text_sha256),
        tasks=_task_plans(spec, variant.shape, end_tokens, items_sha256 or {}),
        engine=engine,
        references=references,
    )


def _task_plans(
    spec: Spec, shape: Shape, end_tokens: tuple[int, ...], items_sha256: Mapping[str, str]
) -> tuple[TaskPlan, ...]:
    return tuple(
        TaskPlan(
            task=task,
            items_sha256=items_sha256[task.name],
            max_prompt_tokens=shape.max_input_len,
            max_tokens=shape.max_seq_len,
            end_tokens=end_tokens,
            in_flight=max(spec.workload.concurrency),
        )
        for task in spec.validation.tasks
        if task.name in items_sha256
    )


def speed_plan(spec: Spec) -> SpeedPlan:
    """Return the bar and the budget, and how many variants share the error."""
    return SpeedPlan(gate=spec.validation.speed, variants=len(spec.variants))


def seed_of(spec: Spec) -> int:
    """Return the seed of prompts and windows: another one for each spec and declared version.

    With a constant one, engines of many releases would be judged, and in the end chosen, by the same samples.
    """
    return int(digest_of({"spec": spec.name, "version": spec.version})[:8], 16)
