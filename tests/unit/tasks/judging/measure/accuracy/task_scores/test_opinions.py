"""Second opinions are asked of the engine and of the first reference, once, and change no answer."""

from pathlib import Path

import pytest
from support.judging.judgements import accuracy_result
from support.judging.tasks import asking, choosing, result_of, writing

from tasks.judging import NoOpinion, Opinion, Side
from tasks.judging.measure.accuracy import Opine, with_opinions
from tasks.judging.results import SecondOpinion, TaskResult
from tasks.runs import KeptPhases

ASKED = asking(choosing(second_opinion=True), writing())
TASKS = (result_of([(True, True)] * 3), result_of([(True, False)] * 2, "sums"))
ENGINE, REFERENCE = ASKED.engine.name, ASKED.references[0].name


def found(directory: Path, opine: Opine) -> tuple[TaskResult, ...]:
    """Both tasks, of which the first asks for an opinion."""
    accuracy = accuracy_result(ASKED.digest, [0.0]).model_copy(update={"tasks": TASKS})
    return with_opinions(accuracy, ASKED, opine, KeptPhases(directory, say=lambda _line: None)).tasks


@pytest.mark.parametrize("runs", [1, 2])
def test_both_sides_are_asked_once_and_the_tasks_keep_their_answers(tmp_path: Path, runs: int) -> None:
    named: list[str] = []

    def opine(side: Side) -> Opinion:
        named.append(side.name)
        return Opinion(tool="tool 1", right={"fruit": 0.5 if side.name == ENGINE else 0.75})

    for _ in range(runs):
        fruit, sums = found(tmp_path, opine)
    assert named == [ENGINE, REFERENCE]
    assert fruit.second_opinion == SecondOpinion(tool="tool 1", engine=0.5, reference=0.75)
    assert sums.second_opinion is None
    assert (fruit.samples, sums) == (TASKS[0].samples, TASKS[1])


@pytest.mark.parametrize(("failing", "asked"), [(ENGINE, [ENGINE]), (REFERENCE, [ENGINE, REFERENCE])])
def test_a_failure_on_one_side_is_the_reason_why_there_is_none(
    tmp_path: Path, failing: str, asked: list[str]
) -> None:
    named: list[str] = []

    def opine(side: Side) -> Opinion | NoOpinion:
        named.append(side.name)
        if side.name == failing:
            return NoOpinion(reason="it died", log="lm-eval.log")
        return Opinion(tool="tool 1", right={"fruit": 0.5})

    fruit, sums = found(tmp_path, opine)
    assert named == asked, "there is nothing to compare once one side has none"
    assert fruit.second_opinion == NoOpinion(reason=f"on {failing}: it died", log="lm-eval.log")
    assert sums.second_opinion is None
    assert (fruit.samples, sums) == (TASKS[0].samples, TASKS[1])
    assert TaskResult.model_validate_json(fruit.model_dump_json()) == fruit
