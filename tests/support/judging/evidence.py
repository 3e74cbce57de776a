"""Evidence for tests: planted measurements with their verdict, kept as the stage judge keeps them."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from artifacts.releases import VariantRelease
from artifacts.store import Measurement, new_measurement
from engine_specs.tables import HopedSpeedup
from support.judging.judgements import (
    PRICES,
    measured,
    open_loop_side,
    protocol,
    side,
    speed_point,
    terms,
    workload,
)
from support.stores.releases import NOTHING, variant
from tasks.evidence import Evidence, baseline_evidence, engine_evidence
from tasks.judging import IdleCheck, JudgingProtocol, LoadResult, NotMeasured, SpeedResult
from tasks.judging.decide import BaselineTerms
from tasks.judging.results import LoadPoint, SweepPoint
from tasks.judging.statistics import geometric_mean_interval

HOST = {"machine": "x86_64", "cpu_model": "a processor of the tests", "cores": 2, "gpus": []}
VERSIONS = {"none": "vllm 0.32.0"}
BEGIN = datetime(2026, 11, 28, 12, tzinfo=UTC)
GOOD = [0.0, 0.01, 0.0, 0.02] * 400


def made(measurement: Measurement, hour: int = 0) -> Measurement:
    """The same, as if it had ended that many hours after noon."""
    return measurement.model_copy(update={"created_at": BEGIN + timedelta(hours=hour)})


def baseline_measurement(rate: float = 500.0, *, host: dict[str, Any] = HOST) -> Measurement:
    """A baseline of vLLM at this many tokens per second."""
    point = speed_point(1.0, noise=0.01, pairs=3, concurrency=2, rate=rate)
    rounds = tuple(one for one in point.rounds if one.side == "vllm")
    load = LoadResult(
        side=side("vllm"),
        protocol_digest=NOTHING,
        operating_point=2,
        points=(LoadPoint(summary=point.reference, rounds=rounds),),
        quiet_host="require",
        open_loop=open_loop_side("vllm", rate, 400),
    )
    document = {"stage": "baseline", "protocol": NOTHING, "host": host}
    return made(
        new_measurement("baseline", document, load.model_dump(mode="json"), conclusive=True, device_s=9.0)
    )


def baseline_rules(**prices: float) -> BaselineTerms:
    """What decides before compiling; vLLM meets its objective."""
    return BaselineTerms(
        prices=PRICES.model_copy(update=prices),
        workload=workload(),
        speedup=HopedSpeedup(ratio=2.0, source="a test says so"),
        compile_mode="when-justified",
    )


def comparison(
    asked: JudgingProtocol,
    regrets: Sequence[float],
    *,
    ratio: float,
    rate: float,
    host: dict[str, Any],
    hour: int,
) -> Measurement:
    """A measurement of an engine that is `ratio` times as fast as a reference at this rate."""
    result = measured(asked.digest, regrets, ratio=ratio, rate=rate)
    ratios = (0.001, -0.002, 0.0015, 0.0)
    interval = geometric_mean_interval(ratios, 0.95)
    idle = IdleCheck(side="engine", ratio=interval, log_ratios=ratios, tolerance=0.05)
    conditions = result.conditions.model_copy(update={"idle": (idle,)})
    assert isinstance(result.speed, SpeedResult)
    point = speed_point(ratio, noise=0.03, pairs=4, ended="undecided", concurrency=1, rate=rate / 2)
    sweep = (SweepPoint(input_tokens=64, output_tokens=32, point=point),)
    speed = result.speed.model_copy(update={"sweep": sweep})
    result = result.model_copy(update={"conditions": conditions, "speed": speed})
    document = {"stage": "measure", "protocol": asked.digest, "host": host}
    plain = result.model_dump(mode="json")
    return made(new_measurement("judged", document, plain, conclusive=True, device_s=99.0), hour)


def engine(
    ratio: float = 2.0,
    *,
    rate: float = 500.0,
    host: dict[str, Any] = HOST,
    hour: int = 0,
    regrets: Sequence[float] = GOOD,
    versions: dict[str, str] = VERSIONS,
) -> Evidence:
    """The evidence on an engine."""
    asked = protocol(samples=len(regrets))
    return engine_evidence(
        baseline_measurement(),
        baseline_rules(),
        comparison(asked, regrets, ratio=ratio, rate=rate, host=host, hour=hour),
        asked,
        terms(PRICES.model_copy(update={"requests_per_day": 1_000_000_000})),
        versions,
    )


def untimed_engine() -> Evidence:
    """The evidence on an engine that was rejected for its answers, and not timed."""
    asked = protocol(samples=400)
    timed = comparison(asked, [1.0] * 400, ratio=2.0, rate=500.0, host=HOST, hour=0)
    left_out = NotMeasured(reason="No round was timed.").model_dump(mode="json")
    untimed = timed.model_copy(update={"result": {**timed.result, "speed": left_out}})
    return engine_evidence(baseline_measurement(), baseline_rules(), untimed, asked, terms(), VERSIONS)


def without_engine() -> Evidence:
    """The evidence for staying on vLLM before anything was compiled."""
    rules = baseline_rules(requests_per_day=1000)
    return baseline_evidence(baseline_measurement(), rules, "goodput_per_device", VERSIONS)


def entry_of(found: Evidence, tree: str = NOTHING, **changes: Any) -> VariantRelease:
    """The entry in a release that says what was found; `tree` is deployed, if anything is."""
    kept = found.kept
    verdict: Any = kept.judgement.conclusions["engine" if kept.measured else "baseline"]["verdict"]
    facts = {"reasons": tuple(verdict["reasons"]), "measurements": kept.measurements} | changes
    return variant("cpu-int8", tree, verdict=verdict["verdict"], **facts)
