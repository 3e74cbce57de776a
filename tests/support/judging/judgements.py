"""Protocols and results for tests of judging, planted where a test says so."""

import math
from collections.abc import Sequence
from random import Random
from typing import Any

from artifacts.hosts import ServeCommand
from engine_specs.spec import AccuracyGate, Economics, Slo, SpeedGate, Workload
from support.judging.fake_completions import BEGIN, END, VOCABULARY, Speech
from tasks.judging import (
    AccuracyPlan,
    AccuracyResult,
    Conditions,
    Endpoint,
    HostLoad,
    JudgingProtocol,
    Measured,
    PlacementChoice,
    Resident,
    RoundPlan,
    Side,
    SpeedPlan,
    SpeedResult,
    StageRecord,
    Subject,
    Vocabulary,
    WindowGroup,
)
from tasks.judging.gates import Capacity, Terms
from tasks.judging.measure.summaries import MeasuredRound, summarize, summarize_open_loop
from tasks.judging.results import (
    Departure,
    Excerpt,
    LengthSample,
    OpenLoopResult,
    OpenLoopSide,
    RegretSample,
    RequestRecord,
    RoundResult,
    SpeedPoint,
    Stretch,
    TimedAnswers,
    TimedCount,
    TimedSample,
    TokenizerCheck,
)
from tasks.toolchains import Provenance

PRICES = Economics(
    gpu_hour_usd=2.5, requests_per_day=2_000_000, upkeep_hours_per_month=4, engineer_hour_usd=120
)
VOCABULARY_OF_FAKES = Vocabulary(size=VOCABULARY, special_ids=(BEGIN, END, 2))


def terms(
    prices: Economics = PRICES, *, compile_mode: Any = "when-justified", build_device_hours: float = 0.2
) -> Terms:
    """What a judgement knows besides the measurement."""
    return Terms(prices=prices, compile_mode=compile_mode, build_device_hours=build_device_hours)


SUBJECT = Subject(
    spec="demo",
    variant="cpu-int8",
    model="enginery/demo-llama@0123456",
    target="cpu-x86-64-v3",
    kind="aot-inductor",
    quantization="int8_weight_only",
    environment={"cpu": "a test's imagination", "torch": "2.13.0+cpu"},
    stages=(
        StageRecord(
            stage="build",
            fingerprint="f" * 64,
            tree="e" * 64,
            duration_s=21.5,
            reused=False,
            toolchain=Provenance(
                name="aot-cpu", provider="lock", adopted=False, identity="d" * 64, differences=()
            ),
        ),
    ),
)


def capacity(tokens_per_s: float, side: str = "vllm", devices: int = 1) -> Capacity:
    """What a side serves at one request in flight, within the objective."""
    return Capacity(
        side=side,
        concurrency=1,
        shown="met",
        metric="goodput_per_device",
        tokens_per_s=tokens_per_s,
        devices=devices,
    )


TOGETHER = PlacementChoice(name="together", reason="a test has both sides up")


def resident(endpoints: Sequence[Endpoint]) -> Resident:
    """A placement of servers that a test has up."""
    return Resident(endpoints, TOGETHER)


def side(name: str, speaks: Speech = "vllm") -> Side:
    """A side whose command serves nothing, and says how such a server gives token ids."""
    command = ServeCommand(
        toolchain="none",
        argv=("{python}", "{tree}/serve.py"),
        model="m",
        generated_ids="with-text" if speaks == "vllm" else "instead-of-text",
    )
    return Side(name=name, serve=command, tree="a" * 64)


def endpoint(name: str, base_url: str, speaks: Speech = "vllm") -> Endpoint:
    """A side at an address."""
    return Endpoint(base_url=base_url, side=side(name, speaks))


def workload(**changes: Any) -> Workload:
    """A small workload with a lenient objective."""
    settings: dict[str, Any] = {
        "input_tokens": 8,
        "output_tokens": 6,
        "concurrency": (1, 2),
        "operating_point": 2,
        "slo": Slo(ttft_p99_ms=60_000, itl_p99_ms=60_000),
        "prompts": "random-ids",
    }
    return Workload(**(settings | changes))


def protocol(
    *,
    samples: int = 40,
    margin: float = 0.3,
    max_gross_error_share: float = 0.1,
    max_part_regret_nats: float = 1.5,
    min_speedup: float = 1.1,
    budget_minutes: float = 1.0,
    references: Sequence[str] = ("vllm",),
    load: Workload | None = None,
    seed: int = 1,
    **speed: Any,
) -> JudgingProtocol:
    """A protocol over the stand-ins' vocabulary."""
    accuracy = AccuracyGate(
        path="held-out.jsonl",
        samples=samples,
        max_regret_nats_per_token=margin,
        max_gross_error_share=max_gross_error_share,
        max_part_regret_nats=max_part_regret_nats,
    )
    gate = SpeedGate(metric="goodput_per_device", min_speedup=min_speedup, budget_minutes=budget_minutes)
    return JudgingProtocol(
        seed=seed,
        workload=load or workload(),
        vocabulary=VOCABULARY_OF_FAKES,
        rounds=RoundPlan(requests_per_slot=2, min_requests=1, request_limit_s=10),
        speed=SpeedPlan(
            gate=gate, **({"first_pairs": 3, "first_block_pairs": 3, "pairs_elsewhere": 3} | speed)
        ),
        accuracy=AccuracyPlan(
            gate=accuracy,
            text_sha256="b" * 64,
            windows=(
                WindowGroup(
                    name="answers",
                    texts=samples,
                    min_context_tokens=8,
                    max_context_tokens=32,
                    continuation_tokens=6,
                ),
            ),
            context_limit=40,
            answer_tokens=6,
            length_texts=samples,
            length_max_tokens=8,
            round_trip_texts=2,
            round_trip_tokens=300,
            streamed_texts=3,
            in_flight=(2, 3),
            request_limit_s=10,
        ),
        engine=side("engine"),
        references=tuple(side(name) for name in references),
    )


def regret_samples(regrets: Sequence[float]) -> tuple[RegretSample, ...]:
    """Texts continued by four tokens, with planted mean regrets; a regret of zero is an agreement.

    Contexts have all lengths that the protocol asks for. Of a text with regret the third token has all of it.
    """
    return tuple(
        RegretSample(
            sample_id=str(i),
            in_flight=2,
            context_tokens=9 + i % 24,
            asked_tokens=4,
            engine_tokens=(5, 6, 7, 8),
            departures=(
                (Departure(index=2, engine_token=7, reference_token=0, regret_nats=4 * regret),)
                if regret
                else ()
            ),
        )
        for i, regret in enumerate(regrets)
    )


def excerpts(samples: Sequence[RegretSample], most: int = 12) -> tuple[Excerpt, ...]:
    """The first departures as text that a page must neither obey nor swallow."""
    return tuple(
        Excerpt(
            sample_id=sample.sample_id,
            context_tokens=sample.context_tokens,
            departure=departure,
            before="def f(x):\n    return",
            engine_text="<b>\t",
            reference_text=" x",
        )
        for sample in samples
        for departure in sample.departures
    )[:most]


def length_samples(pairs: Sequence[tuple[int, int]]) -> tuple[LengthSample, ...]:
    """Continuations of planted (engine, reference) lengths."""
    return tuple(
        LengthSample(
            sample_id=f"0:{i}", engine_tokens=a, reference_tokens=b, common_prefix_tokens=0, end="apart"
        )
        for i, (a, b) in enumerate(pairs)
    )


def accuracy_result(digest: str, regrets: Sequence[float], *, name: str = "engine") -> AccuracyResult:
    """An accuracy result with planted regrets, equal lengths and a tokenizer that agrees."""
    samples = regret_samples(regrets)
    return AccuracyResult(
        side=name,
        reference="vllm",
        protocol_digest=digest,
        samples=samples,
        lengths=length_samples([(6, 6)] * 128),
        tokenizer=(TokenizerCheck(text="Größe", same_ids=True, same_text=True),),
        excerpts=excerpts(samples),
    )


def speed_point(
    ratio: float,
    *,
    noise: float,
    pairs: int,
    ended: Any = "resolved",
    concurrency: int = 1,
    rate: float = 500.0,
    reference: str = "vllm",
) -> SpeedPoint:
    """Alternating rounds of a reference at `rate` tokens/s and an engine `ratio` times as fast."""
    source = Random(f"{ratio}/{noise}/{pairs}/{concurrency}")
    rounds = [
        made
        for pair in range(pairs)
        for made in _pair(pair, concurrency, rate, ratio * math.exp(source.gauss(0, noise)), reference)
    ]
    engine, vllm = (
        summarize([MeasuredRound(one, gaps_ms=tuple([5.0] * 31)) for one in rounds if one.side == name])
        for name in ("engine", reference)
    )
    return SpeedPoint(
        concurrency=concurrency,
        planned_pairs=pairs,
        looks=2,
        error_share=1.0,
        ended=ended,
        stopped=f"{pairs} pairs find an excess of 5.0% at this noise",
        rounds=tuple(rounds),
        engine=engine,
        reference=vllm,
    )


def _pair(pair: int, concurrency: int, rate: float, ratio: float, reference: str) -> list[RoundResult]:
    order = [reference, "engine"] if pair % 2 == 0 else ["engine", reference]
    rates = {reference: rate, "engine": rate * ratio}
    return [planted_round(name, 2 * pair + i, concurrency, rates[name]) for i, name in enumerate(order)]


def _record(rate: float) -> RequestRecord:
    return RequestRecord(
        ttft_ms=12.0 * 500 / rate,
        itl_mean_ms=1000 / rate,
        itl_max_ms=1500 / rate,
        gaps=31,
        slow_gaps=0,
        arrivals=32,
        largest_chunk=1,
        e2e_ms=32_000 / rate,
        output_tokens=32,
        good=True,
    )


def planted_round(name: str, index: int, concurrency: int, rate: float) -> RoundResult:
    """A round at this rate, in tokens per second; each round is a block."""
    return RoundResult(
        side=name,
        concurrency=concurrency,
        index=index,
        block=index,
        started_s=float(index),
        wall_s=96 / rate,
        devices=1,
        prompts_sha256="c" * 64,
        answers_sha256="d" * 64,
        requests=(_record(rate),) * 3,
        load=HostLoad(cores=2, foreign=0.012, steal=0.0),
    )


def measured(
    digest: str, regrets: Sequence[float], *, ratio: float, noise: float = 0.03, rate: float = 500.0
) -> Measured:
    """Everything of one engine, planted; `rate` is that of the reference, in tokens/s."""
    points = (
        speed_point(ratio, noise=noise, pairs=48, concurrency=2, rate=rate),
        speed_point(ratio * 1.1, noise=noise, pairs=4, ended="undecided", concurrency=1, rate=rate),
    )
    return Measured(
        protocol_digest=digest,
        conditions=Conditions(placement=TOGETHER),
        accuracy=accuracy_result(digest, regrets),
        speed=SpeedResult(
            engine="engine",
            reference="vllm",
            protocol_digest=digest,
            operating_point=2,
            points=points[::-1],
            quiet_host="require",
            timed=timed_answers(),
            open_loop=open_loop(ratio=ratio),
        ),
    )


def speed_result(*points: SpeedPoint) -> SpeedResult:
    """Timed rounds, planted; the first point is the operating point."""
    return SpeedResult(
        engine="engine",
        reference="vllm",
        protocol_digest="0" * 64,
        operating_point=points[0].concurrency,
        points=points,
        timed=timed_answers(),
        open_loop=open_loop(),
    )


def open_loop(
    *, ratio: float = 1.4, requests: int = 400, late: int = 0, reference_late: int = 0, rate: float = 500.0
) -> OpenLoopResult:
    """Both sides in open loop, with as many requests whose first token came too late, evenly spread."""
    return OpenLoopResult(
        engine=open_loop_side("engine", rate * ratio, requests, late),
        reference=open_loop_side("vllm", rate, min(64, requests), reference_late),
    )


def open_loop_side(
    name: str, rate: float, requests: int, late: int = 0, *, slow_gaps: int = 0, late_ms: float = 90_000.0
) -> OpenLoopSide:
    """A side in open loop, at `rate` tokens/s, with planted misses, evenly spread; without requests if 0."""
    usual = _record(rate).model_copy(update={"slow_gaps": slow_gaps})
    missed = usual.model_copy(update={"ttft_ms": late_ms, "good": False})
    records = [missed if late and place % (requests // late) == 0 else usual for place in range(requests)]
    per_s = 0.8 * rate / 32
    stretch = Stretch(
        side=name,
        index=0,
        arrivals_per_s=per_s,
        started_s=60.0,
        wall_s=max(1, requests) / per_s,
        devices=1,
        prompts_sha256="c" * 64,
        answers_sha256="d" * 64,
        requests=tuple(records),
        sent_late_ms=0.4,
        most_in_flight=5,
        load=HostLoad(cores=2, foreign=0.012, steal=0.0),
    )
    return OpenLoopSide(
        side=name,
        arrivals_per_s=per_s,
        load=f"80% of the {rate / 32:.3g} that it can serve with 2 in flight",
        looks=1 if requests else 0,
        ended="settled" if requests else "budget",
        stopped="the objective is settled" if requests else "390 requests take 2 min, and 3 s are left",
        spent_s=stretch.wall_s,
        stretches=(stretch,) if requests else (),
        summary=summarize_open_loop([stretch], [(1000 / rate,)] * requests, 0.96) if requests else None,
    )


def timed_answers(
    *, regret: float = 0.0, missing: int = 0, read_of_32: int = 30, samples: int = 32
) -> TimedAnswers:
    """Timed answers of 32 tokens, with planted mean regret, missing tokens and tokens that can be read."""
    tokens = tuple(range(5, 37 - missing))
    one = TimedSample(
        concurrency=2,
        claimed_tokens=32,
        same_text=not regret and not missing,
        tokens=tokens,
        scored_tokens=len(tokens),
        departures=(
            (Departure(index=2, engine_token=7, reference_token=0, regret_nats=len(tokens) * regret),)
            if regret
            else ()
        ),
    )
    read = {"engine": read_of_32, "vllm": 30}
    engine, reference = (
        TimedCount(side=name, claimed=(32,) * 72, read=(count,) * 72) for name, count in read.items()
    )
    return TimedAnswers(samples=(one,) * samples, engine=engine, reference=reference)
