"""The protocol's digest: everything that is asked enters it, and unlike protocols never compare."""

import math

import pytest
from pydantic import TypeAdapter, ValidationError
from support.judging.judgements import PRICES, SUBJECT, measured, protocol, side, terms, workload

from tasks.errors import ProtocolsDiffer
from tasks.judging.gates import EconomicsOutcome
from tasks.judging.judge import judge_engine
from tasks.judging.protocol import JudgingProtocol, RoundPlan
from tasks.judging.results import Departure, Interval


def test_equal_protocols_have_equal_digests() -> None:
    assert protocol().digest == protocol().digest
    assert JudgingProtocol.model_validate_json(protocol().model_dump_json()).digest == protocol().digest


@pytest.mark.parametrize(
    "other",
    [
        protocol(seed=2),
        protocol(samples=41),
        protocol(min_speedup=1.2),
        protocol(load=workload(input_tokens=9)),
        protocol().model_copy(update={"rounds": RoundPlan(asked="another way")}),
        protocol().model_copy(update={"engine": side("engine", "trtllm-serve-1.4")}),
        protocol(first_pairs=4),
        protocol().model_copy(update={"engine": side("engine").model_copy(update={"tree": "d" * 64})}),
    ],
)
def test_unlike_protocols_have_unlike_digests(other: JudgingProtocol) -> None:
    assert other.digest != protocol().digest


def test_neither_the_budget_nor_other_variants_decide_what_is_asked() -> None:
    assert protocol(budget_minutes=9).digest == protocol().digest
    assert protocol(variants=8).digest == protocol().digest


def test_results_of_another_protocol_are_not_judged() -> None:
    made = measured(protocol(seed=2).digest, [0.0] * 400, ratio=1.3)
    with pytest.raises(ProtocolsDiffer, match="another protocol"):
        judge_engine(made, protocol(), terms(PRICES, compile_mode="always", build_device_hours=0.1), SUBJECT)


def test_sides_need_names_of_their_own() -> None:
    with pytest.raises(ValidationError, match="different names"):
        protocol(references=["engine"])


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_no_record_takes_what_is_no_number(number: float) -> None:
    for make in (
        lambda: Interval(estimate=number, lower=0, upper=1, confidence=0.95),
        lambda: Departure(index=0, engine_token=1, reference_token=2, regret_nats=number),
        lambda: protocol(margin=0.02).accuracy.model_validate(
            protocol().accuracy.model_dump() | {"request_limit_s": number}
        ),
        lambda: TypeAdapter(EconomicsOutcome).validate_python(
            dict.fromkeys(EconomicsOutcome.model_fields, number)
        ),
    ):
        with pytest.raises(ValidationError, match="finite number"):
            make()


def test_the_shortest_context_is_not_longer_than_the_longest() -> None:
    group = protocol().accuracy.windows[0]
    with pytest.raises(ValidationError, match="must not exceed max_context_tokens 32"):
        type(group).model_validate(group.model_dump() | {"min_context_tokens": 33})


def test_a_round_has_whole_waves_and_enough_requests() -> None:
    plan = RoundPlan(requests_per_slot=3, min_requests=8)
    assert [plan.requests(concurrency) for concurrency in (1, 3, 8)] == [8, 9, 24]
