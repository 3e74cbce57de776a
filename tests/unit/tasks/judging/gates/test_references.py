"""The gates if there are several references: the engine has to be better than each of them."""

import re
from typing import Any

import pytest
from support.judging.judgements import SUBJECT, measured, open_loop, protocol, side, speed_point, terms

from tasks.judging import JudgingProtocol, Side, SpeedPoint, SpeedResult
from tasks.judging.gates import Evidence
from tasks.judging.gates.rounds.slo import SloGate, SloOutcome
from tasks.judging.gates.rounds.speed import SpeedGate, SpeedOutcome
from tasks.judging.judge import judge_engine
from tasks.judging.results import LeftOut


def reference(name: str, *roles: Any, quantized: bool = False) -> Side:
    plain = side(name)
    flags = ("--quantization", "modelopt") if quantized else ()
    serve = plain.serve.model_copy(update={"argv": (*plain.serve.argv, *flags)})
    return plain.model_copy(update={"roles": roles, "serve": serve})


def against(
    name: str, ratio: float, *, ended: Any = "clear", pairs: int = 32, noise: float = 0.02
) -> SpeedPoint:
    """The engine, which always makes 1,000 tokens/s, against a reference."""
    return speed_point(
        ratio, noise=noise, pairs=pairs, ended=ended, concurrency=2, rate=1000 / ratio, reference=name
    )


def evidence(*points: SpeedPoint, references: tuple[Side, ...] = (), **update: Any) -> Evidence:
    asked: JudgingProtocol = protocol(references=[one.reference.side for one in points])
    if references:
        asked = asked.model_copy(update={"references": references})
    made = measured(asked.digest, [0.0] * 40, ratio=1.5)
    assert isinstance(made.speed, SpeedResult)
    first, *others = points
    changed = {"reference": first.reference.side, "points": (first,), "others": tuple(others), **update}
    return Evidence(asked, made.accuracy, made.speed.model_copy(update=changed), terms())


def speed(*points: SpeedPoint, **changes: Any) -> SpeedOutcome:
    return SpeedGate().judge(evidence(*points, **changes))


def test_an_engine_that_beats_all_is_faster_and_the_smallest_ratio_is_shown() -> None:
    outcome = speed(against("vllm fp8", 1.4), against("vllm", 2.0))
    assert (outcome.outcome, outcome.reference) == ("faster", "vllm fp8")
    assert outcome.ratio.estimate == pytest.approx(1.4, rel=0.02)
    assert re.search(r"faster than each of 2 references.*it has 2\.\d+ times vllm\.", outcome.reason)


@pytest.mark.parametrize(
    ("ended", "ratio", "found"),
    [("clear", 0.9, "not-faster"), ("resolved", 1.1, "noisy"), ("budget", 1.1, "noisy")],
)
def test_one_that_it_does_not_beat_decides_whatever_the_others_are(
    ended: Any, ratio: float, found: str
) -> None:
    lost = against("vllm fp8", ratio, ended=ended)
    for points in ((lost, against("vllm", 2.0)), (against("vllm", 2.0), lost)):
        outcome = speed(*points)
        assert (outcome.outcome, outcome.reference) == (found, "vllm fp8")


def test_the_ratio_is_shown_next_to_the_reference_that_it_is_to() -> None:
    found = evidence(against("vllm", 2.0), against("vllm fp8", 0.8))
    outcome = SpeedGate().judge(found)
    shown = SpeedGate().show(outcome, found)
    leading = next(tile for tile in shown.tiles if tile.leads)
    assert leading.label == "Engine / vllm fp8"
    assert float(leading.value) == pytest.approx(0.8, rel=0.02)
    assert "as fast as vllm fp8 with" in shown.clause
    assert shown.figures[0].reference == "1,250", "goodput is that of the same reference"


def test_the_speed_of_a_judged_engine_is_that_to_the_reference_that_decides() -> None:
    points = (against("vllm", 2.0), against("vllm fp8", 0.8))
    asked = protocol(references=[one.reference.side for one in points])
    made = measured(asked.digest, [0.0] * 40, ratio=1.5)
    assert isinstance(made.speed, SpeedResult)
    timed = made.speed.model_copy(update={"points": points[:1], "others": points[1:]})
    judged = judge_engine(made.model_copy(update={"speed": timed}), asked, terms(), SUBJECT)
    assert judged.decisive == points[1]
    assert judged.speedup is not None
    assert judged.speedup.estimate == pytest.approx(0.8, rel=0.02)


def test_a_comparison_that_was_broken_off_does_not_hide_the_one_that_decided() -> None:
    outcome = speed(against("vllm fp8", 0.8), against("vllm", 1.12, ended="undecided", noise=0.2, pairs=8))
    assert (outcome.outcome, outcome.reference) == ("not-faster", "vllm fp8")


def test_one_that_is_broken_off_decides_nothing_even_if_its_rounds_look_worse() -> None:
    lost = against("vllm fp8", 1.1, ended="underpowered", noise=0.1, pairs=8)
    outcome = speed(against("vllm", 1.0, ended="undecided", noise=0.1, pairs=8), lost)
    assert (outcome.outcome, outcome.reference) == ("underpowered", "vllm fp8")


def test_what_was_not_timed_is_said() -> None:
    left_out = (LeftOut(reference="vllm", reason="the budget is 20 min"),)
    outcome = speed(against("vllm fp8", 1.4), left_out=left_out)
    assert "vllm was not timed: the budget is 20 min." in outcome.reason


SAME = reference("vllm same-weights", "same-weights", quantized=True)
TUNED = reference("vllm recommended", "recommended")
PLAIN = reference("vllm", "defaults")


def test_what_quantizing_gives_is_told_apart_from_what_compiling_gives() -> None:
    points = (against("vllm same-weights", 1.3), against("vllm", 1.3 * 1.6))
    outcome = speed(*points, references=(PLAIN, SAME))
    quantizing, compiling = outcome.gains
    assert (quantizing.of, quantizing.side, quantizing.than) == ("quantizing", "vllm same-weights", "vllm")
    assert quantizing.ratio.estimate == pytest.approx(1.6, rel=0.05)
    assert (compiling.of, compiling.side, compiling.than) == ("compiling", "engine", "vllm same-weights")
    assert compiling.ratio.estimate == pytest.approx(1.3, rel=0.05)
    assert "Quantizing alone gives 1." in outcome.reason
    shown = SpeedGate().show(outcome, evidence(*points, references=(PLAIN, SAME)))
    labels = [figure.label for figure in shown.figures if not figure.decisive]
    assert labels == ["speed: goodput", "speed: quantizing", "speed: compiling"]


def test_quantizing_is_compared_with_vllm_that_has_the_same_settings_otherwise() -> None:
    both = SAME.model_copy(update={"roles": ("same-weights", "recommended")})
    points = (against(both.name, 1.3), against("vllm", 3.0), against("vllm recommended", 2.0))
    assert speed(*points, references=(PLAIN, TUNED, both)).gains[0].than == "vllm recommended"
    assert speed(*points, references=(PLAIN, TUNED, SAME)).gains[0].than == "vllm"


def test_without_vllm_on_the_same_weights_nobody_knows_what_compiling_gives() -> None:
    own = reference("vllm own-quantization", "own-quantization", quantized=True)
    points = (against(own.name, 1.3), against("vllm", 2.0))
    assert [one.of for one in speed(*points, references=(PLAIN, own)).gains] == ["quantizing"]
    unquantized = reference("vllm", "defaults", "same-weights")
    assert [one.of for one in speed(against("vllm", 2.0), references=(unquantized,)).gains] == ["compiling"]
    few = against(own.name, 1.3, pairs=2)
    assert speed(few, against("vllm", 2.0), references=(PLAIN, own)).gains == ()


@pytest.mark.parametrize(("other_ms", "reference"), [(1e9, "missed"), (1.0, "underpowered")])
def test_vllm_misses_the_objective_only_if_every_reference_does(other_ms: float, reference: str) -> None:
    strongest, other = against("vllm fp8", 1.4), against("vllm", 2.0)
    rounds = [
        one.model_copy(
            update={"requests": tuple(r.model_copy(update={"ttft_ms": other_ms}) for r in one.requests)}
        )
        for one in other.rounds
    ]
    points = (strongest, other.model_copy(update={"rounds": tuple(rounds)}))
    outcome = SloGate().judge(evidence(*points, open_loop=open_loop(reference_late=32)))
    assert isinstance(outcome, SloOutcome)
    assert outcome.reference == reference
