"""What the stage `judge` is given, planted: stages, a baseline, measurements of an engine, and an opinion."""

from artifacts.store import new_measurement
from engine_specs.spec import load_spec, resolve_variants
from support.judging.judgements import capacity, measured, open_loop_side, protocol, speed_point
from support.paths import E2E_SPEC
from tasks.judging import JudgingProtocol, LoadResult, SpeedOpinion
from tasks.judging.decide import Go
from tasks.judging.gates import compare_months
from tasks.judging.results import LoadPoint, Measured, OpenLoopResult, Quantiles, SpeedResult
from tasks.runs import StageResult
from tasks.stages import Baseline, Measurements

SPEC = load_spec(E2E_SPEC)
(VARIANT,) = resolve_variants(SPEC)


def asked_of(engine: str, served: str = "a" * 64) -> JudgingProtocol:
    """A protocol made by hand, as if `protocol_for` had not been asked; vLLM serves the tree `served`."""
    made = protocol(samples=400, margin=0.02)
    references = tuple(one.model_copy(update={"tree": served}) for one in made.references)
    own = made.engine.model_copy(update={"tree": engine})
    return made.model_copy(update={"engine": own, "references": references})


def stage(name: str, tree: str) -> StageResult:
    """The result of a stage that took a second."""
    return StageResult(
        stage=name,
        variant="v",
        fingerprint="f" * 64,
        tree=tree,
        metrics={},
        tools={},
        reused=False,
        reason="",
        duration_s=1.0,
        made_in_s=1.0,
    )


def baseline() -> Baseline:
    """vLLM alone took six minutes, and an engine is worth trying."""
    plan = protocol()
    point = speed_point(1.0, noise=0.05, pairs=3)
    rounds = tuple(one for one in point.rounds if one.side == "vllm")
    load = LoadResult(
        side=plan.references[0],
        protocol_digest="0" * 64,
        operating_point=1,
        points=(LoadPoint(summary=point.reference, rounds=rounds),),
    )
    hoped = compare_months(
        SPEC.economics,
        plan.workload,
        reference=capacity(500.0),
        engine=capacity(1000.0),
        build_device_hours=0.0,
    )
    kept = new_measurement("baseline", {}, load.model_dump(mode="json"), conclusive=True, device_s=360.0)
    return Baseline(load, Go("try it", hoped), kept, "measured")


def measurements_of(plan: JudgingProtocol, *, ratio: float = 1.4) -> Measurements:
    """An engine without regret, and this many times as fast as vLLM."""
    made = measured(plan.digest, [0.0] * 400, ratio=ratio)
    kept = new_measurement("judged", {}, made.model_dump(mode="json"), conclusive=True, device_s=720.0)
    return Measurements(plan, made, kept, "measured")


def measured_unasked(plan: JudgingProtocol, reference_late: int) -> Measured:
    """An engine that is not fast enough, so it was not asked; of 64 requests of vLLM, so many are late."""
    made = measured(plan.digest, [0.0] * 400, ratio=0.7)
    assert isinstance(made.speed, SpeedResult)
    unasked = open_loop_side("engine", 500.0, 0).model_copy(
        update={"ended": "enough", "stopped": "engine is not fast enough: it would change nothing"}
    )
    both = OpenLoopResult(engine=unasked, reference=open_loop_side("vllm", 500.0, 64, reference_late))
    return made.model_copy(update={"speed": made.speed.model_copy(update={"open_loop": both})})


def quantiles(value: float) -> Quantiles:
    return Quantiles(count=24, mean=value, p50=value, p90=value + 1, p99=value + 2)


OPINION = SpeedOpinion(
    tool="trtllm-bench of TensorRT-LLM 1.2.1",
    concurrency=2,
    mean_in_flight=1.9,
    requests=24,
    mean_input_tokens=32.0,
    mean_output_tokens=16.0,
    output_tokens_per_s=1234.0,
    ttft_ms=quantiles(31.0),
    tpot_ms=quantiles(5.0),
    e2e_ms=quantiles(106.0),
    took_s=60.0,
)
