"""An engine measured at many loads: several concurrencies, other lengths, and open loop with spread waits."""

from collections.abc import Sequence
from random import Random

from engine_specs.spec import Lengths, Slo, Workload
from support.judging.judgements import measured, speed_point, workload
from tasks.judging import Measured, SpeedResult
from tasks.judging.measure.summaries import bounded_quantiles
from tasks.judging.results import OpenLoopSide, Quantiles, RoundResult, SpeedPoint, SweepPoint

SWEEP = tuple(
    Lengths(input_tokens=given, output_tokens=made) for given, made in ((32, 256), (512, 32), (512, 256))
)
CONFIDENCE = 0.96
OMITTED = "512 + 256 tokens, 32 in flight: takes about 4 min, and 2 min are left of the budget of 10 min."


def many_loads(concurrency: Sequence[int] = (1, 4, 16, 32)) -> Workload:
    """A workload with a sweep, decided at 16 in flight; at 32, vLLM is beyond the objective."""
    return workload(
        input_tokens=256,
        output_tokens=64,
        concurrency=tuple(concurrency),
        operating_point=16,
        slo=Slo(ttft_p99_ms=400, itl_p99_ms=40),
        sweep=SWEEP,
    )


def measured_loads(digest: str, load: Workload, *, reference: str = "vllm") -> Measured:
    """An engine at every load but the last one, which the budget did not allow; it wins where it decides."""
    made = measured(digest, [0.0] * 380 + [0.05] * 20, ratio=1.6)
    assert isinstance(made.speed, SpeedResult)
    last = (*SWEEP[-1].model_dump().values(), load.concurrency[-1])
    sweep = [
        SweepPoint(**lengths.model_dump(), point=load_point(concurrency, ratio, reference=reference))
        for lengths, ratio in zip(SWEEP, (9.0, 0.2, 1.3), strict=True)
        for concurrency in load.concurrency
        if (lengths.input_tokens, lengths.output_tokens, concurrency) != last
    ]
    asked = made.speed.open_loop
    open_loop = asked.model_copy(
        update={
            "engine": _spread(asked.engine, ttft_ms=120.0, gap_ms=14.0),
            "reference": _spread(asked.reference, ttft_ms=190.0, gap_ms=22.0).model_copy(
                update={"side": reference}
            ),
        }
    )
    points = tuple(load_point(one, 1.6, reference=reference) for one in load.concurrency)
    changes = {
        "reference": reference,
        "points": points,
        "operating_point": load.operating_point,
        "sweep": tuple(sweep),
        "open_loop": open_loop,
        "omitted": (OMITTED,),
    }
    return made.model_copy(update={"speed": made.speed.model_copy(update=changes)})


def load_point(concurrency: int, ratio: float, *, reference: str = "vllm") -> SpeedPoint:
    """Both sides at one concurrency; who serves more requests at a time serves more, and each one later."""
    pairs = 48 if concurrency == 16 else 4
    rate = 500 * concurrency / (1 + concurrency / 14)
    point = speed_point(
        ratio, noise=0.03, pairs=pairs, concurrency=concurrency, rate=rate, reference=reference
    )
    sides = {"engine": concurrency / ratio, "reference": float(concurrency)}
    waits = {
        name: {"ttft_ms": _quantiles(20 + 9 * load), "itl_ms": _quantiles(3 + load)}
        for name, load in sides.items()
    }
    late = {getattr(point, name).side: own["ttft_ms"].p99 for name, own in waits.items()}
    rounds = tuple(_waiting(one, late[one.side]) for one in point.rounds)
    summaries = {name: getattr(point, name).model_copy(update=own) for name, own in waits.items()}
    return point.model_copy(update=summaries | {"rounds": rounds})


def _waiting(one: RoundResult, ttft_ms: float) -> RoundResult:
    """The same round, of whose requests each waited so long for its first token."""
    requests = tuple(record.model_copy(update={"ttft_ms": ttft_ms}) for record in one.requests)
    return one.model_copy(update={"requests": requests})


def _quantiles(median: float) -> Quantiles:
    return Quantiles(count=96, mean=median, p50=median, p90=1.2 * median, p99=1.4 * median)


def _spread(side: OpenLoopSide, *, ttft_ms: float, gap_ms: float) -> OpenLoopSide:
    """The same with waits that differ from request to request."""
    assert side.summary is not None
    source, requests = Random(side.side), range(side.summary.requests)
    ttft = [(ttft_ms * source.lognormvariate(0, 0.3),) for _ in requests]
    gaps = [[gap_ms * source.lognormvariate(0, 0.2) for _ in range(31)] for _ in requests]
    waits = {
        "ttft_ms": bounded_quantiles(ttft, CONFIDENCE),
        "itl_ms": bounded_quantiles(gaps, CONFIDENCE),
    }
    return side.model_copy(update={"summary": side.summary.model_copy(update=waits)})
