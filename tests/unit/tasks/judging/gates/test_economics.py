"""Arithmetic of a month, checked by hand."""

import math
from typing import Any

import pytest
from support.judging.judgements import (
    PRICES,
    capacity,
    measured,
    protocol,
    speed_point,
    speed_result,
    terms,
    workload,
)

from engine_specs.spec import Arrivals, Economics, Slo, Workload
from tasks.judging.gates import EconomicsOutcome
from tasks.judging.gates.money.capacity import capacities, planned_tokens_per_s
from tasks.judging.gates.money.economics import HOURS_PER_MONTH, EconomicsGate, compare_months, money_map
from tasks.judging.judgement import evidence_of
from tasks.judging.measure.open_loop import load_of, rate_of
from tasks.judging.results import Interval, LeftOut, SpeedPoint, SpeedResult
from tasks.judging.statistics import Role

DAY_S = 86_400
CONFIDENCE = 0.95
ROLES: tuple[Role, ...] = ("reference", "engine")
LENIENT = Slo(ttft_p99_ms=1000, itl_p99_ms=1000)


def month(ratio: float, *, devices: int = 1, share: float = 1.0, **prices: Any) -> EconomicsOutcome:
    return compare_months(
        PRICES.model_copy(update=prices),
        workload(output_tokens=100, arrivals=Arrivals(share_of_capacity=share)),
        reference=capacity(1000.0, devices=devices),
        engine=capacity(1000.0 * ratio, "engine", devices),
        build_device_hours=2.0,
    )


def test_a_month_by_hand() -> None:
    outcome = month(2.0, requests_per_day=10 * DAY_S)
    # 10 requests/s of 100 tokens: exactly what one device of vLLM serves; 11 requests/s take two.
    assert (outcome.reference_devices, outcome.engine_devices) == (1, 1)
    outcome = month(2.0, requests_per_day=101 * DAY_S)
    assert (outcome.reference_devices, outcome.engine_devices) == (11, 6)
    assert outcome.saved_usd == pytest.approx(5 * HOURS_PER_MONTH * 2.5)
    assert (outcome.build_usd, outcome.upkeep_usd) == (5.0, 480.0)
    assert outcome.net_usd == pytest.approx(5 * HOURS_PER_MONTH * 2.5 - 485)
    assert outcome.outcome == "positive"


def test_a_faster_engine_saves_nothing_where_one_device_is_enough_anyway() -> None:
    outcome = month(3.0, requests_per_day=5 * DAY_S)
    assert (outcome.reference_devices, outcome.engine_devices, outcome.saved_usd) == (1, 1, 0.0)
    assert outcome.outcome == "negative"


def test_devices_are_bought_for_the_peak_and_in_whole_servers_with_spare_ones() -> None:
    flat = month(2.0, requests_per_day=101 * DAY_S)
    peak = month(2.0, requests_per_day=101 * DAY_S / 4, peak_to_mean=4.0)
    assert (peak.reference_devices, peak.engine_devices) == (flat.reference_devices, flat.engine_devices)
    spare = month(2.0, requests_per_day=101 * DAY_S, spare_servers=2)
    assert (spare.reference_devices, spare.engine_devices) == (13, 8)
    servers_of_four = month(2.0, requests_per_day=101 * DAY_S, devices=4)
    assert (servers_of_four.reference_devices, servers_of_four.engine_devices) == (12, 8)


def test_no_server_is_planned_to_serve_more_than_what_the_objective_is_judged_under() -> None:
    outcome = month(2.0, share=0.8, requests_per_day=101 * DAY_S)
    # 1,010 tokens/s at the peak; 800 are planned per vLLM server, of 1,000, and 1,600 per engine.
    assert (outcome.reference_devices, outcome.engine_devices) == (13, 7)
    assert "planned with 1,600.0 per server; 1 device per server: 7 devices" in "\n".join(outcome.lines)


@pytest.mark.parametrize(("per_s", "devices"), [(5.0, (21, 21)), (15.0, (11, 7)), (30.0, (11, 6))])
def test_declared_arrivals_are_planned_for_if_a_server_can_serve_them(
    per_s: float, devices: tuple[int, int]
) -> None:
    outcome = compare_months(
        PRICES.model_copy(update={"requests_per_day": 101 * DAY_S}),
        workload(output_tokens=100, arrivals=Arrivals(per_s=per_s)),
        reference=capacity(1000.0),
        engine=capacity(2000.0, "engine"),
        build_device_hours=2.0,
    )
    assert (outcome.reference_devices, outcome.engine_devices) == devices
    assert (outcome.break_even_requests_per_day is None) == (per_s == 5.0)


@pytest.mark.parametrize(
    "changes", [{}, {"spare_servers": 1}, {"peak_to_mean": 3.0}, {"devices": 2}, {"share": 0.7}]
)
def test_it_pays_just_from_the_break_even_load(changes: dict[str, Any]) -> None:
    even = month(1.3, **changes).break_even_requests_per_day
    assert even is not None
    assert month(1.3, requests_per_day=even * (1 + 1e-9), **changes).outcome == "positive"
    assert month(1.3, requests_per_day=even * (1 - 1e-9), **changes).outcome == "negative"
    smaller = [month(1.3, requests_per_day=even * share, **changes) for share in (0.1, 0.4, 0.7, 0.9)]
    assert {one.outcome for one in smaller} == {"negative"}


@pytest.mark.parametrize(("ratio", "prices"), [(0.8, {}), (1.0, {}), (2.0, {"gpu_hour_usd": 0.0})])
def test_what_saves_nothing_pays_at_no_load(ratio: float, prices: dict[str, float]) -> None:
    outcome = month(ratio, **prices)
    assert outcome.break_even_requests_per_day is None
    assert outcome.outcome == "negative"
    assert "it pays at no load" in outcome.reason


def test_every_amount_is_in_the_arithmetic() -> None:
    outcome = month(2.0)
    text = "\n".join(outcome.lines)
    for amount in (outcome.saved_usd, outcome.build_usd, outcome.upkeep_usd, outcome.net_usd):
        assert f"{amount:,.2f} USD" in text
    for count in (outcome.reference_devices, outcome.engine_devices):
        assert f"per server: {count:,} device" in text
    assert outcome.lines[1].startswith("vllm: 1,000.0 tokens/s"), "which reference it is counted against"


def test_the_map_holds_what_other_loads_and_prices_would_give() -> None:
    outcome = month(2.0, requests_per_day=1_000_000)
    for cell in outcome.map:
        there = month(2.0, requests_per_day=cell.requests_per_day, gpu_hour_usd=cell.gpu_hour_usd)
        assert cell.net_usd == there.net_usd
    assert {cell.outcome for cell in (month(2.0), outcome)} <= {"positive", "negative"}
    assert len({(cell.requests_per_day, cell.gpu_hour_usd) for cell in outcome.map}) == 15


def test_the_map_is_shown_as_rows_of_loads_and_columns_of_prices() -> None:
    outcome = month(2.0, requests_per_day=1_000_000)
    shown = money_map(outcome)
    assert [value for row in shown.values for value in row] == [cell.net_usd for cell in outcome.map]
    row, column = shown.declared
    assert shown.values[row][column] == outcome.net_usd
    assert shown.rows[row] == "1,000,000"
    assert [float(price) for price in shown.columns] == sorted({cell.gpu_hour_usd for cell in outcome.map})


def at(concurrency: int, rate: float, ratio: float) -> SpeedPoint:
    return speed_point(ratio, noise=0.02, pairs=6, concurrency=concurrency, rate=rate)


def test_each_side_counts_where_it_is_best_and_in_the_same_unit() -> None:
    reference, engine = capacities(speed_result(at(1, 500.0, 2.0), at(8, 4000.0, 0.2)), LENIENT, CONFIDENCE)
    assert (reference.concurrency, engine.concurrency) == (8, 1)
    assert reference.metric == engine.metric == "goodput_per_device"
    assert reference.tokens_per_s == pytest.approx(4000, rel=0.1)
    assert engine.tokens_per_s == pytest.approx(1000, rel=0.1)


def test_the_bounds_favour_the_reference() -> None:
    point = at(1, 500.0, 2.0)
    reference, engine = capacities(speed_result(point), LENIENT, CONFIDENCE)
    assert engine.tokens_per_s < point.engine.goodput_per_device.estimate
    assert reference.tokens_per_s >= point.reference.goodput_per_device.estimate


def late(point: SpeedPoint, side: str, *, every: int = 1) -> SpeedPoint:
    """The same, but so many first tokens of a side come after 5 s: all, or one of `every`."""
    count, rounds = 0, []
    for one in point.rounds:
        records = list(one.requests)
        for place in range(len(records) if one.side == side else 0):
            count += 1
            if count % every == 0:
                records[place] = records[place].model_copy(update={"ttft_ms": 5000.0})
        rounds.append(one.model_copy(update={"requests": tuple(records)}))
    role = "engine" if side == "engine" else "reference"
    summary = getattr(point, role)
    slow = summary.ttft_ms.model_copy(update={"p99": 5000.0})
    changed = summary.model_copy(update={"ttft_ms": slow})
    return point.model_copy(update={"rounds": tuple(rounds), role: changed})


def test_a_rate_beyond_the_objective_does_not_count_if_another_is_within() -> None:
    beyond = late(at(8, 4000.0, 2.0), "vllm")
    reference, engine = capacities(speed_result(at(1, 500.0, 2.0), beyond), LENIENT, CONFIDENCE)
    assert (reference.concurrency, reference.shown) == (1, "underpowered")
    assert engine.concurrency == 8


def test_a_doubt_about_the_objective_counts_for_the_reference_and_against_the_engine() -> None:
    """One of 18 first tokens is late: no proof that 1 % may not be, although the estimate is beyond it."""
    fast = at(8, 4000.0, 2.0)
    doubtful = late(late(fast, "vllm", every=18), "engine", every=18)
    reference, engine = capacities(speed_result(at(1, 500.0, 2.0), doubtful), LENIENT, CONFIDENCE)
    assert (reference.concurrency, reference.shown) == (8, "underpowered")
    assert engine.concurrency == 1


def test_without_any_goodput_both_sides_count_by_throughput() -> None:
    point = at(1, 500.0, 2.0)
    nothing = point.reference.goodput_per_device.model_copy(
        update={"estimate": 0.0, "lower": 0.0, "upper": 0.0}
    )
    none_good = point.reference.model_copy(update={"goodput_per_device": nothing})
    reference, engine = capacities(
        speed_result(point.model_copy(update={"reference": none_good})), LENIENT, CONFIDENCE
    )
    assert reference.metric == engine.metric == "throughput_per_device"
    assert reference.tokens_per_s > 0


def test_a_side_without_any_goodput_counts_where_its_throughput_is_best() -> None:
    nothing = Interval(estimate=0.0, lower=0.0, upper=0.0, confidence=0.95)
    strict = Slo(ttft_p99_ms=0.1, itl_p99_ms=0.1)
    points = [at(1, 500.0, 2.0), at(8, 4000.0, 2.0)]
    none_good = [
        one.model_copy(update={"reference": one.reference.model_copy(update={"goodput_per_device": nothing})})
        for one in points
    ]
    reference, _ = capacities(speed_result(*none_good), strict, CONFIDENCE)
    assert reference.concurrency == 8
    assert reference.metric == "throughput_per_device"


def test_money_is_saved_against_the_reference_that_can_serve_most() -> None:
    """The strongest one may serve less than another at any concurrency: its bound is what counts."""
    strongest = at(2, 1000.0, 1.5)
    noisy = speed_point(1.6, noise=0.02, pairs=6, concurrency=2, rate=1000.0, reference="vllm-fp32")
    rate = noisy.reference.goodput_per_device.model_copy(update={"upper": 1300.0})
    wide = noisy.reference.model_copy(update={"goodput_per_device": rate})
    timed = speed_result(strongest)
    others = timed.model_copy(update={"others": (noisy.model_copy(update={"reference": wide}),)})
    assert capacities(timed, LENIENT, CONFIDENCE)[0].side == "vllm"
    reference, engine = capacities(others, LENIENT, CONFIDENCE)
    assert reference.side == "vllm-fp32"
    assert reference.tokens_per_s >= 1300.0
    assert engine == capacities(timed, LENIENT, CONFIDENCE)[1]


def test_a_reference_beyond_the_objective_does_not_count_before_one_within() -> None:
    fast = speed_point(0.5, noise=0.02, pairs=6, concurrency=1, rate=9000.0, reference="vllm-fp32")
    timed = speed_result(at(1, 500.0, 2.0)).model_copy(update={"others": (late(fast, "vllm-fp32"),)})
    assert capacities(timed, LENIENT, CONFIDENCE)[0].side == "vllm"
    slow = late(at(1, 500.0, 2.0), "vllm")
    missed = speed_result(slow).model_copy(update={"others": (late(fast, "vllm-fp32"),)})
    reference, _ = capacities(missed, LENIENT, CONFIDENCE)
    assert (reference.side, reference.shown) == ("vllm-fp32", "missed")


@pytest.mark.parametrize("limit_ms", [1000.0, 11.0, 0.1])
def test_open_loop_asks_no_engine_for_less_than_is_planned_for_it(limit_ms: float) -> None:
    """At 500 tokens/s the first token takes 12 ms, at 1,000 tokens/s 6 ms, at 4,000 tokens/s 1.5 ms."""
    load = workload(
        slo=Slo(ttft_p99_ms=limit_ms, itl_p99_ms=1000),
        output_tokens=32,
        concurrency=(1, 8),
        operating_point=1,
    )
    asked, timed = protocol(load=load), speed_result(at(1, 500.0, 2.0), at(8, 4000.0, 0.25))
    reference, engine = capacities(timed, load.slo, asked.speed.confidence)
    loads = {role: load_of(timed.points, role, asked, 1) for role in ROLES}
    assert loads["engine"].concurrency == engine.concurrency
    assert planned_tokens_per_s(engine, load) <= rate_of(loads["engine"], 1, load).per_s * load.output_tokens
    # It counts where it may serve most, and is asked for no more than what it surely serves.
    assert loads["reference"].throughput_per_device.estimate <= reference.tokens_per_s


def test_the_report_says_where_each_side_is_rated_and_which_references_were_timed_at_one_load() -> None:
    fast = speed_point(1.6, noise=0.02, pairs=6, concurrency=1, rate=450.0, reference="vllm fp8")
    left_out = LeftOut(reference="vllm bf16", reason="too little time")
    timed = speed_result(at(1, 500.0, 2.0), at(8, 4000.0, 2.0))
    both = timed.model_copy(update={"others": (fast,), "left_out": (left_out,)})
    lines = {name: economics_lines(one) for name, one in (("one", timed), ("all", both))}
    assert "vllm fp8: timed at 1 in flight only, so rated there, or not counted" in lines["all"]
    assert "vllm bf16: not timed, so not counted" in lines["all"]
    assert "timed" not in lines["one"]
    for text in lines.values():
        assert "vLLM counts where it may serve most" in text
        assert "at 8 in flight (its rounds do not show that it misses the objective)" in text


def economics_lines(timed: SpeedResult) -> str:
    """The arithmetic that the report shows of rounds."""
    asked = protocol(load=workload(concurrency=(1, 8), operating_point=1, slo=LENIENT))
    made = measured(asked.digest, [0.0] * 40, ratio=1.4).model_copy(update={"speed": timed})
    return "\n".join(EconomicsGate().judge(evidence_of(made, asked, terms())).lines)


def test_a_price_of_one_target_counts_there_only() -> None:
    prices = PRICES.model_copy(update={"target_gpu_hour_usd": {"h100-sxm": 4.0}})
    assert prices.at("h100-sxm").gpu_hour_usd == 4.0
    assert prices.at("h200").gpu_hour_usd == PRICES.gpu_hour_usd
    assert prices.at("h200") == PRICES
    assert "target_gpu_hour_usd" not in PRICES.model_dump(mode="json")


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests_per_day": 1e308},
        {"gpu_hour_usd": 1e9},
        {"upkeep_hours_per_month": math.inf},
        {"peak_to_mean": 0.5},
        {"spare_servers": -1},
        {"spare_servers": 10**9},
        {"target_gpu_hour_usd": {"h900": 1.0}},
        {"target_gpu_hour_usd": {"h200": 1e308}},
        {"requests_per_day": 0},
        {"requests_per_day": -1.0},
        {"requests_per_day": math.nan},
        {"gpu_hour_usd": math.nan},
        {"gpu_hour_usd": -1.0},
        {"engineer_hour_usd": 1e308},
        {"builds_per_month": 1e308},
        {"peak_to_mean": math.inf},
        {"peak_to_mean": 1e308},
    ],
)
def test_absurd_prices_and_loads_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Economics.model_validate(PRICES.model_dump() | wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"input_tokens": 10**12},
        {"output_tokens": 0},
        {"output_tokens": 10**12},
        {"concurrency": (10**9,)},
        {"concurrency": ()},
        {"arrivals": {"per_s": 1e308}},
        {"arrivals": {"share_of_capacity": 0.0}},
        {"arrivals": {"share_of_capacity": 1.5}},
        {"slo": {"ttft_p99_ms": math.inf, "itl_p99_ms": 10}},
        {"slo": {"ttft_p99_ms": 100, "itl_p99_ms": math.nan}},
        {"sweep": ({"input_tokens": 10**12, "output_tokens": 1},)},
    ],
)
def test_absurd_workloads_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Workload.model_validate(workload().model_dump() | wrong)


def test_the_largest_prices_and_loads_that_are_accepted_can_be_counted() -> None:
    most = {
        "requests_per_day": 1e12,
        "peak_to_mean": 1_000.0,
        "gpu_hour_usd": 10_000.0,
        "spare_servers": 1_000,
    }
    outcome = month(1.01, **most)
    assert all(math.isfinite(cell.net_usd) for cell in outcome.map)
    assert math.isfinite(outcome.net_usd)
