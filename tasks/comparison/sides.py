"""From a spec to the sides of a comparison and the judging protocol. Pure."""

from collections.abc import Collection, Sequence
from typing import Any

from artifacts.canonical import digest_of
from artifacts.hosts import EngineManifest
from artifacts.settings import PlacementName
from engine_specs.spec import ResolvedVariant, Shape, Spec, VllmConfiguration
from tasks.hosts import need_of
from tasks.judging import (
    ROUND_TRIP_ANSWER_TOKENS,
    AccuracyPlan,
    JudgingProtocol,
    LoadPlan,
    RoundPlan,
    Side,
    SpeedPlan,
    Vocabulary,
)
from tasks.kinds import vllm_serve_command

ENGINE = "engine"
# Longest continuation that is scored: most faulty engines have failed by then, and every further token costs
# time on both sides. Lengths are compared up to this, or up to the workload's own output length.
CONTINUATION_TOKENS = 64
# CPU flags in /proc/cpuinfo of instructions that multiply bfloat16, on x86-64 and on Arm.
BFLOAT16_FEATURES = {"avx512_bf16", "amx_bf16", "bf16"}
MIN_CONTEXT_TOKENS = 16
# Contexts are at least this long if the engine takes them, however short the workload's prompts are.
LONG_CONTEXT_TOKENS = 96
# vLLM generates at least this while it scores a prompt.
SCORING_TOKENS = 1


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
    """Return everything that decides what is asked of all sides.

    Accuracy is measured with requests like those of the workload, as far as the engine's shape allows:
    contexts and answers are as long. Half of them are asked with as many requests in flight as at the
    operating point, the other half with the largest declared number: which code of an engine runs depends on
    how many rows it computes at once.
    """
    return JudgingProtocol(
        seed=seed_of(spec),
        workload=spec.workload,
        vocabulary=vocabulary,
        rounds=RoundPlan(),
        speed=SpeedPlan(gate=spec.validation.speed, variants=len(spec.variants)),
        accuracy=_accuracy_plan(spec, variant.shape, end_tokens, text_sha256),
        engine=engine,
        references=references,
    )


def _accuracy_plan(spec: Spec, shape: Shape, end_tokens: tuple[int, ...], text_sha256: str) -> AccuracyPlan:
    gate, load, room = spec.validation.accuracy, spec.workload, shape.max_seq_len - SCORING_TOKENS
    continuation = min(load.output_tokens, CONTINUATION_TOKENS, room - 1)
    context = min(max(load.input_tokens, LONG_CONTEXT_TOKENS), shape.max_input_len, room - continuation)
    return AccuracyPlan(
        gate=gate,
        text_sha256=text_sha256,
        min_context_tokens=min(MIN_CONTEXT_TOKENS, context),
        max_context_tokens=context,
        continuation_tokens=continuation,
        length_max_tokens=min(max(CONTINUATION_TOKENS, load.output_tokens), shape.max_seq_len - context),
        end_tokens=tuple(sorted({*end_tokens, *gate.stop_token_ids})),
        round_trip_tokens=min(shape.max_input_len, max(1, shape.max_seq_len - ROUND_TRIP_ANSWER_TOKENS)),
        in_flight=tuple(dict.fromkeys((load.operating_point, max(load.concurrency)))),
    )


def seed_of(spec: Spec) -> int:
    """Return the seed of prompts and windows: another one for each spec and declared version.

    With a constant one, engines of many releases would be judged, and in the end chosen, by the same samples.
    """
    return int(digest_of({"spec": spec.name, "version": spec.version})[:8], 16)


def _reference_name(settings: dict[str, Any]) -> str:
    return " ".join(["vllm", *(f"{key}={value}" for key, value in settings.items())])
