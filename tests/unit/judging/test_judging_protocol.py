"""The protocol's digest: everything that is asked enters it, and unlike protocols never compare."""

import pytest
from pydantic import ValidationError
from support.judgements import PRICES, SUBJECT, measured, protocol, side, workload

from tasks.errors import ProtocolsDiffer
from tasks.judging.judge import judge_engine
from tasks.judging.protocol import JudgingProtocol, RoundPlan, require_same_protocol


def test_equal_protocols_have_equal_digests() -> None:
    assert protocol().digest == protocol().digest
    require_same_protocol(protocol(), protocol())
    assert JudgingProtocol.model_validate_json(protocol().model_dump_json()).digest == protocol().digest


@pytest.mark.parametrize(
    ("other", "field"),
    [
        (protocol(seed=2), "seed: 1 against 2"),
        (protocol(samples=41), "accuracy.gate.samples: 40 against 41"),
        (protocol(min_speedup=1.2), "speed.gate.min_speedup: 1.1 against 1.2"),
        (protocol(load=workload(input_tokens=9)), "workload.input_tokens: 8 against 9"),
        (
            protocol().model_copy(update={"rounds": RoundPlan(asked="another way")}),
            "rounds.asked: 'neutral-text-counted-by-usage/2' against 'another way'",
        ),
        (
            protocol().model_copy(update={"engine": side("engine", "trtllm-serve-1.4")}),
            "engine.recipe.generated_ids: 'beside-text' against 'instead-of-text'",
        ),
        (protocol(first_stage_pairs=4), "speed.first_stage_pairs: 3 against 4"),
        (
            protocol().model_copy(update={"engine": side("engine").model_copy(update={"tree": "d" * 64})}),
            "engine.tree",
        ),
    ],
)
def test_unlike_protocols_never_compare(other: JudgingProtocol, field: str) -> None:
    with pytest.raises(ProtocolsDiffer, match=field):
        require_same_protocol(protocol(), other)


def test_results_of_another_protocol_are_not_judged() -> None:
    made = measured(protocol(seed=2).digest, [0.0] * 400, ratio=1.3)
    with pytest.raises(ProtocolsDiffer, match="another protocol"):
        judge_engine(made, protocol(), PRICES, SUBJECT, compile_mode="always", build_device_hours=0.1)


def test_sides_need_names_of_their_own() -> None:
    with pytest.raises(ValidationError, match="different names"):
        protocol(references=["engine"])


def test_a_window_must_be_longer_than_the_context_it_keeps() -> None:
    settings = protocol().accuracy.model_dump() | {"min_context_tokens": 32}
    with pytest.raises(ValidationError, match="must be below window_tokens 32"):
        type(protocol().accuracy).model_validate(settings)


def test_a_round_has_whole_waves_and_enough_requests() -> None:
    plan = RoundPlan(requests_per_slot=3, min_requests=8)
    assert [plan.requests(concurrency) for concurrency in (1, 3, 8)] == [8, 9, 24]
