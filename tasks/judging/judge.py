"""The two calls that the pipeline makes: `measure_engine` asks servers, `judge_engine` decides from what
they said.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from engine_specs.spec import Economics
from tasks.judging.decide.verdict import Outcomes, TimedOutcomes, decide
from tasks.judging.endpoint import Endpoint
from tasks.judging.gates.economics import economics
from tasks.judging.gates.gates import (
    judge_lengths,
    judge_regret,
    judge_slo,
    judge_speed,
    judge_tokenizer,
    qualifies,
    rejecting,
)
from tasks.judging.judgement import JudgedResult, Subject
from tasks.judging.measure.accuracy import measure_accuracy
from tasks.judging.measure.baseline_load import LoadPlan, measure_load
from tasks.judging.measure.completions.concurrency import Say
from tasks.judging.measure.speed import measure_speed
from tasks.judging.protocol import JudgingProtocol, require_protocol_digest
from tasks.judging.results import AccuracyResult, LoadResult, Measured, NotMeasured, SpeedResult


def baseline_load(endpoint: Endpoint, plan: LoadPlan, *, say: Say) -> LoadResult:
    """Measure one running server on the declared workload; raises what `CompletionsClient` raises."""
    return asyncio.run(measure_load(endpoint, plan, say=say))


def measure_engine(
    engine: Endpoint,
    references: Sequence[Endpoint],
    texts: Sequence[str],
    protocol: JudgingProtocol,
    *,
    say: Say,
) -> Measured:
    """Measure a running engine against running references.

    An engine whose answers reject it is not timed: speed would change nothing, and takes most of the time.

    Args:
        engine: the side to judge, served from the tree that ships.
        references: vLLM servers; the first serves the unquantized checkpoint and scores accuracy, the
            fastest one that is accurate enough is the one to beat.
        texts: held-out texts.
        protocol: what to ask; names the same sides.
        say: hears about progress.
    """
    return asyncio.run(_measure(engine, references, texts, protocol, say))


async def _measure(
    engine: Endpoint,
    references: Sequence[Endpoint],
    texts: Sequence[str],
    protocol: JudgingProtocol,
    say: Say,
) -> Measured:
    scorer, *others = references
    accuracy = await measure_accuracy(engine, scorer, texts, protocol, say=say)
    if failed := rejecting(accuracy, protocol.accuracy):
        left_out = _not_timed(failed)
        say(left_out.reason)
        return Measured(protocol_digest=protocol.digest, accuracy=accuracy, speed=left_out)
    scored = [await measure_accuracy(other, scorer, texts, protocol, say=say) for other in others]
    accurate = {result.side for result in scored if qualifies(result, protocol.accuracy)}
    rivals = [scorer, *(other for other in others if other.side.name in accurate)]
    speed = await measure_speed(engine, rivals, protocol, say=say)
    return Measured(protocol_digest=protocol.digest, accuracy=accuracy, references=tuple(scored), speed=speed)


def _not_timed(failed: Sequence[str]) -> NotMeasured:
    return NotMeasured(
        reason=f"No round was timed: the engine is rejected by {' and '.join(failed)}, whatever its speed."
    )


def judge_engine(
    measured: Measured,
    protocol: JudgingProtocol,
    prices: Economics,
    subject: Subject,
    *,
    compile_mode: Literal["when-justified", "always"],
    build_device_hours: float,
) -> JudgedResult:
    """Decide from what was measured. Pure but for the time stamp.

    Raises `ProtocolsDiffer` where the results were not made under this protocol.
    """
    results = (measured, measured.accuracy, measured.speed)
    for result in results:
        if not isinstance(result, NotMeasured):
            require_protocol_digest(protocol, result.protocol_digest)
    outcomes = Outcomes(
        tokenizer=judge_tokenizer(measured.accuracy.tokenizer),
        regret=judge_regret(measured.accuracy.samples, protocol.accuracy),
        length=judge_lengths(measured.accuracy.lengths, protocol.accuracy),
        timed=_timed(measured.speed, protocol, prices, build_device_hours),
        compile_mode=compile_mode,
    )
    return JudgedResult(
        subject=subject,
        protocol=protocol,
        measured=measured,
        disqualified=_disqualified(measured.references, protocol),
        outcomes=outcomes,
        verdict=decide(outcomes),
        created_at=datetime.now(UTC),
    )


def _timed(
    measured: SpeedResult | NotMeasured,
    protocol: JudgingProtocol,
    prices: Economics,
    build_device_hours: float,
) -> TimedOutcomes | NotMeasured:
    if isinstance(measured, NotMeasured):
        return measured
    point = measured.at_operating_point
    speed = judge_speed(point, protocol.speed)
    return TimedOutcomes(
        slo=judge_slo(
            point.engine,
            point.reference,
            protocol.workload.slo,
            confidence=protocol.speed.gate.confidence,
        ),
        speed=speed,
        economics=economics(
            prices,
            protocol.workload,
            reference_tokens_per_s=point.reference.throughput_per_device.estimate,
            ratio=speed.ratio.lower,
            build_device_hours=build_device_hours,
        ),
    )


def _disqualified(scored: Sequence[AccuracyResult], protocol: JudgingProtocol) -> tuple[str, ...]:
    return tuple(result.side for result in scored if not qualifies(result, protocol.accuracy))
