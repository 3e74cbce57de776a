"""The gate on tasks: three outcomes, each with its numbers; not asked without tasks."""

from random import Random

import pytest
from support.judging.judgements import accuracy_result, measured, protocol
from support.judging.tasks import asking, choosing, result_of, writing

from tasks.judging.decide import is_conclusive, qualifies
from tasks.judging.decide.outcomes import Outcomes
from tasks.judging.gates import Evidence, judge_gates
from tasks.judging.gates.answers.task_scores import TaskScoresGate, judge_tasks
from tasks.judging.results import NoOpinion, SecondOpinion
from tasks.judging.statistics import mcnemar_p, paired_loss_interval, pairs_to_pass

BOTH, NONE, LOST, GAINED = (True, True), (False, False), (False, True), (True, False)


def of(both: int, none: int = 0, lost: int = 0, gained: int = 0) -> list[tuple[bool, bool]]:
    return [BOTH] * both + [NONE] * none + [LOST] * lost + [GAINED] * gained


@pytest.mark.parametrize(
    ("pairs", "outcome"),
    [
        (of(400), "pass"),
        (of(300, 100), "pass"),
        (of(280, 100, 10, 10), "pass"),
        (of(300, 60, 0, 40), "pass"),
        (of(280, 80, 40, 0), "underpowered"),
        (of(25), "underpowered"),
        (of(220, 80, 100, 0), "fail"),
        (of(0, 0, 400, 0), "fail"),
    ],
)
def test_a_loss_is_judged_by_its_bounds(pairs: list[tuple[bool, bool]], outcome: str) -> None:
    judged = judge_tasks([result_of(pairs)], [choosing()])
    assert judged.outcome == judged.tasks[0].outcome == outcome


def test_the_sentence_has_the_numbers() -> None:
    reason = judge_tasks([result_of(of(280, 80, 40, 0))], [choosing()]).reason
    for said in (
        "Of 400 questions of fruit, the engine answers 70.00% right and vLLM 80.00%",
        "40 are right only by vLLM, 0 only by the engine",
        "The loss is 10.00 points",
        "10 are allowed: neither is shown; an engine at half the margin needs 268 questions",
    ):
        assert said in reason


def test_all_tasks_have_to_pass_and_the_worst_one_decides() -> None:
    tasks = [choosing(), writing()]
    good, unsure, bad = of(400), of(280, 80, 40), of(220, 80, 100)
    for pairs, outcome in (
        ((good, good), "pass"),
        ((good, unsure), "underpowered"),
        ((unsure, bad), "fail"),
        ((bad, unsure), "fail"),
    ):
        results = [result_of(pairs[0]), result_of(pairs[1], "sums")]
        judged = judge_tasks(results, tasks)
        assert judged.outcome == outcome
        assert [one.task for one in judged.tasks] == ["fruit", "sums"]
    assert judged.reason.startswith("Of 400 questions of fruit")


def test_tasks_share_the_error_of_rejecting() -> None:
    """A loss that a single task shows is not shown if it is the worst of sixteen."""
    nearly = of(310, 24, 66)
    assert judge_tasks([result_of(nearly)], [choosing(max_loss=0.12)]).outcome == "fail"
    tasks = [choosing(name=f"t{n}", max_loss=0.12) for n in range(16)]
    results = [result_of(nearly if n == 3 else of(400), f"t{n}") for n in range(16)]
    assert judge_tasks(results, tasks).outcome == "underpowered"


def test_without_any_difference_the_bound_is_clopper_and_pearsons() -> None:
    bound = paired_loss_interval(of(200, 100), 0.95)
    assert bound.estimate == 0
    assert bound.upper == pytest.approx(1 - 0.05 ** (1 / 300), rel=0.03)
    assert bound.lower == pytest.approx(-bound.upper, rel=0.1)


def test_with_many_differences_the_bound_is_nearly_normal() -> None:
    bound = paired_loss_interval(of(8000, 500, 900, 600), 0.95)
    error = 1.645 * ((1500 / 10_000 - 0.03**2) / 10_000) ** 0.5
    assert (bound.lower, bound.upper) == pytest.approx((0.03 - error, 0.03 + error), abs=3e-4)


@pytest.mark.parametrize(
    ("lost", "gained", "p"), [(0, 0, 1.0), (5, 0, 2 / 32), (1, 3, 10 / 16), (1200, 800, 3.7e-19)]
)
def test_mcnemars_test_is_exact(lost: int, gained: int, p: float) -> None:
    assert mcnemar_p(of(10, 10, lost, gained)) == pytest.approx(p, rel=0.05)


def test_as_many_questions_as_are_said_to_be_needed_are_enough() -> None:
    """An engine at half the allowed loss, with as many as the gate says, passes in about 80 %."""
    source = Random(7)

    def drawn(count: int) -> list[tuple[bool, bool]]:
        return source.choices([BOTH, LOST, GAINED], [0.85, 0.1, 0.05], k=count)

    needed = pairs_to_pass(drawn(20_000), 0.1, 0.95)
    passed = sum(judge_tasks([result_of(drawn(needed))], [choosing()]).outcome == "pass" for _ in range(60))
    assert 0.6 <= passed / 60 <= 0.97


def test_it_is_not_asked_if_the_spec_has_no_tasks() -> None:
    asked = protocol(samples=400, margin=0.02, first_pairs=6)
    made = measured(asked.digest, [0.0] * 400, ratio=1.4)
    outcomes = judge_gates(Evidence(asked, made.accuracy))
    assert "task scores" not in outcomes
    assert Outcomes(gates=outcomes, compile_mode="always").conditions()["task scores"] == "not-asked"
    assert is_conclusive(made, asked)
    assert "tasks" not in asked.model_dump()


def test_a_reference_that_is_shown_to_answer_worse_does_not_take_part() -> None:
    asked = asking(choosing())
    good = accuracy_result(asked.digest, [0.0] * 400, name="vllm fp8")
    asked_well = good.model_copy(update={"tasks": (result_of(of(400)),)})
    assert qualifies(asked_well, asked)
    assert not qualifies(good.model_copy(update={"tasks": (result_of(of(200, 0, 200)),)}), asked)


def test_it_shows_the_loss_in_points_with_its_limit() -> None:
    gate, asked = TaskScoresGate(), asking(choosing())
    accuracy = accuracy_result(asked.digest, [0.0]).model_copy(
        update={"tasks": (result_of(of(300, 60, 0, 40)),)}
    )
    evidence = Evidence(asked, accuracy)
    shown = gate.show(gate.judge(evidence), evidence)
    loss, right = shown.figures
    assert (loss.label, loss.measured, loss.limit) == ("task fruit: loss", "-10.00", "upper ≤ 10")
    assert loss.use is not None
    assert loss.use.upper == 0, "a gain uses nothing of the limit"
    assert (right.measured, right.reference) == ("85.00", "75.00")
    assert shown.tiles[0].value == "85.0"


def test_a_second_opinion_is_shown_and_decides_nothing() -> None:
    gate, asked = TaskScoresGate(), asking(choosing())
    plain = result_of(of(400))
    found = SecondOpinion(tool="lm-eval 0.4.13", engine=0.25, reference=0.99)
    with_it = plain.model_copy(update={"second_opinion": found})
    accuracy = accuracy_result(asked.digest, [0.0])
    first, second = (
        Evidence(asked, accuracy.model_copy(update={"tasks": (one,)})) for one in (plain, with_it)
    )
    assert gate.judge(first) == gate.judge(second)
    shown = gate.show(gate.judge(second), second)
    assert len(shown.figures) == len(gate.show(gate.judge(first), first).figures) + 1
    assert (shown.figures[-1].label, shown.figures[-1].measured, shown.figures[-1].decisive) == (
        "task fruit: right answers by lm-eval 0.4.13",
        "25.00",
        False,
    )
    assert shown.tiles[0].note.endswith("; lm-eval 0.4.13 finds 25.0 %, vLLM 99.0 %")


def test_a_second_opinion_that_failed_is_a_reason_and_decides_nothing() -> None:
    gate, asked = TaskScoresGate(), asking(choosing())
    plain = result_of(of(400))
    failed = plain.model_copy(update={"second_opinion": NoOpinion(reason="it died", log="a.log")})
    accuracy = accuracy_result(asked.digest, [0.0])
    first, second = (
        Evidence(asked, accuracy.model_copy(update={"tasks": (one,)})) for one in (plain, failed)
    )
    assert gate.judge(first) == gate.judge(second)
    shown = gate.show(gate.judge(second), second)
    assert shown.figures == gate.show(gate.judge(first), first).figures
    assert shown.tiles[0].note.endswith("; no second opinion: it died (its log: logs/a.log)")
