"""From a spec to the sides of a comparison and the judging protocol. Pure."""

from collections.abc import Collection, Sequence
from typing import Any

from artifacts.canonical import digest_of
from artifacts.hosts import EngineManifest
from artifacts.settings import PlacementName
from engine_specs.spec import ResolvedVariant, Spec, VllmConfiguration
from tasks.comparison.questions import accuracy_plan
from tasks.hosts import need_of
from tasks.judging import (
    JudgingProtocol,
    LoadPlan,
    RoundPlan,
    Side,
    SpeedPlan,
    Vocabulary,
)
from tasks.kinds import vllm_serve_command

ENGINE = "engine"
# CPU flags in /proc/cpuinfo of instructions that multiply bfloat16, on x86-64 and on Arm.
BFLOAT16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}


def reference_sides(
    spec: Spec, variant: ResolvedVariant, checkpoint: str, cpu_features: Collection[str] = ()
) -> tuple[Side, ...]:
    """Return vLLM in each declared configuration; the first one is unquantized, and scores accuracy.

    On a processor that does not compute in bfloat16, vLLM is faster in float32; this configuration is added
    unless the spec declares it.

    Args:
        spec: gives the reference configurations.
        variant: gives target, shape and devices.
        checkpoint: digest of the tree that is served.
        cpu_features: CPU flags of the host that measures, besides those that the target requires.
    """
    declared = spec.validation.reference.configurations
    unquantized = [one for one in declared if one.quantization is None] or [VllmConfiguration()]
    quantized = [one for one in declared if one.quantization is not None]
    if _wants_float32(variant, cpu_features) and not any(one.dtype == "float32" for one in unquantized):
        unquantized.append(VllmConfiguration(dtype="float32"))
    need = need_of(variant)
    return tuple(
        Side(
            name=_reference_name(one.settings()),
            serve=vllm_serve_command(one.settings(), variant),
            tree=checkpoint,
            devices=need.count,
            gpu_names=need.names,
        )
        for one in (*unquantized, *quantized)
    )


def _wants_float32(variant: ResolvedVariant, cpu_features: Collection[str]) -> bool:
    has_bfloat16 = BFLOAT16_FEATURES & {*variant.target.cpu_features, *cpu_features}
    return variant.target.accelerator == "cpu" and not has_bfloat16


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
        workload=spec.workload, vocabulary=vocabulary, seed=seed_of(spec), text_sha256=text_sha256
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
) -> JudgingProtocol:
    """Return everything that decides what is asked of all sides."""
    return JudgingProtocol(
        seed=seed_of(spec),
        workload=spec.workload,
        vocabulary=vocabulary,
        rounds=RoundPlan(),
        speed=SpeedPlan(gate=spec.validation.speed, variants=len(spec.variants)),
        accuracy=accuracy_plan(spec, variant.shape, end_tokens, text_sha256),
        engine=engine,
        references=references,
    )


def seed_of(spec: Spec) -> int:
    """Return the seed of prompts and windows: another one for each spec and declared version.

    With a constant one, engines of many releases would be judged, and in the end chosen, by the same samples.
    """
    return int(digest_of({"spec": spec.name, "version": spec.version})[:8], 16)


def _reference_name(settings: dict[str, Any]) -> str:
    return " ".join(["vllm", *(f"{key}={value}" for key, value in settings.items())])
