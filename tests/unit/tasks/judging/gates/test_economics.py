"""Arithmetic of a month, checked by hand, and the decision to leave the baseline alone."""

import pytest
from support.judging.judgements import PRICES, side, speed_point, workload

from engine_specs.spec import Slo
from tasks.judging.decide import Stay
from tasks.judging.decide.baseline import Go, baseline_decision
from tasks.judging.gates import EconomicsOutcome
from tasks.judging.gates.economics import DAYS_PER_MONTH, compare_months
from tasks.judging.results import LoadPoint, LoadResult


def month(ratio: float, **prices: float) -> EconomicsOutcome:
    return compare_months(
        PRICES.model_copy(update=prices),
        workload(output_tokens=100),
        reference_tokens_per_s=1000.0,
        ratio=ratio,
        build_device_hours=2.0,
    )


def test_a_month_by_hand() -> None:
    outcome = month(2.0, requests_per_day=1_000_000)
    hours = 1_000_000 * DAYS_PER_MONTH / 36_000
    assert outcome.reference_device_hours == pytest.approx(hours)
    assert outcome.engine_device_hours == pytest.approx(hours / 2)
    assert outcome.saved_usd == pytest.approx(hours / 2 * 2.5)
    assert (outcome.build_usd, outcome.upkeep_usd) == (5.0, 480.0)
    assert outcome.net_usd == pytest.approx(hours / 2 * 2.5 - 485)
    assert outcome.outcome == "positive"


def test_at_the_break_even_load_nothing_is_won_or_lost() -> None:
    break_even = month(1.3).break_even_requests_per_day
    assert break_even is not None
    assert month(1.3, requests_per_day=break_even).net_usd == pytest.approx(0, abs=1e-6)
    assert month(1.3, requests_per_day=break_even * 1.01).outcome == "positive"
    assert month(1.3, requests_per_day=break_even * 0.99).outcome == "negative"


def test_a_slower_engine_never_breaks_even() -> None:
    outcome = month(0.8)
    assert outcome.break_even_requests_per_day is None
    assert outcome.outcome == "negative"
    assert "no load pays" in outcome.reason
    assert outcome.lines[-1].startswith("break-even: never")


def test_every_amount_is_in_the_arithmetic() -> None:
    outcome = month(2.0)
    text = "\n".join(outcome.lines)
    for amount in (outcome.saved_usd, outcome.build_usd, outcome.upkeep_usd, outcome.net_usd):
        assert f"{amount:,.2f} USD" in text


def load(rate: float) -> LoadResult:
    point = speed_point(1.0, noise=0.0, pairs=3, concurrency=2, rate=rate)
    rounds = tuple(one for one in point.rounds if one.side == "vllm")
    return LoadResult(
        side=side("vllm"),
        protocol_digest="0" * 64,
        operating_point=2,
        points=(LoadPoint(summary=point.reference, rounds=rounds),),
    )


def decision(
    rate: float, *, slo: Slo | None = None, compile_mode: str = "when-justified", **prices: float
) -> Stay | Go:
    load_of = workload(slo=slo or Slo(ttft_p99_ms=1000, itl_p99_ms=1000))
    return baseline_decision(load(rate), PRICES.model_copy(update=prices), load_of, compile_mode=compile_mode)


def test_a_small_load_that_is_served_in_time_stays_with_the_arithmetic_shown() -> None:
    found = decision(500.0, requests_per_day=1000)
    assert isinstance(found, Stay)
    assert "not even twice its speed would pay off" in found.reason
    assert "500" in found.reason
    assert found.economics.net_usd < 0


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({"requests_per_day": 1_000_000_000}, "would pay"),
        ({"requests_per_day": 1000, "slo": Slo(ttft_p99_ms=1, itl_p99_ms=1000)}, "misses the objective"),
        ({"requests_per_day": 1000, "compile_mode": "always"}, "compile: always"),
    ],
)
def test_a_reason_to_compile_goes_on(changes: dict[str, object], because: str) -> None:
    found = decision(500.0, **changes)  # type: ignore[arg-type]
    assert isinstance(found, Go)
    assert because in found.reason
